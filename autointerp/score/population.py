"""Scores of many latents: their distribution, how far two kinds of score agree, and where they do not. Arrays in, figures out.

NaN stands for a latent that was not scored; it is in no figure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.score.metrics import correlation, midranks

Float = NDArray[np.float64]
Int = NDArray[np.integer]

Z95 = 1.959964
"""Standard errors from the middle of a 95 % interval to its ends."""


@dataclass(frozen=True)
class Spread:
    """`n` scores: five percentiles (5, 25, 50, 75, 95; linear between neighbours) and the mean. `floor`: median floor over
    those that have one."""

    n: int
    percentiles: tuple[float, float, float, float, float]
    mean: float
    floor: float | None

    @property
    def median(self) -> float:
        return self.percentiles[2]


@dataclass(frozen=True)
class Agreement:
    """The correlations of two kinds of score over the `n` latents that have both; `None` with fewer than three, or where one
    does not vary."""

    n: int
    spearman: float | None
    pearson: float | None


def spread(value: Float, floor: Float) -> Spread | None:
    """`None` where nothing was scored. The arrays are aligned."""
    kept = ~np.isnan(value)
    if not kept.any():
        return None
    value, floor = value[kept], floor[kept]
    measured = ~np.isnan(floor)
    return Spread(
        n=len(value),
        percentiles=tuple(float(p) for p in np.percentile(value, (5, 25, 50, 75, 95))),  # type: ignore[arg-type]
        mean=float(value.mean()),
        floor=float(np.median(floor[measured])) if measured.any() else None,
    )


def agreement(first: Float, second: Float, group: Int | None = None) -> Agreement:
    """Pearson's and Spearman's correlation; in the latter equal values share their mean rank. With `group` Int[ndarray, " n"],
    within groups: of values less their group's mean, and of ranks within the group, on a scale from 0 to 1. Coders whose mean
    scores differ then do not make scorers agree."""
    both = ~(np.isnan(first) | np.isnan(second))
    sides, of = (first[both], second[both]), None if group is None else group[both]
    if len(sides[0]) < 3:
        return Agreement(len(sides[0]), None, None)
    ranks = [_within(of, side, _relative_ranks) for side in sides]
    return Agreement(
        len(ranks[0]),
        correlation(*[_within(of, side, _centred) for side in ranks]),
        correlation(*[_within(of, side, _centred) for side in sides]),
    )


def disagreement(first: Float, second: Float, group: Int | None = None) -> Float:
    """Each latent's percentile rank (0 to 1) under `first` less that under `second`, among those that have both: 1 for the best
    by the first that is the worst by the second. Ranks make different metrics comparable. With `group` among those of its
    group. NaN where one is missing."""
    gaps = np.full(len(first), np.nan)
    both = np.flatnonzero(~(np.isnan(first) | np.isnan(second)))
    if len(both) >= 3:
        of = None if group is None else group[both]
        ranks = [_within(of, scores[both], _relative_ranks) for scores in (first, second)]
        gaps[both] = ranks[0] - ranks[1]
    return gaps


def expected(value: Float, ci_low: Float, ci_high: Float, n: Float, group: Int, lowest: float = 0.0) -> Float:
    """What each latent may be expected to score on fresh examples: its score shrunk toward its group's mean as far as
    scores there are noise (empirical Bayes; Efron and Morris, 1975). The lowest and the highest of many scores are so partly by
    chance, and move back when scored again.

    Scores lie between `lowest` and 1. Their arcsines have about one variance over `n`, wherever they lie: that of the group is
    taken from all of its intervals, which are too rough one by one. NaN without a score; without intervals scores stay.
    """
    made = np.full(len(value), np.nan)
    for at in _groups(group, ~np.isnan(value)):
        made[at] = value[at]
        x, low, high = (
            np.arcsin(np.sqrt(np.clip((scores[at] - lowest) / (1 - lowest), 0, 1)))
            for scores in (value, ci_low, ci_high)
        )
        error = (high - low) / (2 * Z95)
        known = ~np.isnan(error)
        if len(at) > 1 and known.any():
            noise = (error[known] ** 2 * n[at][known]).mean() / n[at]
            between = max(0.0, float(x.var(ddof=1) - noise.mean()))
            kept = np.divide(between, between + noise, out=np.ones(len(at)), where=noise > 0)
            made[at] = lowest + (1 - lowest) * np.sin(x.mean() + kept * (x - x.mean())) ** 2
    return made


def _groups(group: Int, kept: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The indices of each group, of those that are kept."""
    return [np.flatnonzero(kept & (group == one)) for one in np.unique(group[kept])]


def _within(group: Int | None, values: Float, function: Callable[[Float], Float]) -> Float:
    """`function` of the values of each group, in their places."""
    group = np.zeros(len(values), np.int64) if group is None else group
    made = np.empty(len(values))
    for at in _groups(group, np.ones(len(values), bool)):
        made[at] = function(values[at])
    return made


def _centred(values: Float) -> Float:
    return values - values.mean()


def _relative_ranks(values: Float) -> Float:
    """From 0 for the lowest to 1 for the highest."""
    return (midranks(values) - 1) / max(len(values) - 1, 1)
