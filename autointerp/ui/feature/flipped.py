"""What two versions differ in beside their words: the examples that one gets right and the other wrong, and the settings that
they and their scores were made with."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autointerp.explain.registry import EXPLAINERS
from autointerp.records import Explanation, Score
from autointerp.sampling import visible_marks
from autointerp.score.registry import SCORERS
from autointerp.store.annotations import Annotations
from autointerp.ui.feature.judged import UNSPLIT, JudgedWindow, answer_and_truth, judged_windows
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import payload
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.text import beginning

MAX_ROWS = 20
"""Examples of one kind of score and one direction."""
_LABELS = {option.name: option.label for option in (*EXPLAINERS.options(), *SCORERS.options())} | {
    "explainer": "Explainer",
    "llm": "Language model",
    "version": "Version of the prompts or rules",
    "drawing": "Sampling",
    "base_url": "Server",
}
Flip = tuple[JudgedWindow, JudgedWindow]


def flips(feature: Feature, annotations: Annotations, a: Score, b: Score) -> list[Flip]:
    """The examples that both scores judged, one rightly and the other wrongly; those that the second gets wrong first."""
    if a.metric in UNSPLIT:
        return []  # nothing is right or wrong
    sides = [
        {
            window.judged.key: window
            for window in judged_windows(feature, score, annotations.judged(score.id))
            if window.right is not None
        }
        for score in (a, b)
    ]
    both = ((sides[0][key], sides[1][key]) for key in sides[0] if key in sides[1])
    changed = [(first, second) for first, second in both if first.right is not second.right]
    return sorted(changed, key=lambda flip: bool(flip[1].right))


def record(
    feature: Feature, a: Score, b: Score, flipped: Sequence[Flip], table: payload.TokenTable
) -> dict[str, Any]:
    """The flipped examples of one kind of score as the element draws them."""
    lost = sum(not second.right for _, second in flipped)
    groups = []
    for title, wanted in (("now wrong", False), ("now right", True)):
        rows = [_row(flip, a, b, table) for flip in flipped if flip[1].right is wanted]
        cut_off = f"; first {MAX_ROWS}" if len(rows) > MAX_ROWS else ""
        if rows:
            groups.append({"title": f"{len(rows)} {title}{cut_off}", "rows": rows[:MAX_ROWS]})
    said = f"{fmt.plural(len(flipped), 'example')} flipped" if flipped else "no example flipped"
    return {
        "name": SCORERS.label(a.scorer),
        "said": f"{said}: {lost} now wrong, {len(flipped) - lost} now right" if flipped else said,
        "groups": groups,
    }


def _row(flip: Flip, a: Score, b: Score, table: payload.TokenTable) -> dict[str, Any]:
    (was, truth), (now, _) = answer_and_truth(flip[0], a), answer_and_truth(flip[1], b)
    judged, example = flip[1].judged, flip[1].example
    row: dict[str, Any] = {"c": judged.context, "s": judged.start, "said": f"{was} → {now}", "true": truth}
    row |= {"ok": flip[1].right, "t": [], "p": [], "v": [], "k": -1}
    if example is None:
        return row
    marks = visible_marks(table.decode(example.token_ids.tolist()), judged.marks or ())
    return row | {"t": payload.row(example, table)["t"], "mk": sorted(marks)}


def settings(
    first: Explanation, second: Explanation, scored: Iterable[tuple[Score | None, Score | None]]
) -> list[list[str]]:
    """`[what, setting, in the first, in the second]` of everything that differs in how the two and their scores were made."""
    rows = _differing("Explanation", _made(first), _made(second))
    for a, b in scored:
        if a is not None and b is not None:
            rows += _differing(SCORERS.label(a.scorer), dict(a.config), dict(b.config))
    return rows


def _made(explanation: Explanation) -> dict[str, Any]:
    recorded = {
        "explainer": EXPLAINERS.label(explanation.explainer),
        "model": explanation.model,
        "protocol": explanation.protocol,
        "seed": explanation.seed,
        "prompt": explanation.prompt_version,
        "examples": len(explanation.example_ids) or None,
    }
    return {**dict(explanation.config), **recorded}


def _differing(what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[list[str]]:
    names = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    return [
        [what, _LABELS.get(name, name.replace("_", " ").capitalize()), _said(first.get(name)), _said(second.get(name))]
        for name in names
    ]  # fmt: skip


def _said(value: Any) -> str:
    """A setting as text."""
    match value:
        case None | "" | () | []:
            return fmt.NONE
        case bool():
            return "yes" if value else "no"
        case Mapping():
            model = [str(value[key]) for key in ("model", "endpoint", "base_url") if value.get(key)]
            return beginning(
                " at ".join(model) or ", ".join(f"{key} {_said(item)}" for key, item in value.items()), 300
            )
        case list() | tuple():
            return beginning(", ".join(map(str, value)), 300)
        case _:
            return beginning(str(value), 300)
