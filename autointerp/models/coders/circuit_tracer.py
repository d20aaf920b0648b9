"""Folders of transcoders as circuit-tracer reads them: `config.yaml` and a file a layer.

Per-layer transcoders, `layer_N.safetensors`: an MLP's output from its input, with ReLU or JumpReLU, perhaps with a skip
connection. Of cross-layer transcoders, `W_enc_N.safetensors`, the encoder is read: what a layer's MLP gives is rebuilt by the
decoders of all layers before it together, so the coder of one layer rebuilds nothing by itself. Which layer is meant says the
file, or the hookpoint.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders import folders, hook_names
from autointerp.models.coders.coder import CoderSpec
from autointerp.models.coders.encoders import ThresholdEncoder
from autointerp.models.coders.file_coder import FileCoder, at_place
from autointerp.models.coders.files import checked, matrix_shape, read_safetensors, read_yaml
from autointerp.models.coders.place import Place, choose
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded

CONFIG = "config.yaml"
LAYER = re.compile(r"(layer|W_enc)_(\d{1,4})\.safetensors")


def coders_in(path: Path) -> list[Path]:
    """Files at or below `path` that hold the transcoder of a layer."""
    if path.is_file():
        return [path] if LAYER.fullmatch(path.name) else []
    return folders.below(
        path, lambda folder, files: [folder / name for name in files if LAYER.fullmatch(name)]
    )


def claims(source: str) -> bool:
    """Whether `source` is such a file, or a folder with such files or with a `config.yaml` that lists them."""
    path = expanded(source)
    return bool(coders_in(path)) or "transcoders" in _listing(path)


def _listing(path: Path) -> dict[str, Any]:
    try:
        config = read_yaml(path / CONFIG) if (path / CONFIG).is_file() else {}
    except CoderLoadError:
        return {}
    return config if config.get("model_kind") in ("transcoder_set", "cross_layer_transcoder") else {}


def load(spec: CoderSpec, subject: SubjectModel) -> FileCoder:
    """Raises CoderLoadError naming the file and what is wrong with it."""
    source = expanded(spec.source)
    coders = coders_in(source)
    if not coders:
        listed = _listing(source).get("transcoders")
        some = (
            ", ".join(str(each)[:120] for each in listed[:2])
            if isinstance(listed, list)
            else repr(listed)[:200]
        )
        raise CoderLoadError(
            f"{source / CONFIG} lists transcoders that are kept elsewhere ({some}), and these are not fetched just because "
            "a file names them. Give one of them: a folder or file here, or owner/name/path@revision on the hub"
        )
    path = folders.pick(spec, subject, coders, lambda each: _place(subject, each).hookpoint)
    match = LAYER.fullmatch(path.name)
    assert match is not None
    weights = read_safetensors(path)
    is_cross = match[1] == "W_enc"
    kind = (
        "cross_layer_transcoder" if is_cross else "skip_transcoder" if "W_skip" in weights else "transcoder"
    )
    if spec.kind not in (None, kind):
        raise CoderLoadError(f"{path} holds a {kind}, not a {spec.kind}")
    place = choose(spec, subject, "transcoder", lambda: _place(subject, path))
    if is_cross:
        weights = {name.removesuffix(f"_{match[2]}"): weight for name, weight in weights.items()}
    return build(spec.source, path, weights, kind, place, subject.device)


def _place(subject: SubjectModel, path: Path) -> Place:
    match = LAYER.fullmatch(path.name)
    assert match is not None
    config = read_yaml(path.parent / CONFIG)
    hooks = [config.get(f"feature_{side}_hook") for side in ("input", "output")]
    for hook in hooks:
        if not isinstance(hook, str):
            raise CoderLoadError(
                f"{path.parent / CONFIG}: 'feature_input_hook' and 'feature_output_hook' must be names, not {hook!r:.80}"
            )
    reads, writes = (f"blocks.{int(match[2])}.{hook}" for hook in hooks)
    place = hook_names.place(subject, reads, writes)
    return Place(**{**vars(place), "hookpoint": hook_names.mlp_of(subject, place.hookpoint)})


def build(
    source: str, path: Path, weights: dict[str, Tensor], kind: str, place: Place, device: torch.device
) -> FileCoder:
    """The coder from its weights, their names and shapes checked."""
    n, d = matrix_shape(path, weights, "W_enc")
    is_cross = kind == "cross_layer_transcoder"
    threshold = "threshold" if is_cross else "activation_function.threshold"
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (n, d), "b_enc": (n,)}
    shapes |= {threshold: (n,)} if threshold in weights else {}
    if not is_cross:
        d_out = matrix_shape(path, weights, "W_dec")[1]
        shapes |= {"W_dec": (n, d_out), "b_dec": (d_out,)}
        shapes |= {"W_skip": (d_out, d)} if kind == "skip_transcoder" else {}
    own = at_place(source, place, checked(path, weights, shapes, device))
    return FileCoder(
        source, kind, place, ThresholdEncoder(own["W_enc"], own["b_enc"], own.get(threshold)), W_dec=own.get("W_dec"),
        b_dec=own.get("b_dec"), W_skip=own.get("W_skip"), subtract_b_dec=False,
    )  # fmt: skip
