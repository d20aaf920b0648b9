"""--dry-run: what a run would send and cost, told from a few of its items, with one prompt in full."""

from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.job_progress import cost_text
from autointerp.cli.shared.output import printable

if TYPE_CHECKING:
    from autointerp.pipeline.estimate import Estimate


def preview_document(found: "Estimate") -> dict[str, Any]:
    """In JSON. Tokens are upper guesses; calls answered before (`from_cache`) cost nothing. Where all that was
    looked at were, and there are others, tokens and cost are null: they are not known."""
    told = found.exact or not found.all_known
    return {
        "n_items": found.n_items,
        "sampled": found.sampled,
        "n_requests": round(found.n_requests),
        "from_cache": round(found.from_cache),
        "tokens_in": round(found.tokens_in) if told else None,
        "tokens_out": round(found.tokens_out) if told else None,
        "cost": found.cost if told else None,
        "unusable": found.unusable,
        "problem": found.problem,
        "prompt": [{"role": message.role, "content": message.content} for message in found.messages],
    }


def preview_text(found: "Estimate", what: str) -> str:
    """For people: the prompt with the line breaks that it has, anything else unprintable escaped."""
    if not found.n_items:
        return f"Nothing to do: all {what} have such a result. --redo does them again."
    if not found.n_requests:
        return f"{_count(found.n_items, what)} to do. No language model is asked, so it costs nothing."
    guess = "" if found.exact else f" (told from {found.sampled} of them)"
    calls = _count(round(found.n_requests), "calls")
    lines = [
        f"{_count(found.n_items, what)} to do{guess}: {calls}, of which {found.from_cache:,.0f} were answered before and are "
        "free.",
        f"At most about {found.tokens_in:,.0f} prompt tokens and {found.tokens_out:,.0f} answer tokens, "
        f"{cost_text(found.cost)}.",
    ]
    if found.all_known and not found.exact:
        lines = [
            f"{_count(found.n_items, what)} to do: about {calls}. All that the {found.sampled} looked at would send were "
            "answered before and are free; what the others cost is not known.",
        ]
    if found.unusable:
        lines.append(f"{found.unusable} of {found.sampled} looked at would fail: {found.problem}")
    lines += ["", "The first prompt:"]
    for message in found.messages:
        lines += ["", f"[{message.role}]", *(printable(line) for line in message.content.split("\n"))]
    return "\n".join(lines)


def _count(n: int, plural: str) -> str:
    return f"{n:,} {plural.removesuffix('s') if n == 1 else plural}"
