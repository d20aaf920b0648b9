"""What a sparse coder is to the rest of the program, and the registry of formats.

To add a format: write a module with a class or function that makes a `SparseCoder` from a `CoderRequest`, and add one
line to `FORMATS`. The first format whose `claims(source)` is true loads it.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.hooks import Side, Tap
from autointerp.models.subject import SubjectModel
from autointerp.types import CoderKind

FORMATS = {
    "neurons": "autointerp.models.coders.neurons",
    "random": "autointerp.models.coders.random",
    "sparsify": "autointerp.models.coders.sparsify",
}
"""Name to module; each has `claims(source: str) -> bool` and `load(request: CoderRequest) -> SparseCoder`. Order matters:
sparsify takes whatever is left, as a folder."""


@dataclass(frozen=True)
class CoderSpec:
    """Which coder to load. `source`: a folder, `neurons:<hookpoint>[:k]`, or `random:<hookpoint>:<n_latents>:<k>[:seed]`.

    `hookpoint`: where the folder does not say. `kind`: what files cannot say: early sparsify transcoders without a skip
    connection look like SAEs. `side`: the tensor of the hookpoint an SAE reads and rebuilds, its output unless told.
    """

    source: str
    hookpoint: str | None = None
    kind: CoderKind | None = None
    side: Side | None = None


@dataclass(frozen=True)
class CoderRequest:
    """A spec with the subject model it is for."""

    spec: CoderSpec
    subject: SubjectModel


@runtime_checkable
class SparseCoder(Protocol):
    """A dictionary of latents that reads one tensor of the subject model and rebuilds one.

    `tap`: the tensor encoded; `target`: the tensor that `decode` stands in for. `hookpoint`: the module named in the
    store. `W_enc` Float[Tensor, "n_latents d_in"] and `W_dec` Float[Tensor, "n_latents d_out"], or `None` where a latent has no
    such direction. All weights are float32 on the subject's device.
    """

    kind: CoderKind
    source: str
    hookpoint: str
    tap: Tap
    target: Tap
    n_latents: int
    k: int
    d_in: int
    d_out: int
    config: dict[str, Any]
    W_enc: Tensor | None
    W_dec: Tensor | None

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x` Float32[Tensor, "n d_in"] to activations Float32[Tensor, "n k"], all >= 0, and latents Int64[Tensor, "n k"].

        A latent fires only where its activation is > 0. No order within a row. NaN in, NaN out. Not thread-safe.
        """
        ...

    def decode(self, acts: Tensor, latents: Tensor, x: Tensor) -> Tensor:
        """Float32[Tensor, "n d_out"]: the stand-in for the target, from the output of `encode` and its input `x`."""
        ...


def load_coder(spec: str | CoderSpec, *, subject: SubjectModel, hookpoint: str | None = None) -> SparseCoder:
    """Load any known format and check that it fits the subject.

    Raises CoderLoadError: unusable files, or a width that is not the hookpoint's. UnknownName: no such hookpoint.
    """
    if isinstance(spec, str):
        spec = CoderSpec(spec)
    if hookpoint is not None and spec.hookpoint is None:
        spec = CoderSpec(spec.source, hookpoint, spec.kind, spec.side)
    for module_name in FORMATS.values():
        module = importlib.import_module(module_name)
        if module.claims(spec.source):
            coder: SparseCoder = module.load(CoderRequest(spec, subject))
            _check_width(coder, subject)
            return coder
    raise CoderLoadError(f"{spec.source!r} is no coder in a known format ({', '.join(FORMATS)})")


def _check_width(coder: SparseCoder, subject: SubjectModel) -> None:
    widths = subject.probe([coder.tap, coder.target])
    for tap, width, verb in ((coder.tap, coder.d_in, "reads"), (coder.target, coder.d_out, "rebuilds")):
        if widths[tap] != width:
            raise CoderLoadError(
                f"coder {coder.source} {verb} vectors of width {width}, but {tap} of {subject.name} has width "
                f"{widths[tap]}: it belongs to another model or hookpoint."
            )


def check_finite(source: str, weights: Mapping[str, Tensor | None]) -> None:
    """CoderLoadError naming the weight that holds NaN or infinity."""
    for name, weight in weights.items():
        if weight is not None and not torch.isfinite(weight.sum()) and not torch.isfinite(weight).all():
            raise CoderLoadError(f"weight {name} of coder {source} holds NaN or infinity")


def check_k(source: str, k: int, n_latents: int) -> None:
    """CoderLoadError unless 1 <= k <= n_latents."""
    if not 1 <= k <= n_latents:
        raise CoderLoadError(
            f"coder {source} keeps k = {k} of {n_latents} latents; 1 <= k <= n_latents is needed"
        )
