"""The explanation as one element: its text, where it comes from, its scores with interval and floor, and its versions."""

import math
from typing import Any

from autointerp.records import Explanation, Score
from autointerp.score.plan import NO_NEGATIVES
from autointerp.score.registry import SCORERS, uncounted
from autointerp.ui.feature.state import ExplanationState, close_right, open_score
from autointerp.ui.shared import components, long_text, score_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import versions as feature_versions
from autointerp.ui.shared.score_text import (
    FREE_METRICS,
    STANDINGS,
    axis_place,
    metric_label,
    reference,
    standing,
)
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import beginning, visible
from autointerp.ui.shared.versions import NewestScore, Versions

KEY = "explanation"
VERSIONS_KEY = "explanation_versions"
MAX_VERSION_TEXT = 300
MAX_ERROR = 1_000
LINE_CHARS = 64
"""Characters of an explanation in a line of the card, at most."""


def draw(versions: Versions, state: ExplanationState, news: dict[str, Any] | None) -> None:
    """The element. What is clicked in it changes the address. `news`: a new version against the one before."""
    drawn = record(versions, state) | {"news": news}
    with components.room(height(drawn)):
        components.explanation(drawn, key=KEY, on_open=_clicked)
        if versions.current is not None:
            long_text.offer(versions.current.text, f"{versions.coder}_{versions.latent}")


def height(drawn: dict[str, Any]) -> float:
    """About how many pixels the element takes, see explanation.css: at least two lines of text, so that what stands below moves
    little from one feature to the next."""
    lines = max(2, min(5, math.ceil(len(drawn["text"]) / LINE_CHARS)))
    scores = 44 * len(drawn["scores"]) + (38 if drawn["scores"] else 0)
    remarks = [*drawn["notes"], *filter(None, (drawn.get("no_scores"), drawn.get("failure")))]
    return 22.5 * lines + 20.4 + 20.4 * len(remarks) + scores


def draw_versions(versions: Versions, state: ExplanationState) -> None:
    """The list of all versions, newest first, as an element of its own."""
    drawn = {
        "only": "versions",
        "params": {"coder": versions.coder, "latent": versions.latent},
        "meta": [],
        "notes": [],
        "scores": [],
        "versions": [version_row(versions, version, state) for version in versions.explanations],
    }
    components.explanation(drawn, key=VERSIONS_KEY, on_open=_clicked)


def _clicked() -> None:
    sent = components.triggered(KEY, "open") or components.triggered(VERSIONS_KEY, "open")
    if not isinstance(sent, dict):
        return
    if "score" in sent:
        change(**open_score(str(sent["score"])))
    elif "against" in sent:
        change(**close_right() | {"against": str(sent["against"])})
    elif "version" in sent:
        change(**close_right() | {"version": str(sent["version"])})


def record(versions: Versions, state: ExplanationState) -> dict[str, Any]:
    """Everything that the element draws."""
    current = versions.current
    here: dict[str, Any] = {"coder": versions.coder, "latent": versions.latent}
    if current is None:
        return {"params": here, "text": "", "meta": [], "notes": [], "scores": []}
    if current is not versions.shown:
        here["version"] = current.id
    newest = versions.newest_scores(current)
    unscored = not newest and current.status == "ok"
    return {
        "params": here,
        "id": current.id,
        "text": beginning(current.text),
        "failed": beginning(current.error or "failed", MAX_ERROR) if current.status == "failed" else None,
        "meta": meta(versions, current),
        "notes": notes(versions),
        "scores": [
            score_row(each, state.score, versions.floor_bars.get(each.score.id))
            | {"examples": feature_versions.examples_of(each.score, current)}
            for each in newest
        ],
        **head([each.score for each in newest], current),
        "failure": failure(versions),
        "no_scores": "Not scored yet: there is no measure of how far to trust this explanation."
        if unscored
        else "",
    }


def head(scores: list[Score], current: Explanation) -> dict[str, Any]:
    """The line above the scores: what they were judged on, and their axis. `usual`: nothing to warn a reader of."""
    examples = {feature_versions.examples_of(score, current) for score in scores}
    examples = examples - {feature_versions.WRITTEN} or examples  # a score on texts of its own says so itself
    only = next(iter(examples), "") if len(examples) == 1 else ""
    text = f"on {only}" if only else "not all on held-out examples"
    usual = examples in ({feature_versions.HELD_OUT}, {feature_versions.WRITTEN})
    return {"scored_on": text, "usual": usual, "axis": score_text.axis_ticks(s.metric for s in scores)}


def meta(versions: Versions, current: Explanation) -> list[str]:
    """Explainer, model, author, date, place among the versions, pin."""
    parts = [visible(part) for part in feature_versions.author_line(current)]
    if len(versions.explanations) > 1:
        parts.append(f"version {versions.number(current)} of {len(versions.explanations)}")
    if versions.pin and versions.pin.explanation_id == current.id:
        parts.append("pinned")
    parent = versions.find(current.parent)
    if parent is not None:
        parts.append(f"edited from version {versions.number(parent)}")
    return parts


