"""Coders saved by dictionary_learning: a folder with `ae.pt`, a state dict, and `config.json`.

What `load_dictionary` gives is computed here: the decoder of an AutoEncoder is scaled to unit norm, its encoder with it, and
batch top-k coders use the threshold that training found. `ae.pt` is read with torch's `weights_only`: nothing in it is run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders import folders, hook_names
from autointerp.models.coders.coder import CoderSpec, check_k
from autointerp.models.coders.encoders import GatedEncoder, ThresholdEncoder
from autointerp.models.coders.file_coder import FileCoder, at_place, decoder_norms
from autointerp.models.coders.files import checked, matrix_shape, positive, read_json, read_state_dict
from autointerp.models.coders.place import Place, choose
from autointerp.models.coders.topk import TopKEncoder
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded

CONFIG, WEIGHTS = "config.json", "ae.pt"
LINEAR = {"W_enc": "encoder.weight", "W_dec": "decoder.weight", "b_enc": "encoder.bias"}
CLASSES: dict[str, dict[str, str]] = {
    "AutoEncoder": {**LINEAR, "b_dec": "bias"},
    "AutoEncoderNew": {**LINEAR, "b_dec": "decoder.bias"},
    "GatedAutoEncoder": {
        "W_enc": "encoder.weight", "W_dec": "decoder.weight", "b_dec": "decoder_bias", "b_gate": "gate_bias",
        "b_mag": "mag_bias", "r_mag": "r_mag",
    },
    "JumpReluAutoEncoder": {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")},
    "AutoEncoderTopK": {**LINEAR, "b_dec": "b_dec"},
    "BatchTopKSAE": {**LINEAR, "b_dec": "b_dec", "threshold": "threshold"},
    "MatryoshkaBatchTopKSAE": {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")},
}  # fmt: skip
"""What each class calls our weights."""
CENTRED = frozenset(
    {"AutoEncoder", "GatedAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"}
)
"""Classes that take `b_dec` off what they read."""
SUBMODULES = {
    r"resid(ual)?_?(post|out)?": "blocks.{}.hook_resid_post",
    r"resid(ual)?_?(pre|in)": "blocks.{}.hook_resid_pre",
    r"(mlp|mlp_?out)": "blocks.{}.mlp.hook_out",
    r"(attn|attention)(_?out)?": "{}",
}
"""Names of submodules, as the library's own scripts write them before `_layer_N`, and where they are; attention has no such
name, since the library reads the module's output."""
UNNAMED = "config.json names no submodule, only layer {}: its output, the residual stream, is read."
UNSET = "The threshold of this batch top-k coder was never set in training: every positive latent fires."


@dataclass(frozen=True)
class Config:
    """What `config.json` says; `io`: which side of the submodule the coder reads and rebuilds."""

    dict_class: str
    k: int | None
    layer: int | None
    submodule: str
    io: str

    @property
    def kind(self) -> str:
        return "transcoder" if self.io == "in_and_out" else "sae"


def coders_in(path: Path) -> list[Path]:
    """Folders at or below `path` that hold `ae.pt`."""
    return folders.below(path, lambda folder, files: [folder] if WEIGHTS in files else [])


def claims(source: str) -> bool:
    """Whether `source` is a folder with `ae.pt`, or has such folders in it."""
    return bool(coders_in(expanded(source)))


def load(spec: CoderSpec, subject: SubjectModel) -> FileCoder:
    """Raises CoderLoadError naming the file and what is wrong with it."""
    coders = coders_in(expanded(spec.source))
    folder = folders.pick(
        spec, subject, coders, lambda each: _place(subject, each, read_config(each)).hookpoint
    )
    config = read_config(folder)
    if spec.kind not in (None, config.kind):
        raise CoderLoadError(f"{folder / CONFIG} says that it is a {config.kind}, not a {spec.kind}")
    place = choose(spec, subject, config.kind, lambda: _place(subject, folder, config))
    return build(spec.source, folder / WEIGHTS, config, place, subject.device)


def read_config(folder: Path) -> Config:
    """`config.json`, its fields checked; without one, what the weights are is found by their names, and where, nowhere."""
    path = folder / CONFIG
    if not path.exists():
        return Config("", None, None, "", "out")
    raw = read_json(path)
    trainer, buffer = raw.get("trainer"), raw.get("buffer")
    trainer = trainer if isinstance(trainer, dict) else {}
    buffer = buffer if isinstance(buffer, dict) else {}
    dict_class = trainer.get("dict_class")
    dict_class = dict_class if isinstance(dict_class, str) else ""
    if dict_class and dict_class not in CLASSES:
        raise CoderLoadError(
            f"{path}: dict_class {dict_class!r:.80} is unknown. Supported: {', '.join(CLASSES)}"
        )
    layer = trainer.get("layer")
    submodule = trainer.get("submodule_name") or ""
    if not isinstance(submodule, str):
        raise CoderLoadError(f"{path}: 'submodule_name' must be a name, not {submodule!r:.80}")
    io = buffer.get("io", "out")
    if io not in ("in", "out", "in_and_out"):
        raise CoderLoadError(f"{path}: io {io!r:.80} is not one of in, out, in_and_out")
    k = positive(path, trainer, "k") if trainer.get("k") is not None else None
    return Config(dict_class, k, layer if type(layer) is int and layer >= 0 else None, submodule, io)


