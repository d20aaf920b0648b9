"""Some latents on one long axis: each gets the corpus to itself, one after the other. Latent `i` of `n` fires at
`i * n_tokens + token`, in context `i * n_contexts + context`. So a hundred latents take little more numpy calls than one.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autointerp.sampling.windows import (
    Places,
    Spans,
    Tokens,
    falling,
    no_spans,
    positive_windows,
    quantile_bounds,
    quantile_of_rank,
    random_ranks,
    signatures,
    strongest,
)
from autointerp.types import N_QUANTILES, LatentActivations

SPARE = 4
"""Windows looked at beyond those that are wanted, at first: near-duplicates are few."""
_CHUNK = 256
"""Windows looked at together where the first few did not do."""

Mark = TypeVar("Mark", bound=Hashable)
NeighbourActivations = Sequence[tuple[int, LatentActivations]]


@dataclass(frozen=True)
class Request:
    """One latent: all its activations, and the generator of its draws.

    `contexts` Bool[ndarray, " n_contexts"]: only these rows, for one side of a split; quantiles are then taken over these rows.
    `avoid`: windows, such as those that an explainer was shown, whose near-duplicates are left out of quantiles and
    non-activating windows. `neighbours`: similar latents, which lend the hard negatives. `lengths` Int64[ndarray, "
    n_contexts"]: tokens of text in each row, where padding follows, which no window holds; the same for all requests.
    """

    acts: LatentActivations
    rng: np.random.Generator
    contexts: NDArray[np.bool_] | None = None
    avoid: Spans = field(default_factory=no_spans)
    neighbours: NeighbourActivations = ()
    lengths: NDArray[np.int64] | None = None


class Axis:
    """What some latents' draws have in common. Positive windows are named by rank: their place in falling order of maximum,
    counted through all latents; latent `i` has those from `ends[i]` to `ends[i + 1]`."""

    def __init__(
        self,
        requests: Sequence[Request],
        tokens: Tokens,
        width: int,
        *,
        centre: int | None,
        dedupe: bool,
        counted: bool,
    ):
        self.requests, self.tokens, self.width = requests, tokens, width
        self.dedupe, self.counted = dedupe, counted
        self.n_contexts, self.ctx_len = tokens.shape
        self.lengths = requests[0].lengths
        self.every = self._all_activations()
        self.allowed = self._allowed_contexts()
        acts = self.every if self.allowed is None else within(self.every, self.allowed, self.ctx_len)
        self.windows = positive_windows(acts, ctx_len=self.ctx_len, window=width, centre=centre)
        self.aligned = (
            self.windows if centre is None else positive_windows(acts, ctx_len=self.ctx_len, window=width)
        )
        self.ends = self._ends(self.windows.context)
        pairs = pairwise(self.ends.tolist())
        self.by_rank = np.concatenate([falling(self.windows.maximum[a:b]) + a for a, b in pairs])

    def _all_activations(self) -> LatentActivations:
        if len(self.requests) == 1:
            return self.requests[0].acts
        sizes = [len(request.acts.token) for request in self.requests]
        token = np.empty(sum(sizes), dtype=np.int64)
        at = 0
        for i, (request, size) in enumerate(zip(self.requests, sizes, strict=True)):
            np.add(request.acts.token, i * self.tokens.size, out=token[at : at + size])
            at += size
        return LatentActivations(
            token, np.concatenate([request.acts.activation for request in self.requests])
        )

    def _allowed_contexts(self) -> NDArray[np.bool_] | None:
        """`None`: every one."""
        if all(request.contexts is None for request in self.requests):
            return None
        allowed = np.ones(len(self.requests) * self.n_contexts, dtype=bool)
        for i, request in enumerate(self.requests):
            if request.contexts is not None:
                allowed[i * self.n_contexts : (i + 1) * self.n_contexts] = request.contexts
        return allowed

    def _ends(self, context: NDArray[np.int64]) -> NDArray[np.intp]:
        """Where each latent's windows begin, and the end."""
        return np.searchsorted(context, np.arange(len(self.requests) + 1) * self.n_contexts)

    # Positive windows ----------------------------------------------------------------------------

    def random(self, i: int, n: int) -> list[int]:
        """Ranks of `n` random windows of latent `i`."""
        if not n:
            return []
        begin, end = self.ends[i : i + 2].tolist()
        return self._first_unseen(self._rank[self.requests[i].rng.permutation(end - begin) + begin], n, set())

    def top(self, i: int, n: int) -> list[int]:
        """Ranks of the `n` strongest windows of latent `i`."""
        return self._first_unseen(np.arange(*self.ends[i : i + 2]), n, set()) if n else []

    def quantiles(self, n: int) -> list[list[int]]:
        """Per latent the ranks of `n` random windows of each tenth."""
        chance = np.stack([request.rng.random((N_QUANTILES, n + SPARE)) for request in self.requests])
        chosen: list[list[int]] = [[] for _ in self.requests]
        if not n or not len(self.by_rank):
            return chosen
        bounds = self.ends[:-1, None] + quantile_bounds(np.diff(self.ends))
        heads = np.maximum(random_ranks(chance, bounds), 0)
        marks = self._marks(heads).tolist()
        places = self._spans(heads).tolist() if len(self._avoided) else None
        avoided = self._avoided_marks()
        for i, (limits, of_latent) in enumerate(zip(bounds.tolist(), heads.tolist(), strict=True)):
            seen, texts = avoided[i], self._avoided_texts[i]
            for quantile, (low, high) in enumerate(pairwise(limits)):
                if low == high:
                    continue
                pairs: Iterable[tuple[int, int]] = zip(of_latent[quantile], marks[i][quantile], strict=True)
                if texts and places is not None:
                    pairs = self._unlike(pairs, places[i][quantile], texts)
                left = n - take_unseen(pairs, n, seen, chosen[i])
                if (
                    left
                ):  # what was drawn twice, or looks like others: then all of them, in another random order
                    ranks = self.requests[i].rng.permutation(np.arange(low, high))
                    chosen[i] += self._first_unseen(ranks, left, seen, texts)
        return [sorted(ranks) for ranks in chosen]

    def places(self, i: int, ranks: list[int]) -> Places:
        """Where latent `i`'s windows of these ranks lie."""
        at = np.array(ranks, dtype=np.int64)
        begin, end = self.ends[i : i + 2]
        quantile = quantile_of_rank(at - begin, end - begin).tolist()
        return Places(
            self._spans(at),
            quantile=quantile,
            source=["activating"] * len(at),
            neighbour=[None] * len(at),
            n_duplicates=self._copies(i, at) if self.counted else [0] * len(at),
        )

    def _first_unseen(
        self, ranks: NDArray[np.int64], n: int, seen: set[int], texts: Set[bytes] = frozenset()
    ) -> list[int]:
        """The first `n` of `ranks` with marks not in `seen`, which grows, and other tokens than all of `texts`."""
        chosen: list[int] = []
        for part in _chunks(ranks, n + SPARE):
            pairs: Iterable[tuple[int, int]] = zip(part.tolist(), self._marks(part).tolist(), strict=True)
            if texts:
                pairs = self._unlike(pairs, self._spans(part).tolist(), texts)
            take_unseen(pairs, n - len(chosen), seen, chosen)
            if len(chosen) == n:
                break
        return chosen

    def _unlike(
        self, pairs: Iterable[tuple[int, Mark]], places: Iterable[Sequence[int]], texts: Set[bytes]
    ) -> Iterable[tuple[int, Mark]]:
        """Those of `pairs` whose windows, which lie at `places`, hold other tokens than all of `texts`."""
        return (
            pair
            for pair, (context, start, stop) in zip(pairs, places, strict=True)
            if self.tokens[context, start:stop].tobytes() not in texts
        )

    @cached_property
    def _rank(self) -> NDArray[np.int64]:
        """Of each window, in the order of the corpus."""
        rank = np.empty(len(self.by_rank), dtype=np.int64)
        rank[self.by_rank] = np.arange(len(rank))
        return rank

    def _spans(self, ranks: NDArray[np.int64]) -> Spans:
        """Int64[ndarray, "*n 3"]."""
        at = self.by_rank[ranks]
        context = self.windows.context[at] % self.n_contexts
        return np.stack([context, self.windows.start[at], self._cut(context, self.windows.stop[at])], axis=-1)

    def _cut(self, context: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where windows end: with the text of their context at the latest."""
        return stop if self.lengths is None else np.minimum(stop, self.lengths[context])

    def _marks(self, ranks: NDArray[np.int64]) -> NDArray[Any]:
        """What tells windows apart: near-duplicates share a mark. Without `dedupe` every window has its own."""
        if not self.dedupe:
            return ranks
        if self.counted:
            return self._every_mark[self.by_rank[ranks]]
        return signatures(self.windows.peak[self.by_rank[ranks]] % self.tokens.size, self.tokens)

    @cached_property
    def _every_mark(self) -> NDArray[np.uint64]:
        """Of all windows in the order of the corpus, which is the fastest to read them in."""
        return signatures(self.windows.peak % self.tokens.size, self.tokens)

    @cached_property
    def _sorted_marks(self) -> list[NDArray[np.uint64]]:
        """Of each latent."""
        return [np.sort(self._every_mark[begin:end]) for begin, end in pairwise(self.ends.tolist())]

    def _copies(self, i: int, ranks: NDArray[np.int64]) -> list[int]:
        """How many other windows of latent `i` look like each."""
        every, marks = self._sorted_marks[i], self._marks(ranks)
        first = np.searchsorted(every, marks, side="left")
        return (np.searchsorted(every, marks, side="right") - first - 1).tolist()

    # Windows to avoid ----------------------------------------------------------------------------

    @cached_property
    def _avoided(self) -> Spans:
        return np.concatenate([request.avoid for request in self.requests])

    @cached_property
    def _avoided_ends(self) -> NDArray[np.intp]:
        return np.cumsum([0, *(len(request.avoid) for request in self.requests)])

    @cached_property
    def _avoided_texts(self) -> list[set[bytes]]:
        """Per latent: at the edge of a context row a signature sees less of a text than a window shows."""
        return _sets(self._texts(self._avoided), self._avoided_ends)

    def _avoided_marks(self) -> list[set[int]]:
        """Per latent the signatures of the windows to avoid in which it fires."""
        if not len(self._avoided):
            return [set() for _ in self.requests]
        context, start, stop = self._avoided.T
        owner = np.repeat(np.arange(len(self.requests)), np.diff(self._avoided_ends))
        row = owner * self.tokens.size + context * self.ctx_len
        token = self.every.token
        low, high = np.searchsorted(token, row + start), np.searchsorted(token, row + stop)
        fires = high > low
        marks = signatures(peaks(self.every, low[fires], high[fires]) % self.tokens.size, self.tokens)
        ends = np.searchsorted(owner[fires], np.arange(len(self.requests) + 1))
        return _sets(marks.tolist(), ends)

    # Non-activating windows ----------------------------------------------------------------------

    def seen_negatives(self) -> list[set[Hashable]]:
        """Per latent what no negative may be like; it grows with those taken."""
        if self.dedupe:
            return [set(texts) for texts in self._avoided_texts]
        return _sets(self._keys(self._avoided), self._avoided_ends)

    def hard(self, i: int, n: int, seen: set[Hashable]) -> Places:
        """Windows in which a neighbour fires and latent `i` does not: in turn from each neighbour, random among its windows."""
        request = self.requests[i]
        lent: list[tuple[NDArray[np.int64], ...]] = []
        for latent, acts in request.neighbours:
            if request.contexts is not None:
                acts = within(acts, request.contexts, self.ctx_len)
            windows = positive_windows(acts, ctx_len=self.ctx_len, window=self.width)
            row = windows.context * self.ctx_len
            token = request.acts.token
            silent = np.searchsorted(token, row + windows.start) == np.searchsorted(token, row + windows.stop)
            at = request.rng.permutation(np.flatnonzero(silent))[: 3 * n]
            turn, lender = np.arange(len(at)), np.full(len(at), latent)
            stop = self._cut(windows.context[at], windows.stop[at])
            lent.append((windows.context[at], windows.start[at], stop, lender, turn))
        if not lent:
            return Places.negatives(no_spans(), "neighbours")
        *columns, turn = (np.concatenate(column) for column in zip(*lent, strict=True))
        turns = np.stack(columns, axis=1)[np.argsort(turn, kind="stable")]
        chosen: list[int] = []
        take_unseen(enumerate(self._keys(turns[:, :3])), n, seen, chosen)
        return Places.negatives(turns[chosen, :3], "neighbours", turns[chosen, 3].tolist())

    def silent(self, n: int, seen: list[set[Hashable]]) -> list[Places]:
        """Per latent `n` random windows in which it does not fire, uniformly among all of them."""
        per_context = -(-self.ctx_len // self.width)
        row, first_row = self.aligned.context, np.arange(len(self.requests) + 1) * self.n_contexts
        rows = None if self.allowed is None else np.flatnonzero(self.allowed)
        if rows is not None:  # only these count
            row, first_row = np.searchsorted(rows, row), np.searchsorted(rows, first_row)
        # A window's number is row * per_context + slot; the firing ones are taken out of the range by their rank.
        firing = row * per_context + self.aligned.start // self.width
        if self.lengths is not None:  # so are those of padding
            every = np.arange(first_row[-1]) if rows is None else rows
            first_blank = -(-self.lengths // self.width)[every % self.n_contexts]
            blank = np.arange(per_context) >= first_blank[:, None]
            firing = np.union1d(firing, np.flatnonzero(blank))
        gaps = firing - np.arange(len(firing))
        taken = np.diff(np.searchsorted(firing, first_row * per_context))
        n_silent = (np.diff(first_row) * per_context - taken).tolist()
        draws = [
            request.rng.choice(size, size=min(3 * n, size), replace=False, shuffle=True)
            for request, size in zip(self.requests, n_silent, strict=True)
        ]
        owner = np.repeat(np.arange(len(self.requests)), [len(draw) for draw in draws])
        # Latents lie one after the other here too: before the silent windows of each are those of the latents before it.
        number = np.concatenate(draws) + np.cumsum([0, *n_silent])[owner]
        number += np.searchsorted(gaps, number, side="right")
        at = number // per_context
        start = (number - at * per_context) * self.width
        context = (at if rows is None else rows[at]) - owner * self.n_contexts
        stop = self._cut(context, np.minimum(start + self.width, self.ctx_len))
        places = np.stack([context, start, stop], axis=1)
        ends = np.cumsum([0, *map(len, draws)]).tolist()
        heads = [min(begin + n + SPARE, end) for begin, end in pairwise(ends)]
        # At once what is surely looked at.
        looked_at = np.concatenate([np.arange(a, b) for a, b in zip(ends, heads, strict=False)])
        keys = iter(self._keys(places[looked_at]))
        silent = []
        for begin, head, end, taken in zip(ends, heads, ends[1:], seen, strict=False):
            chosen: list[int] = []
            left = n - take_unseen(list(zip(range(begin, head), keys, strict=False)), n, taken, chosen)
            if left and head < end:
                rest = zip(range(head, end), self._keys(places[head:end]), strict=True)
                take_unseen(rest, left, taken, chosen)
            silent.append(Places.negatives(places[chosen], "random"))
        return silent

    def _keys(self, places: Spans) -> list[Any]:
        """What tells negatives apart: each text once, or each window."""
        return self._texts(places) if self.dedupe else list(map(tuple, places[:, :2].tolist()))

    def _texts(self, places: Spans) -> list[bytes]:
        """The tokens that stand there."""
        if not len(places):
            return []
        context, start, stop = places.T
        size = stop - start
        offsets = np.arange(int(size.max()))
        flat = self.tokens.reshape(-1)
        ids = flat.take((context * self.ctx_len + start)[:, None] + offsets, mode="clip")
        rows = ids.view(np.dtype((np.void, ids.itemsize * ids.shape[1]))).ravel().tolist()
        if (size < ids.shape[1]).any():
            rows = [row[: n * ids.itemsize] for row, n in zip(rows, size.tolist(), strict=True)]
        return rows


def take_unseen(pairs: Iterable[tuple[int, Mark]], n: int, seen: set[Mark], chosen: list[int]) -> int:
    """Adds at most `n` of the indices with marks not in `seen` to `chosen`, and their marks to `seen`; how many."""
    if n <= 0:
        return 0
    left = n
    for index, mark in pairs:
        if mark not in seen:
            seen.add(mark)
            chosen.append(index)
            left -= 1
            if not left:
                break
    return n - left


def peaks(acts: LatentActivations, low: NDArray[np.integer], high: NDArray[np.integer]) -> NDArray[np.int64]:
    """Of each range of activations `low:high`, none of them empty, the token of the strongest, the first of equals."""
    if not len(low):
        return np.zeros(0, dtype=np.int64)
    count = high - low
    begin = np.cumsum(count) - count
    index = np.arange(int(count.sum())) + np.repeat(low - begin, count)
    owner = np.repeat(np.arange(len(low)), count)
    return acts.token[index[strongest(acts.activation[index], begin, owner)]]


def within(acts: LatentActivations, contexts: NDArray[np.bool_], ctx_len: int) -> LatentActivations:
    """The activations in the rows marked in `contexts` Bool[ndarray, " n_contexts"]."""
    keep = np.flatnonzero(contexts[acts.token // ctx_len])
    return LatentActivations(acts.token[keep], acts.activation[keep])


def _sets(values: Sequence[Any], ends: NDArray[np.integer]) -> list[set[Any]]:
    """The values between each two of `ends`."""
    return [set(values[begin:end]) for begin, end in pairwise(ends.tolist())]


def _chunks(values: NDArray[np.int64], first: int) -> Iterator[NDArray[np.int64]]:
    """As they come: `first` of them, then some at a time."""
    yield values[:first]
    for begin in range(first, len(values), _CHUNK):
        yield values[begin : begin + _CHUNK]
