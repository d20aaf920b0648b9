"""Coders saved by eai-sparsify: a folder with `cfg.json` and `sae.safetensors`.

    encode: top-k of relu(W_enc (x - b_dec) + b_enc); b_dec is subtracted unless cfg says `transcode: true`
    decode: sum a_j W_dec[j] + b_dec (+ W_skip x)

SAEs read and rebuild the hookpoint's output; transcoders read its input and rebuild its output. Checkpoints from before
`transcode` was a key (early 2025) subtract b_dec whatever they are; one with a skip connection must be a transcoder, one
without looks like an SAE unless the caller says `kind="transcoder"`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError, ModelLoadError, UnknownName
from autointerp.models.coders.coder import CoderSpec, check_finite, check_k
from autointerp.models.coders.file_coder import FileCoder
from autointerp.models.coders.files import read_json, read_safetensors
from autointerp.models.coders.place import Place
from autointerp.models.coders.topk import TopKEncoder
from autointerp.models.hooks import Side, Tap
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
KINDS = ("sae", "transcoder", "skip_transcoder")


class SparsifyCoder(FileCoder):
    """A coder with sparsify's arithmetic."""

    def __init__(self, source: str, tap: Tap, kind: str, config: dict[str, Any], weights: dict[str, Tensor]):
        activation = config.get("activation", "topk")
        super().__init__(
            source, kind, Place(tap.module, tap, tap if kind == "sae" else Tap(tap.module, "output")),
            TopKEncoder(weights["encoder.weight"], weights["encoder.bias"], int(config["k"]), activation),
            W_dec=weights["W_dec"], b_dec=weights["b_dec"], W_skip=weights.get("W_skip"),
            subtract_b_dec=not config.get("transcode", False), config=config,
        )  # fmt: skip

    def weights(self) -> tuple[Tensor, ...]:
        """See `SparseCoder.weights`: the two matrices, as stores record this format."""
        assert self.W_enc is not None
        assert self.W_dec is not None
        return self.W_enc, self.W_dec


def claims(source: str) -> bool:
    """Whether `source` is a folder with a `cfg.json`, or with folders (of folders) that have one."""
    path = expanded(source)
    folders = (config.parent for depth in ("", "*/", "*/*/") for config in path.glob(depth + CONFIG))
    return any(
        not (folder / "sae_weights.safetensors").exists() for folder in folders
    )  # SAELens has a cfg.json too


def load(spec: CoderSpec, subject: SubjectModel) -> SparsifyCoder:
    """Raises CoderLoadError naming the file and what is wrong with it."""
    folder = find_folder(expanded(spec.source), spec.hookpoint)
    config = read_config(folder / CONFIG)
    hookpoint = _hookpoint(folder, spec, subject)
    weights = read_weights(folder / WEIGHTS, config, subject.device)
    check_finite(str(folder), weights)
    kind, side = _kind_and_side(config, spec)
    return SparsifyCoder(spec.source, Tap(hookpoint, side), kind, config, weights)


def find_folder(path: Path, hookpoint: str | None) -> Path:
    """The folder that holds `cfg.json`: `path`, or the one below it (for `hookpoint`, where there are several)."""
    if (path / CONFIG).exists():
        return path
    folders = sorted(config.parent for depth in ("*", "*/*") for config in path.glob(f"{depth}/{CONFIG}"))
    if hookpoint is not None:
        fitting = [f for f in folders if _ends_alike(f.relative_to(path).parts[0], hookpoint)]
        folders = fitting or ([] if len(folders) > 1 else folders)
    if not folders:
        raise CoderLoadError(f"{path} holds no coder for hookpoint {hookpoint}")
    if len(folders) > 1:
        names = ", ".join(str(folder.relative_to(path)) for folder in folders)
        raise CoderLoadError(f"{path} holds several coders: {names}. Give the folder of one of them.")
    return folders[0]


