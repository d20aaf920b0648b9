"""Sums over the tokens on which two latents fire together, for all pairs of latents of two coders: sparse products by blocks of
rows and columns, of which each latent keeps its largest few."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autointerp.store import LatentBlock

N_NEAREST = 10
BLOCK_BYTES = 32 << 20
"""Of one dense block of pairs; five or so are held by each thread."""
N_GROUPS = 64
THREADS = 2
INSIDE = 0.5
"""A latent is a part of another where the other fires on more than this share of its firing tokens."""
Sparse = Any
"""A `csr_matrix`; scipy's own annotations do not say what a product of two is."""
MEASURES = ("correlation", "jaccard", "parts")


@dataclass(frozen=True)
class Block:
    """Activations of the latents from `first` on. `values`: Float32, latents by tokens or the other way, scaled so that the
    product of two latents is their correlation plus that of their `means`; `counts` Int64[ndarray, " latents"] of tokens on
    which each fires."""

    first: int
    values: Sparse
    counts: NDArray[np.int64]
    means: NDArray[np.float32]

    @property
    def stop(self) -> int:
        return self.first + len(self.counts)

    @cached_property
    def ones(self) -> Sparse:
        """Ones at the places of the values."""
        from scipy.sparse import csr_matrix

        ones = np.ones(self.values.nnz, np.int32)
        return csr_matrix((ones, self.values.indices, self.values.indptr), shape=self.values.shape)

    def pieces(self, n: int) -> "Iterator[Block]":
        """At most `n` latents at a time."""
        for start in range(0, len(self.counts), n):
            part = slice(start, start + n)
            yield Block(self.first + start, self.values[part], self.counts[part], self.means[part])


def block(rows: LatentBlock, n_tokens: int, n_counted: int) -> Block:
    """Latents by tokens; of `n_tokens` columns, `n_counted` can be more than zero. A latent that is dead, or the same on all
    tokens, correlates with nothing."""
    from scipy.sparse import csr_matrix

    owner, exact, n = rows.local, rows.activation.astype(np.float64), rows.n_latents
    sums = np.bincount(owner, exact, n)
    spread = np.bincount(owner, exact * exact, n) - sums * sums / n_counted
    varies = spread > 1e-9 * sums * sums / n_counted
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, spread, 1)), 0)
    data = (exact * scale[owner]).astype(np.float32)
    token, offsets = rows.token.astype(np.int32), rows.offsets.astype(np.int32)
    values = csr_matrix((data, token, offsets), shape=(n, n_tokens))
    return Block(rows.first, values, rows.counts, (sums * scale / np.sqrt(n_counted)).astype(np.float32))


def by_token(blocks: Sequence[Block]) -> Block:
    """Neighbouring blocks as one, tokens by latents: the right side of a product."""
    from scipy.sparse import vstack

    values = vstack([block.values for block in blocks], format="csr")
    counts, means = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("counts", "means")
    )
    return Block(blocks[0].first, values.T.tocsr(), counts, means)


ENTRY = np.dtype([("latent", "i4"), ("value", "f4"), ("correlation", "f4"), ("both", "i4")])
"""A latent of the other coder, what it is ranked by, and what is known of the pair."""


class Best:
    """The `N_NEAREST` best partners of each of `n` latents so far: ENTRY[ndarray, "n N_NEAREST"], best first, of equals the
    lower number; latent -1 and value 0 where there are fewer. What comes first wins nothing."""

    def __init__(self, n: int):
        self.entries = np.zeros((n, N_NEAREST), ENTRY)
        self.entries["latent"] = -1

    def least(self, first: int, stop: int) -> NDArray[np.float32]:
        """What a partner has to exceed."""
        return self.entries["value"][first:stop, -1]

    def offer(self, of: NDArray[np.int64], entries: NDArray) -> None:
        """Candidates of the latents `of`, ENTRY[ndarray, " n"] each, those of one latent ascending and above those it has."""
        touched = np.unique(of)
        every = np.concatenate([self.entries[touched].ravel(), entries])
        owner = np.concatenate([np.repeat(touched, N_NEAREST), of])
        order = np.lexsort((-every["value"], owner))  # stable: of equals the lower number stays first
        every, owner = every[order], owner[order]
        starts = np.searchsorted(owner, touched)
        rank = np.arange(len(owner)) - starts[np.searchsorted(touched, owner)]
        kept = rank < N_NEAREST
        self.entries[owner[kept], rank[kept]] = every[kept]


