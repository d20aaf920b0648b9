"""The share of right explanations in the population that an audit was drawn from, with its interval.

**Value.** Each item that was answered stands for `population / answered` explanations of its stratum, so that strata answered
more often than others weigh no more. The share is a ratio: explanations judged right over explanations that could be judged,
both so weighted. Items whose contexts are broken count as answered and say nothing about the explanation, as do those of other
explainers where the share of one explainer is asked for. A stratum without an answer is joined to the nearest of its coder that
has one, by number, half to each where two are equally near. A coder without any answer is left out: nothing is known of it.

**Interval.** Wilson's, on the effective sample size n = p (1 - p) / v. v is the variance of the ratio in a stratified draw
without replacement (linearised; Cochran, "Sampling Techniques", 1977, sections 5 and 6), with the finite population correction:
when everything is judged, nothing is left to chance. Strata have few answers, often one, so the share within each, which v
needs, is drawn towards the whole share as if two more answers had given it. Where p is 0 or 1, v has a limit n of its own, for
the strata are then alike.

It is of the draw alone: other raters, and other contexts shown to them, might have judged differently.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.ratings import Stratum
from autointerp.score.intervals import Estimate, Z, wilson

PRIOR = 2
"""Answers' worth of the whole share in each stratum's own."""
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """`estimate`: the share, `None` where no item could be judged. `n`: items judged. `population`: explanations it is about,
    those of coders without an answer left out; of one explainer's, as estimated. `n_effective`: the size of a simple random
    sample that is as exact; infinite where every explanation was judged. `more`: so many more items, drawn in the same way,
    would halve the interval; at most all the others. `joined`: strata without an answer; `silent`: coders without any."""

    estimate: Estimate | None
    n: int
    population: float
    n_effective: float = 0.0
    more: int | None = None
    joined: tuple[int, ...] = ()
    silent: tuple[str, ...] = ()


def share_right(
    strata: Sequence[Stratum],
    stratum: NDArray[np.int64],
    right: Float,
    counted: NDArray[np.bool_],
) -> Share:
    """The share of right explanations.

    An entry for each answered item: `stratum` its number, `right` from 0 to 1 (the mean over raters, or the verdict that they
    settled on), `counted` whether it is one that the share is of and could be judged; `right` of others is not looked at.
    """
    numbers = [each.number for each in strata]
    place = np.searchsorted(np.sort(numbers), stratum)
    order = np.argsort(numbers)
    strata = [strata[at] for at in order]
    answered = np.bincount(place, minlength=len(strata)).astype(np.float64)
    population, joined, silent = _joined(strata, answered)
    n = int(counted.sum())
    kept = answered > 0
    total = float(population.sum())
    if not n:
        return Share(None, 0, total, joined=joined, silent=silent)
    n_counted, n_right = (
        np.bincount(place, weights=each, minlength=len(strata)).astype(np.float64)
        for each in (counted, np.where(counted, right, 0.0))
    )
    parts = _Parts(population[kept] / total, answered[kept], population[kept], n_counted[kept], n_right[kept])
    of_all = float((parts.weight * parts.n_counted / parts.n).sum())
    share = min(1.0, float((parts.weight * parts.n_right / parts.n).sum()) / of_all)
    effective = _effective(parts, share, of_all)
    more = _to_halve(share, effective, int(answered.sum()), total)
    return Share(
        Estimate(share, *wilson(share, effective)), n, total * of_all, effective, more, joined, silent
    )


@dataclass(frozen=True)
class _Parts:
    """An entry for each stratum with answers. `weight`: its share of the population; `n`: answered items."""

    weight: Float
    n: Float
    population: Float
    n_counted: Float
    n_right: Float


def _joined(strata: Sequence[Stratum], answered: Float) -> tuple[Float, tuple[int, ...], tuple[str, ...]]:
    """The population that each stratum stands for, once those without an answer are joined to others."""
    population = np.array([float(each.population) for each in strata])
    coders = np.array([each.coder for each in strata])
    result = np.where(answered > 0, population, 0.0)
    joined, silent = [], []
    for at, stratum in enumerate(strata):
        if answered[at] > 0:
            continue
        with_answers = np.flatnonzero((coders == stratum.coder) & (answered > 0))
        if not len(with_answers):
            silent.append(stratum.coder)
            continue
        joined.append(stratum.number)
        distance = np.abs(with_answers - at)
        nearest = with_answers[distance == distance.min()]
        result[nearest] += population[at] / len(nearest)
    return result, tuple(joined), tuple(dict.fromkeys(silent))


def _effective(parts: _Parts, share: float, of_all: float) -> float:
    """The effective sample size of a ratio `share`, of which `of_all` of the population are."""
    counted = parts.n_counted / parts.n
    own = (parts.n_right + PRIOR * share) / (parts.n_counted + PRIOR)
    left = np.clip(1 - parts.n / parts.population, 0.0, 1.0)
    each = parts.weight**2 * left * counted / parts.n / of_all**2
    whole = share * (1 - share)
    if whole < 1e-12:
        precision = float(each.sum())
    else:
        precision = float((each * (own * (1 - own) + (1 - counted) * (own - share) ** 2)).sum()) / whole
    return 1 / precision if precision > 0 else math.inf


def _to_halve(share: float, effective: float, n: int, population: float) -> int | None:
    """How many more items halve the interval. One over the effective size falls with 1/n - 1/population."""
    if math.isinf(effective):
        return None
    low, high = wilson(share, effective)
    needed = _size_of_width((high - low) / 2, share)
    factor = (1 / effective) / (1 / n - 1 / population)
    wanted = 1 / (1 / (needed * factor) + 1 / population)
    return min(math.ceil(wanted - 1e-9), round(population)) - n


def _size_of_width(width: float, share: float) -> float:
    """The effective size at which Wilson's interval is so wide: the width falls steadily with it."""
    few, many = 1e-3, (2 * Z / width) ** 2
    while many / few > 1 + 1e-9:
        middle = math.sqrt(few * many)
        low, high = wilson(share, middle)
        few, many = (middle, many) if high - low > width else (few, middle)
    return many
