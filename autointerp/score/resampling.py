"""Bootstrap resamples, stratified by class."""

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_SEED = 20241017
DEFAULT_RESAMPLES = 1000
LEVEL = 0.95
_MAX_BYTES = 64 << 20
_MAX_SHORT = 2048
_MIN_PER_CLASS = 2  # one example gives an interval of no width, which would look like certainty


class Interval(NamedTuple):
    """The ends of a percentile interval; both `None` when there is too little to resample."""

    low: float | None
    high: float | None


NO_INTERVAL = Interval(None, None)


@dataclass(frozen=True)
class Weights:
    """How often each example is in each resample: `pos` Float64[ndarray, "resamples n_pos"], `neg` likewise. `chance_pos` and
    `chance_neg`: independent uniform numbers, Float64[ndarray, " resamples"], for `spread_out`."""

    pos: NDArray[np.float64]
    neg: NDArray[np.float64]
    chance_pos: NDArray[np.float64]
    chance_neg: NDArray[np.float64]

    @cached_property
    def both(self) -> NDArray[np.float64]:
        """`pos` and `neg` side by side."""
        return np.concatenate([self.pos, self.neg], axis=1)

    @cached_property
    def short(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """`pos` and `neg` in 32 bits where that is exact for sums over pairs of examples."""
        exact = max(self.pos.shape[1], self.neg.shape[1]) <= _MAX_SHORT
        return (self.pos.astype(np.float32), self.neg.astype(np.float32)) if exact else (self.pos, self.neg)


class Resamples:
    """Draws `n` resamples for each pair of class sizes and keeps them: a batch over many latents meets few sizes.

    The draws depend only on the seed and the class sizes, so a score is the same whether its latent is scored alone or among
    others. Thread-safe.
    """

    def __init__(self, seed: int = BOOTSTRAP_SEED, n: int = DEFAULT_RESAMPLES):
        self.n = n
        self.seed = seed
        self._lock = threading.Lock()
        self._drawn: dict[tuple[int, int], Weights] = {}
        self._bytes = 0

    def weights(self, n_pos: int, n_neg: int) -> Weights | None:
        """The resamples for classes of these sizes; `None` when either is too small (0: there is no such class, as for scores
        without negatives)."""
        if max(n_pos, n_neg) < _MIN_PER_CLASS or 1 in (n_pos, n_neg):
            return None
        with self._lock:
            if (n_pos, n_neg) not in self._drawn:
                rng = np.random.default_rng([self.seed, n_pos, n_neg])
                drawn = Weights(
                    _counts(rng, n_pos, self.n),
                    _counts(rng, n_neg, self.n),
                    rng.random(self.n),
                    rng.random(self.n),
                )
                self._bytes += drawn.pos.nbytes + drawn.neg.nbytes
                if self._bytes > _MAX_BYTES:  # sizes vary little within a run; this only bounds memory
                    self._drawn.clear()
                    self._bytes = drawn.pos.nbytes + drawn.neg.nbytes
                self._drawn[n_pos, n_neg] = drawn
            return self._drawn[n_pos, n_neg]


def spread_out(rates: NDArray[np.float64], n: int, chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rates of resamples of `n` examples, unless all of them are 0 or all are 1: then draws from the posterior of such a
    rate after `n` equal answers (Beta(n + 1, 1), from a uniform prior), by `chance`, uniform from 0 to 1.

    Resampling equal answers gives an interval of no width, as if three right answers were proof.
    """
    if len(rates) and rates[0] in (0.0, 1.0) and (rates == rates[0]).all():
        posterior = chance ** (1.0 / (n + 1))
        return posterior if rates[0] == 1.0 else 1.0 - posterior
    return rates


def spread_gap(gaps: NDArray[np.float64], n: int, chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """`spread_out` for the difference of two rates over the same `n` examples: where no example favours either rate, the next
    one may favour either; where all favour one, the next one may not."""
    if not len(gaps) or gaps[0] not in (-1.0, 0.0, 1.0) or (gaps != gaps[0]).any():
        return gaps
    if gaps[0]:
        return gaps[0] * chance ** (1.0 / (n + 1))
    return np.where(chance < 0.5, -1.0, 1.0) * (1.0 - np.abs(2.0 * chance - 1.0) ** (1.0 / (n + 1)))


def interval(values: NDArray[np.float64], *, around: float | None = None) -> Interval:
    """The central 95 % of the resampled values that are defined, widened as far as needed to hold `around`."""
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return NO_INTERVAL
    # As np.quantile, at a fifth of its cost, which in a batch is as much as the scoring itself.
    places = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]) * (len(values) - 1)
    below = places.astype(np.int64)
    above = np.minimum(below + 1, len(values) - 1)
    ranked = np.partition(values, [*below, *above])
    low, high = ranked[below] + (ranked[above] - ranked[below]) * (places - below)
    if around is not None:
        low, high = min(low, around), max(high, around)
    return Interval(float(low), float(high))


def _counts(rng: np.random.Generator, n: int, resamples: int) -> NDArray[np.float64]:
    if n == 0:
        return np.zeros((resamples, 0))
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * resamples).reshape(resamples, n).astype(np.float64)
