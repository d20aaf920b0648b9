"""Nearest latents within a coder: by decoder and encoder direction, and by firing on the same tokens."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.models.coders.topk import group_size, top_k
from autointerp.store.coders.spool import stable_order

N_NEIGHBOURS = 10
BLOCK_BYTES = 64 << 20
MAX_PAIRS = 1 << 25
"""Pairs of latents counted for co-firing; a corpus with more is sampled by evenly spaced contexts."""
PAIRS_AT_ONCE = 1 << 20
DENSE_LATENTS = 4096

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
            best, columns = top_k(similar, keep, groups)
            order = best.argsort(dim=1, descending=True, stable=True)
            ids[alive[start:stop], :keep] = alive[columns.gather(1, order).cpu().numpy()]
            values[alive[start:stop], :keep] = best.gather(1, order).clamp_(-1.0, 1.0).cpu().numpy()
    return ids, values


class _Block(NamedTuple):
    """Latents `first` to `last - 1`: which of them fires (rising), and in which row of the sample."""

    first: int
    last: int
    latent: NDArray[np.int32]
    row: NDArray[np.intp]


class CofiringSample:
    """Latents that fired together on sampled tokens: `add` rows while caching, then `nearest`.

    Which contexts are sampled is fixed by the size of the corpus, so that memory (the sample) and time (`MAX_PAIRS`) do
    not grow with it. `n_tokens`: tokens seen.
    """

    def __init__(self, *, n_latents: int, k: int, n_contexts: int, ctx_len: int, max_pairs: int = MAX_PAIRS):
        self.n_latents, self.k = n_latents, k
        wanted = max(1, max_pairs // (k * k * ctx_len))
        self.every = max(1, -(-n_contexts // wanted))
        self.ctx_len = ctx_len
        self.n_tokens = 0
        self._rows: list[NDArray[np.int32]] = []

    def add(
        self, token: NDArray[np.integer], latents: NDArray[np.integer], acts: NDArray[np.floating]
    ) -> None:
        """One batch: token index [n], latents [n, k], activations [n, k]."""
        if self.every > 1:
            taken = np.flatnonzero(token // self.ctx_len % self.every == 0)
            latents, acts = latents[taken], acts[taken]
        if not len(latents):
            return
        self._rows.append(np.where(acts > 0, latents.astype(np.int32), np.int32(-1)))
        self.n_tokens += len(latents)

    def nearest(self, n: int = N_NEIGHBOURS) -> Neighbours:
        """By Jaccard similarity: tokens on which both fire, over tokens on which either does."""
        ids = np.full((self.n_latents, n), -1, np.int32)
        values = np.zeros((self.n_latents, n), np.float32)
        if not self._rows:
            return ids, values
        rows = np.concatenate(self._rows)
        fired = np.bincount(rows[rows >= 0], minlength=self.n_latents)
        if self.n_latents <= DENSE_LATENTS:
            self._nearest_dense(rows, fired, ids, values)
            return ids, values
        # Sorting releases the interpreter's lock: two blocks are worked on at the same time.
        with ThreadPoolExecutor(max_workers=2) as pool:
            for block, found in pool.map(
                lambda b: (b, self._nearest_in(b, rows, fired, n)), self._blocks(rows)
            ):
                part = slice(block.first, block.last)
                ids[part], values[part] = found
        return ids, values

    def _blocks(self, rows: NDArray[np.int32]) -> list[_Block]:
        """All latents, about `PAIRS_AT_ONCE` pairs at a time."""
        row, column = np.nonzero(rows >= 0)
        latent = rows[row, column]
        order = stable_order(latent.astype(np.uint32), self.n_latents)
        row, latent = row[order], latent[order]
        ends = np.searchsorted(latent, np.arange(self.n_latents + 1))
        most = 1 << (32 - self._id_bits)  # so that a pair fits in 32 bits, see `_nearest_in`
        blocks, first = [], 0
        while first < self.n_latents:
            rows_at_once = max(1, PAIRS_AT_ONCE // self.k)
            last = int(np.searchsorted(ends, ends[first] + rows_at_once, side="right")) - 1
            last = min(max(last, first + 1), first + most, self.n_latents)
            part = slice(ends[first], ends[last])
            blocks.append(_Block(first, last, latent[part], row[part]))
            first = last
        return blocks

    @property
    def _id_bits(self) -> int:
        return max(1, (self.n_latents - 1).bit_length())

    def _nearest_in(
        self, block: _Block, rows: NDArray[np.int32], fired: NDArray[np.int64], n: int
    ) -> Neighbours:
        """Of the block's latents. Pairs are counted as runs of equal numbers, then sorted by similarity: plain numbers sort
        several times faster than an order of them can be found."""
        ids = np.full((block.last - block.first, n), -1, np.int32)
        values = np.zeros(ids.shape, np.float32)
        bits = np.uint32(self._id_bits)
        others, mine = rows[block.row], (block.latent - block.first).astype(np.uint32)[:, None]
        pairs = (mine << bits) | others.astype(np.uint32)
        pairs = pairs[(others >= 0) & (others != block.latent[:, None])]
        if not len(pairs):
            return ids, values
        pairs.sort()
        begins = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
        together = np.diff(begins, append=len(pairs))
        first, second = pairs[begins] >> bits, pairs[begins] & np.uint32((1 << self._id_bits) - 1)
        jaccard = (together / (fired[first + block.first] + fired[second] - together)).astype(np.float32)
        # The latent, falling similarity (bits of non-negative floats sort like their values), the other latent.
        falling = (np.uint32(0xFFFFFFFF) - jaccard.view(np.uint32)).astype(np.uint64)
        keys = (
            (first.astype(np.uint64) << np.uint64(32 + self._id_bits)) | (falling << np.uint64(bits)) | second
        )
        keys.sort()
        starts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
        best = starts[:, None] + np.arange(n)
        latent, rank = np.nonzero(best < np.append(starts[1:], len(first))[:, None])
        chosen = keys[best[latent, rank]]
        at = first[starts][latent]
        ids[at, rank] = chosen & np.uint64((1 << self._id_bits) - 1)
        values[at, rank] = (np.uint32(0xFFFFFFFF) - (chosen >> np.uint64(bits)).astype(np.uint32)).view(
            np.float32
        )
        return ids, values

    def _nearest_dense(
        self,
        rows: NDArray[np.int32],
        fired: NDArray[np.int64],
        ids: NDArray[np.int32],
        values: NDArray[np.float32],
    ) -> None:
        """All counts in one [n_latents + 1]^2 array (the last row and column take the silent entries)."""
        m = self.n_latents + 1
        places = np.where(rows < 0, self.n_latents, rows).astype(np.int64)
        one, other = np.triu_indices(self.k, 1)  # each pair once
        counts = np.zeros(m * m, dtype=np.int32)
        step = max(1, (1 << 21) // max(1, len(one)))
        for start in range(0, len(rows), step):
            part = np.ascontiguousarray(
                places[start : start + step].T
            )  # [k, tokens]: whole columns are taken below
            keys = part[one] * m
            keys += part[other]
            counts += np.bincount(keys.ravel(), minlength=m * m).astype(np.int32)
        together = torch.from_numpy(counts).view(m, m)[:-1, :-1].float()
        together = together + together.T
        together.fill_diagonal_(0.0)
        each = torch.from_numpy(fired).float()
        jaccard = together / (each[:, None] + each - together).clamp_(min=1.0)
        keep = min(ids.shape[1], self.n_latents)
        best, latents = jaccard.topk(keep, dim=1)
        ids[:, :keep] = torch.where(best > 0, latents, -1).numpy()
        values[:, :keep] = best.numpy()
