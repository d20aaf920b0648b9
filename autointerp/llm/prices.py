"""What tokens cost. We ship no prices, for they change monthly: the user sets them, and an unknown one stays unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from autointerp.errors import UserError


@dataclass(frozen=True)
class Price:
    """Per million tokens, in one currency. `cached`: prompt tokens from the server's prefix cache (default: `prompt`)."""

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for value in (self.prompt, self.completion, self.cached):
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"a price per million tokens must be 0 or more, got {value!r}")

    def of(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        cached = self.prompt if self.cached is None else self.cached
        fresh = max(0, prompt_tokens - cached_tokens)
        return (fresh * self.prompt + cached_tokens * cached + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class PriceTable:
    """Prices by model name; names may hold `*` and `?`. An exact name wins, then the longest pattern."""

    prices: Mapping[str, Price] = field(default_factory=dict)

    @staticmethod
    def parse(data: Mapping[str, Any]) -> "PriceTable":
        """From settings: `{"model": {"prompt": 0.5, "completion": 1.5, "cached": 0.1}}` (`cached` optional)."""
        table = {}
        for name, row in data.items():
            try:
                cached = row.get("cached")
                table[name] = Price(
                    float(row["prompt"]), float(row["completion"]), None if cached is None else float(cached)
                )
            except (KeyError, TypeError, ValueError, AttributeError):
                raise UserError(
                    f"the price of {name!r} must be an object with numbers `prompt` and `completion` per million tokens"
                ) from None
        return PriceTable(table)

    def find(self, model: str) -> Price | None:
        if model in self.prices:
            return self.prices[model]
        matching = [name for name in self.prices if fnmatchcase(model, name)]
        return self.prices[max(matching, key=len)] if matching else None
