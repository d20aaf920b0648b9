"""Scores of many latents: their distribution, how far two kinds of score agree, and where they do not. Arrays in, figures out.

NaN stands for a latent that was not scored; it is in no figure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.score.metrics import correlation, midranks

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """`n` scores: five percentiles (5, 25, 50, 75, 95; linear between neighbours) and the mean. `floor`: median floor over
    those that have one. `clear`, `unclear`, `below`: how many are clearly above their floor (the lower end of the interval is),
    above it but not clearly, at or below it; the rest have no floor."""

    n: int
    percentiles: tuple[float, float, float, float, float]
    mean: float
    floor: float | None
    clear: int
    unclear: int
    below: int

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


def spread(value: Float, ci_low: Float, floor: Float) -> Spread | None:
    """`None` where nothing was scored. The arrays are aligned."""
    kept = ~np.isnan(value)
    if not kept.any():
        return None
    value, low, floor = value[kept], ci_low[kept], floor[kept]
    measured = ~np.isnan(floor)
    below = measured & (value <= floor)
    clear = measured & ~below & (low > floor)  # never with a missing interval: NaN
    return Spread(
        n=len(value),
        percentiles=tuple(float(p) for p in np.percentile(value, (5, 25, 50, 75, 95))),  # type: ignore[arg-type]
        mean=float(value.mean()),
        floor=float(np.median(floor[measured])) if measured.any() else None,
        clear=int(clear.sum()),
        unclear=int((measured & ~below & ~clear).sum()),
        below=int(below.sum()),
    )


def agreement(first: Float, second: Float) -> Agreement:
    """Pearson's and Spearman's correlation; in the latter equal values share their mean rank."""
    both = ~(np.isnan(first) | np.isnan(second))
    x, y = first[both], second[both]
    if len(x) < 3:
        return Agreement(len(x), None, None)
    return Agreement(len(x), correlation(midranks(x), midranks(y)), correlation(x, y))


def disagreement(first: Float, second: Float) -> Float:
    """Each latent's percentile rank (0 to 1) under `first` less that under `second`, among those that have both: 1 for the best
    by the first that is the worst by the second. Ranks make different metrics comparable. NaN where one is missing."""
    gaps = np.full(len(first), np.nan)
    both = np.flatnonzero(~(np.isnan(first) | np.isnan(second)))
    if len(both) >= 3:
        ranks = [midranks(scores[both]) for scores in (first, second)]
        gaps[both] = (ranks[0] - ranks[1]) / (len(both) - 1)
    return gaps
