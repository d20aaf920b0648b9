"""What calls of a language model used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Tokens and money. `cached_tokens` of `prompt_tokens` came from the server's prefix cache. `cost` in the currency
    of the price table, `None` when no price is known. `estimated`: the server gave no counts, we guessed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = 0.0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        unknown = self.cost is None or other.cost is None
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            None if unknown else (self.cost or 0.0) + (other.cost or 0.0),
            self.estimated or other.estimated,
        )
