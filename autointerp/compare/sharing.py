"""Several coders at once: how much each has of each other, and how many of its latents are in how many others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.compare import directions, meaning, ranks, scored
from autointerp.compare.overlap import (
    THRESHOLD,
    Overlap,
    alignment,
    found_in_one_only,
    overlap,
    shared_by,
)
from autointerp.compare.results import obtain
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.score.intervals import Estimate, mean
from autointerp.store import Store
from autointerp.types import ProgressCallback, no_progress

Pairs = Mapping[tuple[str, str], directions.Directions]
"""How every two coders match, by their names in either order."""


@dataclass(frozen=True)
class Sharing:
    """One coder beside `others`. `n_in` Int[" n_others + 1"]: how many of its live latents are in none, one, two ... of them;
    `only`: the share of them that none of s others has, for s from 0, averaged over which are taken. `counts` Int64[ndarray,
    " n_live"]: in how many each live latent is."""

    coder: str
    others: tuple[str, ...]
    n_live: int
    n_in: tuple[int, ...]
    only: tuple[float, ...]
    counts: NDArray[np.int64] = field(repr=False, compare=False)


@dataclass(frozen=True)
class SharedScores:
    """Scores of a coder's shared live latents against those of its others, by how many of each are scored. `test`: the
    probability that a shared one's is above another's; `None` for fewer than `ranks.MIN_LATENTS` of either."""

    n_shared: int
    n_others: int
    mean_shared: Estimate | None
    mean_others: Estimate | None
    test: ranks.Test | None


def shared_scores(
    scores: scored.Scored, shared: NDArray[np.bool_], live: NDArray[np.integer]
) -> SharedScores:
    """`shared` Bool[ndarray, " n_latents"]: which of the coder's latents are shared."""
    is_live = np.isin(scores.latent, live)
    inside = shared[scores.latent]
    samples = scores.value[is_live & inside], scores.value[is_live & ~inside]
    means = [mean(sample) if len(sample) else None for sample in samples]
    enough = min(map(len, samples)) >= ranks.MIN_LATENTS
    test = ranks.superiority(*samples) if enough else None
    return SharedScores(len(samples[0]), len(samples[1]), means[0], means[1], test)


def all_pairs(coders: Sequence[str]) -> list[tuple[str, str]]:
    """Every two of them, once, as they are kept."""
    return [directions.in_order(*pair) for pair in combinations(dict.fromkeys(coders), 2)]


def match(
    resources: Resources,
    coders: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    progress: ProgressCallback = no_progress,
) -> Pairs:
    """How every two of these coders match by their directions; kept, and computed where it is not known. Raises UserError for
    fewer than two, or for weights that are missing."""
    _several(coders)
    by_pair = {}
    for pair in all_pairs(coders):
        by_pair[pair] = directions.read(obtain(resources, "directions", pair, parameters, progress), pair)
    return by_pair


def match_meaning(
    resources: Resources,
    coders: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    progress: ProgressCallback = no_progress,
) -> list[meaning.Meaning]:
    """The same by their explanations. Raises UserError, also for a coder without any."""
    _several(coders)
    return [
        meaning.read(obtain(resources, "meaning", pair, parameters, progress), pair)
        for pair in all_pairs(coders)
    ]


def _several(coders: Sequence[str]) -> None:
    if len(set(coders)) < 2:
        raise UserError(
            f"got {len(set(coders))} coder ({', '.join(coders)}): give at least two from this store."
        )


def between(pairs: Pairs, first: str, second: str) -> directions.Directions:
    """How two coders match, the first of them first."""
    pair = pairs.get((first, second))
    return pair if pair is not None else pairs[second, first].turned()


def overlaps(
    store: Store,
    pairs: Pairs,
    coders: Sequence[str],
    *,
    definition: str = "assigned",
    threshold: float = THRESHOLD,
) -> dict[tuple[str, str], Overlap]:
    """How much each coder (the first of a key) has of its latents in each other; without those that cannot be matched."""
    shares = {}
    for first, second in permutations(dict.fromkeys(coders), 2):
        directions = between(pairs, first, second)
        if directions.parts:
            live = store.coder(first).table().live
            shares[first, second] = overlap(directions, live, definition=definition, threshold=threshold)
    return shares


def sharing(
    store: Store,
    pairs: Pairs,
    coder: str,
    others: Sequence[str],
    *,
    definition: str = "assigned",
    threshold: float = THRESHOLD,
) -> Sharing:
    """`coder` beside those of `others` that it can be matched with."""
    matched = {other: between(pairs, coder, other) for other in others if other != coder}
    usable = {other: directions for other, directions in matched.items() if directions.parts}
    live = store.coder(coder).table().live
    if usable:
        alignments = [alignment(directions, definition)[live] for directions in usable.values()]
        counts = shared_by(alignments, threshold)
    else:
        counts = live * 0
    n_in = [int((counts == n).sum()) for n in range(len(usable) + 1)]
    only = found_in_one_only(counts, len(usable))
    return Sharing(coder, tuple(usable), len(live), tuple(n_in), tuple(only), counts)
