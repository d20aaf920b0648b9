"""What a piece of work will send, told before it does."""

from dataclasses import dataclass

from autointerp.llm import Message

MODE_UNKNOWN = (
    "The first request finds out whether the server gives log probabilities of the prompt. If not, as assumed here, lists of "
    "numbers are asked for."
)


@dataclass(frozen=True)
class Preview:
    """What a piece of work will send, before it does. `messages`: the first request exactly; tokens and `cost` (`None`: price
    unknown) are upper guesses over all `n_requests`, of which `from_cache` have been answered before and cost nothing. `note`:
    what is not known yet."""

    messages: tuple[Message, ...] = ()
    n_requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    from_cache: int = 0
    note: str = ""
