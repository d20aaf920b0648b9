"""--dry-run: what a run would ask and cost, estimated from a few of its items, with one prompt in full."""

from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.jobs import cost_text
from autointerp.cli.shared.output import printable

if TYPE_CHECKING:
    from autointerp.pipeline.estimate import Estimate


def preview_document(estimate: "Estimate") -> dict[str, Any]:
    """In JSON. Tokens and cost are upper bounds, without the requests answered before (`from_cache`), which are free. They are
    null where every sampled request was answered before and others were not sampled: then they are not known."""
    known = estimate.exact or not estimate.all_known
    return {
        "n_items": estimate.n_items,
        "sampled": estimate.sampled,
        "n_requests": round(estimate.n_requests),
        "from_cache": round(estimate.from_cache),
        "tokens_in": round(estimate.tokens_in) if known else None,
        "tokens_out": round(estimate.tokens_out) if known else None,
        "cost": estimate.cost if known else None,
        "unusable": estimate.unusable,
        "problem": estimate.problem,
        "prompt": [{"role": message.role, "content": message.content} for message in estimate.messages],
    }


def preview_text(estimate: "Estimate", what: str) -> str:
    """As text: the prompt keeps its line breaks, anything else unprintable is escaped."""
    if not estimate.n_items:
        return (
            f"Nothing to do: all {what} are done with this exact configuration. Use --redo to do them again."
        )
    todo = f"{_count(estimate.n_items, what)} to do"
    if not estimate.n_requests:
        return f"{todo}. No language model is used, so this costs nothing."
    requests = _count(round(estimate.n_requests), "requests")
    if estimate.all_known and not estimate.exact:
        lines = [
            f"{todo}, about {requests}. All requests for the {estimate.sampled} sampled were answered before and are free; the "
            "cost of the others is not known."
        ]
    else:
        source = "" if estimate.exact else f" (estimated from {estimate.sampled} of them)"
        lines = [
            f"{todo}{source}: {requests}, {estimate.from_cache:,.0f} of them answered before and free.",
            f"At most about {estimate.tokens_in:,.0f} tokens in and {estimate.tokens_out:,.0f} out, "
            f"{cost_text(estimate.cost)}.",
        ]
    if estimate.unusable:
        lines.append(f"{estimate.unusable} of the {estimate.sampled} sampled would fail: {estimate.problem}")
    lines += ["", "The first prompt:"]
    for message in estimate.messages:
        lines += ["", f"[{message.role}]", *(printable(line) for line in message.content.split("\n"))]
    return "\n".join(lines)


def _count(n: int, plural: str) -> str:
    return f"{n:,} {plural.removesuffix('s') if n == 1 else plural}"
