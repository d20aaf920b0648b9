"""How far raters agree: on each other, and on themselves when an item comes back.

Ratings are a table, Int[ndarray, "items raters"], of categories from 0, with `GAP` where a rater has none of an item. They
are nominal: any two that differ disagree alike. Intervals are bootstrapped over items, with a fixed seed; where all ratings
agree, or none do, as `score.resampling.spread_out` has it, for a sample of equal answers is no proof. With fewer than
`MIN_ITEMS` there are none: those of kappa and alpha would miss the truth far too often (at 10 items, up to one time in three).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from autointerp.score.intervals import Estimate
from autointerp.score.resampling import Resamples, Weights, interval, spread_out

GAP = -1
MIN_ITEMS = 20
"""With two ratings at least, for an interval."""
Float = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Of `n_items` items with two ratings at least, and their `n_pairs` pairs of ratings.

    `raw`: the share of pairs that agree, in [0, 1]. `kappa`: Cohen's (1960), of exactly two raters, on items that both rated.
    `alpha`: Krippendorff's (2004, nominal), of any number of raters, with gaps. Both are 1 where all agree and 0 where no more
    do than would by chance, at most 1; `None` where only one category was ever given, for then there is nothing to agree on.
    """

    n_items: int
    n_pairs: int
    raw: Estimate | None = None
    kappa: Estimate | None = None
    alpha: Estimate | None = None


def agreement(codes: Codes, resamples: Resamples) -> Agreement:
    """The figures of a table of ratings."""
    codes = codes[(codes != GAP).sum(axis=1) >= 2]
    n_items = len(codes)
    if not n_items:
        return Agreement(0, 0)
    sums = _sums(codes)
    weights = resamples.weights(n_items, 0) if n_items >= MIN_ITEMS else None
    n_pairs = round(float(sums.pairs.sum()))
    kappa = None
    if codes.shape[1] == 2:
        kappa = _estimate(_kappas, _both(codes), weights)
    return Agreement(
        n_items, n_pairs, _estimate(_raw, sums, weights), kappa, _estimate(_alphas, sums, weights)
    )


def confusion(first: Codes, second: Codes, n_categories: int) -> NDArray[np.int64]:
    """How often two raters gave which categories, Int64[ndarray, "n_categories n_categories"]: the first one's are rows. Items
    that either has not rated are left out."""
    both = (first != GAP) & (second != GAP)
    counts = np.zeros((n_categories, n_categories), dtype=np.int64)
    np.add.at(counts, (first[both], second[both]), 1)
    return counts


class _Sums(NamedTuple):
    """What every figure is made of, a row an item: ratings, pairs of them, pairs that agree, and ratings by category."""

    ratings: Float
    pairs: Float
    agreeing: Float
    counts: Float


def _sums(codes: Codes) -> _Sums:
    counts = _one_hot(codes).sum(axis=1)
    ratings = counts.sum(axis=1)
    return _Sums(ratings, ratings * (ratings - 1) / 2, (counts * (counts - 1)).sum(axis=1) / 2, counts)


def _one_hot(codes: Codes) -> Float:
    """Float64[ndarray, "items raters categories"], rows of zeros for gaps."""
    return (codes[..., None] == np.arange(codes.max() + 1)).astype(np.float64)


class _Both(NamedTuple):
    """Of two raters, on items that both rated."""

    agree: Float
    first: Float
    second: Float


S = TypeVar("S", _Sums, _Both)


def _both(codes: Codes) -> _Both:
    hot = _one_hot(codes)
    return _Both((codes[:, 0] == codes[:, 1]).astype(np.float64), hot[:, 0], hot[:, 1])


def _raw(sums: _Sums, times: Float, chance: Float | None) -> Float:
    return _spread(times @ sums.agreeing / (times @ sums.pairs), len(sums.pairs), chance)


def _alphas(sums: _Sums, times: Float, chance: Float | None) -> Float:
    n = times @ sums.ratings
    # An item with m ratings counts m times its share of agreeing pairs.
    agreeing = _spread(times @ (sums.agreeing / sums.pairs * sums.ratings) / n, len(sums.ratings), chance)
    expected = 1 - ((times @ sums.counts) ** 2).sum(axis=1) / n**2
    return _above_chance(1 - agreeing, expected * n / (n - 1))


def _kappas(both: _Both, times: Float, chance: Float | None) -> Float:
    n = times.sum(axis=1)
    agreeing = _spread(times @ both.agree / n, len(both.agree), chance)
    expected = 1 - ((times @ both.first) * (times @ both.second)).sum(axis=1) / n**2
    return _above_chance(1 - agreeing, expected)


def _above_chance(observed: Float, expected: Float) -> Float:
    """1 less the disagreement observed over that expected by chance; NaN where none is expected."""
    possible = expected > 1e-12
    return np.where(possible, 1 - observed / np.where(possible, expected, 1.0), np.nan)


def _spread(rates: Float, n: int, chance: Float | None) -> Float:
    return rates if chance is None else spread_out(rates, n, chance)


def _estimate(
    figure: Callable[[S, Float, Float | None], Float], sums: S, weights: Weights | None
) -> Estimate | None:
    """The figure of all items, each once, with the interval of it over resamples."""
    value = float(figure(sums, np.ones((1, len(sums[0]))), None)[0])
    if np.isnan(value):
        return None
    if weights is None:
        return Estimate(value)
    return Estimate(value, *interval(figure(sums, weights.pos, weights.chance_pos), around=value))
