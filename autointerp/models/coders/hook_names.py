"""Names of tensors in other programs: TransformerLens' hook names, and module paths with `.input` or `.output` at their end.

TransformerLens names tensors, transformers has modules. Most hooks are the input or output of one module. Those that are not
are refused, or, where the difference is a fixed factor for each component, known by that factor:

- `ln2.hook_normalized` is a norm's output before its gain. Of an RMSNorm, that is the module's output divided by the gain. Of a
  LayerNorm, it was the output with gain and bias up to TransformerLens 2, without them since, or with folded norms: refused.
- `hook_mlp_in` is the stream before the MLP's norm, `mlp.hook_in` what comes out of that norm.
- TransformerLens can centre what is written to the stream of a model with LayerNorms (`center_writing_weights`); the stream is
  then the model's own without its mean.
"""

import copy
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError, UnknownName
from autointerp.models.coders import layouts
from autointerp.models.coders.layouts import Found
from autointerp.models.coders.place import Place
from autointerp.models.hooks import Side, Tap
from autointerp.models.subject import SubjectModel

HOOKS = (
    "hook_embed", "blocks.N.hook_resid_pre", "blocks.N.hook_resid_mid", "blocks.N.hook_resid_post", "blocks.N.hook_attn_out",
    "blocks.N.hook_mlp_in", "blocks.N.hook_mlp_out", "blocks.N.mlp.hook_in", "blocks.N.mlp.hook_pre",
    "blocks.N.mlp.hook_pre_linear", "blocks.N.mlp.hook_post", "blocks.N.mlp.hook_out", "blocks.N.attn.hook_z",
    "blocks.N.ln1.hook_normalized", "blocks.N.ln2.hook_normalized", "ln_final.hook_normalized",
)  # fmt: skip
"""The names that are translated."""
MID = (
    "In transformers, the stream between attention and MLP is the input of the MLP's norm: the cross-entropy figures "
    "replace it there, and not in the stream that goes past the MLP."
)


@dataclass(frozen=True)
class Named:
    """A tensor of the model. `gain`: see `Place`. `of`: the module that a reader thinks of. `written`: whether it is part of,
    or added to, the residual stream."""

    tap: Tap
    gain: Tensor | None = None
    of: str = ""
    written: bool = False
    note: str = ""


def is_hook(name: str) -> bool:
    """Whether `name` is written like a hook of TransformerLens."""
    return "hook_" in name


def place(
    subject: SubjectModel,
    reads: str,
    writes: str | None = None,
    *,
    centred: bool = False,
) -> Place:
    """The tensors named `reads` and, for a transcoder, `writes`. `centred`: TransformerLens centred what is written.

    Raises CoderLoadError: no such tensor in this model, or none that is one module's.
    """
    tensor = find(subject, reads)
    target = tensor if writes is None else find(subject, writes)
    layout = layouts.find(subject)
    is_centred = centred and tensor.written and layout is not None and layout.layout.takes_mean
    notes = [note for note in dict.fromkeys((tensor.note, target.note)) if note]
    hookpoint = tensor.tap.module
    if writes is not None:
        hookpoint = target.of or target.tap.module
    return Place(
        hookpoint, tensor.tap, target.tap, tensor.gain, target.gain, centred=is_centred, notes=tuple(notes)
    )


def could_be_centred(subject: SubjectModel, name: str) -> bool:
    """Whether TransformerLens may have centred the tensor of this name: on the residual stream of a model with LayerNorms."""
    layout = layouts.find(subject)
    return layout is not None and layout.layout.takes_mean and find(subject, name).written


def find(subject: SubjectModel, name: str) -> Named:
    """The tensor that `name` means in the subject: a hook of TransformerLens, or the path of a module, with `.input` or
    `.output` at its end or meaning its output. Raises CoderLoadError."""
    if not is_hook(name):
        return _module(subject, name)
    layout = layouts.find(subject)
    if layout is None:
        raise CoderLoadError(
            f"the coder's files name {name} of TransformerLens, which is not supported for {subject.architecture}; give the "
            f"module with --hookpoint, such as {', '.join(subject.suggestions()[:3])}, and --side input if it reads its input"
        )
    return _translated(subject, layout, name)


def _module(subject: SubjectModel, name: str) -> Named:
    path, dot, end = name.rpartition(".")
    side: Side = "output"
    if dot and end in ("input", "output"):
        name, side = path, "input" if end == "input" else "output"
    for candidate in dict.fromkeys(
        (name, name.removeprefix("model."), f"language_model.{name.removeprefix('model.')}")
    ):
        try:
            return Named(Tap(subject.resolve(candidate), side))
        except UnknownName:
            continue
    raise CoderLoadError(
        f"the coder's files name the module {name!r:.200}, which {subject.name} does not have. Is it the coder's model? If "
        "so, give "
        f"--hookpoint, such as {', '.join(subject.suggestions()[:3])}"
    )