class Candidates(NamedTuple):
    """What a block offers to one measure's lists of either side."""

    measure: str
    rows: tuple[NDArray[np.int64], NDArray]
    columns: tuple[NDArray[np.int64], NDArray]


@dataclass(frozen=True)
class Nearest:
    """The best partners of all latents of two coders, by measure. `counts` Int64[ndarray, " n"]: firing tokens."""

    best: tuple[dict[str, Best], dict[str, Best]]
    counts: tuple[NDArray[np.int64], NDArray[np.int64]]

    @staticmethod
    def empty(n: int, m: int) -> "Nearest":
        best = {measure: Best(n) for measure in MEASURES}, {measure: Best(m) for measure in MEASURES}
        return Nearest(best, (np.zeros(n, np.int64), np.zeros(m, np.int64)))

    def take(self, blocks: Iterable[Block], right: Block) -> Iterator[int]:
        """Compare blocks of the first coder with one of the second (`by_token`), some at once; gives how many latents each had.
        The result does not depend on the order of the threads."""
        self.counts[1][right.first : right.stop] = right.counts
        waiting: deque[tuple[Block, Future[list[Candidates]]]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            for left in blocks:
                waiting.append((left, pool.submit(self._candidates, left, right)))
                if len(waiting) > THREADS:
                    yield self._keep(*waiting.popleft())
            while waiting:
                yield self._keep(*waiting.popleft())

    def _keep(self, left: Block, candidates: "Future[list[Candidates]]") -> int:
        self.counts[0][left.first : left.stop] = left.counts
        for measure, rows, columns in candidates.result():
            self.best[0][measure].offer(*rows)
            self.best[1][measure].offer(*columns)
        return len(left.counts)

    def _candidates(self, left: Block, right: Block) -> list[Candidates]:
        """All pairs of two blocks, as dense arrays, and what may be among the best of them."""
        both = (left.ones @ right.ones).toarray()
        correlation = (left.values @ right.values).toarray()
        correlation -= np.outer(left.means, right.means)
        shared = both.astype(np.float32)
        n, m = (side.counts.astype(np.float32) for side in (left, right))
        jaccard = shared / np.maximum(n[:, None] + m - shared, 1)
        matrices = {
            "correlation": (correlation, correlation),
            "jaccard": (jaccard, jaccard),
            "parts": (
                np.where(shared > INSIDE * m, shared, 0),
                np.where(shared > INSIDE * n[:, None], shared, 0),
            ),
        }
        candidates = []
        for measure, (of_rows, of_columns) in matrices.items():
            least = (
                self.best[0][measure].least(left.first, left.stop),
                self.best[1][measure].least(right.first, right.stop),
            )
            offers = []
            for axis, values in ((1, of_rows), (0, of_columns)):
                at = _above(values, least[1 - axis], axis)
                entries = np.empty(len(at[0]), ENTRY)
                entries["latent"] = at[axis] + (right.first if axis else left.first)
                entries["value"] = values[at]
                entries["correlation"] = np.clip(correlation[at], -1, 1)
                entries["both"] = both[at]
                offers.append((at[1 - axis] + (left.first if axis else right.first), entries))
            candidates.append(Candidates(measure, offers[0], offers[1]))
        return candidates


def _above(values: NDArray[np.float32], least: NDArray[np.float32], axis: int) -> tuple[NDArray, NDArray]:
    """Where values lie above `least` and may be among the `N_NEAREST` largest along the axis. While there are no lists yet to
    set `least`, what counts is the `N_NEAREST`th of the maxima of `N_GROUPS` groups: a sort of whole rows would take longer
    than the product."""
    bound = least
    width = values.shape[axis] // N_GROUPS
    if width > 1 and np.count_nonzero(least) < len(least) // 2:
        n = N_GROUPS * width
        if axis:
            maxima = values[:, :n].reshape(len(values), N_GROUPS, width).max(2)
        else:
            maxima = values[:n].reshape(N_GROUPS, width, -1).max(1)
        place = N_GROUPS - N_NEAREST
        tops = np.take(np.partition(maxima, place, axis), place, axis)
        bound = np.maximum(least, np.nextafter(tops, np.float32(-np.inf)))
    rows, columns = np.nonzero(values > (bound[:, None] if axis else bound))
    return rows, columns


def height(n_columns: int) -> int:
    """Latents in a block of rows against so many columns."""
    return max(1, BLOCK_BYTES // (4 * max(n_columns, 1)))
