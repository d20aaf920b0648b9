"""Coders saved by SAELens: a folder with `cfg.json` and `sae_weights.safetensors`, of SAELens 2 to 6.

What `SAE.load_from_disk` computes is computed here, in float32 whatever `dtype` says: no decoder norms are folded, and where
`cfg.json` asks for a scaling of the activations whose factor is in no file, none is applied and a note says so. Batch top-k
coders are saved as JumpReLU when training is over; a checkpoint from training is read the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders import folders, hook_names
from autointerp.models.coders.coder import CoderSpec, check_k
from autointerp.models.coders.encoders import GatedEncoder, ThresholdEncoder
from autointerp.models.coders.file_coder import (
    ConstantNorm,
    FileCoder,
    LayerNorm,
    Normalization,
    at_place,
    decoder_norms,
)
from autointerp.models.coders.files import checked, matrix_shape, positive, read_json, read_safetensors
from autointerp.models.coders.place import Place, choose
from autointerp.models.coders.topk import TopKEncoder
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
KINDS = {
    "standard": "sae", "gated": "sae", "topk": "sae", "jumprelu": "sae", "batchtopk": "sae", "matryoshka_batchtopk": "sae",
    "transcoder": "transcoder", "jumprelu_transcoder": "transcoder", "skip_transcoder": "skip_transcoder",
    "jumprelu_skip_transcoder": "skip_transcoder",
}  # fmt: skip
"""Architectures that are read, and the kind of coder that each is."""
UNREADABLE = {
    "abstopk": "its activations may be negative",
    "matching_pursuit": "its encoder picks latents one after the other",
    "temporal": "its encoder reads earlier tokens",
}
NORMALIZATIONS: dict[str, type[Normalization] | None] = {
    "none": None, "constant_norm_rescale": ConstantNorm, "layer_norm": LayerNorm,
    "expected_average_only_in": None, "covariance_whitening": None,
}  # fmt: skip
UNSCALED = (
    "cfg.json says that activations were scaled in training ({}), by a factor that no file states; as in SAELens, none is "
    "applied. If the FVU is high, that is why."
)
CENTRED = (
    "jbloom/GPT2-Small-SAEs-Reformatted", "jbloom/GPT2-Small-Feature-Splitting-Experiment-Layer-8",
    "tommmcgrath/gpt2-small-mlp-out-saes",
)  # fmt: skip
"""Repositories whose coders were trained on a centred stream, by SAELens' own list; their cfg.json does not say so."""
MAY_BE_CENTRED = (
    "cfg.json does not say whether the weights of the model were centred in training (center_writing_weights of "
    "TransformerLens), and they are used as they are. If the FVU is high, add "
    '"model_from_pretrained_kwargs": {"center_writing_weights": true} to cfg.json.'
)


@dataclass(frozen=True)
class Config:
    """What `cfg.json` says, of whatever age."""

    architecture: str
    d_in: int
    d_sae: int
    d_out: int
    k: int
    subtract_b_dec: bool
    normalize: str
    rescale: bool
    hook: str
    hook_out: str
    head: Any
    centred: bool | None

    @property
    def kind(self) -> str:
        return KINDS[self.architecture]


def coders_in(path: Path) -> list[Path]:
    """Folders at or below `path` that hold a coder of this format."""
    return folders.below(path, lambda folder, files: [folder] if {CONFIG, WEIGHTS} <= files else [])


def claims(source: str) -> bool:
    """Whether `source` is a folder with both files, or has such folders in it."""
    return bool(coders_in(expanded(source)))


def load(spec: CoderSpec, subject: SubjectModel) -> FileCoder:
    """Raises CoderLoadError naming the file and what is wrong with it."""
    path = expanded(spec.source)

    def own(folder: Path, config: Config) -> Place:
        return _place(subject, config, folder, spec)

    folder = folders.pick(
        spec, subject, coders_in(path), lambda each: own(each, read_config(each / CONFIG)).hookpoint
    )
    config = read_config(folder / CONFIG)
    if spec.kind not in (None, config.kind):
        raise CoderLoadError(f"{folder / CONFIG} says that it is a {config.kind}, not a {spec.kind}")
    place = choose(spec, subject, config.kind, lambda: own(folder, config))
    return build(spec.source, folder / WEIGHTS, config, place, subject.device)


