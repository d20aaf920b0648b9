"""The coder that file formats build: an encoder, a linear decoder, and what is done to vectors before and after."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders.coder import SparseActivations, SparseCoder, check_finite
from autointerp.models.coders.encoders import DenseEncoder
from autointerp.models.coders.place import Place
from autointerp.models.coders.topk import TopKEncoder

ONE_LAYER = (
    "One layer of a cross-layer transcoder: an MLP's output is reconstructed by the latents of all layers together, so one "
    "layer alone has no FVU, cross-entropy or promoted tokens."
)


class Normalization(ABC):
    """What a coder does to the vectors that it reads, Float32[Tensor, "n d"], and undoes in what it rebuilds."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """The vectors that are encoded."""

    @abstractmethod
    def undo(self, y: Tensor, x: Tensor) -> Tensor:
        """What was decoded, on the scale of `x`, which `apply` was given."""


class Centred(Normalization):
    """The mean of the components taken off, as in TransformerLens with `center_writing_weights`."""

    def apply(self, x: Tensor) -> Tensor:
        """See `Normalization.apply`."""
        return x - x.mean(-1, keepdim=True)

    def undo(self, y: Tensor, x: Tensor) -> Tensor:
        """See `Normalization.undo`."""
        return y + x.mean(-1, keepdim=True)


class ConstantNorm(Normalization):
    """Every vector scaled to a norm of sqrt(d)."""

    def apply(self, x: Tensor) -> Tensor:
        """See `Normalization.apply`."""
        return x * (math.sqrt(x.shape[-1]) / x.norm(dim=-1, keepdim=True))

    def undo(self, y: Tensor, x: Tensor) -> Tensor:
        """See `Normalization.undo`."""
        return y * (x.norm(dim=-1, keepdim=True) / math.sqrt(x.shape[-1]))


class LayerNorm(Normalization):
    """Mean 0 and standard deviation 1 (with n - 1, as SAELens has it) in every vector."""

    EPSILON = 1e-5

    def apply(self, x: Tensor) -> Tensor:
        """See `Normalization.apply`."""
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.EPSILON)

    def undo(self, y: Tensor, x: Tensor) -> Tensor:
        """See `Normalization.undo`."""
        return y * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)


class FileCoder(SparseCoder):
    """encode: `encoder` of the normalized x (minus `b_dec` with `subtract_b_dec`)

    decode: sum a_j W_dec[j] + `b_dec`, the normalization undone, + `W_skip` x
    """

    def __init__(
        self,
        source: str,
        kind: str,
        place: Place,
        encoder: DenseEncoder | TopKEncoder,
        *,
        W_dec: Tensor | None,
        b_dec: Tensor | None,
        subtract_b_dec: bool,
        W_skip: Tensor | None = None,
        normalizations: Sequence[Normalization] = (),
        undo: bool = True,
        config: dict[str, Any] | None = None,
        notes: Sequence[str] = (),
    ):
        """`W_dec` Float32[Tensor, "n_latents d_out"], `b_dec` Float32[Tensor, " d_out"], both `None` for a coder that rebuilds
        nothing, `W_skip` Float32[Tensor, "d_out d_in"].
        `undo`: whether what is decoded is on the scale of what was encoded (a transcoder's is not)."""
        notes = [*place.notes, *notes, *([ONE_LAYER] if kind == "cross_layer_transcoder" else [])]
        super().__init__(
            kind=kind, source=source, hookpoint=place.hookpoint, tap=place.tap,
            target=None if W_dec is None else place.target,
            n_latents=len(encoder.weight), d_in=encoder.weight.shape[1], d_out=None if W_dec is None else W_dec.shape[1],
            k=encoder.k if isinstance(encoder, TopKEncoder) else None, W_enc=encoder.weight, W_dec=W_dec,
            config={**(config or {}), **({"notes": notes} if notes else {})},
        )  # fmt: skip
        self._encoder, self.b_dec, self.W_skip = encoder, b_dec, W_skip
        self.subtract_b_dec, self.undo = subtract_b_dec, undo
        self.normalizations = [*([Centred()] if place.centred else []), *normalizations]

    def encode(self, x: Tensor) -> SparseActivations:
        """See `SparseCoder.encode`."""
        for each in self.normalizations:
            x = each.apply(x)
        return self._encoder.encode(x - self.b_dec if self.subtract_b_dec and self.b_dec is not None else x)

    def decode(self, acts: SparseActivations, x: Tensor) -> Tensor:
        """See `SparseCoder.decode`."""
        y, skip = super().decode(acts, x), self.skip(x)
        if self.b_dec is not None:
            y = y + self.b_dec
        if self.undo:
            given = [x]
            for each in self.normalizations:
                given.append(each.apply(given[-1]))
            for each, before in zip(reversed(self.normalizations), reversed(given[:-1]), strict=True):
                y = each.undo(y, before)
        return y if skip is None else y + skip

    def skip(self, x: Tensor) -> Tensor | None:
        """See `SparseCoder.skip`."""
        return None if self.W_skip is None else x @ self.W_skip.T

    def weights(self) -> tuple[Tensor, ...]:
        """See `SparseCoder.weights`."""
        more = self._encoder.weights() if isinstance(self._encoder, DenseEncoder) else (self._encoder.bias,)
        return (*super().weights(), *more, *([] if self.b_dec is None else [self.b_dec]))


def at_place(
    source: str, place: Place, weights: dict[str, Tensor], *, normalized: bool = False
) -> dict[str, Tensor]:
    """The weights for the module's own tensors, where `place` says that the coder knows them without the norm's gain: exactly
    the same function. "W_enc" Float32[Tensor, "n_latents d_in"], and "W_dec", "b_dec" and "W_skip" where there are such.

    Raises CoderLoadError: NaN, infinity, or a normalization on top of a norm's output.
    """
    check_finite(source, weights)
    if place.tap_gain is None and place.target_gain is None:
        return weights
    if normalized:
        raise CoderLoadError(
            f"coder {source} normalizes its input, and reads a norm's output without its gain: that is not supported"
        )
    weights = dict(weights)
    if place.tap_gain is not None:
        for name in weights.keys() & {"W_enc", "W_skip"}:
            weights[name] = weights[name] / place.tap_gain
    if place.target_gain is not None:
        for name in weights.keys() & {"W_dec", "b_dec"}:
            weights[name] = weights[name] * place.target_gain
        if "W_skip" in weights:
            weights["W_skip"] = weights["W_skip"] * place.target_gain[:, None]
    return weights


def decoder_norms(W_dec: Tensor) -> Tensor:
    """Float32[Tensor, " n_latents"]: the length of each latent's direction."""
    return torch.linalg.vector_norm(W_dec, dim=1)