def read_config(path: Path) -> dict[str, Any]:
    """`cfg.json`, its fields checked."""
    config = read_json(path)
    for key in ("d_in", "k"):
        if not isinstance(config.get(key), int) or isinstance(config.get(key), bool) or config[key] < 1:
            raise CoderLoadError(
                f"{path}: {key!r} must be a positive whole number, not {config.get(key)!r:.80}"
            )
    for key in ("num_latents", "expansion_factor"):
        if config.get(key) is not None and (type(config[key]) is not int or config[key] < 0):
            raise CoderLoadError(f"{path}: {key!r} must be a whole number, not {config[key]!r:.80}")
    if config.get("activation", "topk") not in ("topk", "groupmax"):
        raise CoderLoadError(f"{path}: activation {config['activation']!r:.80} is not one of topk, groupmax")
    return config


def read_weights(path: Path, config: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    """The tensors in float32, their names and shapes checked against the configuration."""
    if not path.exists():
        raise CoderLoadError(
            f"{path.parent} holds no {path.name}; weights saved as a pickle are never loaded."
        )
    weights = read_safetensors(path)
    d = config["d_in"]
    n = weights["encoder.weight"].shape[0] if "encoder.weight" in weights else 0
    expected = {"encoder.weight": (n, d), "encoder.bias": (n,), "W_dec": (n, d), "b_dec": (d,)}
    if config.get("skip_connection"):
        expected["W_skip"] = (d, d)
    for name, shape in expected.items():
        if name not in weights:
            held = ", ".join(sorted(weights)) or "nothing"
            raise CoderLoadError(f"{path} lacks the weight {name!r}; it holds {held}")
        if tuple(weights[name].shape) != shape:
            raise CoderLoadError(
                f"{path}: weight {name!r} has shape {tuple(weights[name].shape)}, but {CONFIG} (d_in {d}) needs {shape}"
            )
    stated = config.get("num_latents") or d * (
        32 if config.get("expansion_factor") is None else config["expansion_factor"]
    )
    if n != stated:
        raise CoderLoadError(f"{path} holds {n} latents, but {CONFIG} says {stated}")
    check_k(str(path.parent), config["k"], n)
    if config.get("activation") == "groupmax" and n % config["k"]:
        raise CoderLoadError(f"{path.parent}: groupmax needs k = {config['k']} to divide the {n} latents")
    return {name: weights[name].to(device=device, dtype=torch.float32).contiguous() for name in expected}


def _kind_and_side(config: dict[str, Any], spec: CoderSpec) -> tuple[str, Side]:
    kind = "transcoder" if config.get("transcode") else "sae"
    if config.get("skip_connection"):
        kind = "skip_transcoder"
    if spec.kind is not None and spec.kind != kind:
        if spec.kind not in KINDS or (spec.kind == "skip_transcoder") != (kind == "skip_transcoder"):
            raise CoderLoadError(
                f"coder {spec.source} is a {kind} and cannot be loaded as a {spec.kind}: "
                f"it {'has' if kind == 'skip_transcoder' else 'lacks'} a skip connection"
            )
        if config.get("transcode"):
            raise CoderLoadError(
                f"{CONFIG} of coder {spec.source} says that it is a {kind}, not a {spec.kind}"
            )
        kind = spec.kind
    natural: Side = "output" if kind == "sae" else "input"
    if kind != "sae" and spec.side == "output":
        raise CoderLoadError(
            f"coder {spec.source} is a {kind}: it reads the hookpoint's input, not its output"
        )
    return kind, spec.side or natural


def _hookpoint(folder: Path, spec: CoderSpec, subject: SubjectModel) -> str:
    if spec.hookpoint is not None:
        return subject.resolve(spec.hookpoint)
    resolved = folder.resolve()
    for name in (resolved.name, resolved.parent.name):
        try:
            return subject.resolve(name)
        except UnknownName:
            continue
    some = ", ".join(subject.suggestions()[:5])
    raise ModelLoadError(
        f"the folder name {resolved.name!r} is not a hookpoint of {subject.name}; give the coder's hookpoint, such as {some}."
    )


def _ends_alike(folder: str, hookpoint: str) -> bool:
    return folder == hookpoint or hookpoint.endswith("." + folder) or folder.endswith("." + hookpoint)
