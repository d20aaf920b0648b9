"""What a run would send and cost, told from a few of its items spread over all of them: one that was tried before would say
that nothing is left to pay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.errors import UserError
from autointerp.llm import Message
from autointerp.pipeline.preview import Preview

SAMPLE = 10


@dataclass
class Rehearsal:
    """Sums over all `n_items`, extrapolated from `sampled` of them; tokens and `cost` (`None` without a price) of the requests
    that were not answered before. `unusable` of the sampled would fail before anything is asked, the first with `problem`."""

    n_items: int
    sampled: int = 0
    n_requests: float = 0.0
    from_cache: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    cost: float | None = 0.0
    messages: tuple[Message, ...] = ()
    unusable: int = 0
    problem: str | None = None

    @property
    def exact(self) -> bool:
        return self.sampled == self.n_items

    @property
    def all_known(self) -> bool:
        """Whether every request looked at was answered before, so that the sample does not tell what new ones cost."""
        return 0 < self.n_requests <= self.from_cache


def spread(n: int, sample: int = SAMPLE) -> list[int]:
    """Up to `sample` places among `n`, evenly over all, each in the middle of its part."""
    return [(2 * i + 1) * n // (2 * sample) for i in range(sample)] if n > sample else list(range(n))


def rehearse(items: Sequence[Any], preview: Callable[[Any], Preview]) -> Rehearsal:
    """Preview up to `SAMPLE` items, evenly over all. Raises UserError when none can be previewed."""
    found = Rehearsal(len(items))
    chosen = [items[place] for place in spread(len(items))]
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