def _place(subject: SubjectModel, folder: Path, config: Config) -> Place:
    name, layer, notes = config.submodule, config.layer, []
    numbered = re.fullmatch(r"(\w+?)_?layer_?(\d{1,4})", name)
    if not name:
        if layer is None:
            raise CoderLoadError(
                f"{folder / CONFIG} does not say which module the coder reads; give --hookpoint"
            )
        name, notes = "resid_post", [UNNAMED.format(layer)]
    elif numbered:
        name, layer = numbered[1], int(numbered[2])
    hook = next((hook for names, hook in SUBMODULES.items() if re.fullmatch(names, name)), None)
    if hook is None or layer is None:
        named = hook_names.find(subject, config.submodule)
    elif hook == "{}":
        named = hook_names.attention(subject, layer)
    else:
        named = hook_names.find(subject, hook.format(layer))
    tap = named.tap
    if config.io != "out":
        tap = type(tap)(tap.module, "input")
    target = type(tap)(tap.module, "output") if config.io == "in_and_out" else tap
    return Place(tap.module, tap, target, notes=(*([named.note] if named.note else []), *notes))


def build(source: str, path: Path, config: Config, place: Place, device: torch.device) -> FileCoder:
    """The coder from its weights, their names and shapes checked against their class."""
    weights = read_state_dict(path)
    dict_class = config.dict_class or _class_of(path, weights)
    names = CLASSES[dict_class]
    first = matrix_shape(path, weights, names["W_enc"])
    transposed = names["W_enc"] == "W_enc"  # [d_in, n_latents]; a linear layer has it the other way round
    d, n = first if transposed else first[::-1]
    scalar = dict_class in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")
    shapes = {name: (n,) for name in names} | {
        "W_enc": first, "W_dec": (n, d) if transposed else (d, n), "b_dec": (d,), "threshold": () if scalar else (n,),
    }  # fmt: skip
    theirs = checked(path, weights, {names[name]: shapes[name] for name in names}, device)
    own = {name: theirs[names[name]] for name in names}
    own["W_enc" if transposed else "W_dec"] = own["W_enc" if transposed else "W_dec"].T.contiguous()
    notes = []
    if scalar:
        notes = [UNSET] if float(own["threshold"]) < 0 else []
        own["threshold"] = own["threshold"].expand(n)
    if dict_class == "AutoEncoder":
        norms = decoder_norms(own["W_dec"])
        if not torch.allclose(norms, torch.ones_like(norms)):
            own["W_dec"] = own["W_dec"] / norms[:, None]
            own["W_enc"], own["b_enc"] = own["W_enc"] * norms[:, None], own["b_enc"] * norms
    own = at_place(source, place, own)
    encoder: GatedEncoder | ThresholdEncoder | TopKEncoder
    if dict_class == "GatedAutoEncoder":
        encoder = GatedEncoder(own["W_enc"], own["b_gate"], own["b_mag"], own["r_mag"])
    elif dict_class == "AutoEncoderTopK":
        encoder = TopKEncoder(own["W_enc"], own["b_enc"], _k(source, path, config, weights, n))
    else:
        encoder = ThresholdEncoder(own["W_enc"], own["b_enc"], own.get("threshold"))
    return FileCoder(
        source, config.kind, place, encoder, W_dec=own["W_dec"], b_dec=own["b_dec"], subtract_b_dec=dict_class in CENTRED,
        config={"dict_class": dict_class, "submodule_name": config.submodule}, notes=notes,
    )  # fmt: skip


def _k(source: str, path: Path, config: Config, weights: Mapping[str, Tensor], n_latents: int) -> int:
    tensor = weights.get("k")
    stored: Any = (
        tensor.item() if tensor is not None and tensor.numel() == 1 and not tensor.is_complex() else None
    )
    k = config.k if config.k is not None else positive(path, {"k": stored}, "k")
    if stored is not None and stored != k:
        raise CoderLoadError(f"{path} says k = {stored}, but {CONFIG} says {k}")
    check_k(source, k, n_latents)
    return k


def _class_of(path: Path, weights: Mapping[str, Tensor]) -> str:
    """The class whose weights these are; top-k and batch top-k coders have the same, so they need their configuration."""
    held = frozenset(weights) - {"k", "group_sizes"}
    fitting = [name for name, names in CLASSES.items() if frozenset(names.values()) == held]
    if "group_sizes" in weights and "MatryoshkaBatchTopKSAE" in fitting:
        return "MatryoshkaBatchTopKSAE"
    fitting = [name for name in fitting if "Matryoshka" not in name]
    if len(fitting) == 1 and fitting[0] != "BatchTopKSAE":
        return fitting[0]
    raise CoderLoadError(
        f"{path.parent} has no {CONFIG} that names its dict_class, and the weights alone do not show it: "
        f"{', '.join(sorted(held))[:300]}"
    )
