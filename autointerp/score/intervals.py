"""A figure with its 95 % interval, and intervals in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.score.resampling import LEVEL

Float = NDArray[np.float64]
Z = 1.959964
"""So many standard errors to either side hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `None` for ends that are not known."""

    value: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> "Estimate":
        """In another unit; `factor` > 0."""
        ends = (None if end is None else factor * end for end in (self.low, self.high))
        return Estimate(factor * self.value, *ends)


def mean(sample: Float) -> Estimate:
    """With Student's interval."""
    from scipy.special import stdtrit

    value, n = float(sample.mean()), len(sample)
    error = float(sample.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    if not error:
        return Estimate(value)
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    return Estimate(value, value - reach, value + reach)


def median(sample: Float) -> Estimate:
    """With the interval between two order statistics, which holds for any distribution; none for fewer than six scores, where
    even lowest and highest are too close."""
    from scipy.special import bdtr

    value, n = float(np.median(sample)), len(sample)
    # So many scores below the median are as rare as one in forty.
    below = np.arange(n // 2 + 1)
    rare = np.flatnonzero(bdtr(below, n, 0.5) <= (1 - LEVEL) / 2)
    if not len(rare):
        return Estimate(value)
    ordered = np.sort(sample)
    at = int(rare[-1])
    return Estimate(value, float(ordered[at]), float(ordered[n - 1 - at]))


def wilson(share: float, n: float) -> tuple[float, float]:
    """The interval of a share by Wilson's score (1927), also for an effective `n` that is no whole number; infinite where
    everything was counted. `n` > 0."""
    if math.isinf(n):
        return share, share
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def auroc_interval(auroc: float, n_pos: int, n_neg: int) -> tuple[float, float]:
    """Newcombe's interval of an AUROC, from its value and class sizes (2006, method 5): the values that it would be within 1.96
    standard errors of, each with the error that it would have itself, after Hanley and McNeil (1982). It holds for few
    examples, where a bootstrap's is too narrow, and says something where the classes do not overlap."""
    sizes = (n_pos + n_neg) / 2 - 1

    def apart(value: float) -> float:
        """How many errors the AUROC is from `value`, squared, less the limit."""
        spread = 1 + sizes * ((1 - value) / (2 - value) + value / (1 + value))
        return (auroc - value) ** 2 * n_pos * n_neg - Z * Z * value * (1 - value) * spread

    return _crossing(apart, 0.0, auroc), _crossing(apart, 1.0, auroc)


def _crossing(apart: Callable[[float], float], outer: float, inner: float) -> float:
    """Where `apart` changes its sign between an end of the scale and the value itself."""
    if outer == inner:
        return inner
    for _ in range(60):
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if apart(middle) > 0 else (outer, middle)
    return inner
