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


def expected(difference: Float, error: Float, n: Float) -> Float:
    """What each latent's `difference` (of its score and the floor) may be expected to be on fresh examples: the mean of the
    true differences that could have given it, by how all of them are spread (empirical Bayes; Robbins, 1956). The lowest and
    the highest of many are so partly by chance, and move back when scored again; the fewer the examples, the further.

    How the true ones are spread is the most likely distribution, whatever its shape (Kiefer and Wolfowitz, 1956), on a grid, by
    300 steps of EM. Chance is normal, its variance the mean of `error` (standard errors, NaN where unknown) squared, in
    proportion to 1 / `n`: among equal `n` the order stays. NaN without a difference; where no error is known, all stay.
    """
    made, kept = np.full(len(difference), np.nan), ~np.isnan(difference)
    value, n = np.round(difference[kept], 4), np.maximum(n[kept], 1)
    known = ~np.isnan(error[kept])
    noise = float((error[kept][known] ** 2 * n[known]).mean()) if known.any() else 0.0
    made[kept] = value if noise == 0 else _posterior_mean(value, np.sqrt(noise / n))
    return made


def _posterior_mean(value: Float, error: Float) -> Float:
    """Of the true value, given the one seen and its standard error."""
    truth = np.linspace(value.min(), value.max(), 200)
    weight = np.full(len(truth), 1 / len(truth))
    # Scores of so many examples take few values: each is looked at once, and to fit the spread no finer than need be.
    coarse = np.round(value / 0.0025) * 0.0025
    seen, errors, _, count = _pairs(coarse, error)
    likelihood = _normal(seen, errors, truth)
    for _ in range(300):
        weight *= (count / (likelihood @ weight)) @ likelihood / len(value)
    seen, errors, which, _ = _pairs(value, error)
    posterior = _normal(seen, errors, truth) * weight
    return (posterior @ truth / posterior.sum(axis=1))[which]


def _pairs(first: Float, second: Float) -> tuple[Float, Float, NDArray[np.intp], NDArray[np.intp]]:
    """The distinct pairs, sorted; which of them each is; how often each is there. As `np.unique` over columns, in a quarter of
    its time."""
    (firsts, a), (seconds, b) = (np.unique(each, return_inverse=True) for each in (first, second))
    pairs, which, count = np.unique(a * len(seconds) + b, return_inverse=True, return_counts=True)
    return firsts[pairs // len(seconds)], seconds[pairs % len(seconds)], which, count


def _normal(seen: Float, error: Float, truth: Float) -> Float:
    """The density of each value seen at each true one, up to a factor."""
    fit = -0.5 * ((seen[:, None] - truth) / error[:, None]) ** 2
    return np.exp(fit - fit.max(axis=1, keepdims=True))


def _groups(group: Int, kept: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The indices of each group, of those that are kept."""
    return [np.flatnonzero(kept & (group == value)) for value in np.unique(group[kept])]


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
