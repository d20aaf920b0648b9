"""Names of TransformerLens against plain computations on tiny models of each architecture: hidden states as transformers gives
them, and what follows from them. `golden/check_hook_names.py` compares the same with TransformerLens itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autointerp.errors import CoderLoadError
from autointerp.models.coders import hook_names, layouts
from autointerp.models.coders.file_coder import Centred
from autointerp.models.subject import SubjectModel, load_subject
from tests.models import zoo

PARALLEL = ("GPT-J", "GPT-NeoX", "Phi")
LAYER_NORM = (*PARALLEL, "GPT-2", "GPT-Neo", "OPT")
RMS_NORM = (
    "Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma-2", "Gemma-3", "Gemma-3 with images", "Phi-3", "SmolLM3",
)  # fmt: skip
IDS = torch.arange(3, 15).view(2, 6)


class Model:
    """A tiny model, what its hooks hold by our translation, and its own hidden states."""

    def __init__(self, name: str, folder: Path):
        self.subject: SubjectModel = load_subject(str(zoo.save(name, folder)))
        base: Any = self.subject.base
        self.states: tuple[Tensor, ...] = base(input_ids=IDS, output_hidden_states=True).hidden_states

    def __call__(self, name: str) -> Tensor:
        named = hook_names.find(self.subject, name)
        tensor = self.subject.read([named.tap], IDS)[named.tap]
        return tensor if named.gain is None else tensor / named.gain

    def module(self, end: str) -> nn.Module:
        [found] = [module for path, module in self.subject.modules.items() if path.endswith(end)]
        return found


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def rms(x: Tensor) -> Tensor:
    return x / x.pow(2).mean(-1, keepdim=True).sqrt()


@pytest.mark.parametrize("name", [*LAYER_NORM, *RMS_NORM])
def test_every_hook_is_the_tensor_of_that_name(name: str, tmp_path: Path) -> None:
    with torch.inference_mode():
        model = Model(name, tmp_path / "model")
        # The stream, as transformers returns it between blocks.
        close(model("blocks.0.hook_resid_pre"), model.states[0])
        close(model("blocks.0.hook_resid_post"), model.states[1])
        close(model("blocks.1.hook_resid_pre"), model.states[1])
        # What attention and MLP write is what is added to it.
        attention, mlp = model("blocks.0.hook_attn_out"), model("blocks.0.hook_mlp_out")
        close(model.states[0] + attention + mlp, model.states[1])
        found = layouts.find(model.subject)
        assert found is not None
        norm = model.subject.modules[found.block(0, found.layout.ln2)]
        middle = model.states[0] if name in PARALLEL else model.states[0] + attention
        close(model("blocks.0.hook_mlp_in"), middle)
        if name in PARALLEL:
            with pytest.raises(CoderLoadError, match="read the same stream"):
                model("blocks.0.hook_resid_mid")
        else:
            close(model("blocks.0.hook_resid_mid"), middle)
        close(model("blocks.0.mlp.hook_in"), norm(middle))
        # The neurons: the way down gives the MLP's output, the way up feeds them.
        down = model.subject.modules[found.block(0, found.layout.down)]
        output = model("blocks.0.mlp.hook_out")
        close(down(model("blocks.0.mlp.hook_post")), output)
        if name.startswith("Gemma-"):
            assert not torch.allclose(output, mlp)  # a norm stands between the MLP and the stream
        else:
            close(output, mlp)
        if found.layout.up:
            pre, post = model("blocks.0.mlp.hook_pre"), model("blocks.0.mlp.hook_post")
            factor = model("blocks.0.mlp.hook_pre_linear") if found.layout.linear else torch.ones_like(pre)
            gate = post / factor
            order = pre.flatten().argsort()
            assert (
                gate.flatten()[order][pre.flatten()[order] > 1].diff() >= -1e-3
            ).all()  # rises where z does
        # The heads: the projection that reads them gives what attention returns.
        heads = model.subject.modules[found.block(0, found.layout.z)](model("blocks.0.attn.hook_z"))
        close(heads, model.subject.read([hook_names.attention(model.subject, 0).tap], IDS).popitem()[1])
        embedding: Any = model.subject.base.get_input_embeddings()  # type: ignore[operator]
        rows = embedding.weight[IDS] * (zoo.D**0.5 if name.startswith("Gemma") else 1)
        close(model("hook_embed"), rows)
        # A norm's output before its gain, where that is one thing.
        if name in LAYER_NORM:
            with pytest.raises(CoderLoadError, match=r"LayerNorm.*give --hookpoint \S+"):
                model("blocks.0.ln2.hook_normalized")
            return
        close(model("blocks.1.ln1.hook_normalized"), rms(model.states[1]))
        close(model("blocks.0.ln2.hook_normalized"), rms(middle))
        close(model("ln_final.hook_normalized"), rms(model("blocks.1.hook_resid_post")))


@pytest.mark.parametrize("name", ["GPT-2", "GPT-NeoX"])
def test_centred_weights_take_the_mean_off_the_stream(name: str, tmp_path: Path) -> None:
    """Centring every weight that writes to the stream, by hand, as TransformerLens does, leaves the stream without its mean."""
    model = Model(name, tmp_path / "model")
    place = hook_names.place(model.subject, "blocks.0.hook_resid_post", centred=True)
    assert place.centred
    before = model("blocks.0.hook_resid_post").clone()
    found = layouts.find(model.subject)
    assert found is not None
    with torch.no_grad():
        for weight in (getattr(model.subject.base, "wte", None), getattr(model.subject.base, "wpe", None)):
            if weight is not None:
                weight.weight -= weight.weight.mean(-1, keepdim=True)
        if name == "GPT-NeoX":
            embedding: Any = model.module("embed_in")
            embedding.weight -= embedding.weight.mean(-1, keepdim=True)
        for part in (found.layout.z, found.layout.down):
            layer: Any = model.subject.modules[found.block(0, part)]
            axis = 1 if name == "GPT-2" else 0
            layer.weight -= layer.weight.mean(axis, keepdim=True)
            layer.bias -= layer.bias.mean()
    close(model("blocks.0.hook_resid_post"), Centred().apply(before))
    assert not hook_names.place(model.subject, "blocks.0.mlp.hook_post", centred=True).centred


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ("blocks.7.hook_resid_post", "has 2 layers: it belongs to another model"),
        ("blocks.0.attn.hook_pattern", r"not supported\. Supported: hook_embed"),
        ("blocks.0.hook_result", "or is not supported"),
        ("hook_pos_embed", "or is not supported"),
        ("blocks.x.hook_resid_post", "or is not supported"),
        ("model.layers.7.mlp.output", "which .* does not have"),
        ("../../etc/passwd", "which .* does not have"),
        ("", "which .* does not have"),
    ],
)
def test_other_names_are_refused(hook: str, says: str, tmp_path: Path) -> None:
    subject = load_subject(str(zoo.save("Llama", tmp_path / "model")))
    with pytest.raises(CoderLoadError, match=says):
        hook_names.find(subject, hook)


def test_an_architecture_without_translation_asks_for_the_module(tmp_path: Path) -> None:
    subject = load_subject(str(zoo.save("BLOOM", tmp_path / "model")))
    with pytest.raises(
        CoderLoadError, match="not supported for BloomForCausalLM; give the module with --hookpoint"
    ):
        hook_names.find(subject, "blocks.0.hook_resid_post")
