"""--dry-run: what a run would send and cost, told from a few of its items, with one prompt in full."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.cli.job_progress import cost_text
from autointerp.cli.output import printable
from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.llm import Message
    from autointerp.runs import Preview

SAMPLE = 10


@dataclass
class Rehearsal:
    """Sums over all `n_items`, extrapolated from `sampled` of them; `cost` is `None` without a price. `unusable` of the
    sampled would fail before anything is asked, the first with `problem`."""

    n_items: int
    sampled: int = 0
    n_requests: float = 0.0
    from_cache: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    cost: float | None = 0.0
    messages: "tuple[Message, ...]" = ()
    unusable: int = 0
    problem: str | None = None

    @property
    def exact(self) -> bool:
        return self.sampled == self.n_items


def rehearse(items: Sequence[Any], preview: "Callable[[Any], Preview]") -> Rehearsal:
    """Preview up to `SAMPLE` items, evenly over all. Raises UserError when none can be previewed."""
    found = Rehearsal(len(items))
    chosen = [items[i * len(items) // SAMPLE] for i in range(SAMPLE)] if len(items) > SAMPLE else list(items)
    found.sampled = len(chosen)
    scale = len(items) / max(1, len(chosen))
    for item in chosen:
        try:
            one = preview(item)
        except UserError as error:
            found.unusable += 1
            found.problem = found.problem or str(error)
            continue
        found.messages = found.messages or one.messages
        found.n_requests += scale * one.n_requests
        found.from_cache += scale * one.from_cache
        found.tokens_in += scale * one.tokens_in
        found.tokens_out += scale * one.tokens_out
        found.cost = None if found.cost is None or one.cost is None else found.cost + scale * one.cost
    if chosen and found.unusable == len(chosen):
        raise UserError(f"none of the {len(chosen)} tried could be done: {found.problem}")
    return found


def add(parts: Sequence[Rehearsal]) -> Rehearsal:
    """Several kinds of work over the same items, taken together."""
    total = Rehearsal(max((part.n_items for part in parts), default=0))
    for part in parts:
        total.sampled = max(total.sampled, part.sampled)
        total.n_requests += part.n_requests
        total.from_cache += part.from_cache
        total.tokens_in += part.tokens_in
        total.tokens_out += part.tokens_out
        total.cost = None if total.cost is None or part.cost is None else total.cost + part.cost
        total.messages = total.messages or part.messages
        total.unusable = max(total.unusable, part.unusable)
        total.problem = total.problem or part.problem
    return total


def preview_document(found: Rehearsal) -> dict[str, Any]:
    """In JSON. Tokens are upper guesses; calls answered before (`from_cache`) cost nothing."""
    return {
        "n_items": found.n_items,
        "sampled": found.sampled,
        "n_requests": round(found.n_requests),
        "from_cache": round(found.from_cache),
        "tokens_in": round(found.tokens_in),
        "tokens_out": round(found.tokens_out),
        "cost": found.cost,
        "unusable": found.unusable,
        "problem": found.problem,
        "prompt": [{"role": message.role, "content": message.content} for message in found.messages],
    }


def preview_text(found: Rehearsal, what: str) -> str:
    """For people: the prompt with the line breaks that it has, anything else unprintable escaped."""
    if not found.n_items:
        return f"Nothing to do: all {what} have such a result. --redo does them again."
    if not found.n_requests:
        return f"{_count(found.n_items, what)} to do. No language model is asked, so it costs nothing."
    guess = "" if found.exact else f" (told from {found.sampled} of them)"
    lines = [
        f"{_count(found.n_items, what)} to do{guess}: {_count(round(found.n_requests), 'calls')}, of which "
        f"{found.from_cache:,.0f} were answered before and are free.",
        f"At most about {found.tokens_in:,.0f} prompt tokens and {found.tokens_out:,.0f} answer tokens, "
        f"{cost_text(found.cost)}.",
    ]
    if found.unusable:
        lines.append(f"{found.unusable} of {found.sampled} looked at would fail: {found.problem}")
    lines += ["", "The first prompt:"]
    for message in found.messages:
        lines += ["", f"[{message.role}]", *(printable(line) for line in message.content.split("\n"))]
    return "\n".join(lines)


def _count(n: int, plural: str) -> str:
    return f"{n:,} {plural.removesuffix('s') if n == 1 else plural}"
