"""Two explanations on the same examples, or each on the texts that were written from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.records import JudgedExample, Metric, Score
from autointerp.registry import KL
from autointerp.score.metrics import (
    Float,
    correlation,
    correlation_sums,
    pairwise_wins,
    rate,
    resampled_correlation,
    resampled_mean,
    resampled_rate,
)
from autointerp.score.registry import FIRES_ABOVE, SCORERS, writes_texts
from autointerp.score.resampling import (
    NO_INTERVAL,
    Interval,
    Resamples,
    interval,
    spread_gap,
    spread_out,
)
from autointerp.score.summary import hits_of

Activations = Callable[[JudgedExample], NDArray[np.float32]]
"""The true activations of a judged example's tokens."""
Pair = tuple[JudgedExample, JudgedExample]
"""One example as it was judged for the first and for the second explanation."""

_NO_DIFFERENCE = 1e-12
_SETTINGS = {
    "batch": "texts per prompt",
    "fires_above": "fires above",
    "graded": "graded answers",
    "kl": "target KL",
    "llm": "model",
    "version": "version of the prompts or rules",
}
"""What shapes a judge's answers beside its name: keys of a score's configuration, and what a person reads."""
_USUAL = {option.name: option.default for option in (KL, FIRES_ABOVE)}
"""What a configuration leaves out."""


@dataclass(frozen=True)
class Difference:
    """`value`: the second score less the first over the examples that both have answers for, with its 95 % interval: one that
    excludes 0 speaks for a real difference. `None` where not defined. `n_pos`, `n_neg`: examples per class; for simulation,
    activating windows and others; for generation, the texts of the second and those of the first. `unpaired`: examples answered
    for only one of the two."""

    metric: Metric
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_pos: int
    n_neg: int
    unpaired: int


def difference(
    first: Score, second: Score, resamples: Resamples, activations: Activations | None = None
) -> Difference:
    """How much better the second explanation did; each resample takes the same examples from both. The scores must hold their
    judged examples, share examples (same seed, same held-out windows), and come from one scorer and one judge with the same
    settings: else it is the judges that are compared. `activations`: needed for simulation, whose whole windows are resampled,
    as for the score's own interval. Of generation, each explanation has texts of its own, and the two are resampled apart.

    Raises: UserError: when the two cannot be compared.
    """
    _check_comparable(first, second)
    if writes_texts(first.scorer, first.metric):
        hits = [hits_of(score.judged or (), True) for score in (first, second)]
        value, ci = rate_difference(hits[0], hits[1], resamples)
        return Difference(first.metric, value, ci.low, ci.high, len(hits[1]), len(hits[0]), 0)
    a, b = _answered(first), _answered(second)
    pairs = [(a[key], b[key]) for key in a if key in b]
    if not pairs:
        raise UserError(
            "The two scores have no examples in common. Rescore both with the same seed and number of examples, then compare."
        )
    value, ci, n_pos = paired(first.metric, pairs, resamples, activations)
    unpaired = len(a) + len(b) - 2 * len(pairs)
    return Difference(first.metric, value, ci.low, ci.high, n_pos, len(pairs) - n_pos, unpaired)


def paired(
    metric: Metric, pairs: Sequence[Pair], resamples: Resamples, activations: Activations | None = None
) -> tuple[float | None, Interval, int]:
    """How much better the second of each pair did: the difference, its interval, and the number of positives. Every pair was
    answered for both. `activations`: for the metric "correlation"."""
    if metric == "correlation":
        if activations is None:
            raise ValueError("simulation is compared against the true activations")
        return _of_predictions(pairs, resamples, activations)
    if metric == "nats":
        return *_of_nats(pairs, resamples), len(pairs)
    positive = [pair for pair in pairs if pair[0].truth]
    negative = [pair for pair in pairs if not pair[0].truth]
    if metric == "auroc":
        sides = [
            tuple(
                np.array([pair[side].value for pair in of], dtype=np.float64) for of in (positive, negative)
            )
            for side in (0, 1)
        ]
        return *auroc_difference(sides[0], sides[1], resamples), len(positive)
    return *_of_answers(positive, negative, resamples), len(positive)


def _of_answers(
    positive: Sequence[Pair], negative: Sequence[Pair], resamples: Resamples
) -> tuple[float | None, Interval]:
    """The difference of balanced accuracies."""
    if not positive or not negative:
        return None, NO_INTERVAL
    hits = _gap([bool(pair[0].answer) for pair in positive], [bool(pair[1].answer) for pair in positive])
    passes = _gap([not pair[0].answer for pair in negative], [not pair[1].answer for pair in negative])
    value = float(hits.mean() + passes.mean()) / 2
    weights = resamples.weights(len(hits), len(passes))
    if weights is None:
        return value, NO_INTERVAL
    # An interval of no width would look like proof that the two are alike.
    spread = spread_gap(resampled_rate(hits, weights.pos), len(hits), weights.chance_pos)
    spread = spread + spread_gap(resampled_rate(passes, weights.neg), len(passes), weights.chance_neg)
    return value, interval(spread / 2, around=value)


