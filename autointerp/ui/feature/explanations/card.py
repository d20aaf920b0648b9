"""The explanation as one element: its text, where it comes from, its scores with interval and floor, and its versions."""

from collections.abc import Sequence
from typing import Any

from autointerp.store.annotations import Explanation, Score
from autointerp.ui.feature.explanations import data as known_data
from autointerp.ui.feature.explanations.data import Known, standing
from autointerp.ui.feature.explanations.state import ExplanationState, close_right, open_score
from autointerp.ui.shared import components
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import visible

KEY = "explanation"
VERSIONS_KEY = "explanation_versions"
MAX_VERSION_TEXT = 300


def draw(known: Known, state: ExplanationState, news: dict[str, Any] | None = None) -> None:
    """The element. What is clicked in it changes the address. `news`: a new version against the one before."""
    components.explanation(record(known, state) | {"news": news}, key=KEY, on_open=_clicked)


def draw_versions(known: Known, state: ExplanationState) -> None:
    """The list of all versions, newest first, as an element of its own."""
    drawn = {
        "only": "versions",
        "params": {"coder": known.coder, "latent": known.latent},
        "meta": [],
        "notes": [],
        "scores": [],
        "versions": [version_row(known, one, state) for one in known.versions],
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


def record(known: Known, state: ExplanationState) -> dict[str, Any]:
    """Everything that the element draws."""
    current = known.current
    here: dict[str, Any] = {"coder": known.coder, "latent": known.latent}
    if current is None:
        return {"params": here, "text": "", "meta": [], "notes": [], "scores": []}
    if current is not known.shown:
        here["version"] = current.id
    newest = known.newest(current)
    return {
        "params": here,
        "id": current.id,
        "text": visible(current.text),
        "failed": visible(current.error or "failed") if current.status == "failed" else None,
        "meta": meta(known, current),
        "notes": notes(known),
        "scores": [
            score_row(score, older, state.score)
            | {"examples": known_data.examples_of(score.protocol, current)}
            for score, older in newest
        ],
        **head([score for score, _ in newest], current),
        "no_scores": ""
        if newest or current.status == "failed"
        else "No scores yet: nobody has measured how far this can be trusted.",
    }


def head(scores: Sequence[Score], current: Explanation) -> dict[str, Any]:
    """The line above the scores: what they were judged on. `usual`: nothing that a reader has to be warned of."""
    told = {known_data.examples_of(score.protocol, current) for score in scores}
    said = f"scores, judged on {told.pop()}" if len(told) == 1 else "scores; not all on held-out examples"
    return {"scored_on": said, "usual": said.endswith(known_data.HELD_OUT) and not told}


def meta(known: Known, current: Explanation) -> list[str]:
    """Explainer, model, author, date, place among the versions, pin."""
    parts = [visible(part) for part in known_data.author_line(current)]
    if len(known.versions) > 1:
        parts.append(f"version {known.number(current)} of {len(known.versions)}")
    if known.pin and known.pin.explanation_id == current.id:
        parts.append("pinned")
    parent = known.find(current.parent)
    if parent is not None:
        parts.append(f"from version {known.number(parent)}")
    return parts


def notes(known: Known) -> list[str]:
    """What a reader must know about which version this is."""
    found = []
    if known.is_missing:
        found.append("This feature has no such version; below is the one that stands for it.")
    current, shown = known.current, known.shown
    newest = next(iter(known.versions), None)
    if newest is not None and newest is not current and newest.status == "failed":
        found.append(f"✕ Version {known.number(newest)}, the newest, failed: {visible(newest.error or '')}")
    if current is not None and shown is not None and current is not shown:
        why = "pinned" if known.pin else "the newest good one"
        found.append(f"Not the one shown elsewhere: that is version {known.number(shown)}, {why}.")
    return found


def score_row(score: Score, older: int, opened: str | None) -> dict[str, Any]:
    """One score: figures as text, and fractions 0 to 1 for the plot."""
    against = "wrong marks" if score.negatives == "wrong_marks" else score.negatives.replace("+", ", ")
    protocol = f"protocol {score.protocol}, not held out" if score.protocol != "ours" else ""
    if score.config.get("centre"):
        protocol = "centred"  # which the reference's protocol is not
    row: dict[str, Any] = {
        "id": score.id,
        "open": score.id == opened,
        "name": known_data.scorer_name(score),
        "judge": visible(known_data.judged_by(score)),
        "against": f"vs {against}" if against not in ("", "none") else "",
        "protocol": protocol,
        "older": older,
        "when": known_data.when(score.created),
        "metric": known_data.METRICS.get(score.metric, score.metric),
    }  # fmt: skip
    if score.status == "failed" or score.value is None:
        return row | {"failed": visible(score.error or "failed, and no cause was recorded")}
    kind = standing(score)
    return row | {
        "value": fmt.decimal(score.value, 2),
        "ci": "no interval" if score.ci_low is None else known_data.interval(score),
        "floor": known_data.floor(score),
        "n": f"{score.n_pos}+{score.n_neg}",
        "unparsed": score.unparsed,
        "standing": kind,
        "said": known_data.STANDINGS[kind][0],
        "meaning": known_data.STANDINGS[kind][1],
        "plot": plot(score.value, score.ci_low, score.ci_high, score.floor),
    }


def plot(
    value: float | None, low: float | None, high: float | None, floor: float | None
) -> dict[str, float | None]:
    """Places on an axis from 0 to 1; what lies beyond stands at its end."""
    places = {"v": value, "l": low, "h": high, "f": floor}
    return {
        name: None if place is None else round(min(max(place, 0.0), 1.0), 4) for name, place in places.items()
    }


def version_row(known: Known, one: Explanation, state: ExplanationState) -> dict[str, Any]:
    """One line of the list of versions."""
    text = visible(one.text)
    current = known.current
    comparable = current is not None and one is not current and one.status == current.status == "ok"
    return {
        "id": one.id,
        "number": known.number(one),
        "text": text[:MAX_VERSION_TEXT] + ("…" if len(text) > MAX_VERSION_TEXT else ""),
        "failed": visible(one.error or "failed") if one.status == "failed" else None,
        "meta": " · ".join(visible(part) for part in known_data.author_line(one)),
        "scores": [brief(score, one) for score, _ in known.newest(one) if score.value is not None],
        "current": one is current,
        "shown": one is known.shown,
        "pinned": bool(known.pin and known.pin.explanation_id == one.id),
        "comparable": comparable,
        "compared": state.against == one.id,
    }


def brief(score: Score, of: Explanation) -> dict[str, Any]:
    """One score of a version in the list: never without its judge, interval, floor and n."""
    row = score_row(score, 0, None)
    how = [
        row["judge"],
        row["against"],
        row["protocol"],
        row["metric"],
        known_data.examples_of(score.protocol, of),
    ]
    return {
        "name": row["name"],
        "judge": " · ".join(part for part in (row["judge"], row["protocol"]) if part),
        "value": row["value"],
        "ci": row["ci"],
        "under": f"floor {row['floor']} · n {row['n']}",
        "said": row["said"],
        "help": "\n".join(part for part in (*how, row["meaning"]) if part),
    }