def notes(versions: Versions) -> list[str]:
    """What a reader must know about which version this is."""
    current, shown, remarks = versions.current, versions.shown, []
    if versions.is_missing:
        remarks.append("The version in the address does not exist; this is the one shown everywhere.")
    if current is not None and shown is not None and current is not shown:
        newest = next(version for version in versions.explanations if version.status == "ok")
        why = "pinned" if versions.pin else "the newest" if shown is newest else "the best score"
        remarks.append(f"Other pages show version {versions.number(shown)} ({why}).")
    return remarks


def failure(versions: Versions) -> dict[str, str] | None:
    """The newest version where it failed: said beside the good one, which it does not replace."""
    failed = versions.failure
    if failed is None:
        return None
    name = f"Version {versions.number(failed)}, the newest, failed"
    return {
        "id": failed.id,
        "name": name,
        "cause": beginning(failed.error or "no cause was recorded", MAX_ERROR),
    }


def score_row(newest: NewestScore, opened: str | None, floor_bar: float | None) -> dict[str, Any]:
    """One score: figures as text, and fractions 0 to 1 for the plot."""
    score = newest.score
    against = "wrong marks" if score.negatives == "wrong_marks" else score.negatives.replace("+", ", ")
    protocol = "delphi protocol, not held-out" if score.protocol == "delphi" else ""
    if score.config.get("centre"):
        protocol = "centred"  # which the reference's protocol is not
    free = "same for every version" if score.metric in FREE_METRICS else ""
    protocol = ", ".join(filter(None, (protocol, free, feature_versions.unusual(score))))
    row: dict[str, Any] = {
        "id": score.id,
        "open": score.id == opened,
        "name": SCORERS.label(score.scorer),
        "judge": visible(feature_versions.judged_by(score)),
        "against": f"vs {against}"
        if against not in ("", NO_NEGATIVES)
        else score_text.axis_note(score.metric),
        "protocol": protocol,
        "older": newest.older,
        "when": fmt.minute(score.created),
        "metric": metric_label(score.metric),
    }
    if score.status == "failed" or score.value is None:
        return row | {"failed": beginning(score.error or "no cause was recorded", MAX_ERROR)}
    kind, figures = standing(score, floor_bar), feature_versions.figures(score)
    if newest.failure is not None:
        cause = beginning(newest.failure.error or "no cause was recorded", MAX_ERROR)
        row["failure"] = {"id": newest.failure.id, "name": "A newer run failed", "cause": cause}
    return row | {
        **figures,
        "ci": "no interval" if score.ci_low is None else figures["ci"],
        "unparsed": score.unparsed,
        "uncounted": uncounted(score.metric, score.unparsed),
        "standing": kind,
        "said": STANDINGS[kind][0],
        "meaning": STANDINGS[kind][1],
        "plot": plot(score.value, score.ci_low, score.ci_high, reference(score), score.metric),
    }


def plot(
    value: float | None, low: float | None, high: float | None, floor: float | None, metric: str = ""
) -> dict[str, float | None]:
    """Value, interval and floor as places on the metric's axis, from 0 to 1."""
    given = {"v": value, "l": low, "h": high, "f": floor}
    return {name: axis_place(number, metric) for name, number in given.items()}


def version_row(versions: Versions, version: Explanation, state: ExplanationState) -> dict[str, Any]:
    """One line of the list of versions."""
    current = versions.current
    return {
        "id": version.id,
        "number": versions.number(version),
        "text": beginning(version.text, MAX_VERSION_TEXT),
        "failed": beginning(version.error or "failed", MAX_VERSION_TEXT)
        if version.status == "failed"
        else None,
        "meta": " · ".join(visible(part) for part in feature_versions.author_line(version)),
        "scores": [
            brief(each, version, versions.floor_bars.get(each.score.id))
            for each in versions.newest_scores(version)
            if each.score.value is not None
        ],
        "current": version is current,
        "shown": version is versions.shown,
        "pinned": bool(versions.pin and versions.pin.explanation_id == version.id),
        "comparable": current is not None
        and version is not current
        and version.status == current.status == "ok",
        "compared": state.against == version.id,
    }


def brief(newest: NewestScore, of: Explanation, floor_bar: float | None) -> dict[str, Any]:
    """One score of a version in the list: never without its judge, interval, floor and n."""
    row = score_row(newest, None, floor_bar)
    how = [row["judge"], row["against"], row["protocol"], row["metric"]]
    examples = feature_versions.examples_of(newest.score, of)
    return {
        "name": row["name"],
        "judge": " · ".join(part for part in (row["judge"], row["protocol"]) if part),
        "value": row["value"],
        "ci": row["ci"],
        "under": f"{row['reference']} · n {row['n']}",
        "said": row["said"],
        "help": "\n".join(part for part in (*how, examples, row["meaning"]) if part),
    }
