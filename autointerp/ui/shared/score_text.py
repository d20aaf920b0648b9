"""Scores in words: what a kind of score is called, and what a score says."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from autointerp.records import Score
from autointerp.score.options import OWN
from autointerp.score.registry import METRICS, SCORERS, uncounted
from autointerp.store import ScoreKind, ShownScore
from autointerp.ui.shared import format as fmt

SORTS = {
    "low": "lower bound of its 95 % interval",
    "score": "value",
    "above": "expected score above floor",
}

FREE_METRICS = {entry.metric for entry in SCORERS.values() if entry.explanation_free}
SAME = "this score needs no explanation and is the same for every version"

Standing = Literal["above", "unclear", "common", "below", "unknown", "near_chance", "at_chance"]
STANDINGS: dict[Standing, tuple[str, str]] = {
    "above": ("", ""),
    "unclear": ("not clearly above floor", "The 95 % interval of its difference from that explanation includes 0."),
    "common": ("within the range of floors", "More than 2.5 % of this coder's floors are as high."),
    "below": ("not above floor", "A random other explanation scores as well or better."),
    "unknown": ("no floor", "No floor was measured: none was requested, or there was no other explanation to score."),
    "near_chance": ("not clearly above chance", "The 95 % interval includes chance, or there is none."),
    "at_chance": ("not above chance", "Chance scores as well or better."),
}  # fmt: skip
"""What is said of a score, in short and in full."""


NEGATIVES = {
    "random": "random",
    OWN: "passages of the selected contexts of each feature",
    "neighbours": "hard, a similar feature fires there",
    "embedding": "hard, similar in meaning",
    "wrong_marks": "activating texts with wrong tokens marked",
}


def metric_label(metric: str) -> str:
    """`balanced accuracy (chance 0.5)`."""
    known = METRICS.get(metric)
    if known is None:
        return metric
    return known.label if math.isnan(known.chance) else f"{known.label} (chance {known.chance:g})"


def is_bounded(kind: ScoreKind) -> bool:
    """Whether scores of this kind have a lowest and a highest value."""
    return kind.scorer not in SCORERS or METRICS[SCORERS[kind.scorer].metric].bounded


def judge_label(judge: str, model: str | None) -> str:
    """Who answered a scorer's questions, as shown with every score: the offline judge is never taken for a model."""
    match judge:
        case "offline":
            return "offline judge"
        case "llm":
            return model or "LLM"
        case "embedder":
            return f"embedder {_short(model)}" if model else "embedder"
        case _:
            return f"{judge} {_short(model)}" if model else judge


def _short(model: str | None) -> str:
    """`MiniLM` for the default embedder; the last part of other names."""
    name = (model or "").rsplit("/", 1)[-1]
    return "MiniLM" if name == "all-MiniLM-L6-v2" else name


TIE = 1e-9
"""Numbers closer than this are equal but for how they were summed up."""


def standing(score: Score | ShownScore, floor_bar: float | None) -> Standing:
    """Where a score stands against what random other explanations get: "above" where the interval of its difference from one of
    them, on the same examples, lies above 0, and where fewer than 2.5 % of all those of the coder score as well (`floor_bar`,
    see `CoderAnnotations.floor_bar`; not tried without).

    Of scores from before that was recorded, the floor is taken to be as uncertain as the value, and independent of it. A score
    that reads no explanation, or has no floor, is held against chance: what a judge gives that answers at random.
    """
    if score.value is not None and score.metric in FREE_METRICS:
        return _against_chance(score) or "above"
    if score.value is not None and score.floor is None:
        return _against_chance(score) or "unknown"
    if score.floor is None or score.value is None:
        return "unknown"
    if score.value - score.floor < TIE:
        return "below"
    low = score.above_low
    if low is None and score.ci_low is not None:
        low = score.value - score.floor - math.sqrt(2) * (score.value - score.ci_low)
    if low is None or low <= 0:
        return "unclear"
    return "common" if floor_bar is not None and score.value - floor_bar < TIE else "above"


def _against_chance(score: Score | ShownScore) -> Standing | None:
    """What is said of a score that is not clearly above chance."""
    known = METRICS.get(score.metric)
    if known is None or score.value is None or math.isnan(known.chance):
        return None
    if score.value - known.chance < TIE:
        return "at_chance"
    return None if score.ci_low is not None and score.ci_low > known.chance else "near_chance"


def reference(score: Score | ShownScore) -> float | None:
    """What a score is held against: its floor, or chance where no explanation is read."""
    return METRICS[score.metric].chance if score.metric in FREE_METRICS else score.floor


def reference_text(score: Score | ShownScore) -> str:
    """`floor 0.52`, `chance 0.2`."""
    if score.metric in FREE_METRICS:
        return f"chance {METRICS[score.metric].chance:g}"
    return f"floor {fmt.decimal(score.floor, 2)}"


def interval(low: float | None, high: float | None) -> str:
    """`0.66 to 0.87`; a dash where there is none."""
    return fmt.NONE if low is None or high is None else f"{fmt.decimal(low, 2)} to {fmt.decimal(high, 2)}"


def chance(kind: ScoreKind) -> float | None:
    """Chance, where scores of this kind are held against it: they read no explanation."""
    entry = SCORERS.get(kind.scorer)
    return metric_chance(kind) if entry is not None and entry.explanation_free else None