def _of_nats(pairs: Sequence[Pair], resamples: Resamples) -> tuple[float | None, Interval]:
    """The difference of means."""
    first, second = (np.array([pair[side].value for pair in pairs], dtype=np.float64) for side in (0, 1))
    weights = resamples.weights(len(pairs), 0)
    gaps = second - first
    # Two that are equal on every example have no interval: one of no width would look like proof.
    if weights is None or not (np.abs(gaps) > _NO_DIFFERENCE).any():
        return float(gaps.mean()), NO_INTERVAL
    return float(gaps.mean()), interval(resampled_rate(gaps, weights.pos))


def rate_difference(
    first: Sequence[bool], second: Sequence[bool], resamples: Resamples
) -> tuple[float | None, Interval]:
    """The share of hits of `second` less that of `first`, over other examples, with its interval."""
    rates = rate(first), rate(second)
    if rates[0] is None or rates[1] is None:
        return None, NO_INTERVAL
    value = rates[1] - rates[0]
    weights = resamples.weights(len(second), len(first))
    if weights is None:
        return value, NO_INTERVAL
    resampled = spread_out(resampled_rate(second, weights.pos), len(second), weights.chance_pos)
    resampled = resampled - spread_out(resampled_rate(first, weights.neg), len(first), weights.chance_neg)
    return value, interval(resampled, around=value)


def _gap(first: Sequence[bool], second: Sequence[bool]) -> Float:
    return np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)


def auroc_difference(
    first: tuple[Float, ...], second: tuple[Float, ...], resamples: Resamples
) -> tuple[float | None, Interval]:
    """The AUROC of `second` less that of `first`, with its interval; each the values of the positives and of the negatives."""
    n_pos, n_neg = map(len, first)
    if not n_pos or not n_neg:
        return None, NO_INTERVAL
    wins = pairwise_wins(*second) - pairwise_wins(*first)
    value = float(wins.mean())
    weights = resamples.weights(n_pos, n_neg)
    if weights is None:
        return value, NO_INTERVAL
    gaps = resampled_mean(wins, *weights.short)
    return value, interval(spread_gap(gaps, min(n_pos, n_neg), weights.chance_pos), around=value)


def _of_predictions(
    pairs: Sequence[Pair], resamples: Resamples, activations: Activations
) -> tuple[float | None, Interval, int]:
    """The difference of correlations, its interval, and the number of activating windows."""
    windows = [(activations(pair[0]), pair) for pair in pairs]
    activating = [window for window in windows if window[0].max(initial=0.0) > 0]
    ordered = [*activating, *(window for window in windows if window[0].max(initial=0.0) <= 0)]
    truth = np.concatenate([acts for acts, _ in ordered])
    sides = [[(acts, pair[side].predicted or ()) for acts, pair in ordered] for side in (0, 1)]
    values = [correlation(truth, np.concatenate([predicted for _, predicted in side])) for side in sides]
    if values[0] is None or values[1] is None:
        return None, NO_INTERVAL, len(activating)
    value = values[1] - values[0]
    weights = resamples.weights(len(activating), len(windows) - len(activating))
    if weights is None:
        return value, NO_INTERVAL, len(activating)
    resampled = [resampled_correlation(correlation_sums(side), weights.both) for side in sides]
    gaps = resampled[1] - resampled[0]
    # Two that predict the same have no interval: one of no width would look like proof.
    alike = not (np.abs(gaps) > _NO_DIFFERENCE).any()
    return value, NO_INTERVAL if alike else interval(gaps, around=value), len(activating)


def _check_comparable(first: Score, second: Score) -> None:
    if first.scorer in SCORERS and SCORERS[first.scorer].explanation_free:
        raise UserError(
            f"{SCORERS.label(first.scorer)} does not depend on the explanation: it is the same for every version."
        )
    if (first.scorer, first.metric, first.protocol) != (second.scorer, second.metric, second.protocol):
        raise UserError(
            f"Only scores of the same kind can be compared: got {first.scorer} ({first.protocol}) and {second.scorer} "
            f"({second.protocol})."
        )
    if (first.judge, first.model) != (second.judge, second.model):
        judges = [
            f"{score.judge} ({score.model})" if score.model else score.judge for score in (first, second)
        ]
        raise UserError(
            f"The two scores have different judges, {judges[0]} and {judges[1]}, so the difference may not be due to the "
            "explanations. Rescore one of them with the other's judge."
        )
    if changed := _changed_settings(first, second):
        raise UserError(
            f"The judge had different settings for the two scores ({'; '.join(changed)}), so the difference may not be due "
            "to the explanations. Rescore both with the same settings."
        )


def _changed_settings(first: Score, second: Score) -> list[str]:
    """The judge's settings in which the two scores differ, in words."""
    changed = []
    if first.prompt_version != second.prompt_version:
        changed.append(f"prompt: {first.prompt_version} and {second.prompt_version}")
    for name, label in _SETTINGS.items():
        if name == "batch" and first.protocol == "delphi":
            continue  # fixed by the protocol, whatever was asked for
        values = [score.config.get(name, _USUAL.get(name)) for score in (first, second)]
        if values[0] != values[1]:
            changed.append(f"{label}: {_in_words(values[0])} and {_in_words(values[1])}")
    return changed


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " at ".join(str(value[name]) for name in ("model", "endpoint") if name in value)
    if value is None:
        return "not recorded"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _answered(score: Score) -> dict[object, JudgedExample]:
    answers = {"balanced_accuracy": "answer", "correlation": "predicted", "auroc": "value", "nats": "value"}
    return {
        example.key: example
        for example in score.judged or ()
        if getattr(example, answers[score.metric]) is not None
    }
