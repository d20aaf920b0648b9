"""Held-out windows of many latents at once, as places: what `build_groups` draws from the held-out side of a split when it is
asked for quantiles and random non-activating windows alone, for scorers that look at neither tokens nor activations.

Each latent gets the corpus to itself, one after the other in one long axis: latent `i` of `n` fires at `i * n_tokens + token`,
in context `i * n_contexts + context`. So a hundred latents cost little more numpy calls than one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from autointerp.sampling.groups import SPARE, Mark, peaks, take_unseen, unlike
from autointerp.sampling.split import heldout_side
from autointerp.sampling.windows import (
    N_QUANTILES,
    Spans,
    Tokens,
    check_window,
    falling,
    positive_windows,
    quantile_bounds,
    quantile_of_rank,
    random_ranks,
    signatures,
)
from autointerp.types import LatentActivations

_CHUNK = 256
"""Windows looked at together where the first few did not do."""


@dataclass(frozen=True)
class Ask:
    """One latent: all its firings, windows that nothing drawn may share a context with or resemble, and the generators of the
    split and of the draws."""

    acts: LatentActivations
    shown: Spans
    split_rng: np.random.Generator
    rng: np.random.Generator
    heldout_fraction: float = 0.5


@dataclass(frozen=True)
class Drawn:
    """Windows that were chosen, but not cut out. `quantile` Int64[ndarray, " n"]: of the activating ones."""

    activating: Spans
    quantile: NDArray[np.int64]
    non_activating: Spans


def draw_heldout(
    asked: Sequence[Ask], tokens: Tokens, *, window: int | None, n_per_quantile: int, n_non_activating: int
) -> list[Drawn]:
    """What each asks for, in the order of `build_groups`. Memory: 20 bytes per firing and context of all together."""
    if not asked:
        return []
    tokens = np.asarray(tokens)
    axis = _Axis(asked, tokens, check_window(window, tokens.shape[1]))
    silent = axis.silent(n_non_activating)
    activating = axis.per_quantile(n_per_quantile)
    return [
        Drawn(places, quantile, other) for (places, quantile), other in zip(activating, silent, strict=True)
    ]


class _Axis:
    """All that the draws of some latents have in common."""

    def __init__(self, asked: Sequence[Ask], tokens: Tokens, width: int):
        self.asked, self.tokens, self.width = asked, tokens, width
        self.n_contexts, self.ctx_len = tokens.shape
        self.shown = np.concatenate([one.shown for one in asked])
        self.shown_ends = np.cumsum([0, *(len(one.shown) for one in asked)])
        every = self._all_firings()
        context = every.token // self.ctx_len
        self.heldout = self._heldout(context)  # Bool, " n_asked*n_contexts"
        self.avoided = self._marks_of_shown(every)
        self.avoided_texts = _sets(self._texts(self.shown), self.shown_ends)
        keep = np.flatnonzero(self.heldout[context])
        self.found = positive_windows(
            LatentActivations(every.token[keep], every.activation[keep]), ctx_len=self.ctx_len, window=width
        )
        self.owner = self.found.context // self.n_contexts
        self.ends = np.searchsorted(self.owner, np.arange(len(asked) + 1))  # each latent's positive windows

    def _all_firings(self) -> LatentActivations:
        sizes = [len(one.acts.token) for one in self.asked]
        token = np.empty(sum(sizes), dtype=np.int64)
        at = 0
        for i, (one, size) in enumerate(zip(self.asked, sizes, strict=True)):
            np.add(one.acts.token, i * self.tokens.size, out=token[at : at + size])
            at += size
        return LatentActivations(token, np.concatenate([one.acts.activation for one in self.asked]))

    def _heldout(self, context: NDArray[np.int64]) -> NDArray[np.bool_]:
        fires = np.zeros(len(self.asked) * self.n_contexts, dtype=bool)
        fires[context] = True
        sides = [
            heldout_side(part, one.split_rng, one.heldout_fraction)
            for part, one in zip(fires.reshape(-1, self.n_contexts), self.asked, strict=True)
        ]
        heldout = np.concatenate(sides)
        owner = np.repeat(np.arange(len(self.asked)), np.diff(self.shown_ends))
        heldout[owner * self.n_contexts + self.shown[:, 0]] = False
        return heldout

    def _marks_of_shown(self, every: LatentActivations) -> list[set[int]]:
        """Per latent the signatures of what was shown, where it fires."""
        context, start, stop = self.shown.T
        owner = np.repeat(np.arange(len(self.asked)), np.diff(self.shown_ends))
        row = owner * self.tokens.size + context * self.ctx_len
        low, high = np.searchsorted(every.token, row + start), np.searchsorted(every.token, row + stop)
        fires = high > low
        peak = peaks(every, low[fires], high[fires])
        marks = signatures(peak % self.tokens.size, self.tokens)
        return _sets(marks.tolist(), np.searchsorted(owner[fires], np.arange(len(self.asked) + 1)))

    def per_quantile(self, n: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Per latent the places and quantiles of `n` random windows of each tenth, all with marks of their own, by rank."""
        found, ends = self.found, self.ends
        if not len(found):
            return [(np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64))] * len(self.asked)
        # Each latent's windows in falling order of maximum: a place in `order` is where the latent's begin, and a rank.
        order = np.concatenate([falling(found.maximum[a:b]) + a for a, b in pairwise(ends.tolist())])
        bounds = ends[:-1, None] + quantile_bounds(np.diff(ends))
        chance = np.stack([one.rng.random((N_QUANTILES, n + SPARE)) for one in self.asked])
        head = np.maximum(random_ranks(chance, bounds), 0)
        marks = cast("list[list[list[int]]]", self._marks(order[head]).tolist())
        where = cast("list[list[list[list[int]]]]", self._spans(order[head]).tolist())
        heads, limits = head.tolist(), bounds.tolist()
        chosen: list[int] = []
        for i, one in enumerate(self.asked):
            seen, texts = set(self.avoided[i]), self.avoided_texts[i]
            for quantile, (low, high) in enumerate(pairwise(limits[i])):
                if low == high:
                    continue
                pairs = zip(heads[i][quantile], marks[i][quantile], strict=True)
                new = unlike(pairs, where[i][quantile], texts, self.tokens)
                left = n - take_unseen(new, n, seen, chosen)
                for part in _chunks(one.rng.permutation(np.arange(low, high))) if left else ():
                    pairs = zip(part.tolist(), self._marks(order[part]).tolist(), strict=True)
                    new = unlike(pairs, self._spans(order[part]).tolist(), texts, self.tokens)
                    left -= take_unseen(new, left, seen, chosen)
                    if not left:
                        break
        picked = np.sort(np.array(chosen, dtype=np.int64))
        cuts = np.searchsorted(picked, ends[1:-1])
        owner = np.searchsorted(ends, picked, side="right") - 1
        quantile = quantile_of_rank(picked - ends[owner], np.diff(ends)[owner])
        places = self._spans(order[picked])
        return list(zip(np.split(places, cuts), np.split(quantile, cuts), strict=True))

    def _spans(self, windows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Int64[ndarray, "*n 3"]: where positive windows lie in the corpus."""
        found = self.found
        context = found.context[windows] % self.n_contexts
        return np.stack([context, found.start[windows], found.stop[windows]], axis=-1)

    def _marks(self, windows: NDArray[np.int64]) -> NDArray[np.uint64]:
        return signatures(self.found.peak[windows] % self.tokens.size, self.tokens)

    def silent(self, n: int) -> list[NDArray[np.int64]]:
        """Per latent `n` random windows of its contexts in which it is silent, Int64[ndarray, "n 3"], each text once and none
        that was shown."""
        per_context = -(-self.ctx_len // self.width)
        row_of = np.cumsum(self.heldout) - 1
        rows = np.flatnonzero(self.heldout)
        first_row = np.searchsorted(rows, np.arange(len(self.asked) + 1) * self.n_contexts)
        # A window's number is row * per_context + slot; the firing ones are taken out of the range by their rank.
        firing = row_of[self.found.context] * per_context + self.found.start // self.width
        gaps = firing - np.arange(len(firing))
        n_firing, n_rows = np.diff(self.ends), np.diff(first_row)
        n_silent = (n_rows * per_context - n_firing).tolist()
        draws = [
            one.rng.choice(size, size=min(3 * n, size), replace=False, shuffle=True)
            for one, size in zip(self.asked, n_silent, strict=True)
        ]
        owner = np.repeat(np.arange(len(self.asked)), [len(one) for one in draws])
        # Latents lie one after the other here too: before the silent windows of each are those of the latents before it.
        number = np.concatenate(draws) + np.concatenate([[0], np.cumsum(n_silent)])[owner]
        number += np.searchsorted(gaps, number, side="right")
        at = number // per_context
        start = (number - at * per_context) * self.width
        places = np.stack(
            [rows[at] - owner * self.n_contexts, start, np.minimum(start + self.width, self.ctx_len)], axis=1
        )
        ends = np.cumsum([0, *map(len, draws)])
        # At once what is surely looked at.
        heads = np.minimum(ends[:-1] + n + SPARE, ends[1:])
        looked_at = np.concatenate([np.arange(a, b) for a, b in zip(ends, heads, strict=False)])
        texts = iter(self._texts(places[looked_at]))
        chosen = []
        for begin, head, end, seen in zip(
            ends.tolist(), heads.tolist(), ends[1:].tolist(), self.avoided_texts, strict=False
        ):
            seen = set(seen)
            picked: list[int] = []
            pairs = list(zip(range(begin, head), texts, strict=False))
            left = n - take_unseen(pairs, n, seen, picked)
            if left and head < end:
                take_unseen(
                    zip(range(head, end), self._texts(places[head:end]), strict=True), left, seen, picked
                )
            chosen.append(places[picked])
        return chosen

    def _texts(self, places: NDArray[np.int64]) -> list[bytes]:
        """What stands there, as something that is equal for equal tokens only."""
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


def _sets(values: Sequence[Mark], ends: NDArray[np.integer]) -> list[set[Mark]]:
    """The values between each two of `ends`."""
    return [set(values[begin:end]) for begin, end in pairwise(ends.tolist())]


def _chunks(values: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """As they come, some at a time."""
    for first in range(0, len(values), _CHUNK):
        yield values[first : first + _CHUNK]
