"""Coders saved by eai-sparsify: a folder with `cfg.json` and `sae.safetensors`.

    encode: top-k of relu(W_enc (x - b_dec) + b_enc); b_dec is subtracted unless cfg says `transcode: true`
    decode: sum a_j W_dec[j] + b_dec (+ W_skip x)

SAEs read and rebuild the hookpoint's output; transcoders read its input and rebuild its output. Checkpoints from before
`transcode` was a key (early 2025) subtract b_dec whatever they are; one with a skip connection must be a transcoder, one
without looks like an SAE unless the caller says `kind="transcoder"`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from autointerp.errors import CoderLoadError, ModelLoadError, UnknownName
from autointerp.models.coders.registry import CoderRequest, CoderSpec, check_finite, check_k
from autointerp.models.coders.topk import TopKEncoder, decode_sparse
from autointerp.models.hooks import Side, Tap
from autointerp.models.subject import SubjectModel
from autointerp.types import CoderKind

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
PICKLES = {".pt", ".pth", ".bin", ".pkl", ".ckpt"}
KINDS = ("sae", "transcoder", "skip_transcoder")


class SparsifyCoder:
    """A `SparseCoder` (see there) with sparsify's arithmetic."""

    def __init__(
        self,
        source: str,
        hookpoint: str,
        kind: CoderKind,
        side: Side,
        config: dict[str, Any],
        weights: dict[str, Tensor],
    ):
        self.source, self.hookpoint, self.kind, self.config = source, hookpoint, kind, config
        self.W_enc, self.W_dec = weights["encoder.weight"], weights["W_dec"]
        self.b_dec, self.W_skip = weights["b_dec"], weights.get("W_skip")
        self.n_latents, self.d_in = self.W_enc.shape
        self.d_out = self.W_dec.shape[1]
        self.k = int(config["k"])
        self.tap, self.target = Tap(hookpoint, side), Tap(hookpoint, side if kind == "sae" else "output")
        self.subtract_b_dec = not config.get("transcode", False)
        self._encoder = TopKEncoder(
            self.W_enc, weights["encoder.bias"], self.k, config.get("activation", "topk")
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `SparseCoder.encode`."""
        return self._encoder.encode(x - self.b_dec if self.subtract_b_dec else x)

    def decode(self, acts: Tensor, latents: Tensor, x: Tensor) -> Tensor:
        """See `SparseCoder.decode`."""
        y = decode_sparse(acts, latents, self.W_dec) + self.b_dec
        return y if self.W_skip is None else y + x @ self.W_skip.T


def claims(source: str) -> bool:
    """Everything that no other format claims is taken for a folder."""
    return True


def load(request: CoderRequest) -> SparsifyCoder:
    """Raises CoderLoadError naming the file and what is wrong with it."""
    spec, subject = request.spec, request.subject
    folder = find_folder(Path(spec.source).expanduser(), spec.hookpoint)
    config = read_config(folder / CONFIG)
    hookpoint = _hookpoint(folder, spec, subject)
    weights = read_weights(folder / WEIGHTS, config, subject.device)
    check_finite(str(folder), weights)
    kind, side = _kind_and_side(config, spec)
    return SparsifyCoder(str(spec.source), hookpoint, kind, side, config, weights)


def find_folder(path: Path, hookpoint: str | None) -> Path:
    """The folder that holds `cfg.json`: `path`, or the one below it (for `hookpoint`, where there are several)."""
    if path.suffix in PICKLES:
        raise CoderLoadError(
            f"{path} is a pickle, which can run code when it is opened, and is never loaded. Save the coder in the sparsify "
            f"format: a folder with {CONFIG} and {WEIGHTS}."
        )
    if not path.exists():
        raise CoderLoadError(
            f"no coder at {path}. Give a folder with {CONFIG} and {WEIGHTS}, neurons:<hookpoint>[:k], or "
            "random:<hookpoint>:<n_latents>:<k>[:seed]."
        )
    if not path.is_dir():
        raise CoderLoadError(f"{path} is a file; a sparsify coder is a folder with {CONFIG} and {WEIGHTS}")
    if (path / CONFIG).exists():
        return path
    found = sorted(config.parent for depth in ("*", "*/*") for config in path.glob(f"{depth}/{CONFIG}"))
    if hookpoint is not None:
        tail = [f for f in found if _ends_alike(f.relative_to(path).parts[0], hookpoint)]
        found = tail or ([] if len(found) > 1 else found)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(folder.relative_to(path)) for folder in found)
        raise CoderLoadError(f"{path} holds several coders: {names}. Give the folder of one of them.")
    pickles = [file.name for file in path.iterdir() if file.suffix in PICKLES]
    hint = f" Its {pickles[0]} is a pickle, which is never loaded." if pickles else ""
    where = f" for hookpoint {hookpoint}" if hookpoint else ""
    raise CoderLoadError(f"{path} holds no {CONFIG}{where}, neither does a folder in it.{hint}")


def read_config(path: Path) -> dict[str, Any]:
    """`cfg.json`, its fields checked."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CoderLoadError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise CoderLoadError(f"{path} holds a {type(config).__name__}, not an object of settings")
    for key in ("d_in", "k"):
        if not isinstance(config.get(key), int) or isinstance(config.get(key), bool) or config[key] < 1:
            raise CoderLoadError(
                f"{path} gives no positive whole number for {key!r} (it gives {config.get(key)!r})"
            )
    if config.get("activation", "topk") not in ("topk", "groupmax"):
        raise CoderLoadError(f"{path}: activation {config['activation']!r} is not one of topk, groupmax")
    return config


def read_weights(path: Path, config: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    """The tensors in float32, their names and shapes checked against the configuration."""
    if not path.exists():
        pickles = [file.name for file in path.parent.iterdir() if file.suffix in PICKLES]
        hint = f" Its {pickles[0]} is a pickle, which can run code and is never loaded." if pickles else ""
        raise CoderLoadError(f"{path.parent} holds no {path.name}.{hint}")
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise CoderLoadError(f"{path} is no safetensors file, or a damaged one: {error}") from error
    d = config["d_in"]
    n = weights["encoder.weight"].shape[0] if "encoder.weight" in weights else 0
    expected = {"encoder.weight": (n, d), "encoder.bias": (n,), "W_dec": (n, d), "b_dec": (d,)}
    if config.get("skip_connection"):
        expected["W_skip"] = (d, d)
    for name, shape in expected.items():
        if name not in weights:
            raise CoderLoadError(
                f"{path} lacks the weight {name!r}; it holds {', '.join(sorted(weights)) or 'nothing'}"
            )
        if tuple(weights[name].shape) != shape:
            raise CoderLoadError(
                f"{path}: weight {name!r} has shape {tuple(weights[name].shape)}, but {CONFIG} (d_in {d}) needs {shape}"
            )
    stated = config.get("num_latents") or d * config.get("expansion_factor", 32)
    if n != stated:
        raise CoderLoadError(f"{path} holds {n} latents, but {CONFIG} says {stated}")
    check_k(str(path.parent), config["k"], n)
    if config.get("activation") == "groupmax" and n % config["k"]:
        raise CoderLoadError(f"{path.parent}: groupmax needs k = {config['k']} to divide the {n} latents")
    return {name: weights[name].to(device=device, dtype=torch.float32).contiguous() for name in expected}


def _kind_and_side(config: dict[str, Any], spec: CoderSpec) -> tuple[CoderKind, Side]:
    if config.get("skip_connection"):
        kind: CoderKind = "skip_transcoder"
    else:
        kind = "transcoder" if config.get("transcode") else "sae"
    if spec.kind is not None and spec.kind != kind:
        if spec.kind not in KINDS or (spec.kind == "skip_transcoder") != (kind == "skip_transcoder"):
            raise CoderLoadError(
                f"coder {spec.source} is a {kind} and cannot be taken as {spec.kind}: "
                f"it {'has' if kind == 'skip_transcoder' else 'lacks'} a skip connection"
            )
        if config.get("transcode"):
            raise CoderLoadError(f"coder {spec.source} says itself that it is a {kind}, not a {spec.kind}")
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
        f"the folder name {resolved.name!r} is no hookpoint of {subject.name}; give the coder's hookpoint. "
        f"Some of them: {some}."
    )


def _ends_alike(folder: str, hookpoint: str) -> bool:
    return folder == hookpoint or hookpoint.endswith("." + folder) or folder.endswith("." + hookpoint)
