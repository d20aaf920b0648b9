"""Groups of examples of one latent, as shown to a person, an explainer or a judge.

- `top`: falling order of maximum, ties by position.
- `random`: random positive windows.
- `quantiles`: random windows of each tenth of the positive windows, 0 = strongest, as one list.
- `non_activating`: random windows in which the latent is silent, then hard negatives: windows in which a similar latent
  fires and this one is silent, marked by `source` and `neighbour`.

Within a group no two windows are near-duplicates (see `autointerp.sampling.windows`); `n_duplicates` of an example counts
the positive windows that look like it. Everything follows from the generator passed in.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autointerp.sampling.windows import (
    N_QUANTILES,
    Spans,
    Tokens,
    Windows,
    check_window,
    cut_many,
    positive_windows,
    quantile_bounds,
    random_ranks,
    signatures,
    strongest,
)
from autointerp.types import Example, Group, LatentActivations

SPARE = 4
"""Windows looked at beyond those that are wanted, at first: near-duplicates are few."""

Mark = TypeVar("Mark")
NeighbourActivations = Sequence[tuple[int, LatentActivations]]


def build_groups(
    acts: LatentActivations,
    tokens: Tokens,
    *,
    rng: np.random.Generator,
    window: int | None = 32,
    n_top: int = 10,
    n_random: int = 5,
    n_per_quantile: int = 3,
    n_non_activating: int = 5,
    n_hard: int = 5,
    neighbour_acts: NeighbourActivations = (),
    centre: int | None = None,
    contexts: NDArray[np.bool_] | None = None,
    dedupe: bool = True,
    count_duplicates: bool = True,
    avoid: "Avoid | None" = None,
) -> dict[Group, list[Example]]:
    """All four groups of a latent; shorter where the corpus has fewer windows.

    `window` in tokens, `None` = full contexts. `centre`: see `positive_windows`. `contexts` Bool[ndarray, " n_contexts"]:
    only these rows, for one side of a split; quantiles are then taken over these rows. Without `count_duplicates` the
    same windows come back, faster, with `n_duplicates` 0. `avoid`: near-duplicates of these are left out of quantiles and
    non-activating windows.
    """
    tokens = np.asarray(tokens)  # a memory map's own type costs a little at every slice
    ctx_len = tokens.shape[1]
    width = check_window(window, ctx_len)
    if contexts is not None:
        acts = within(acts, contexts, ctx_len)
    found = positive_windows(acts, ctx_len=ctx_len, window=width, centre=centre)
    marks = _Marks(found.peak, tokens, distinct=dedupe, count=count_duplicates)
    quantile = found.quantile

    def cut_all(chosen: list[int]) -> list[Example]:
        if not chosen:
            return []
        places = np.stack([found.context[chosen], found.start[chosen], found.stop[chosen]], axis=1)
        return cut_many(
            acts, tokens, [(context, start, stop) for context, start, stop in places.tolist()],
            quantile=quantile[chosen].tolist(), n_duplicates=marks.copies(chosen),
        )  # fmt: skip

    order = rng.permutation(len(found)) if n_random else np.zeros(0, dtype=np.int64)
    seen = _Seen(tokens, dedupe, avoid)
    hard = _hard_negatives(acts, tokens, width, n_hard, neighbour_acts, rng=rng, contexts=contexts, seen=seen)
    aligned = found if centre is None else positive_windows(acts, ctx_len=ctx_len, window=width)
    places = _silent_windows(aligned, tokens, width, n_non_activating, rng=rng, contexts=contexts, seen=seen)
    silent = cut_many(acts, tokens, places, source="random")
    return {
        "random": cut_all(_first_unseen(order, marks.pairs, n_random)),
        "top": cut_all(_first_unseen(found.by_strength, marks.pairs, n_top)),
        "quantiles": cut_all(_per_quantile(found, tokens, rng, marks, n_per_quantile, avoid)),
        "non_activating": [*silent, *hard],
    }


@dataclass(frozen=True)
class Avoid:
    """Windows that others must not resemble: what an explainer was shown. `marks`: the signatures of those in which the latent
    fires; `texts`: the tokens of all, for at the edge of a context row a signature sees less of a text than a window shows."""

    places: Spans
    marks: frozenset[int]
    texts: frozenset[bytes]


def avoid_windows(acts: LatentActivations, tokens: Tokens, places: Spans) -> Avoid:
    """`places`: windows of this corpus; `acts`: all firings of the latent."""
    context, start, stop = places.T
    first = context * tokens.shape[1]
    low, high = np.searchsorted(acts.token, first + start), np.searchsorted(acts.token, first + stop)
    fires = high > low
    marks = signatures(peaks(acts, low[fires], high[fires]), np.asarray(tokens))
    texts = frozenset(tokens[context, start:stop].tobytes() for context, start, stop in places.tolist())
    return Avoid(places, frozenset(marks.tolist()), texts)


def peaks(acts: LatentActivations, low: NDArray[np.integer], high: NDArray[np.integer]) -> NDArray[np.int64]:
    """Of each range of firings `low:high`, none of them empty, the token of the strongest, the first of equals."""
    if not len(low):
        return np.zeros(0, dtype=np.int64)
    count = high - low
    begin = np.cumsum(count) - count
    index = np.arange(int(count.sum())) + np.repeat(low - begin, count)
    owner = np.repeat(np.arange(len(low)), count)
    return acts.token[index[strongest(acts.activation[index], begin, owner)]]


def within(acts: LatentActivations, contexts: NDArray[np.bool_], ctx_len: int) -> LatentActivations:
    """The firings in the rows marked in `contexts` Bool[ndarray, " n_contexts"]."""
    keep = contexts[acts.token // ctx_len]
    return LatentActivations(acts.token[keep], acts.activation[keep])


class _Marks:
    """What tells windows apart: near-duplicates share a mark. Without `distinct` every window has its own. All marks
    are made where copies are counted, else only those that are asked for."""

    def __init__(self, peak: NDArray[np.int64], tokens: Tokens, *, distinct: bool, count: bool):
        self._peak, self._tokens, self._distinct = peak, tokens, distinct
        self._known: dict[int, int] = {}
        self._all = signatures(peak, tokens) if distinct and count else None
        self._in_order = None if self._all is None else np.sort(self._all)

    def of(self, indices: NDArray[np.int64]) -> list[int]:
        """The marks of these windows."""
        if not self._distinct:
            return indices.tolist()
        if self._all is not None:
            return self._all[indices].tolist()
        wanted = indices.tolist()
        new = [index for index in wanted if index not in self._known]
        if new:
            self._known |= zip(new, signatures(self._peak[new], self._tokens).tolist(), strict=True)
        return [self._known[index] for index in wanted]

    def pairs(self, indices: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
        """Each index with its mark."""
        return zip(indices.tolist(), self.of(indices), strict=True)

    def copies(self, indices: list[int]) -> list[int]:
        """How many other windows carry the mark of each; 0 where they are not counted."""
        if self._all is None or self._in_order is None:
            return [0] * len(indices)
        marks = self._all[indices]
        first = np.searchsorted(self._in_order, marks, side="left")
        return (np.searchsorted(self._in_order, marks, side="right") - first - 1).tolist()


def _first_unseen(
    order: NDArray[np.int64],
    pairs: Callable[[NDArray[np.int64]], Iterable[tuple[int, int]]],
    n: int,
    seen: set[int] | None = None,
) -> list[int]:
    """The first `n` of `order` with marks not in `seen`, which grows. `pairs`: those that may be taken, with their marks."""
    seen = set() if seen is None else seen
    chosen: list[int] = []
    for start in range(0, len(order), _heads(n)):
        if len(chosen) >= n:
            break
        head = order[start : start + _heads(n)]
        take_unseen(pairs(head), n - len(chosen), seen, chosen)
    return chosen


def unlike(
    pairs: Iterable[tuple[int, Mark]],
    places: Iterable[Sequence[int]],
    texts: Set[bytes],
    tokens: Tokens,
) -> Iterable[tuple[int, Mark]]:
    """Those of `pairs` whose windows, which lie at `places`, hold other tokens than all of `texts`."""
    if not texts:
        return pairs
    return (
        pair
        for pair, (context, start, stop) in zip(pairs, places, strict=True)
        if tokens[context, start:stop].tobytes() not in texts
    )


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


def _heads(n: int) -> int:
    """How many windows to look at for `n` distinct ones, at first: most are."""
    return n + SPARE


def _per_quantile(
    windows: Windows,
    tokens: Tokens,
    rng: np.random.Generator,
    marks: _Marks,
    n: int,
    avoid: "Avoid | None",
) -> list[int]:
    """Of each quantile `n` random windows with marks of their own, by rank. `draw_heldout` draws the same."""
    bounds = quantile_bounds(len(windows))
    heads = random_ranks(rng.random((N_QUANTILES, _heads(n))), bounds)
    filled = np.diff(bounds) > 0
    marks.of(windows.by_strength[heads[filled].ravel()])  # at once what is surely looked at
    chosen: list[int] = []
    seen = set() if avoid is None else set(avoid.marks)
    texts = frozenset[bytes]() if avoid is None else avoid.texts

    def pairs(indices: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
        places = np.stack([windows.context[indices], windows.start[indices], windows.stop[indices]], axis=1)
        return unlike(marks.pairs(indices), places.tolist(), texts, tokens)

    for quantile in np.flatnonzero(filled).tolist():
        head = windows.by_strength[heads[quantile]]
        left = n - take_unseen(pairs(head), n, seen, chosen)
        if left:  # what was drawn twice, or looks like others: then all of them, in another random order
            ranks = rng.permutation(np.arange(bounds[quantile], bounds[quantile + 1]))
            chosen += _first_unseen(windows.by_strength[ranks], pairs, left, seen)
    return sorted(chosen, key=windows.rank.__getitem__)


def _silent_windows(
    positive: Windows,
    tokens: Tokens,
    width: int,
    n: int,
    *,
    rng: np.random.Generator,
    contexts: NDArray[np.bool_] | None,
    seen: "_Seen",
) -> list[tuple[int, int, int]]:
    """Context, start and stop of windows that are not `positive`, uniformly among all of them."""
    ctx_len = tokens.shape[1]
    per_context = -(-ctx_len // width)
    rows = np.flatnonzero(contexts) if contexts is not None else None
    n_rows = len(rows) if rows is not None else len(tokens)
    row = positive.context if contexts is None else (np.cumsum(contexts) - 1)[positive.context]
    # A window's number is row * per_context + slot; the firing ones are taken out of the range by their rank.
    firing = row * per_context + positive.start // width
    n_silent = n_rows * per_context - len(firing)
    draws = rng.choice(n_silent, size=min(3 * n, n_silent), replace=False, shuffle=True)
    numbers = draws + np.searchsorted(firing - np.arange(len(firing)), draws, side="right")

    at, slot = np.divmod(numbers, per_context)
    chosen_rows = rows[at] if rows is not None else at
    starts = slot * width
    stops = np.minimum(starts + width, ctx_len)
    chosen: list[tuple[int, int, int]] = []
    for place in zip(chosen_rows.tolist(), starts.tolist(), stops.tolist(), strict=True):
        if len(chosen) >= n:
            break
        if seen.take(*place):
            chosen.append(place)
    return chosen


def _hard_negatives(
    acts: LatentActivations,
    tokens: Tokens,
    width: int,
    n: int,
    neighbour_acts: NeighbourActivations,
    *,
    rng: np.random.Generator,
    contexts: NDArray[np.bool_] | None,
    seen: "_Seen",
) -> list[Example]:
    """Windows in which a neighbour fires and this latent does not: in turn from each neighbour, random among its windows."""
    ctx_len = tokens.shape[1]
    queues: list[list[tuple[int, int, int, int]]] = []
    for latent, theirs in neighbour_acts:
        if contexts is not None:
            theirs = within(theirs, contexts, ctx_len)
        windows = positive_windows(theirs, ctx_len=ctx_len, window=width)
        first = windows.context * ctx_len + windows.start
        last = windows.context * ctx_len + windows.stop
        silent = np.searchsorted(acts.token, first) == np.searchsorted(acts.token, last)
        chosen = rng.permutation(np.flatnonzero(silent))[: 3 * n]
        queues.append(
            [(latent, int(windows.context[i]), int(windows.start[i]), int(windows.stop[i])) for i in chosen]
        )
    turns = [queue[turn] for turn in range(3 * n) for queue in queues if turn < len(queue)]
    hard: list[tuple[int, int, int]] = []
    owners: list[int] = []
    for latent, context, start, stop in turns:
        if len(hard) >= n:
            break
        if seen.take(context, start, stop):
            hard.append((context, start, stop))
            owners.append(latent)
    return cut_many(acts, tokens, hard, source="neighbours", neighbour=owners)


class _Seen:
    """The negatives taken so far: each window once, and no two with the same tokens unless duplicates are wanted."""

    def __init__(self, tokens: Tokens, dedupe: bool, avoid: "Avoid | None"):
        self._tokens, self._dedupe = tokens, dedupe
        self._taken: set[object] = set()
        for place in avoid.places.tolist() if avoid is not None else ():
            self.take(*place)

    def take(self, context: int, start: int, stop: int) -> bool:
        """Whether the window is new; it is not afterwards."""
        key = self._tokens[context, start:stop].tobytes() if self._dedupe else (context, start)
        new = key not in self._taken
        self._taken.add(key)
        return new
