"""Gemma Scope, for Gemma 2 (`params.npz`) and Gemma 3 (`params.safetensors`): JumpReLU coders without normalization.

    encode: z = x W_enc + b_enc where z > threshold, and 0 elsewhere
    decode: a W_dec + b_dec, + x A for a transcoder with an affine connection

What a coder reads is said by `config.json` (Gemma Scope 2, where it is there) or by the names of its folders:
`layer_20/width_16k/average_l0_71` in a repository or folder called `gemma-scope-2b-pt-res` (or `-mlp`, `-att`,
`-transcoders`), and `resid_post/layer_12_width_16k_l0_medium` (or `attn_out`, `mlp_out`, `transcoder`, `clt`).
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders import folders, hook_names
from autointerp.models.coders.coder import CoderSpec
from autointerp.models.coders.encoders import ThresholdEncoder
from autointerp.models.coders.file_coder import FileCoder, at_place
from autointerp.models.coders.files import checked, matrix_shape, read_json, read_npz, read_safetensors
from autointerp.models.coders.place import Place, choose
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded

CONFIG, FIRST, SECOND = "config.json", "params.npz", "params.safetensors"
SITES_1 = {
    "res": ("hook_resid_post", None), "mlp": ("hook_mlp_out", None), "att": ("attn.hook_z", None),
    "transcoders": ("ln2.hook_normalized", "hook_mlp_out"),
}  # fmt: skip
"""Gemma Scope 1, by the end of the repository's name: what is read and, by a transcoder, rebuilt. Its transcoders read the
norm's output before the gain, which was folded into the MLP."""
SITES_2 = {
    "resid_post": ("hook_resid_post", None), "attn_out": ("attn.hook_z", None), "mlp_out": ("hook_mlp_out", None),
    "transcoder": ("mlp.hook_in", "hook_mlp_out"), "clt": ("mlp.hook_in", "hook_mlp_out"),
}  # fmt: skip
"""Gemma Scope 2, by the name of the folder above (without an `_all`)."""


@dataclass(frozen=True)
class Site:
    """Where a coder reads and, as a transcoder, writes, in the words of its files. `unscaled`: it knows the embedding before
    Gemma's factor sqrt(d)."""

    reads: str
    writes: str | None = None
    unscaled: bool = False


def coders_in(path: Path) -> list[Path]:
    """Files at or below `path` that hold a coder of these formats."""
    if path.is_file():
        return [path] if _is_params(path.name) else []
    return folders.below(path, lambda folder, files: [folder / name for name in files if _is_params(name)])


def _is_params(name: str) -> bool:
    return name in (FIRST, SECOND) or re.fullmatch(r"params_layer_\d{1,4}\.safetensors", name) is not None


def claims(source: str) -> bool:
    """Whether `source` is a file of these names, or a folder with such files in it."""
    return bool(coders_in(expanded(source)))


def load(spec: CoderSpec, subject: SubjectModel) -> FileCoder:
    """Raises CoderLoadError naming the file and what is wrong with it."""
    coders = coders_in(expanded(spec.source))
    path = folders.pick(spec, subject, coders, lambda each: _place(subject, read_site(each)).hookpoint)
    weights = {_our_name(name): weight for name, weight in _read(path).items()}
    kind = _kind(path, spec, weights)
    place = choose(
        spec, subject, "sae" if kind == "sae" else "transcoder", lambda: _place(subject, read_site(path))
    )
    return build(spec.source, path, weights, kind, place, subject.device)


def _read(path: Path) -> dict[str, Tensor]:
    return read_npz(path) if path.suffix == ".npz" else read_safetensors(path)


def _our_name(name: str) -> str:
    return (
        "W_" + name[2:] if name.startswith("w_") else "W_skip" if name == "affine_skip_connection" else name
    )


