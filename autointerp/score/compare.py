"""Two explanations on the same examples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.records import JudgedExample, Metric, Score
from autointerp.score.metrics import (
    Float,
    correlation,
    correlation_of_each,
    correlation_sums,
    resampled_auroc,
    resampled_rate,
)
from autointerp.score.resampling import Resamples, interval, spread_gap

Activations = Callable[[JudgedExample], NDArray[np.float32]]
"""The true activations of an item's tokens."""

_ALIKE = 1e-12
_SETTINGS = {
    "batch": "texts in one prompt",
    "graded": "graded answers",
    "temperature": "temperature",
    "mode": "way of asking",
    "llm": "server and model",
    "version": "version of the prompts or rules",
}
"""What shapes a judge's answers beside its name, as a score's configuration has it."""


@dataclass(frozen=True)
class Difference:
    """`value` = second minus first score over the items that both have answered, with its 95 % interval: one that leaves
    out 0 speaks for a real difference. `None` when not defined. `n_pos`, `n_neg`: items per class; of simulation, windows in
    which the latent fires and others. `unpaired`: items answered for one of the two only."""

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
    """How much better the second explanation did. Both scores hold their judged examples, come from one scorer and one judge
    with the same settings, or it is the judges that are compared, and share items: same seed, same held-out examples; each
    resample takes the same items from both. `activations`: needed for simulation, whose whole windows are resampled, as for
    the score's own interval.

    Raises: UserError: when the two cannot be compared.
    """
    if (first.scorer, first.metric, first.protocol) != (second.scorer, second.metric, second.protocol):
        raise UserError(
            f"Only scores of the same kind can be compared: got {first.scorer} ({first.protocol}) and {second.scorer} "
            f"({second.protocol})."
        )
    if (first.judge, first.model) != (second.judge, second.model):
        judges = [f"{one.judge} ({one.model})" if one.model else one.judge for one in (first, second)]
        raise UserError(
            f"The two scores have different judges, {judges[0]} and {judges[1]}: their difference would not be the "
            "explanations'. Rescore one of them with the other's judge."
        )
    unlike = _unlike(first, second)
    if unlike:
        raise UserError(
            f"The judge was set differently for the two scores ({'; '.join(unlike)}): their difference would not be the "
            "explanations'. Score both anew, with the same settings."
        )
    a, b = _answered(first), _answered(second)
    keys = [key for key in a if key in b]
    if not keys:
        raise UserError(
            "The two scores share no example. Rescore both with the same seed and number of examples, then compare."
        )
    if first.metric == "correlation":
        if activations is None:
            raise ValueError("simulation is compared against the true activations")
        windows = [(activations(a[key]), a[key].predicted or (), b[key].predicted or ()) for key in keys]
        return _of_predictions(windows, len(a) + len(b) - 2 * len(keys), resamples)
    positive = [(a[key], b[key]) for key in keys if a[key].truth]
    negative = [(a[key], b[key]) for key in keys if not a[key].truth]
    unpaired = len(a) + len(b) - 2 * len(keys)
    if not positive or not negative:
        return Difference(first.metric, None, None, None, len(positive), len(negative), unpaired)
    once = (np.ones((1, len(positive))), np.ones((1, len(negative))))
    value = float(np.sum(_gaps(first.metric, positive, negative, *once)))
    low = high = None
    weights = resamples.weights(len(positive), len(negative))
    if weights is not None:
        gaps = _gaps(first.metric, positive, negative, weights.pos, weights.neg)
        # An interval of no width would look like proof that the two are alike.
        if first.metric == "balanced_accuracy":
            spread = [
                spread_gap(2 * gaps[0], len(positive), weights.chance_pos) / 2,
                spread_gap(2 * gaps[1], len(negative), weights.chance_neg) / 2,
            ]
        else:
            spread = [spread_gap(gaps[0], min(len(positive), len(negative)), weights.chance_pos)]
        low, high = interval(np.sum(spread, axis=0), around=value)
    return Difference(first.metric, value, low, high, len(positive), len(negative), unpaired)


def _gaps(
    metric: Metric,
    positive: list[tuple[JudgedExample, JudgedExample]],
    negative: list[tuple[JudgedExample, JudgedExample]],
    w_pos: Float,
    w_neg: Float,
) -> list[Float]:
    """Parts that make up the second value minus the first, of each resample: for balanced accuracy what either class adds."""
    if metric == "balanced_accuracy":
        hits = [resampled_rate([bool(pair[side].answer) for pair in positive], w_pos) for side in (0, 1)]
        rejections = [resampled_rate([not pair[side].answer for pair in negative], w_neg) for side in (0, 1)]
        return [(hits[1] - hits[0]) / 2, (rejections[1] - rejections[0]) / 2]
    first, second = (
        resampled_auroc(
            [pair[side].value or 0.0 for pair in positive],
            [pair[side].value or 0.0 for pair in negative],
            w_pos,
            w_neg,
        )
        for side in (0, 1)
    )
    return [second - first]


def _of_predictions(
    windows: list[tuple[NDArray[np.float32], tuple[float, ...], tuple[float, ...]]],
    unpaired: int,
    resamples: Resamples,
) -> Difference:
    """`windows`: true activations, and what the first and the second predicted there."""
    firing = [one for one in windows if one[0].max(initial=0.0) > 0]
    silent = [one for one in windows if one[0].max(initial=0.0) <= 0]
    ordered = [*firing, *silent]
    truth = np.concatenate([one[0] for one in ordered])
    sides = [correlation(truth, np.concatenate([one[side] for one in ordered])) for side in (1, 2)]
    if sides[0] is None or sides[1] is None:
        return Difference("correlation", None, None, None, len(firing), len(silent), unpaired)
    low = high = None
    weights = resamples.weights(len(firing), len(silent))
    if weights is not None:
        drawn = np.concatenate([weights.pos, weights.neg], axis=1)
        each = [
            correlation_of_each(correlation_sums((one[0], one[side]) for one in ordered), drawn)
            for side in (1, 2)
        ]
        gaps = each[1] - each[0]
        gaps = gaps[~np.isnan(gaps)]
        if (
            np.abs(gaps).max(initial=0.0) > _ALIKE
        ):  # two that predict the same have no interval: one of no width would look like proof
            low, high = interval(gaps, around=sides[1] - sides[0])
    return Difference("correlation", sides[1] - sides[0], low, high, len(firing), len(silent), unpaired)


def _unlike(first: Score, second: Score) -> list[str]:
    """In which settings of the judge the two differ, in words."""
    found = []
    if first.prompt_version != second.prompt_version:
        found.append(f"prompt: {first.prompt_version} and {second.prompt_version}")
    for name, said in _SETTINGS.items():
        if name == "batch" and first.protocol == "delphi":
            continue  # the protocol fixes it, whatever was asked for
        one, other = first.config.get(name), second.config.get(name)
        if one != other:
            found.append(f"{said}: {_told(one)} and {_told(other)}")
    return found


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return " at ".join(str(value[name]) for name in ("model", "endpoint") if name in value)
    return (
        "not recorded"
        if value is None
        else {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else str(value)
    )


def _answered(score: Score) -> dict[object, JudgedExample]:
    judged = score.judged or ()
    if score.metric == "balanced_accuracy":
        return {one.key: one for one in judged if one.answer is not None}
    if score.metric == "correlation":
        return {one.key: one for one in judged if one.predicted is not None}
    return {one.key: one for one in judged if one.value is not None}
