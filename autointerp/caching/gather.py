"""One coder's side of a caching run: encodes what its tap holds and hands the firings to its writer."""

import hashlib
import math
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.caching.neighbours import CofiringSample
from autointerp.errors import BadActivations
from autointerp.models import SparseCoder
from autointerp.store import CoderWriter, Store

COMFORTABLE = (2.0**-2, 2.0**9)
"""First maxima in this range are stored as they are: float16 has 7 more binary digits above and 14 below."""


def first_scale(largest: float) -> float:
    """A power of two that brings the first batch's maximum into the comfortable range of float16.

    Generous on both sides: later batches may be 128 times larger (beyond that the writer rescales what it has), and
    activations down to a millionth of the maximum keep all their digits.
    """
    low, high = COMFORTABLE
    if largest <= 0 or low <= largest <= high:
        return 1.0
    return 2.0 ** math.ceil(math.log2(largest / high))


def checksum(coder: SparseCoder) -> str:
    """16 hex digits that tell coders apart, from a few of their weights."""
    digest = hashlib.sha256(f"{coder.kind} {coder.n_latents} {coder.k} {coder.tap} {coder.target}".encode())
    for weight in (coder.W_enc, coder.W_dec):
        if weight is not None:
            flat = weight.reshape(-1)
            digest.update(flat[:: max(1, len(flat) // 4096)][:4096].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class Gatherer:
    """A context manager: leaving it before the writer's `finish` removes what was written."""

    def __init__(
        self, store: Store, name: str, coder: SparseCoder, skip_bos: bool, neighbours: bool, overwrite: bool
    ):
        self.store, self.name, self.coder = store, name, coder
        self.skip_bos, self._overwrite = skip_bos, overwrite
        self.live = np.zeros(coder.n_latents, dtype=bool)
        self._writer: CoderWriter | None = None
        self._latent_type = np.uint16 if coder.n_latents <= 1 << 16 else np.uint32
        self.cofiring = (
            CofiringSample(
                n_latents=coder.n_latents, k=coder.k, n_contexts=store.n_contexts, ctx_len=store.ctx_len
            )
            if neighbours
            else None
        )

    def take(self, x: Tensor, token: NDArray[np.int64]) -> None:
        """One batch: the tap's vectors Float32[Tensor, "n d_in"] and their token indices, ascending."""
        acts, latents = self.coder.encode(x)
        largest = float(acts.max()) if acts.numel() else 0.0
        if not math.isfinite(largest):
            row = int((~torch.isfinite(acts)).any(dim=1).nonzero()[0])
            raise BadActivations(
                f"coder {self.name!r} on {self.coder.tap} gives NaN or infinity in context {token[row] // self.store.ctx_len}, "
                f"position {token[row] % self.store.ctx_len}. Check that it was trained on this hookpoint of this model."
            )
        if largest <= 0:
            return
        values = acts.cpu().numpy()
        indices = latents.cpu().numpy().astype(self._latent_type)
        if self.cofiring is not None:
            self.cofiring.add(token, indices, values)
        flat, where, of = values.ravel(), np.repeat(token, values.shape[1]), indices.ravel()
        if float(acts.min()) <= 0:
            firing = np.flatnonzero(flat > 0)
            flat, where, of = flat[firing], where[firing], of[firing]
        self.live[of] = True
        self.writer(largest).append(of, where, flat)

    def writer(self, largest: float = 0.0) -> CoderWriter:
        """The file's writer, made when the first firing shows the scale of the activations."""
        if self._writer is None:
            coder = self.coder
            config = {**coder.config, "weights": checksum(coder), "skip_bos": self.skip_bos}
            self._writer = CoderWriter(
                self.store,
                self.name,
                kind=coder.kind,
                hookpoint=coder.hookpoint,
                n_latents=coder.n_latents,
                k=coder.k,
                d_in=coder.d_in,
                source=coder.source,
                config=config,
                scale=first_scale(largest),
                overwrite=self._overwrite,
            )
        return self._writer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.discard()
