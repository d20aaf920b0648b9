"""Two explanations on the same examples."""

from dataclasses import dataclass

import numpy as np

from autointerp.errors import UserError
from autointerp.score.metrics import resampled_auroc, resampled_balanced_accuracy
from autointerp.score.resampling import Resamples, interval
from autointerp.score.results import JudgedItem, Metric, ScoreResult


@dataclass(frozen=True)
class Difference:
    """`value` = second minus first score over the items that both have answered, with its 95 % interval: one that leaves
    out 0 speaks for a real difference. `None` when not defined. `unpaired`: items answered for one of the two only."""

    metric: Metric
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_pos: int
    n_neg: int
    unpaired: int


def difference(first: ScoreResult, second: ScoreResult, resamples: Resamples) -> Difference:
    """How much better the second explanation did. Both must come from one scorer and one judge, or it is the judges that are
    compared, and share items: same seed, same held-out examples; each resample takes the same items from both.

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
    if first.metric == "correlation":
        raise UserError(
            "Paired differences are there for detection, fuzzing, embedding and surprisal, not for simulation."
        )
    a, b = _answered(first), _answered(second)
    keys = [key for key in a if key in b]
    if not keys:
        raise UserError(
            "The two scores share no example. Rescore both with the same seed and number of examples, then compare."
        )
    positive = [(a[key], b[key]) for key in keys if a[key].truth]
    negative = [(a[key], b[key]) for key in keys if not a[key].truth]
    unpaired = len(a) + len(b) - 2 * len(keys)
    if not positive or not negative:
        return Difference(first.metric, None, None, None, len(positive), len(negative), unpaired)
    once = (np.ones((1, len(positive))), np.ones((1, len(negative))))
    value = _differences(first.metric, positive, negative, *once)[0]
    weights = resamples.weights(len(positive), len(negative))
    low = high = None
    if weights is not None:
        low, high = interval(_differences(first.metric, positive, negative, weights.pos, weights.neg))
    return Difference(first.metric, float(value), low, high, len(positive), len(negative), unpaired)


def _differences(
    metric: Metric,
    positive: list[tuple[JudgedItem, JudgedItem]],
    negative: list[tuple[JudgedItem, JudgedItem]],
    w_pos: np.ndarray,
    w_neg: np.ndarray,
) -> np.ndarray:
    sides = []
    for side in (0, 1):
        yes, no = [pair[side] for pair in positive], [pair[side] for pair in negative]
        if metric == "balanced_accuracy":
            hits, rejections = [bool(one.answer) for one in yes], [not one.answer for one in no]
            sides.append(resampled_balanced_accuracy(hits, rejections, w_pos, w_neg))
        else:
            sides.append(
                resampled_auroc(
                    [one.value or 0.0 for one in yes], [one.value or 0.0 for one in no], w_pos, w_neg
                )
            )
    return sides[1] - sides[0]


def _answered(score: ScoreResult) -> dict[object, JudgedItem]:
    if score.metric == "balanced_accuracy":
        return {one.key: one for one in score.judged if one.answer is not None}
    return {one.key: one for one in score.judged if one.value is not None}