def _kind(path: Path, spec: CoderSpec, weights: dict[str, Tensor]) -> str:
    kind = "skip_transcoder" if "W_skip" in weights else "sae"
    try:
        if kind == "sae" and read_site(path).writes:
            kind = "transcoder"
    except CoderLoadError:  # the files do not say where it is; the caller does, and may say what it is
        kind = "transcoder" if kind == "sae" and spec.kind == "transcoder" else kind
    if "W_dec" in weights and weights["W_dec"].ndim == 3:
        kind = "cross_layer_transcoder"
    if spec.kind not in (None, kind):
        raise CoderLoadError(f"{path} holds a {kind}, not a {spec.kind}")
    return kind


def read_site(path: Path) -> Site:
    """What the configuration beside the file says, or the names of its folders. Raises CoderLoadError where neither does."""
    config = path.parent / CONFIG
    if path.name == SECOND and config.exists():
        raw = read_json(config)
        architecture = raw.get("architecture", "jump_relu")
        if architecture != "jump_relu":
            raise CoderLoadError(f"{config}: the architecture {architecture!r:.80} is not jump_relu")
        reads, writes = raw.get("hf_hook_point_in"), raw.get("hf_hook_point_out")
        if not isinstance(reads, str) or not isinstance(writes, str | None):
            raise CoderLoadError(f"{config}: 'hf_hook_point_in' must name a module, not {reads!r:.80}")
        return Site(reads, writes or None)
    parts = path.absolute().parts[::-1]
    layer = next(
        (int(match[1]) for part in parts[:6] if (match := re.search(r"layer_(\d{1,4})", part))), None
    )
    if path.name == FIRST:
        sites = [
            match[1]
            for part in parts
            if (match := re.search(r"gemma-scope-.*-(res|mlp|att|transcoders)$", part))
        ]
        if sites and layer is None and "embedding" in parts:
            return Site("hook_embed", unscaled=True)
        site = SITES_1.get(sites[0]) if sites else None
    else:
        names = [part.removesuffix("_all") for part in parts[:6]]
        site = next((SITES_2[name] for name in names if name in SITES_2), None)
    if site is None or layer is None:
        what = "layer" if layer is None else "site"
        raise CoderLoadError(
            f"the folders of {path} do not say the {what} that the coder reads. Keep the repository's names "
            "(gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71, resid_post/layer_12_width_16k_l0_medium), or give "
            "--hookpoint: layers.20 for the residual stream, layers.20.post_feedforward_layernorm for the MLP's output, "
            "layers.20.self_attn.o_proj with --side input for attention"
        )
    reads, writes = site
    return Site(f"blocks.{layer}.{reads}", f"blocks.{layer}.{writes}" if writes else None)


def _place(subject: SubjectModel, site: Site) -> Place:
    place = hook_names.place(subject, site.reads, site.writes)
    if site.writes is not None:
        place = replace(place, hookpoint=hook_names.mlp_of(subject, place.hookpoint))
    if site.unscaled:
        gain = torch.full((subject.d_model,), subject.d_model**0.5, device=subject.device)
        place = replace(place, tap_gain=gain, target_gain=gain)
    return place


def build(
    source: str, path: Path, weights: dict[str, Tensor], kind: str, place: Place, device: torch.device
) -> FileCoder:
    """The coder from its weights, their names and shapes checked."""
    d, n = matrix_shape(path, weights, "W_enc")
    is_cross = kind == "cross_layer_transcoder"
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d, n), "b_enc": (n,), "threshold": (n,)}
    if not is_cross:
        d_out = matrix_shape(path, weights, "W_dec")[1]
        shapes |= {"W_dec": (n, d_out), "b_dec": (d_out,)}
        shapes |= {"W_skip": (d, d_out)} if kind == "skip_transcoder" else {}
    own = checked(path, weights, shapes, device)
    for name in own.keys() & {"W_enc", "W_skip"}:
        own[name] = own[name].T.contiguous()
    own = at_place(source, place, own)
    return FileCoder(
        source, kind, place, ThresholdEncoder(own["W_enc"], own["b_enc"], own["threshold"]), W_dec=own.get("W_dec"),
        b_dec=own.get("b_dec"), W_skip=own.get("W_skip"), subtract_b_dec=False,
    )  # fmt: skip
