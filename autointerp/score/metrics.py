"""The numbers behind every score, in plain numpy. A value that is not defined is `None`, never NaN or 0.

The `resampled_*` functions give the same numbers for many bootstrap resamples at once: a resample is given by how often each
example is in it, so that one matrix product serves all of them.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


def balanced_accuracy(truth: ArrayLike, answer: ArrayLike) -> float | None:
    """Mean of the true positive and the true negative rate, in [0, 1]; `None` when a class is empty."""
    positive, yes = _flags(truth), _flags(answer)
    if not positive.any() or positive.all():
        return None
    return float((yes[positive].mean() + (~yes[~positive]).mean()) / 2)


def rate(flags: ArrayLike) -> float | None:
    """The share of true flags; `None` for none at all."""
    values = _flags(flags).tolist()
    return sum(values) / len(values) if values else None


def auroc(truth: ArrayLike, value: ArrayLike) -> float | None:
    """The chance that a random positive has a larger value than a random negative, ties counting half; in [0, 1]."""
    positive, values = _flags(truth), np.asarray(value, dtype=np.float64)
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    if n_pos == 0 or n_neg == 0:
        return None
    rank_sum = float(midranks(values)[positive].sum())
    return (rank_sum - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg)


def pairwise_wins(positive: ArrayLike, negative: ArrayLike) -> Float:
    """Float64[ndarray, "n_pos n_neg"]: 1 where the positive has the larger value, 0.5 for equals, else 0. The mean of a row is
    the AUROC of that positive alone, so the mean of any rows is the AUROC of those."""
    high = np.asarray(positive, dtype=np.float64)[:, None]
    low = np.asarray(negative, dtype=np.float64)[None, :]
    return (high > low) + 0.5 * (high == low)


def midranks(values: Float) -> Float:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Pearson's correlation in [-1, 1]; `None` with fewer than two points or when either side is constant."""
    a, b = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    a, b = _unit(a), _unit(b)
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / norm, -1.0, 1.0)) if norm > 0 else None


def _unit(values: Float) -> Float:
    """Centred and scaled to a largest magnitude of 1, so that products neither overflow nor vanish."""
    values = values / np.abs(values).max()
    centred = values - values.mean()
    return centred / max(float(np.abs(centred).max()), np.finfo(np.float64).tiny)


def mean_by_quantile(
    quantiles: Sequence[int | None], values: Sequence[float], n_quantiles: int = 10
) -> tuple[float | None, ...]:
    """The mean of each quantile's values (0 = strongest), for flags their share; `None` for a quantile without examples."""
    groups: list[list[float]] = [[] for _ in range(n_quantiles)]
    for quantile, value in zip(quantiles, values, strict=True):
        if quantile is not None and 0 <= quantile < n_quantiles:
            groups[quantile].append(value)
    return tuple([sum(group) / len(group) if group else None for group in groups])


def resampled_rate(flags: ArrayLike, weights: Float) -> Float:
    """The mean of `flags`, their share for flags that are true or not, in each resample; `weights` Float[ndarray,
    "resamples n"]."""
    return weights @ np.asarray(flags, dtype=np.float64) / (weights @ np.ones(weights.shape[1]))


def resampled_auroc(
    positive: ArrayLike, negative: ArrayLike, w_pos: NDArray[np.floating], w_neg: NDArray[np.floating]
) -> Float:
    """AUROC of each resample, from the values of the positives and of the negatives."""
    return resampled_mean(pairwise_wins(positive, negative), w_pos, w_neg)


def resampled_mean(wins: Float, w_pos: NDArray[np.floating], w_neg: NDArray[np.floating]) -> Float:
    """The mean of `wins` Float64[ndarray, "n_pos n_neg"], whole or half numbers, in each resample. Weights of 32 bits give the
    same numbers while no class has more than 2,048 examples: all sums are then halves below 2**23."""
    return np.einsum("rn,rn->r", w_pos @ wins.astype(w_pos.dtype), w_neg).astype(np.float64) / wins.size


def correlation_sums(pairs: Iterable[tuple[ArrayLike, ArrayLike]]) -> Float:
    """Per example the sums that make up a correlation, Float[ndarray, "n 6"]: n, x, y, xx, yy, xy."""
    rows = [(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)) for x, y in pairs]
    if not rows:
        return np.zeros((0, 6))
    # Shifting and scaling by whole-sample constants changes no correlation and keeps the sums well conditioned.
    all_x, all_y = np.concatenate([x for x, _ in rows]), np.concatenate([y for _, y in rows])
    scale_x, scale_y = (float(np.ptp(v)) or 1.0 for v in (all_x, all_y))
    rows = [((x - all_x.mean()) / scale_x, (y - all_y.mean()) / scale_y) for x, y in rows]
    return np.array([(len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y) for x, y in rows])


def resampled_correlation(sums: Float, weights: Float) -> Float:
    """Pearson's correlation of each resample of whole examples, NaN where it is not defined; `sums` as `correlation_sums`
    gives them."""
    n, x, y, xx, yy, xy = (weights @ sums).T
    var_x, var_y = n * xx - x * x, n * yy - y * y
    defined = (var_x > 1e-12 * n * n) & (var_y > 1e-12 * n * n)
    correlations = np.full(len(n), np.nan)
    norm = np.sqrt(var_x[defined] * var_y[defined])
    correlations[defined] = np.clip((n * xy - x * y)[defined] / norm, -1.0, 1.0)
    return correlations


def _flags(values: ArrayLike) -> Bool:
    return np.asarray(values, dtype=bool).ravel()
