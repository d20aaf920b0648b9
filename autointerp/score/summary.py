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
from autointerp.score.plan import Item, Verdict
from autointerp.score.registry import N_TEXTS
from autointerp.score.resampling import NO_INTERVAL, Interval, Resamples, interval, spread_out
from autointerp.types import N_QUANTILES


@dataclass(frozen=True)
class Summary:
    """The figures of one score; fields as in `autointerp.records.Score`."""

    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
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
    """The figures of `judged`; answers that could not be read are counted and in no other figure."""
    unparsed = sum(not example.parsed for example in judged)
    if metric == "balanced_accuracy":
        return _of_answers([example for example in judged if example.answer is not None], unparsed, resamples)
    if metric == "intruder_accuracy":
        return _of_questions(judged, resamples)
    if metric == "auroc":
        graded = [example for example in judged if example.value is not None]
        return summarise_values(
            np.array([bool(example.truth) for example in graded], dtype=bool),
            np.array([example.value for example in graded], dtype=np.float64),
            [example.quantile for example in graded],
            resamples,
            unparsed=unparsed,
        )
    if metric == "nats":
        return _of_nats([example for example in judged if example.value is not None], unparsed, resamples)
    if metric == "hit_rate":
        return _of_texts(judged, unparsed, resamples)
    return _of_predictions(items, judged, unparsed, resamples)


def value_of(metric: Metric, items: Sequence[Item], verdicts: Sequence[Verdict]) -> float | None:
    """The value alone, as `summarise` gives it."""
    pairs = list(zip(items, verdicts, strict=True))
    if metric == "balanced_accuracy":
        answers = [
            (bool(item.truth), verdict.answer) for item, verdict in pairs if verdict.answer is not None
        ]
        return balanced_accuracy([truth for truth, _ in answers], [answer for _, answer in answers])
    if metric == "auroc":
        values = [(bool(item.truth), verdict.value) for item, verdict in pairs if verdict.value is not None]
        return auroc([truth for truth, _ in values], [value for _, value in values])
    if metric == "nats":
        nats = [verdict.value for verdict in verdicts if verdict.value is not None]
        return float(np.mean(nats)) if nats else None
    return _correlation(_activating_first(items, verdicts))


def _of_answers(judged: Sequence[JudgedExample], unparsed: int, resamples: Resamples) -> Summary:
    positive = [example for example in judged if example.truth]
    negative = [example for example in judged if not example.truth]
    hits = [bool(example.answer) for example in positive]
    rejections = [not example.answer for example in negative]
    tnr = rate(rejections)
    tpr = mean_by_quantile([example.quantile for example in positive], hits, N_QUANTILES)
    truth = [bool(example.truth) for example in judged]
    value = balanced_accuracy(truth, [bool(example.answer) for example in judged])
    graded = all(example.value is not None for example in judged)
    weights = resamples.weights(len(positive), len(negative)) if positive and negative else None
    ci = NO_INTERVAL
    if weights is not None:
        hit = spread_out(resampled_rate(hits, weights.pos), len(hits), weights.chance_pos)
        rejected = spread_out(resampled_rate(rejections, weights.neg), len(rejections), weights.chance_neg)
        ci = interval((hit + rejected) / 2, around=value)
    return Summary(
        value=value,
        ci_low=ci.low,
        ci_high=ci.high,
        auroc=auroc(truth, [example.value or 0.0 for example in judged]) if graded else None,
        n_pos=len(positive),
        n_neg=len(negative),
        tpr_by_quantile=tpr,
        value_by_quantile=tuple(None if t is None or tnr is None else (t + tnr) / 2 for t in tpr),
        tnr=tnr,
        unparsed=unparsed,
    )


def _of_questions(judged: Sequence[JudgedExample], resamples: Resamples) -> Summary:
    """The share of questions in which the right one of `N_TEXTS` texts was picked; whole questions are resampled."""
    questions = [judged[i : i + N_TEXTS] for i in range(0, len(judged), N_TEXTS)]
    read = [question for question in questions if all(text.answer is not None for text in question)]
    hits = [all(text.answer is text.truth for text in question) for question in read]
    deciles = [{text.quantile for text in question if not text.truth} for question in read]
    ci = _rate_interval(hits, resamples)
    return Summary(
        value=rate(hits),
        ci_low=ci.low,
        ci_high=ci.high,
        n_pos=len(hits),
        value_by_quantile=mean_by_quantile(
            [next(iter(each)) if len(each) == 1 else None for each in deciles], hits, N_QUANTILES
        ),
        unparsed=len(questions) - len(read),
    )


def hits_of(judged: Sequence[JudgedExample], truth: bool) -> list[bool]:
    """Of the texts written from the explanation that is scored (`truth`), or of the others, whether the latent fires in each
    that counts."""
    return [example.answer for example in judged if example.truth is truth and example.answer is not None]