def read_config(path: Path) -> Config:
    """`cfg.json`, flat as up to SAELens 5 or with `metadata` as since 6, its fields checked."""
    raw = read_json(path)
    metadata = raw.get("metadata")
    whole = {**raw, **metadata} if isinstance(metadata, dict) else raw
    kwargs = whole.get("activation_fn_kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    activation = str(whole.get("activation_fn") or whole.get("activation_fn_str") or "relu")
    architecture = str(raw.get("architecture") or "standard")
    if activation == "topk" and architecture == "standard":
        architecture = "topk"
    elif activation != "relu" and architecture not in ("topk", "batchtopk", "matryoshka_batchtopk"):
        raise CoderLoadError(f"{path}: activation_fn {activation!r:.80} is not one of relu, topk")
    if architecture not in KINDS:
        why = f" cannot be read: {UNREADABLE[architecture]}" if architecture in UNREADABLE else " is unknown"
        raise CoderLoadError(
            f"{path}: the architecture {architecture!r:.80}{why}. Supported: {', '.join(KINDS)}"
        )
    k = positive(path, {"k": raw.get("k", kwargs.get("k"))}, "k") if architecture == "topk" else 0
    normalize = raw.get("normalize_activations") or "none"
    normalize = "expected_average_only_in" if normalize is True else normalize
    if normalize not in NORMALIZATIONS:
        accepted = ", ".join(NORMALIZATIONS)
        raise CoderLoadError(f"{path}: normalize_activations {normalize!r:.80} is not one of {accepted}")
    loading = whole.get("model_from_pretrained_kwargs")
    centred = loading.get("center_writing_weights", False) if isinstance(loading, dict) else None
    if centred is None and (isinstance(metadata, dict) or raw.get("sae_lens_training_version")):
        centred = False  # from SAELens 3 on, it was said where weights were processed
    d_in = positive(path, raw, "d_in")
    kind = KINDS[architecture]
    return Config(
        architecture, d_in, positive(path, raw, "d_sae"),
        d_in if kind == "sae" else positive(path, {"d_out": raw.get("d_out", d_in)}, "d_out"), k,
        kind == "sae" and bool(raw.get("apply_b_dec_to_input", True)), str(normalize),
        bool(raw.get("rescale_acts_by_decoder_norm", False)),
        _name(path, whole, "hf_hook_name", "hook_name", "hook_point"),
        _name(path, whole, "hf_hook_name_out", "hook_name_out"),
        whole.get("hook_head_index", whole.get("hook_point_head_index")),
        None if centred is None else bool(centred),
    )  # fmt: skip


def _name(path: Path, config: dict[str, Any], *keys: str) -> str:
    for key in keys:
        value = config.get(key)
        if value and not isinstance(value, str):
            raise CoderLoadError(f"{path}: {key!r} must be a name, not {value!r:.80}")
        if value:
            return str(value)
    return ""


def _place(subject: SubjectModel, config: Config, folder: Path, spec: CoderSpec) -> Place:
    path = folder / CONFIG
    if not config.hook:
        raise CoderLoadError(f"{path} does not say which hook the coder reads; give --hookpoint")
    if config.head is not None and config.head is not False:
        raise CoderLoadError(
            f"{path}: the coder reads head {config.head!r:.40} of {config.hook} alone, which is not supported"
        )
    centred, known = (
        config.centred,
        any(name in spec.source or _cached(name) in folder.parts for name in CENTRED),
    )
    writes = None
    if config.kind != "sae":
        if not config.hook_out:
            raise CoderLoadError(
                f"{path} does not say which hook the transcoder reconstructs; give --hookpoint"
            )
        writes = config.hook_out
        if centred:
            raise CoderLoadError(f"{path}: a transcoder trained with center_writing_weights is not supported")
    place = hook_names.place(
        subject,
        config.hook,
        writes,
        centred=bool(centred) or (centred is None and known),
    )
    unsaid = centred is None and not known and hook_names.is_hook(config.hook)
    if unsaid and hook_names.could_be_centred(subject, config.hook):
        place = Place(**{**vars(place), "notes": (*place.notes, MAY_BE_CENTRED)})
    return place


def _cached(name: str) -> str:
    """What the hub's local cache calls a repository."""
    return f"models--{name.replace('/', '--')}"


def build(source: str, path: Path, config: Config, place: Place, device: torch.device) -> FileCoder:
    """The coder from its weights, their names and shapes checked against the configuration."""
    weights = read_safetensors(path)
    d_in, d_sae = matrix_shape(path, weights, "W_enc")
    if (d_in, d_sae) != (config.d_in, config.d_sae):
        raise CoderLoadError(
            f"{path}: weight 'W_enc' has shape {(d_in, d_sae)}, but {CONFIG} says d_in {config.d_in} and d_sae {config.d_sae}"
        )
    shapes: dict[str, Sequence[int]] = {
        "W_enc": (d_in, d_sae),
        "W_dec": (d_sae, config.d_out),
        "b_dec": (config.d_out,),
    }
    gated = config.architecture == "gated"
    shapes |= dict.fromkeys(("b_gate", "b_mag", "r_mag") if gated else ("b_enc",), (d_sae,))
    batch = config.architecture in ("batchtopk", "matryoshka_batchtopk") and "threshold" not in weights
    if batch:
        shapes["topk_threshold"] = ()
    elif config.architecture.startswith(("jumprelu", "batchtopk", "matryoshka")):
        shapes["threshold"] = (d_sae,)
    if config.kind == "skip_transcoder":
        shapes["W_skip"] = (config.d_out, d_in)
    scaling = [name for name in ("scaling_factor", "finetuning_scaling_factor") if name in weights]
    shapes |= dict.fromkeys(scaling, (d_sae,))
    own = checked(path, weights, shapes, device)
    own["W_enc"] = own["W_enc"].T.contiguous()
    if batch:
        own["threshold"] = own.pop("topk_threshold").expand(d_sae)
    for name in scaling:  # factors of activations in the decoder (SAELens 5 and before); mostly all 1
        own["W_dec"] = own["W_dec"] * own.pop(name)[:, None]
    if config.rescale and (config.architecture == "topk" or batch):
        norms = decoder_norms(own["W_dec"])
        own["W_enc"], own["b_enc"] = own["W_enc"] * norms[:, None], own["b_enc"] * norms
        own["W_dec"] = own["W_dec"] / norms[:, None]
    made = NORMALIZATIONS[config.normalize]
    own = at_place(source, place, own, normalized=made is not None)
    encoder = _encoder(source, config, own)
    unapplied = config.normalize in ("expected_average_only_in", "covariance_whitening")
    return FileCoder(
        source, config.kind, place, encoder, W_dec=own["W_dec"], b_dec=own["b_dec"], subtract_b_dec=config.subtract_b_dec,
        W_skip=own.get("W_skip"), normalizations=[made()] if made else [], undo=config.kind == "sae",
        config={
            "architecture": config.architecture, "hook_name": config.hook,
            **({"hook_name_out": config.hook_out} if config.hook_out else {}),
        },
        notes=[UNSCALED.format(config.normalize)] if unapplied else [],
    )  # fmt: skip


def _encoder(
    source: str, config: Config, own: dict[str, Tensor]
) -> GatedEncoder | TopKEncoder | ThresholdEncoder:
    if config.architecture == "gated":
        return GatedEncoder(own["W_enc"], own["b_gate"], own["b_mag"], own["r_mag"])
    if config.architecture == "topk":
        check_k(source, config.k, config.d_sae)
        return TopKEncoder(own["W_enc"], own["b_enc"], config.k)
    return ThresholdEncoder(own["W_enc"], own["b_enc"], own.get("threshold"))
