"""Explanations of a latent and their scores, as commands show them."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.output import printable
from autointerp.explain.registry import EXPLAINERS
from autointerp.score.registry import JUDGES, METRICS, SCORERS, uncounted

if TYPE_CHECKING:
    from autointerp.records import Explanation, Score
    from autointerp.store.annotations import Annotations

_UNSHOWN = {
    "coder",
    "latent",
    "explanation_id",
    "ci_low",
    "ci_high",
    "floor_explanation_id",
    "reply_ref",
    "judged",
}
_UNSHOWN |= {"status", "error", "error_kind", "retryable"}
_FAILURE = ("id", "model", "error", "error_kind", "retryable", "created")


def open_annotations(store: Path) -> "Annotations":
    """The store's annotations; empty, and no file is made, where nothing was ever written."""
    from autointerp.store.annotations import Annotations
    from autointerp.store.annotations.database import FILE

    return Annotations(store, read_only=not (store / FILE).exists())


def describe_explanations(annotations: "Annotations", coder: str, latent: int) -> dict[str, Any]:
    """`explanations`, newest first, each with its `scores`; failed attempts, which have no text and no value, in `failures`."""
    shown = annotations.shown(coder, latent)
    pin = annotations.pinned(coder, latent)
    scores = annotations.scores_of_latent(coder, latent)
    explanations, failures = [], []
    for explanation in annotations.explanations(coder, latent):
        if explanation.status == "failed":
            failures.append(_failure("explanation", explanation.explainer, explanation))
            continue
        explanations.append(
            {
                **_values(explanation),
                "protocol": explanation.protocol,
                "reply": explanation.reply_ref,
                "shown": shown is not None and shown.id == explanation.id,
                "pinned": pin is not None and pin.explanation_id == explanation.id,
                "scores": [
                    _score(annotations, score)
                    for score in scores
                    if score.explanation_id == explanation.id and score.status == "ok"
                ],
            }
        )
    failures += [_failure("score", score.scorer, score) for score in scores if score.status == "failed"]
    return {"explanations": explanations, "failures": failures}


def _values(record: "Explanation | Score") -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record) if each.name not in _UNSHOWN}


def _score(annotations: "Annotations", score: "Score") -> dict[str, Any]:
    return {
        **_values(score),
        "n": score.n,
        "ci": [score.ci_low, score.ci_high],
        "floor_explanation": score.floor_explanation_id,
        "example_ids": [example.example_id for example in annotations.judged(score.id)],
    }


def _failure(what: str, method: str, record: "Explanation | Score") -> dict[str, Any]:
    explanation = getattr(record, "explanation_id", None)
    values = {name: getattr(record, name) for name in _FAILURE}
    return {"what": what, "method": method, "explanation": explanation, **values}


def explanations_text(document: dict[str, Any]) -> list[str]:
    """As text: `=` before the explanation that lists show."""
    lines: list[str] = []
    if document["explanations"]:
        lines += ["", "explanations"]
    for explanation in document["explanations"]:
        sign = "=" if explanation["shown"] else " "
        source = (explanation_label(explanation), explanation["author"], explanation["created"][:10])
        notes = [printable(note) for note in source] + ["pinned"] * explanation["pinned"]
        notes += ["delphi protocol"] * (explanation["protocol"] == "delphi")
        lines.append(f"{sign} {printable(explanation['text'])}  ({', '.join(notes)})")
        ordered = sorted(explanation["scores"], key=lambda score: SCORERS.place(score["scorer"]))
        lines += [f"      {score_line(score)}" for score in ordered]
    if document["failures"]:
        lines += ["", "failed"]
    for failure in document["failures"]:
        name = f"{failure['what']} by {printable(failure['method'])}"
        lines.append(f"  {failure['created'][:10]}  {name}: {printable(failure['error'])}")
    return lines


def explanation_label(explanation: dict[str, Any]) -> str:
    """The explainer and its model, where it has one."""
    label = EXPLAINERS.label(explanation["explainer"])
    return f"{label}, {explanation['model']}" if explanation["model"] else label


def judge_label(judge: str, model: str | None) -> str:
    """Who answered: `offline judge`, `LLM gpt-x`, `embedder all-MiniLM-L6-v2`."""
    label = JUDGES.get(judge, judge)
    return printable(f"{label} {model}" if model else label)


def chance_text(scorer: str) -> str:
    """Of a scorer whose scores have no floor: `no floor`, or `chance 0.5` where no explanation is read."""
    entry = SCORERS.get(scorer)
    if entry is None or not entry.explanation_free:
        return "no floor"
    return f"chance {METRICS[entry.metric].chance:g}"


def score_line(score: dict[str, Any]) -> str:
    """A score with what it takes to judge it: interval, floor, n, judge, negatives."""
    low, high = score["ci"]
    interval = "no interval" if low is None else f"[{low:.2f}, {high:.2f}]"
    floor = chance_text(score["scorer"]) if score["floor"] is None else f"floor {score['floor']:.2f}"
    if score["n_floor"] not in (None, score["n"]):
        floor += f" (n {score['n_floor']})"
    parts = [f"{score['scorer']} {score['value']:.2f} {interval}", floor, f"n {score['n']}"]
    parts += [judge_label(score["judge"], score["model"]), f"negatives {score['negatives']}"]
    if score["unparsed"]:
        parts.append(uncounted(SCORERS[score["scorer"]].metric, score["unparsed"]))
    if score["protocol"] != "held-out":
        parts.append(f"{score['protocol']} protocol")
    return ", ".join(parts)