def _of_texts(judged: Sequence[JudgedExample], unparsed: int, resamples: Resamples) -> Summary:
    """The share of texts in which the latent fires; those of the floor's explanation are counted beside it."""
    hits, others = hits_of(judged, True), hits_of(judged, False)
    ci = _rate_interval(hits, resamples)
    return Summary(
        value=rate(hits),
        ci_low=ci.low,
        ci_high=ci.high,
        n_pos=len(hits),
        n_neg=len(others),
        tnr=rate([not hit for hit in others]),
        unparsed=unparsed,
    )


def _rate_interval(hits: Sequence[bool], resamples: Resamples) -> Interval:
    """Of a share; none for fewer than two."""
    weights = resamples.weights(len(hits), 0)
    if weights is None:
        return NO_INTERVAL
    rates = spread_out(resampled_rate(hits, weights.pos), len(hits), weights.chance_pos)
    return interval(rates, around=rate(hits))


def summarise_values(
    truth: NDArray[np.bool_],
    value: NDArray[np.float64],
    quantile: Sequence[int | None],
    resamples: Resamples,
    *,
    unparsed: int = 0,
) -> Summary:
    """`summarise` for the metric "auroc", from arrays with one entry per answered item."""
    high, low = value[truth], value[~truth]
    n_pos, n_neg = len(high), len(low)
    if not n_pos or not n_neg:
        return Summary(n_pos=n_pos, n_neg=n_neg, unparsed=unparsed)
    wins = pairwise_wins(high, low).sum(axis=1)
    figure = float(wins.sum() / (n_pos * n_neg))
    of_high = [q for q, is_high in zip(quantile, truth.tolist(), strict=True) if is_high]
    own_auroc = (wins / n_neg).tolist()  # of each positive
    weights = resamples.weights(n_pos, n_neg)
    ci = NO_INTERVAL
    if weights is not None:
        resampled = resampled_auroc(high, low, *weights.short)
        # Where no negative is above any positive, the smaller class says how much that can mean.
        ci = interval(spread_out(resampled, min(n_pos, n_neg), weights.chance_pos), around=figure)
    return Summary(
        value=figure,
        ci_low=ci.low,
        ci_high=ci.high,
        auroc=figure,
        n_pos=n_pos,
        n_neg=n_neg,
        value_by_quantile=mean_by_quantile(of_high, own_auroc, N_QUANTILES),
        unparsed=unparsed,
    )


def _of_nats(judged: Sequence[JudgedExample], unparsed: int, resamples: Resamples) -> Summary:
    """The mean over all examples, which are of one class."""
    if not judged:
        return Summary(unparsed=unparsed)
    values = np.array([example.value for example in judged], dtype=np.float64)
    weights = resamples.weights(len(values), 0)
    ci = NO_INTERVAL
    if weights is not None and np.ptp(values) > 0:  # one of no width would look like proof
        ci = interval(resampled_rate(values, weights.pos))
    return Summary(
        value=float(values.mean()),
        ci_low=ci.low,
        ci_high=ci.high,
        n_pos=len(values),
        value_by_quantile=mean_by_quantile(
            [example.quantile for example in judged], values.tolist(), N_QUANTILES
        ),
        unparsed=unparsed,
    )


Predicted = tuple[Item, Sequence[float]]
"""An item and what was predicted for its tokens."""


def _of_predictions(
    items: Sequence[Item], judged: Sequence[JudgedExample], unparsed: int, resamples: Resamples
) -> Summary:
    """Correlation over all tokens of all windows; whole windows are resampled, for their tokens depend on each other."""
    ordered = _activating_first(items, judged)
    n_pos = sum(item.window.example.max_activation > 0 for item, _ in ordered)
    weights = resamples.weights(n_pos, len(ordered) - n_pos)
    value = _correlation(ordered)
    ci = NO_INTERVAL
    if weights is not None and value is not None:
        sums = correlation_sums((item.window.example.activations, predicted) for item, predicted in ordered)
        ci = interval(resampled_correlation(sums, weights.both))
    return Summary(
        value=value,
        ci_low=ci.low,
        ci_high=ci.high,
        n_pos=n_pos,
        n_neg=len(ordered) - n_pos,
        value_by_quantile=tuple(
            _correlation([pair for pair in ordered[:n_pos] if pair[0].window.example.quantile == q])
            for q in range(N_QUANTILES)
        ),
        unparsed=unparsed,
    )


def _activating_first(
    items: Sequence[Item], answers: Sequence[JudgedExample] | Sequence[Verdict]
) -> list[Predicted]:
    """The predictions that could be read. The order fixes the resamples and the rounding of sums."""
    pairs = [
        (item, answer.predicted)
        for item, answer in zip(items, answers, strict=True)
        if answer.predicted is not None
    ]
    return sorted(pairs, key=lambda pair: pair[0].window.example.max_activation <= 0)


def _correlation(pairs: Sequence[Predicted]) -> float | None:
    if not pairs:
        return None
    truth = np.concatenate([item.window.example.activations for item, _ in pairs])
    return correlation(
        truth, np.concatenate([np.asarray(predicted, dtype=np.float64) for _, predicted in pairs])
    )
