"""What a score says about the verdict: how often explanations with such a score are right, and where the two part.

Figures are of the items judged and take no weights. An audit's items are drawn in proportion to their strata, so that weights
would hardly differ but for chance; and the share right at a given score, which is what is asked here, does not depend on how
many explanations have that score. AUROC and rank correlation do depend on it: they are those of a population that the items
stand for one for one. The share right of the whole population has its weights (`estimate`).

Intervals are in closed form, for they hold where a bootstrap of few items does not: Wilson's of a share, Newcombe's of an
AUROC, and of Spearman's correlation Fisher's with the error of Bonett and Wright (2000). In simulations with many ties, as
scores and grades have, they hold the truth in 94 to 99 of 100 cases.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.score.intervals import Estimate, Z, auroc_interval, wilson
from autointerp.score.metrics import auroc, correlation, midranks

Float = NDArray[np.float64]
MIN_CLASS = 5
"""Explanations judged right, and wrong, for an AUROC."""
MIN_PAIRS = 10
"""For a rank correlation."""
PER_BIN, MAX_BINS = 10, 5

PAPER: Mapping[str, float] = {
    "fuzzing": 0.69, "simulation": 0.60, "detection": 0.59, "surprisal": 0.34, "embedding": 0.32
}  # fmt: skip
"""By scorer: Spearman's correlation with ratings by people, from 1 (unrelated) to 4 (describes what activates the feature), of
`PAPER_N` latents of Gemma 2 9B (Paulo et al., "Automatically Interpreting Millions of Features in Large Language Models")."""
PAPER_N = 81


@dataclass(frozen=True)
class Bin:
    """Items whose score lies from `low` to `high`, both as observed, and the share of them that is right."""

    low: float
    high: float
    n: int
    right: Estimate


@dataclass(frozen=True)
class Calibration:
    """One score against the verdicts on `n` items that have both.

    `n_right` and `n_wrong`: items that most of their raters call right, and not; the `n - n_right - n_wrong` others are split
    evenly and in no AUROC. `auroc`: the chance that one of the first has a higher score than one of the second, ties counted
    half; `correlation`: Spearman's, of the score with the verdict's grade, on `n_graded` items. Both `None` where too few items
    are there, or all alike. `high_but_wrong`: places of items in the highest third of scores that are judged wrong, the highest
    first; `low_but_right` likewise.
    """

    n: int
    n_right: int
    n_wrong: int
    n_graded: int
    bins: tuple[Bin, ...]
    auroc: Estimate | None
    correlation: Estimate | None
    high_but_wrong: tuple[int, ...]
    low_but_right: tuple[int, ...]


def calibration(score: Float, right: Float, grade: Float) -> Calibration:
    """An entry an item: its score, how many of its raters call it right, from 0 to 1, and the mean grade of their verdicts; NaN
    where there is none."""
    judged = ~np.isnan(score) & ~np.isnan(right)
    graded = ~np.isnan(score) & ~np.isnan(grade)
    is_right, is_wrong = judged & (right > 0.5), judged & (right < 0.5)
    n_right, n_wrong = int(is_right.sum()), int(is_wrong.sum())
    high, low = _outer_thirds(score, judged)
    return Calibration(
        int(judged.sum()),
        n_right,
        n_wrong,
        int(graded.sum()),
        _bins(score[judged], right[judged]),
        _auroc(score, is_right, is_wrong),
        rank_correlation(score[graded], grade[graded]),
        _ordered(high & is_wrong, -score),
        _ordered(low & is_right, score),
    )


def rank_correlation(first: Float, second: Float) -> Estimate | None:
    """Spearman's correlation of two columns, without gaps. `None` for fewer than `MIN_PAIRS` rows, or a constant column."""
    n = len(first)
    value = correlation(midranks(first), midranks(second)) if n >= MIN_PAIRS else None
    return None if value is None else spearman_interval(value, n)


def spearman_interval(value: float, n: int) -> Estimate:
    """Without ends where all ranks are equal: then this interval has no width."""
    if abs(value) >= 1 - 1e-12:
        return Estimate(value)
    reach = Z * math.sqrt((1 + value * value / 2) / (n - 3))
    middle = math.atanh(value)
    return Estimate(value, math.tanh(middle - reach), math.tanh(middle + reach))


def paper(scorer: str) -> Estimate | None:
    """The paper's correlation for this scorer, with the interval of its own number of latents."""
    return spearman_interval(PAPER[scorer], PAPER_N) if scorer in PAPER else None


def _auroc(score: Float, is_right: NDArray[np.bool_], is_wrong: NDArray[np.bool_]) -> Estimate | None:
    sizes = int(is_right.sum()), int(is_wrong.sum())
    if min(sizes) < MIN_CLASS:
        return None
    either = is_right | is_wrong
    value = auroc(is_right[either], score[either])
    assert value is not None
    return Estimate(value, *auroc_interval(value, *sizes))


def _bins(score: Float, right: Float) -> tuple[Bin, ...]:
    """Bins of about equally many items, equal scores together."""
    if not len(score):
        return ()
    n_bins = min(max(len(score) // PER_BIN, 1), MAX_BINS)
    cuts = np.unique(np.quantile(score, np.arange(1, n_bins) / n_bins, method="inverted_cdf"))
    place = np.searchsorted(cuts, score, side="left")
    made = []
    for at in np.unique(place):
        inside = place == at
        n, share = int(inside.sum()), float(right[inside].mean())
        ends = float(score[inside].min()), float(score[inside].max())
        made.append(Bin(*ends, n, Estimate(share, *wilson(share, n))))
    return tuple(made)


def _outer_thirds(score: Float, judged: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which items are in the highest and in the lowest third of scores; none where those have scores in common."""
    if not judged.any():
        return judged, judged
    low, high = np.quantile(score[judged], [1 / 3, 2 / 3])
    if low == high:
        return np.zeros_like(judged), np.zeros_like(judged)
    return judged & (score >= high), judged & (score <= low)


def _ordered(here: NDArray[np.bool_], by: Float) -> tuple[int, ...]:
    places: Sequence[int] = np.flatnonzero(here).tolist()
    return tuple(sorted(places, key=lambda place: (by[place], place)))