def _translated(subject: SubjectModel, blocks: Found, name: str) -> Named:
    layout, root = blocks.layout, blocks.root
    if name == "hook_embed":
        if layout.scales_embedding:
            return Named(Tap(blocks.block(0), "input"), written=True)
        return Named(Tap(root + layout.embed, "output"), written=True)
    if name == "ln_final.hook_normalized":
        return _normalized(subject, root + layout.final, name)
    match = re.fullmatch(r"blocks\.(\d{1,4})\.([\w.]+)", name)
    if match is None or f"blocks.N.{match[2]}" not in HOOKS:
        raise CoderLoadError(
            f"the coder's files name {name:.200} of TransformerLens, which is not a tensor of a single module in "
            f"transformers, or is not supported. Supported: {', '.join(HOOKS)}; otherwise give --hookpoint"
        )
    layer, hook = int(match[1]), match[2]
    if layer >= blocks.n_layers:
        raise CoderLoadError(
            f"the coder's files name {name}, but {subject.name} has {blocks.n_layers} layers: it belongs to another model"
        )
    return _in_block(subject, blocks, layer, hook)


def _in_block(subject: SubjectModel, blocks: Found, layer: int, hook: str) -> Named:
    layout = blocks.layout
    name = f"blocks.{layer}.{hook}"

    def at(path: str, side: Side, *, written: bool = False, note: str = "", of: str = "") -> Named:
        if not path:
            raise CoderLoadError(
                f"the coder's files name {name}, which is not a tensor of a single module in {subject.architecture}"
            )
        return Named(
            Tap(blocks.block(layer, path), side), None, blocks.block(layer, of) if of else "", written, note
        )

    reads_mlp = at(layout.mlp, "input") if layout.mlp else at(layout.up, "input")
    match hook:
        case "hook_resid_pre" if layer:
            return Named(Tap(blocks.block(layer - 1), "output"), written=True)
        case "hook_resid_pre":
            return Named(Tap(blocks.block(0), "input"), written=True)
        case "hook_resid_post":
            return Named(Tap(blocks.block(layer), "output"), written=True)
        case "hook_resid_mid":
            if blocks.parallel:
                raise CoderLoadError(
                    f"the coder's files name {name}, but attention and MLP of {subject.architecture} read the same stream: "
                    "there is none between them"
                )
            return at(layout.ln2, "input", written=True, note=MID)
        case "hook_attn_out":
            return at(layout.attn_out, "output", written=True)
        case "hook_mlp_out":
            return at(layout.mlp_out, "output", written=True, of=layout.mlp)
        case "mlp.hook_out":
            return at(
                layout.mlp or layout.mlp_out, "output", written=layout.mlp == layout.mlp_out, of=layout.mlp
            )
        case "mlp.hook_in":
            return reads_mlp
        case "hook_mlp_in":
            return at(layout.ln2, "input", written=True, note="" if blocks.parallel else MID)
        case "mlp.hook_pre":
            return at(layout.up, "output")
        case "mlp.hook_pre_linear":
            return at(layout.linear, "output")
        case "mlp.hook_post":
            return at(layout.down, "input")
        case "attn.hook_z":
            return at(layout.z, "input")
        case _:
            norm = layout.ln1 if hook.startswith("ln1") else layout.ln2
            return _normalized(subject, blocks.block(layer, norm), name)


def _normalized(subject: SubjectModel, path: str, name: str) -> Named:
    return Named(Tap(path, "output"), gain_of(subject, path, name))


@torch.inference_mode()
def gain_of(subject: SubjectModel, path: str, name: str) -> Tensor:
    """Float32[Tensor, " d"]: what the RMSNorm at `path` multiplies each component with, found by running it.

    Raises CoderLoadError: a norm of another kind, or a gain of zero, which hides a component.
    """
    norm = copy.deepcopy(subject.modules[path]).float()
    d, device = subject.width(Tap(path, "output")), subject.device
    x = (
        torch.randn(1, d, generator=torch.Generator().manual_seed(0)).to(device) * 1e3
    )  # so that its epsilon does not count
    signs = torch.ones(1, d, device=device) * 1e3
    gain = norm(signs)[0].float()
    expected = x / x.pow(2).mean().sqrt() * gain
    if not torch.allclose(norm(x).float(), expected, rtol=1e-3, atol=1e-4):
        raise CoderLoadError(
            f"the coder's files name {name}, which is a LayerNorm in {subject.architecture}: up to TransformerLens 2 that "
            "was its output with gain and bias; since then, or with folded norms, it is without them; and the files do "
            "not say which. If it "
            f"was the output, give --hookpoint {path}"
        )
    if float(gain.abs().min()) <= 1e-6 * float(gain.abs().max()):
        raise CoderLoadError(
            f"the coder's files name {name}, before the gain of {path}, which is zero for some components: they cannot be read"
        )
    return gain


def attention(subject: SubjectModel, layer: int) -> Named:
    """The output of the attention module of a layer. Raises CoderLoadError."""
    blocks = layouts.find(subject)
    if blocks is None or layer >= blocks.n_layers:
        raise CoderLoadError(
            f"{subject.name} has no known attention module in layer {layer}; give --hookpoint"
        )
    return Named(Tap(blocks.block(layer, blocks.layout.attention), "output"), written=True)


def mlp_of(subject: SubjectModel, hookpoint: str) -> str:
    """The MLP of the block whose stream the norm at `hookpoint` writes to, where there is one, else `hookpoint`: the name under
    which a reader looks for an MLP's transcoder."""
    blocks = layouts.find(subject)
    if blocks is None or not blocks.layout.mlp:
        return hookpoint
    for layer in range(blocks.n_layers):
        if hookpoint == blocks.block(layer, blocks.layout.mlp_out):
            return blocks.block(layer, blocks.layout.mlp)
    return hookpoint
