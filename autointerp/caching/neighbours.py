"""Nearest latents within a coder: by decoder and encoder direction, and by firing on the same tokens."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from autointerp.models.coders.topk import group_size, sorted_top_k

N_NEIGHBOURS = 10
BLOCK_BYTES = 64 << 20
THREADS = 2
COUNTED_LATENTS = 4096
"""Coders with no more latents count every pair as it comes, in one table; of wider ones tokens are sampled."""
COUNTED_AT_ONCE = 1 << 20
MAX_FIRINGS, MAX_PAIRS = 1 << 24, 1 << 29
"""Activations kept of a wider coder, and the pairs on a token that they make: 64 MB, and some seconds of counting."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Neighbours = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Latents Int32[ndarray, "n_latents n"], -1 = none, and similarities Float32[ndarray, "n_latents n"], largest first."""


def nearest_by_cosine(weight: Tensor, live: NDArray[np.bool_], n: int = N_NEIGHBOURS) -> Neighbours:
    """Nearest rows of `weight` Float32[Tensor, "n_latents d"] among live latents; dead ones have and are no neighbours.

    Rows are compared in blocks: memory is bounded by `BLOCK_BYTES`, not by n_latents squared.
    """
    ids = np.full((len(live), n), -1, np.int32)
    values = np.zeros((len(live), n), np.float32)
    alive = np.flatnonzero(live)
    keep = min(n, len(alive) - 1)
    if keep < 1:
        return ids, values
    with torch.inference_mode():
        unit = torch.nn.functional.normalize(weight[torch.from_numpy(alive).to(weight.device)].float(), dim=1)
        padding = -len(alive) % 16 if len(alive) > 64 * n else 0
        # Whole groups for `top_k`; the padded columns are zero and masked below.
        unit = torch.nn.functional.pad(unit, (0, 0, 0, padding))
        groups = group_size(len(unit), keep)
        rows = max(16, BLOCK_BYTES // (4 * len(unit)))
        buffer = torch.empty(min(rows, len(alive)), len(unit), device=unit.device)
        for start in range(0, len(alive), rows):
            stop = min(start + rows, len(alive))
            similar = torch.mm(unit[start:stop], unit.T, out=buffer[: stop - start])
            similar[:, len(alive) :] = -2.0
            similar[torch.arange(stop - start), torch.arange(start, stop)] = -2.0
            best, columns = sorted_top_k(similar, keep, groups)
            ids[alive[start:stop], :keep] = alive[columns.cpu().numpy()]
            values[alive[start:stop], :keep] = best.clamp_(-1.0, 1.0).cpu().numpy()
    return ids, values


@dataclass(frozen=True)
class _Firings:
    """Which latents activate on some tokens: `latent` Int32[ndarray, " m"], token by token; `token` Int64[ndarray, " n"] and
    how many latents each has, `count` Int64[ndarray, " n"]."""

    latent: NDArray[np.int32]
    token: NDArray[np.int64]
    count: NDArray[np.int64]

    @property
    def n_pairs(self) -> int:
        """Pairs of latents on the same token, in both orders, with themselves."""
        return int((self.count**2).sum())

    def only(self, keep: NDArray[np.bool_]) -> "_Firings":
        """On these of the tokens."""
        return _Firings(self.latent[np.repeat(keep, self.count)], self.token[keep], self.count[keep])


class Cofiring:
    """Which latents activate on the same tokens: `add` batches while caching, then `nearest`.

    Memory does not grow with the corpus. Up to `COUNTED_LATENTS` latents all tokens count. Of a wider coder, tokens are dropped
    by halves as `max_firings` or `max_pairs` is passed; which ones does not depend on the batches.
    """

    def __init__(self, n_latents: int, *, max_firings: int = MAX_FIRINGS, max_pairs: int = MAX_PAIRS):
        self.n_latents, self._max_firings, self._max_pairs = n_latents, max_firings, max_pairs
        self._counts: NDArray[np.int32] | None = None
        if n_latents <= COUNTED_LATENTS:
            self._counts = np.zeros((n_latents, n_latents), np.int32)
        self._held: list[_Firings] = []
        self._halvings = 0
        self._n_firings = self._n_pairs = self._n_seen = self._n_sampled = 0

    @property
    def share(self) -> float:
        """The share of tokens on which a latent activates that were counted, 0 to 1."""
        return self._n_sampled / self._n_seen if self._n_seen else 1.0

    def add(self, latent: NDArray[np.integer], token: NDArray[np.int64]) -> None:
        """One batch of activations, in the order of tokens: Int[ndarray, " n"] each. A token lies in one batch."""
        starts = np.flatnonzero(np.diff(token, prepend=-1))
        firings = _Firings(latent.astype(np.int32), token[starts], np.diff(starts, append=len(token)))
        self._n_seen += len(starts)
        firings = firings.only(self._sampled(firings.token))
        self._n_sampled += len(firings.token)
        self._held.append(firings)
        self._n_firings += len(firings.latent)
        self._n_pairs += firings.n_pairs
        if self._counts is not None:
            if self._n_firings > COUNTED_AT_ONCE:
                fires = self._matrix()
                self._counts += (fires.T @ fires).toarray()
                self._held, self._n_firings, self._n_pairs = [], 0, 0
        else:
            while self._n_firings > self._max_firings or self._n_pairs > self._max_pairs:
                self._halve()

    def _sampled(self, token: NDArray[np.int64]) -> NDArray[np.bool_]:
        # Multiplying by the golden ratio spreads the tokens; each halving keeps the lower half of what the last one kept.
        return token.astype(np.uint64) * GOLDEN <= np.uint64((2**64 - 1) >> self._halvings)

    def _halve(self) -> None:
        self._halvings += 1
        self._held = [held.only(self._sampled(held.token)) for held in self._held]
        self._n_sampled = sum(len(held.token) for held in self._held)
        self._n_firings = sum(len(held.latent) for held in self._held)
        self._n_pairs = sum(held.n_pairs for held in self._held)

    def _matrix(self) -> csr_matrix:
        """1 where a latent activates on a token: Int32, held tokens by latents."""
        latent = np.concatenate([np.zeros(0, np.int32), *(held.latent for held in self._held)])
        count = np.concatenate([np.zeros(0, np.int64), *(held.count for held in self._held)])
        ends = np.concatenate([[0], np.cumsum(count)])
        shape = (len(count), self.n_latents)
        return csr_matrix((np.ones(len(latent), np.int32), latent, ends), shape=shape)

    def nearest(self, n: int = N_NEIGHBOURS) -> Neighbours:
        """By Jaccard index: tokens on which both activate, over tokens on which either does."""
        ids = np.full((self.n_latents, n), -1, np.int32)
        values = np.zeros((self.n_latents, n), np.float32)
        fires = self._matrix()
        by_latent = fires.T.tocsr()
        fired = by_latent.getnnz(axis=1).astype(np.float32)
        if self._counts is not None:
            fired += self._counts.diagonal().astype(np.float32)
        keep = min(n, self.n_latents)
        rows = max(16, BLOCK_BYTES // (4 * self.n_latents))
        starts = range(0, self.n_latents, rows)

        def fill(starts: Iterable[int]) -> None:
            jaccard = np.zeros((min(rows, self.n_latents), self.n_latents), np.float32)
            for start in starts:
                block = slice(start, min(start + rows, self.n_latents))
                part = jaccard[: block.stop - start]
                together = by_latent[block] @ fires
                if self._counts is not None:
                    together = csr_matrix(together.toarray() + self._counts[block])
                # Few pairs of a wide coder ever activate together: only those are looked at.
                count = together.data.astype(np.float32)
                either = np.repeat(fired[block], np.diff(together.indptr)) + fired[together.indices] - count
                count /= np.maximum(either, np.float32(1.0))
                csr_matrix((count, together.indices, together.indptr), shape=part.shape).toarray(out=part)
                part[np.arange(len(part)), np.arange(start, block.stop)] = 0.0
                best, columns = sorted_top_k(torch.from_numpy(part), keep, group_size(self.n_latents, keep))
                ids[block, :keep] = torch.where(best > 0, columns, -1).numpy()
                values[block, :keep] = best.numpy()

        with ThreadPoolExecutor(THREADS) as pool:  # products of sparse matrices run beside one another
            list(pool.map(fill, (starts[i::THREADS] for i in range(THREADS))))
        return ids, values
