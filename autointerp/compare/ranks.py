"""Scores of two coders compared. Their latents are different ones, so nothing is paired: two independent samples.

By rank, after Brunner and Munzel (2000): how often a score of the first sample is above one of the second, ties counted half.
Unlike the test of Mann and Whitney, theirs does not take the two distributions to be of one shape, which those of a trained and
a random coder are not, and it gives effect, interval and p-value of one and the same estimate. Scores of many examples are tied
often, which it allows for. In the scorer's own unit, the difference of means with Welch's interval.

Intervals are of 95 %, over latents: another training run of a coder is in none of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.score.intervals import Estimate
from autointerp.score.metrics import midranks
from autointerp.score.resampling import LEVEL

Float = NDArray[np.float64]
MIN_LATENTS = 20
"""Of either sample: with fewer, small p-values come too often without a difference (at 10, p < 0.001 in 1 of 250 cases)."""


@dataclass(frozen=True)
class Test:
    """`p`: two-sided, of no difference."""

    estimate: Estimate
    p: float


def superiority(first: Float, second: Float) -> Test:
    """The probability that a score of `first` is above one of `second`, 0 to 1, ties counted half. 1/2: no difference. At
    least two scores each.

    Where no score of one sample is as low as any of the other, the estimate has no variance to go by: p is then that of the
    exact permutation test, and the interval as for equal answers elsewhere (Beta(n + 1, 1), n the smaller sample).
    """
    from scipy.special import stdtr, stdtrit

    n, m = len(first), len(second)
    ranks = midranks(np.concatenate([first, second]))
    within = midranks(first), midranks(second)
    placements = ranks[:n] - within[0], ranks[n:] - within[1]
    value = float(placements[0].mean() / m)
    parts = [
        float(placement.var(ddof=1)) / (other**2 * own)
        for placement, own, other in ((placements[0], n, m), (placements[1], m, n))
    ]
    variance = sum(parts)
    if variance <= 1e-18:
        return _no_variance(value, n, m)
    df = variance**2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    error = math.sqrt(variance)
    reach = float(stdtrit(df, (1 + LEVEL) / 2)) * error
    p = 2 * float(stdtr(df, -abs(value - 0.5) / error))
    return Test(Estimate(value, max(0.0, value - reach), min(1.0, value + reach)), p)


def _no_variance(value: float, n: int, m: int) -> Test:
    if value not in (0.0, 1.0):  # all scores are equal
        return Test(Estimate(value, 0.0, 1.0), 1.0)
    least = (1 - LEVEL) ** (1 / (min(n, m) + 1))
    low, high = (least, 1.0) if value else (0.0, 1 - least)
    return Test(Estimate(value, low, high), min(1.0, 2 / math.comb(n + m, n)))


def mean_difference(first: Float, second: Float) -> Estimate:
    """Mean of `first` less that of `second`, with Welch's interval."""
    from scipy.special import stdtrit

    value = float(first.mean() - second.mean())
    parts = [float(sample.var(ddof=1)) / len(sample) for sample in (first, second)]
    if sum(parts) <= 0:
        return Estimate(value)
    df = sum(parts) ** 2 / sum(
        part**2 / (len(sample) - 1) for part, sample in zip(parts, (first, second), strict=True)
    )
    reach = float(stdtrit(df, (1 + LEVEL) / 2)) * math.sqrt(sum(parts))
    return Estimate(value, value - reach, value + reach)


def mean_of_pairs(differences: Float, weights: Float) -> Test:
    """Sum of `differences` over sum of `weights`, one of each a context in which both sides were measured: a paired mean, with
    Student's interval over contexts."""
    from scipy.special import stdtr, stdtrit

    n, whole = len(differences), float(weights.sum())
    value = float(differences.sum()) / whole
    error = math.sqrt(n / (n - 1) * float(((differences - value * weights) ** 2).sum())) / whole
    if error == 0:
        return Test(Estimate(value), 1.0 if value == 0 else 0.0)
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    return Test(Estimate(value, value - reach, value + reach), 2 * float(stdtr(n - 1, -abs(value) / error)))


def holm(p: Sequence[float]) -> list[float]:
    """The p-values corrected for how many there are (Holm, 1979), in their order."""
    order = sorted(range(len(p)), key=p.__getitem__)
    corrected, highest = [0.0] * len(p), 0.0
    for place, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - place) * p[at]))
        corrected[at] = highest
    return corrected
