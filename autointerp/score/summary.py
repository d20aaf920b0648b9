"""From answers to numbers: the value of a score, its interval and its rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.records import JudgedExample, Metric
from autointerp.score.metrics import (
    auroc,
    balanced_accuracy,
    correlation,
    correlation_sums,
    mean_by_quantile,
    pairwise_wins,
    rate,
    resampled_auroc,
    resampled_correlation,
    resampled_rate,
)
from autointerp.score.plan import N_QUANTILES, Item, Verdict
from autointerp.score.resampling import NO_INTERVAL, Interval, Resamples, interval, spread_out


@dataclass(frozen=True)
class Summary:
    """The figures of one score; fields as in `autointerp.records.Score`."""

    value: float | None
    ci: Interval = NO_INTERVAL
    auroc: float | None = None
    n_pos: int = 0
    n_neg: int = 0
    tpr_by_quantile: tuple[float | None, ...] = ()
    value_by_quantile: tuple[float | None, ...] = ()
    tnr: float | None = None
    unparsed: int = 0


def summarise(
    metric: Metric, items: Sequence[Item], judged: Sequence[JudgedExample], resamples: Resamples
) -> Summary:
    """The figures of `judged`; answers that could not be read are counted and in nothing else."""
    unparsed = sum(not one.parsed for one in judged)
    if metric == "balanced_accuracy":
        return _of_answers([one for one in judged if one.answer is not None], unparsed, resamples)
    if metric == "auroc":
        return _of_values([one for one in judged if one.value is not None], unparsed, resamples)
    pairs = [(item, one) for item, one in zip(items, judged, strict=True) if one.predicted is not None]
    return _of_predictions(pairs, unparsed, resamples)


def value_of(metric: Metric, items: Sequence[Item], verdicts: Sequence[Verdict]) -> float | None:
    """The value alone, as `summarise` gives it."""
    pairs = list(zip(items, verdicts, strict=True))
    if metric == "balanced_accuracy":
        said = [(bool(item.truth), one.answer) for item, one in pairs if one.answer is not None]
        return balanced_accuracy([truth for truth, _ in said], [answer for _, answer in said])
    if metric == "auroc":
        graded = [(bool(item.truth), one.value) for item, one in pairs if one.value is not None]
        return auroc([truth for truth, _ in graded], [value for _, value in graded])
    told = [(item, one.predicted) for item, one in pairs if one.predicted is not None]
    # The order of summing is `summarise`'s: windows that fire first.
    told.sort(key=lambda pair: pair[0].window.example.max_activation <= 0)
    if not told:
        return None
    return correlation(
        np.concatenate([item.window.example.activations for item, _ in told]),
        np.concatenate([np.asarray(predicted, dtype=np.float64) for _, predicted in told]),
    )


def _of_answers(judged: Sequence[JudgedExample], unparsed: int, resamples: Resamples) -> Summary:
    positive = [one for one in judged if one.truth]
    negative = [one for one in judged if not one.truth]
    hits = [bool(one.answer) for one in positive]
    rejections = [not one.answer for one in negative]
    tnr = rate(rejections)
    tpr = mean_by_quantile([one.quantile for one in positive], hits, N_QUANTILES)
    weights = resamples.weights(len(positive), len(negative)) if positive and negative else None
    graded = [one for one in judged if one.value is not None]
    value = balanced_accuracy([bool(one.truth) for one in judged], [bool(one.answer) for one in judged])
    ci = NO_INTERVAL
    if weights is not None:
        found = spread_out(resampled_rate(hits, weights.pos), len(hits), weights.chance_pos)
        refused = spread_out(resampled_rate(rejections, weights.neg), len(rejections), weights.chance_neg)
        ci = interval((found + refused) / 2, around=value)
    return Summary(
        value=value,
        ci=ci,
        auroc=_auroc(graded) if len(graded) == len(judged) else None,
        n_pos=len(positive),
        n_neg=len(negative),
        tpr_by_quantile=tpr,
        value_by_quantile=tuple(None if t is None or tnr is None else (t + tnr) / 2 for t in tpr),
        tnr=tnr,
        unparsed=unparsed,
    )


def _of_values(judged: Sequence[JudgedExample], unparsed: int, resamples: Resamples) -> Summary:
    return summarise_values(
        np.array([bool(one.truth) for one in judged], dtype=bool),
        np.array([one.value for one in judged], dtype=np.float64),
        [one.quantile for one in judged],
        resamples,
        unparsed=unparsed,
    )


def summarise_values(
    truth: NDArray[np.bool_],
    value: NDArray[np.float64],
    quantile: Sequence[int | None],
    resamples: Resamples,
    *,
    unparsed: int = 0,
) -> Summary:
    """`summarise` for the metric "auroc", from arrays of one entry per item that was answered."""
    high, low = value[truth], value[~truth]
    weights = resamples.weights(len(high), len(low)) if len(high) and len(low) else None
    figure, ci = None, NO_INTERVAL
    by_quantile: tuple[float | None, ...] = (None,) * N_QUANTILES
    if len(high) and len(low):
        won = pairwise_wins(high, low).sum(axis=1)
        of_high = [one for one, is_high in zip(quantile, truth.tolist(), strict=True) if is_high]
        by_quantile = mean_by_quantile(
            of_high, (won / len(low)).tolist(), N_QUANTILES
        )  # each positive's own AUROC
        figure = float(won.sum() / (len(high) * len(low)))
        if weights is not None:
            resampled = resampled_auroc(high, low, *weights.short)
            # Where no negative is above any positive, the smaller class says how much that can mean.
            spread = spread_out(resampled, min(len(high), len(low)), weights.chance_pos)
            ci = interval(spread, around=figure)
    return Summary(
        value=figure,
        ci=ci,
        auroc=figure,
        n_pos=len(high),
        n_neg=len(low),
        value_by_quantile=by_quantile,
        unparsed=unparsed,
    )


def _of_predictions(
    pairs: Sequence[tuple[Item, JudgedExample]], unparsed: int, resamples: Resamples
) -> Summary:
    """Correlation over all tokens of all windows; whole windows are resampled, for their tokens hang together."""
    positive = [pair for pair in pairs if pair[0].window.example.max_activation > 0]
    negative = [pair for pair in pairs if pair[0].window.example.max_activation <= 0]
    ordered = [*positive, *negative]
    weights = resamples.weights(len(positive), len(negative))
    value = _correlation(ordered)
    ci = NO_INTERVAL
    if weights is not None and value is not None:
        sums = correlation_sums(
            (item.window.example.activations, one.predicted or ()) for item, one in ordered
        )
        ci = interval(resampled_correlation(sums, np.concatenate([weights.pos, weights.neg], axis=1)))
    by_quantile = tuple(
        _correlation([pair for pair in positive if pair[0].window.example.quantile == q])
        for q in range(N_QUANTILES)
    )
    return Summary(
        value=value,
        ci=ci,
        n_pos=len(positive),
        n_neg=len(negative),
        value_by_quantile=by_quantile,
        unparsed=unparsed,
    )


def _auroc(judged: Sequence[JudgedExample]) -> float | None:
    return auroc([bool(one.truth) for one in judged], [one.value or 0.0 for one in judged])


def _correlation(pairs: Sequence[tuple[Item, JudgedExample]]) -> float | None:
    if not pairs:
        return None
    truth = np.concatenate([item.window.example.activations for item, _ in pairs])
    predicted = np.concatenate([np.asarray(one.predicted, dtype=np.float64) for _, one in pairs])
    return correlation(truth, predicted)
