"""Scores in words: what a kind of score is called, and what a score on a page says."""

from collections.abc import Iterable
from typing import Any

from autointerp.store import ScoreKind, ShownScore
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.labels import judge_label

NEGATIVES = {
    "random": "random negatives",
    "neighbours": "negatives where a similar feature fires",
    "embedding": "negatives near in meaning",
}
METRICS = {
    "balanced_accuracy": "balanced accuracy, 0.5 is chance",
    "auroc": "area under the ROC curve, 0.5 is chance",
    "correlation": "correlation, 0 is chance",
}
SORTS = {"low": "lower end of its 95 % interval", "score": "value", "above": "value minus floor"}


def name(kind: ScoreKind, among: Iterable[ScoreKind] = ()) -> str:
    """`Detection · offline judge`, with protocol and negatives where they tell it from another of `among`."""
    said = f"{kind.scorer.capitalize()} · {judge_label(kind.judge, kind.model)}"
    alike = [
        other
        for other in among
        if (other.scorer, other.judge, other.model) == (kind.scorer, kind.judge, kind.model)
    ]
    if any(other.protocol != kind.protocol for other in alike):
        said += f" · {'our protocol' if kind.protocol == 'ours' else kind.protocol}"
    if any(other.negatives != kind.negatives for other in alike):
        said += f" · {kind.negatives}"
    return said


def help_text(kind: ScoreKind) -> str:
    """The whole of what makes scores of this kind comparable."""
    protocol = "our protocol" if kind.protocol == "ours" else f"{kind.protocol} protocol"
    negatives = " and ".join(NEGATIVES.get(part, part) for part in kind.negatives.split("+"))
    return f"{kind.scorer.capitalize()} by {judge_label(kind.judge, kind.model)}; {protocol}; {negatives}"


def standing(score: ShownScore) -> str:
    """What the interval says beside the floor; empty when the score is clearly above it."""
    if score.value is None or score.floor is None:
        return ""
    if score.value <= score.floor:
        return "at or below its floor"
    return "not clearly above its floor" if score.ci_low is None or score.ci_low <= score.floor else ""


def interval(low: float | None, high: float | None) -> str:
    """`0.66 to 0.87`, as on every page; a dash where there is none."""
    return fmt.NONE if low is None or high is None else f"{fmt.decimal(low, 2)} to {fmt.decimal(high, 2)}"


def cell(score: ShownScore) -> dict[str, Any]:
    """The record of a score in a table: figures as text, and their places on an axis from 0 to 1."""
    said = standing(score)
    floor = f"floor {fmt.decimal(score.floor, 2)}"
    unparsed = f", {score.unparsed} unparsed" if score.unparsed else ""
    return {
        "value": fmt.decimal(score.value, 2),
        "ci": interval(score.ci_low, score.ci_high),
        "under": f"{floor} · n {score.n}",
        "weak": bool(said),
        "at": [_place(number) for number in (score.value, score.ci_low, score.ci_high, score.floor)],
        "help": f"{METRICS.get(score.metric, score.metric)}; 95 % interval; n {score.n_pos} + {score.n_neg}{unparsed}; "
        f"{floor}: the same scorer's value for a random other explanation"
        + (f". This one is {said}." if said else ""),
    }


def _place(number: float | None) -> float | None:
    return None if number is None else round(min(max(number, 0.0), 1.0), 4)
