"""Nearest latents within a coder: by decoder and encoder direction, and by firing on the same tokens."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.models.coders.topk import group_size, sorted_top_k
from autointerp.store.coders.spool import stable_order

N_NEIGHBOURS = 10
BLOCK_BYTES = 64 << 20
MAX_PAIRS = 1 << 25
"""Pairs of latents counted for co-firing; a corpus with more is sampled."""
PAIRS_AT_ONCE = 1 << 20
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
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
            best, columns = sorted_top_k(similar, keep, groups)
            ids[alive[start:stop], :keep] = alive[columns.cpu().numpy()]
            values[alive[start:stop], :keep] = best.clamp_(-1.0, 1.0).cpu().numpy()
    return ids, values


Rows = NDArray[np.int32]
"""Latents that fire on each of some tokens, Int32[ndarray, "n width"], -1 = none."""


class _Firings(NamedTuple):
    """Which latent fires (rising), Int32[ndarray, " m"], and in which of `rows`, Int[ndarray, " m"]."""

    latent: NDArray[np.int32]
    row: NDArray[np.intp]
    rows: Rows


class CofiringSample:
    """Latents that fired together on sampled tokens: `add` batches while caching, then `nearest`.

    Memory (the sample) and time (`max_pairs`) do not grow with the corpus. For a coder with k per token, the contexts sampled
    follow from the corpus's size. With any number (`k` is `None`), tokens are dropped by halves as their pairs become too many.
    """

    def __init__(
        self, *, n_latents: int, k: int | None, n_contexts: int, ctx_len: int, max_pairs: int = MAX_PAIRS
    ):
        self.n_latents, self._k, self._ctx_len, self._max_pairs = n_latents, k, ctx_len, max_pairs
        wanted = n_contexts if k is None else max(1, max_pairs // (k * k * ctx_len))
        self.every = max(1, -(-n_contexts // wanted))
        self._halvings = 0
        self._held: dict[int, list[tuple[NDArray[np.int64], Rows]]] = {}

    @property
    def n_tokens(self) -> int:
        """Tokens in the sample on which a latent fires."""
        return sum(len(rows) for rows in self._rows())

    def add(self, latent: NDArray[np.integer], token: NDArray[np.int64]) -> None:
        """One batch of firings, in the order of tokens: Int[ndarray, " n"] each. A token lies in one batch."""
        sampled = self._sampled(token)
        if not sampled.all():
            latent, token = latent[sampled], token[sampled]
        if not len(token):
            return
        starts = np.flatnonzero(np.diff(token, prepend=-1))
        counts = np.diff(starts, append=len(token))
        # Rows of similar length share an array, so that one crowded token does not widen all others.
        widths = np.minimum(1 << np.ceil(np.log2(counts)).astype(np.int64), self._k or self.n_latents)
        for width in np.unique(widths).tolist():
            chosen = widths == width
            rows = np.full((int(chosen.sum()), width), -1, np.int32)
            rows[np.arange(width) < counts[chosen, None]] = latent[np.repeat(chosen, counts)]
            self._held.setdefault(width, []).append((token[starts[chosen]], rows))
        while self._k is None and sum(rows.size * rows.shape[1] for rows in self._rows()) > self._max_pairs:
            self._halve()

    def _sampled(self, token: NDArray[np.integer]) -> NDArray[np.bool_]:
        if self._k is not None:
            return token // self._ctx_len % self.every == 0
        # Multiplying by the golden ratio spreads the tokens; each halving keeps the lower half of what the last one kept.
        return token.astype(np.uint64) * GOLDEN <= np.uint64((2**64 - 1) >> self._halvings)

    def _halve(self) -> None:
        self._halvings += 1
        for width, batches in self._held.items():
            kept = [(self._sampled(token), token, rows) for token, rows in batches]
            self._held[width] = [(token[keep], rows[keep]) for keep, token, rows in kept if keep.any()]

    def _rows(self) -> list[Rows]:
        return [rows for batches in self._held.values() for _, rows in batches]

    def nearest(self, n: int = N_NEIGHBOURS) -> Neighbours:
        """By Jaccard similarity: tokens on which both fire, over tokens on which either does."""
        ids = np.full((self.n_latents, n), -1, np.int32)
        values = np.zeros((self.n_latents, n), np.float32)
        sample = [np.concatenate([rows for _, rows in batches]) for batches in self._held.values() if batches]
        fired = np.zeros(self.n_latents, np.int64)
        for rows in sample:
            fired += np.bincount(rows[rows >= 0], minlength=self.n_latents)
        if self.n_latents <= DENSE_LATENTS:
            self._nearest_dense(sample, fired, ids, values)
            return ids, values
        # Sorting releases the interpreter's lock: two blocks are worked on at the same time.
        with ThreadPoolExecutor(max_workers=2) as pool:
            blocks = self._blocks(sample)
            for (latents, _), near in zip(
                blocks, pool.map(lambda block: self._nearest_in(block, fired, n), blocks), strict=True
            ):
                ids[latents], values[latents] = near
        return ids, values

    def _blocks(self, sample: list[Rows]) -> list[tuple[slice, list[_Firings]]]:
        """All latents, about `PAIRS_AT_ONCE` pairs at a time, with their firings."""
        whole, ends = [], []
        for rows in sample:
            row, column = np.nonzero(rows >= 0)
            latent = rows[row, column]
            order = stable_order(latent.astype(np.uint32), self.n_latents)
            whole.append(_Firings(latent[order], row[order], rows))
            ends.append(np.searchsorted(whole[-1].latent, np.arange(self.n_latents + 1)))
        pairs = sum(
            (end * rows.shape[1] for end, rows in zip(ends, sample, strict=True)),
            np.zeros(self.n_latents + 1, int),
        )
        most = 1 << (32 - self._id_bits)  # so that a pair fits in 32 bits, see `_nearest_in`
        blocks, first = [], 0
        while first < self.n_latents:
            last = int(np.searchsorted(pairs, pairs[first] + PAIRS_AT_ONCE, side="right")) - 1
            last = min(max(last, first + 1), first + most, self.n_latents)
            parts = [
                _Firings(part.latent[end[first] : end[last]], part.row[end[first] : end[last]], part.rows)
                for part, end in zip(whole, ends, strict=True)
            ]
            blocks.append((slice(first, last), parts))
            first = last
        return blocks

    @property
    def _id_bits(self) -> int:
        return max(1, (self.n_latents - 1).bit_length())

    def _nearest_in(
        self, block: tuple[slice, list[_Firings]], fired: NDArray[np.int64], n: int
    ) -> Neighbours:
        """Of the block's latents. Pairs are counted as runs of equal numbers, then sorted by similarity: plain numbers sort
        several times faster than an order of them can be found."""
        latents, parts = block
        ids = np.full((latents.stop - latents.start, n), -1, np.int32)
        values = np.zeros(ids.shape, np.float32)
        bits = np.uint32(self._id_bits)
        numbers = []
        for part in parts:
            others, mine = part.rows[part.row], (part.latent - latents.start).astype(np.uint32)[:, None]
            pairs = (mine << bits) | others.astype(np.uint32)
            numbers.append(pairs[(others >= 0) & (others != part.latent[:, None])])
        pairs = numbers[0] if len(numbers) == 1 else np.concatenate([np.zeros(0, np.uint32), *numbers])
        if not len(pairs):
            return ids, values
        pairs.sort()
        begins = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
        together = np.diff(begins, append=len(pairs))
        first, second = pairs[begins] >> bits, pairs[begins] & np.uint32((1 << self._id_bits) - 1)
        jaccard = (together / (fired[first + latents.start] + fired[second] - together)).astype(np.float32)
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
        sample: list[Rows],
        fired: NDArray[np.int64],
        ids: NDArray[np.int32],
        values: NDArray[np.float32],
    ) -> None:
        """All counts in one [n_latents + 1]^2 array (the last row and column take the entries that are none)."""
        m = self.n_latents + 1
        counts = np.zeros(m * m, dtype=np.int32)
        for rows in sample:
            places = np.where(rows < 0, self.n_latents, rows).astype(np.int64)
            left, right = np.triu_indices(rows.shape[1], 1)  # each pair once
            step = max(1, (1 << 21) // max(1, len(left)))
            for start in range(0, len(rows), step):
                # [width, tokens]: whole columns are taken below
                part = np.ascontiguousarray(places[start : start + step].T)
                keys = part[left] * m
                keys += part[right]
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
