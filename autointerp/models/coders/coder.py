"""What a sparse coder is to the rest of the program."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from autointerp.errors import CoderLoadError
from autointerp.models.hooks import Side, Tap


@dataclass(frozen=True)
class CoderSpec:
    """Which coder to load. `source`: see `registry.FORMATS`.

    `hookpoint`: where the files do not say. `kind`: what files cannot say: early sparsify transcoders without a skip
    connection look like SAEs. `side`: the tensor of the hookpoint that an SAE reads and rebuilds, its output by default.
    """

    source: str
    hookpoint: str | None = None
    kind: str | None = None
    side: Side | None = None


class Firing(NamedTuple):
    """The positive activations of a batch, by token: three arrays of one length."""

    latent: NDArray[np.int64]
    token: NDArray[np.int64]
    activation: NDArray[np.float32]

    def largest(self, n: int) -> "Firing":
        """At most `n` entries a token: the largest, of equal ones the first."""
        order = np.lexsort((-self.activation, self.token))
        token = self.token[order]
        rank = np.arange(len(order)) - np.searchsorted(token, token, "left")
        kept = np.sort(order[rank < n])
        return Firing(self.latent[kept], self.token[kept], self.activation[kept])


@dataclass(frozen=True)
class SparseActivations:
    """What a coder's latents do on n tokens; a latent fires only where its value is > 0. Within a token, no order.

    With `k` entries a token, `values` Float32[Tensor, "n k"] and `latents` Int64[Tensor, "n k"]. With any number, both are
    flat, and token i has the entries from `offsets[i]` to `offsets[i+1]`; `offsets` Int64[Tensor, "n+1"].
    """

    values: Tensor
    latents: Tensor
    offsets: Tensor | None = None

    def firing(self, token: NDArray[np.int64]) -> Firing:
        """The entries that fire, as numpy arrays. `token` Int64[ndarray, " n"]: what each row of the batch is called."""
        activation, latent = self.values.cpu().numpy().ravel(), self.latents.cpu().numpy().ravel()
        per_token = self.values.shape[1] if self.offsets is None else np.diff(self.offsets.cpu().numpy())
        token = np.repeat(token, per_token)
        if len(activation) and activation.min() <= 0:
            fires = np.flatnonzero(activation > 0)
            latent, token, activation = latent[fires], token[fires], activation[fires]
        return Firing(latent, token, activation)

    def of(self, latent: int) -> Tensor:
        """One latent's value on each token, Float32[Tensor, " n"], zero where it is not among the entries."""
        values = torch.where(self.latents == latent, self.values, 0.0)
        if self.offsets is None:
            return values.sum(1)
        n = len(self.offsets) - 1
        token = torch.repeat_interleave(torch.arange(n, device=values.device), self.offsets.diff())
        return values.new_zeros(n).index_add_(0, token, values)

    def first_not_finite(self) -> int | None:
        """The first row that holds NaN or infinity, if one does."""
        if not self.values.numel() or bool(torch.isfinite(self.values.max())):
            return None
        entry = int((~torch.isfinite(self.values.reshape(-1))).nonzero()[0])
        if self.offsets is None:
            return entry // self.values.shape[1]
        return int(torch.searchsorted(self.offsets, entry, right=True)) - 1

    def decode(self, rows: Tensor) -> Tensor:
        """Per token the sum of its values times the latents' rows: Float32[Tensor, "n d"] for `rows` [n_latents, d]."""
        return embedding_bag(
            self.latents, rows, self.offsets, per_sample_weights=self.values, mode="sum",
            include_last_offset=self.offsets is not None,
        )  # fmt: skip


@dataclass(kw_only=True, eq=False)
class SparseCoder(ABC):
    """A dictionary of latents that reads one tensor of the subject model and may rebuild one. A format subclasses it.

    `kind`: a name in `registry.KINDS`. `hookpoint`: the module named in the store. `tap`: the tensor encoded. `target`: the
    tensor that `decode` stands in for, of width `d_out`; `None` for a coder without a decoder. `k`: active latents per token,
    `None` where that varies. `W_enc` Float[Tensor, "n_latents d_in"] and `W_dec` Float[Tensor, "n_latents d_out"]: the
    directions that a latent reads and writes, or `None` where it has no such direction. `config`: what the store records, as
    JSON. All weights are float32 on the subject's device.
    """

    kind: str
    source: str
    hookpoint: str
    tap: Tap
    target: Tap | None
    n_latents: int
    d_in: int
    d_out: int | None
    k: int | None = None
    W_enc: Tensor | None = None
    W_dec: Tensor | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @abstractmethod
    def encode(self, x: Tensor) -> SparseActivations:
        """Activations, all >= 0, of `x` Float32[Tensor, "n d_in"]. NaN in, NaN out. Not thread-safe."""

    def decode(self, acts: SparseActivations, x: Tensor) -> Tensor:
        """Float32[Tensor, "n d_out"]: the stand-in for the target, from what `encode` made of `x`. Here the sum of the
        latents' directions; only for a coder with a target."""
        if self.W_dec is None:
            raise NotImplementedError(f"coder {self.source} has no decoder")
        return acts.decode(self.W_dec)

    def skip(self, x: Tensor) -> Tensor | None:
        """Float32[Tensor, "n d_out"]: the part of `decode` that goes from `x` past the latents; `None` for a coder without such
        a path."""
        return None

    def weights(self) -> tuple[Tensor, ...]:
        """What tells the coder from others of its shape. Extend it by whatever else `encode` depends on (thresholds, gates)."""
        return tuple(weight for weight in (self.W_enc, self.W_dec) if weight is not None)

    def checksum(self) -> str:
        """16 hex digits that tell coders apart, from a few of their weights."""
        digest = hashlib.sha256(f"{self.kind} {self.n_latents} {self.k} {self.tap} {self.target}".encode())
        for weight in self.weights():
            flat = weight.reshape(-1)
            digest.update(flat[:: max(1, len(flat) // 4096)][:4096].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


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