def metric_chance(kind: ScoreKind) -> float:
    """What a judge gets that answers at random; NaN where that is not known."""
    entry = SCORERS.get(kind.scorer)
    return math.nan if entry is None else METRICS[entry.metric].chance


def axis_place(number: float | None, metric: str = "") -> float | None:
    """A place on the axis of this metric, from 0 to 1; what lies beyond stands at its end."""
    low, high = axis(metric)
    return None if number is None else round(min(max((number - low) / (high - low), 0.0), 1.0), 4)


def axis_ticks(metrics: Iterable[str]) -> list[str]:
    """Beginning, middle and end of the axis that these metrics share. Where they share none, of the one from 0 to 1: scores on
    another say theirs (`axis_note`)."""
    axes = {axis(metric) for metric in metrics}
    if len(axes) != 1 or (0.0, 1.0) in axes:
        return ["0", ".5", "1"]
    [(low, high)] = axes
    return [fmt.signed(low, 0), f"{(low + high) / 2:g}", fmt.signed(high, 0)]


def axis_note(metric: str) -> str:
    """What is said of an axis that does not go from 0 to 1; else nothing."""
    low, high = axis(metric)
    return (
        ""
        if (low, high) == (0.0, 1.0)
        else f"{METRICS[metric].label}, axis {fmt.signed(low, 0)} to {fmt.signed(high, 0)}"
    )


def axis(metric: str) -> tuple[float, float]:
    """The ends of the axis on which values of this metric are drawn."""
    return METRICS[metric].axis if metric in METRICS else (0.0, 1.0)


def order(kind: ScoreKind) -> tuple:
    """Sorts kinds of scores: by scorer as registered, the usual protocol and negatives first."""
    unusual = (kind.protocol != "held-out", kind.negatives != "random")
    place = SCORERS.place(kind.scorer)
    return place, kind.scorer, *unusual, kind.protocol, kind.negatives, kind.judge, kind.model or ""


def name(kind: ScoreKind, among: Iterable[ScoreKind] = ()) -> str:
    """`Detection · offline judge`, with protocol, negatives and settings where they tell it from another of `among`."""
    parts = [SCORERS.label(kind.scorer), judge_label(kind.judge, kind.model)]
    alike = [
        other
        for other in among
        if (other.scorer, other.judge, other.model) == (kind.scorer, kind.judge, kind.model)
    ]
    if any(other.protocol != kind.protocol for other in alike):
        parts.append(kind.protocol)
    if any(other.negatives != kind.negatives for other in alike):
        parts.append(kind.negatives)
    same = [other.settings for other in alike if other.base == kind.base]
    return " · ".join([*parts, *_settings(kind.settings, same)])


_NAMED = ("scorer", "judge", "protocol", "negatives")
"""Settings that a kind says itself."""


def _settings(settings: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> list[str]:
    """What tells settings from others: `n 2 + 2`, `seed 7`, `no floor`."""
    compared = [settings, *others]
    names = dict.fromkeys(name for each in compared for name in each if name not in _NAMED)
    differ = [name for name in names if any(each.get(name) != settings.get(name) for each in compared)]
    return list(dict.fromkeys(_setting(name, settings) for name in differ))


def _setting(name: str, settings: Mapping[str, Any]) -> str:
    if name in ("n_examples", "n_negatives"):
        return f"n {settings.get('n_examples', '?')} + {settings.get('n_negatives', '?')}"
    option = next((option for option in SCORERS.options() if option.name == name), None)
    label = option.label.lower() if option else name.replace("_", " ")
    value = settings.get(name)
    if value is None or isinstance(value, bool):
        return label if value else f"no {label}"
    if isinstance(value, Mapping):
        value = " at ".join(str(value[key]) for key in ("model", "endpoint") if key in value)
    return f"{label} {value}"


def help_text(kind: ScoreKind) -> str:
    """Everything that makes scores of this kind comparable."""
    negatives = " and ".join(NEGATIVES.get(part, part) for part in kind.negatives.split("+"))
    chosen = [option.name for option in SCORERS.options() if option.name in kind.settings]
    settings = dict.fromkeys(f"; {_setting(name, kind.settings)}" for name in chosen if name not in _NAMED)
    return (
        f"{SCORERS.label(kind.scorer)} by {judge_label(kind.judge, kind.model)}; {kind.protocol} protocol; "
        f"non-activating examples: {negatives}{''.join(settings)}"
    )


def cell(score: ShownScore) -> dict[str, Any]:
    """The record of a score in a table: figures as text, and their places on the axis of the metric, from 0 to 1."""
    kind = standing(score, score.floor_bar)
    weak = kind not in ("above", "unknown")
    floor = reference_text(score)
    meaning = SAME if score.metric in FREE_METRICS else "the score of a random other explanation"
    unparsed = f", {uncounted(score.metric, score.unparsed)}" if score.unparsed else ""
    return {
        "value": fmt.decimal(score.value, 2),
        "ci": interval(score.ci_low, score.ci_high),
        "under": f"{floor} · n {score.n}",
        "weak": weak,
        "at": [
            axis_place(number, score.metric)
            for number in (score.value, score.ci_low, score.ci_high, reference(score))
        ],
        "help": f"{metric_label(score.metric)}; 95 % interval; n {score.n_pos} + {score.n_neg}{unparsed}; "
        f"{floor}: {meaning}" + (f". {STANDINGS[kind][1]}" if weak else ""),
    }
