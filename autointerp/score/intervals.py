"""A figure with its 95 % interval, and the interval of a share."""

import math
from dataclasses import dataclass

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


def wilson(share: float, n: float) -> tuple[float, float]:
    """The interval of a share by Wilson's score (1927), also for an effective `n` that is no whole number; infinite where
    everything was counted. `n` > 0."""
    if math.isinf(n):
        return share, share
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
