"""What people and jobs wrote about latents, as commands show it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.output import printable

if TYPE_CHECKING:
    from autointerp.records import Explanation, Score
    from autointerp.store.annotations import Annotations

JUDGES = {"offline": "offline judge", "llm": "language model judge"}


def open_annotations(store: Path) -> "Annotations":
    """The store's annotations; where nothing was ever written they are empty, and no file is made."""
    from autointerp.store.annotations import Annotations
    from autointerp.store.annotations.database import FILE

    return Annotations(store, read_only=not (store / FILE).exists())


def describe_explanations(annotations: "Annotations", coder: str, latent: int) -> dict[str, Any]:
    """`explanations`, newest first, each with its `scores`; failed attempts apart, in `failures`, for they hold no text and no
    value."""
    shown = annotations.shown(coder, latent)
    pin = annotations.pinned(coder, latent)
    scores = annotations.scores_of_latent(coder, latent)
    found, failures = [], []
    for explanation in annotations.explanations(coder, latent):
        if explanation.status == "failed":
            failures.append(_failure("explanation", explanation.explainer, explanation))
            continue
        found.append(
            {
                **_explanation(explanation),
                "shown": shown is not None and shown.id == explanation.id,
                "pinned": pin is not None and pin.explanation_id == explanation.id,
                "scores": [
                    {**_score(score), "example_ids": annotations.judged_example_ids(score.id)}
                    for score in scores
                    if score.explanation_id == explanation.id and score.status == "ok"
                ],
            }
        )
    failures += [_failure("score", score.scorer, score) for score in scores if score.status == "failed"]
    return {"explanations": found, "failures": failures}


def _explanation(explanation: "Explanation") -> dict[str, Any]:
    return {
        "id": explanation.id,
        "text": explanation.text,
        "explainer": explanation.explainer,
        "model": explanation.model,
        "author": explanation.author,
        "parent": explanation.parent,
        "created": explanation.created,
        "example_ids": list(explanation.example_ids),
        "prompt_version": explanation.prompt_version,
        "seed": explanation.seed,
        "config": explanation.config,
        "reply": explanation.reply_ref,
        "reasoning": explanation.reasoning,
        "parts": explanation.parts,
        **_spent(explanation),
    }


def _score(score: "Score") -> dict[str, Any]:
    return {
        "id": score.id,
        "scorer": score.scorer,
        "judge": score.judge,
        "model": score.model,
        "protocol": score.protocol,
        "negatives": score.negatives,
        "metric": score.metric,
        "value": score.value,
        "ci": [score.ci_low, score.ci_high],
        "auroc": score.auroc,
        "n": score.n,
        "n_pos": score.n_pos,
        "n_neg": score.n_neg,
        "tpr_by_quantile": list(score.tpr_by_quantile),
        "tnr": score.tnr,
        "unparsed": score.unparsed,
        "floor": score.floor,
        "n_floor": score.n_floor,
        "floor_explanation": score.floor_explanation_id,
        "created": score.created,
        "prompt_version": score.prompt_version,
        "seed": score.seed,
        "config": score.config,
        **_spent(score),
    }


def _spent(record: "Explanation | Score") -> dict[str, Any]:
    return {
        "tokens_in": record.tokens_in,
        "tokens_out": record.tokens_out,
        "cost": record.cost,
        "duration": record.duration,
    }


def _failure(what: str, method: str, record: "Explanation | Score") -> dict[str, Any]:
    return {
        "what": what,
        "method": method,
        "id": record.id,
        "explanation": getattr(record, "explanation_id", None),
        "model": record.model,
        "error": record.error,
        "error_kind": record.error_kind,
        "retryable": record.retryable,
        "created": record.created,
    }


def explanations_text(document: dict[str, Any]) -> list[str]:
    """The same for people: `=` before the explanation that is shown in lists."""
    lines: list[str] = []
    if document["explanations"]:
        lines += ["", "explanations"]
    for explanation in document["explanations"]:
        sign = "=" if explanation["shown"] else " "
        source = " by ".join(
            printable(part) for part in (explanation["explainer"], explanation["model"]) if part
        )
        notes = [source, printable(explanation["author"]), explanation["created"][:10]]
        notes += ["pinned"] if explanation["pinned"] else []
        lines.append(f"{sign} {printable(explanation['text'])}  ({', '.join(notes)})")
        lines += [f"      {score_line(score)}" for score in explanation["scores"]]
    if document["failures"]:
        lines += ["", "failed"]
    for failure in document["failures"]:
        name = f"{failure['what']} by {printable(failure['method'])}"
        lines.append(f"  {failure['created'][:10]}  {name}: {printable(failure['error'])}")
    return lines


def score_line(score: dict[str, Any]) -> str:
    """One score with everything one needs to believe it or not."""
    low, high = score["ci"]
    interval = "no interval" if low is None else f"[{low:.2f}, {high:.2f}]"
    floor = "no floor" if score["floor"] is None else f"floor {score['floor']:.2f}"
    if score["n_floor"] not in (None, score["n"]):
        floor += f" (n {score['n_floor']})"
    judge = JUDGES.get(score["judge"], printable(score["judge"]))
    if score["model"]:
        judge = f"{judge} {printable(score['model'])}"
    parts = [
        f"{score['scorer']} {score['value']:.2f} {interval}",
        floor,
        f"n {score['n']}",
        judge,
        f"negatives {score['negatives']}",
    ]
    if score["unparsed"]:
        parts.append(f"{score['unparsed']} unparsed")
    if score["protocol"] != "held-out":
        parts.append(f"{score['protocol']} protocol")
    return ", ".join(parts)
