"""Where transformers keeps what TransformerLens names, architecture by architecture.

A new architecture is a line in `LAYOUTS`, and one in the tests, which compare every name with what a tiny model computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from autointerp.models.subject import SubjectModel


@dataclass(frozen=True)
class Layout:
    """Paths of modules: `blocks`, `final` and `embed` in the base model, the others in a block. "" is not there, or in no
    module of its own.

    `attn_out`, `mlp_out`: what writes to the residual stream. `z`: the projection that reads the heads. `up`, `linear`: what
    gives the neurons before the non-linearity, and what they are multiplied with. `parallel`: the name of a setting, or its
    value, that says whether attention and MLP read the same stream. `scales_embedding`: the first block reads the embedding
    times a constant.
    """

    blocks: str = "layers"
    ln1: str = "input_layernorm"
    attention: str = "self_attn"
    attn_out: str = "self_attn"
    z: str = "self_attn.o_proj"
    ln2: str = "post_attention_layernorm"
    mlp: str = "mlp"
    mlp_out: str = "mlp"
    up: str = "mlp.gate_proj"
    linear: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    final: str = "norm"
    embed: str = "embed_tokens"
    parallel: bool | str = False
    scales_embedding: bool = False
    takes_mean: bool = False
    """The norms take off the mean, so TransformerLens may have taken it off the stream beforehand."""


LLAMA = Layout()
_GPT2 = Layout(
    blocks="h", ln1="ln_1", attention="attn", attn_out="attn", z="attn.c_proj", ln2="ln_2", up="mlp.c_fc", linear="",
    down="mlp.c_proj", final="ln_f", embed="wte", takes_mean=True,
)  # fmt: skip
_GEMMA2 = replace(
    LLAMA, attn_out="post_attention_layernorm", ln2="pre_feedforward_layernorm", mlp_out="post_feedforward_layernorm",
    scales_embedding=True,
)  # fmt: skip

LAYOUTS: Mapping[str, Layout] = {
    "gpt2": _GPT2,
    "gpt_neo": replace(_GPT2, z="attn.attention.out_proj"),
    "gptj": replace(_GPT2, z="attn.out_proj", ln2="ln_1", up="mlp.fc_in", down="mlp.fc_out", parallel=True),
    "gpt_neox": Layout(
        attention="attention", attn_out="attention", z="attention.dense", up="mlp.dense_h_to_4h", linear="",
        down="mlp.dense_4h_to_h", final="final_layer_norm", embed="embed_in", parallel="use_parallel_residual",
        takes_mean=True,
    ),
    "phi": Layout(
        z="self_attn.dense", ln2="input_layernorm", up="mlp.fc1", linear="", down="mlp.fc2", final="final_layernorm",
        parallel=True, takes_mean=True,
    ),
    "phi3": replace(LLAMA, up="", linear=""),
    "opt": Layout(
        blocks="decoder.layers", ln1="self_attn_layer_norm", z="self_attn.out_proj", ln2="final_layer_norm", mlp="",
        mlp_out="fc2", up="fc1", linear="", down="fc2", final="decoder.final_layer_norm", embed="decoder.embed_tokens",
        takes_mean=True,
    ),
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "smollm3": LLAMA,
    "gemma": replace(LLAMA, scales_embedding=True),
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
}  # fmt: skip
"""By `model_type` of the text model's configuration."""


@dataclass(frozen=True)
class Found:
    """The layout of a subject: `blocks` is the path of its list of blocks, `root` what stands before it."""

    layout: Layout
    root: str
    parallel: bool
    n_layers: int

    def block(self, layer: int, path: str = "") -> str:
        """The path of a block, or of a module in it."""
        return f"{self.root}{self.layout.blocks}.{layer}" + (f".{path}" if path else "")


def find(subject: SubjectModel) -> Found | None:
    """The subject's layout; `None` for an architecture that is not in the table, or is arranged otherwise."""
    config: Any = getattr(subject.base, "config", None)
    text = config.get_text_config() if config is not None else None
    layout = LAYOUTS.get(getattr(text, "model_type", ""))
    if layout is None or getattr(text, "do_layer_norm_before", True) is False:
        return None
    for path, module in subject.modules.items():
        root = path.removesuffix(layout.blocks)
        if root == path or (root and not root.endswith(".")) or not isinstance(module, nn.ModuleList):
            continue
        blocks = Found(layout, root, _parallel(layout, text), len(module))
        if all(
            blocks.block(0, part) in subject.modules
            for part in (layout.ln1, layout.z, layout.ln2, layout.down)
        ):
            return blocks
    return None


def _parallel(layout: Layout, config: Any) -> bool:
    if isinstance(layout.parallel, str):
        return bool(getattr(config, layout.parallel, True))
    return layout.parallel
