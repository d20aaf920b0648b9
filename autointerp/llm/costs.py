"""What tokens cost, what a request may cost at most, and the budget of a job.

No prices are shipped, for they change monthly: the user sets them, and an unknown price stays unknown.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from autointerp.errors import UserError
from autointerp.llm.errors import BudgetExceeded, NoPrice
from autointerp.llm.messages import ChatRequest, Usage

_UNBOUNDED_ANSWER = 1024  # tokens assumed for an answer without max_tokens, until a longer one is seen
_CHAT_FRAME = 40  # characters that the chat format adds to a prompt, about


@dataclass(frozen=True)
class Price:
    """Per million tokens, in one currency. `cached`: prompt tokens from the server's prefix cache (default: `prompt`)."""

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for value in (self.prompt, self.completion, self.cached):
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"A price per million tokens must be 0 or more, got {value!r}")

    def of(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """The cost of one call."""
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
                    f"The price of {name!r} must be an object with numbers `prompt` and `completion` per million tokens"
                ) from None
        return PriceTable(table)

    def find(self, model: str) -> Price | None:
        if model in self.prices:
            return self.prices[model]
        matching = [name for name in self.prices if fnmatchcase(model, name)]
        return self.prices[max(matching, key=len)] if matching else None


class Budget:
    """Counts tokens and money across clients and threads; a call is sent only if its estimate still fits.

    Calls in flight hold reservations (prompt estimate plus `max_tokens`), so that many at once cannot overshoot together.
    What a call really used is counted when it returns; replies from the cache cost nothing. `spent`: used by the same job
    before it was interrupted.
    """

    def __init__(
        self, *, max_tokens: int | None = None, max_cost: float | None = None, spent: Usage | None = None
    ):
        for name, limit in (("max_tokens", max_tokens), ("max_cost", max_cost)):
            if limit is not None and not limit >= 0:
                raise UserError(f"A budget's {name} must be 0 or more, got {limit!r}")
        self.max_tokens = max_tokens
        self.max_cost = max_cost
        self._lock = threading.Lock()
        self._spent = replace(spent or Usage(), cost=(spent.cost or 0.0) if spent else 0.0)
        self._reserved = Usage()

    @property
    def spent(self) -> Usage:
        return self._spent

    def try_reserve(self, most: Usage) -> bool:
        """Whether a call of at most `most` (its cost known) may go now. False: wait until calls in flight settle.
        Raises BudgetExceeded: it never can."""
        with self._lock:
            if not self._over(self._spent + self._reserved + most):
                self._reserved += most
                return True
            if not self._over(self._spent + most):
                return False
        raise BudgetExceeded(
            f"The budget is used up: {self._describe()}. The next call would exceed it, so nothing more is sent. "
            f"All answers are kept. To continue, press Retry, which grants the “Budget of a job” in Settings once more, or "
            f"give --budget-tokens or --budget-cost to `autointerp jobs STORE retry ID`."
        )

    async def reserve(self, most: Usage) -> bool:
        """`try_reserve`, for the background loop."""
        return self.try_reserve(most)

    def settle(self, most: Usage, usage: Usage | None) -> None:
        """Give the reservation back and count what the call used; `None`: it was not billed."""
        with self._lock:
            self._reserved += Usage(-most.prompt_tokens, -most.completion_tokens, cost=-(most.cost or 0.0))
            if usage is not None:
                # An unknown price counts as nothing; a budget in money refuses such calls beforehand.
                self._spent += replace(usage, cost=usage.cost or 0.0)

    def _over(self, usage: Usage) -> bool:
        return (self.max_tokens is not None and usage.total_tokens > self.max_tokens) or (
            self.max_cost is not None and (usage.cost or 0.0) > self.max_cost + 1e-12
        )

    def _describe(self) -> str:
        parts = []
        if self.max_tokens is not None:
            parts.append(f"{self._spent.total_tokens:,} of {self.max_tokens:,} tokens")
        if self.max_cost is not None:
            parts.append(f"{self._spent.cost or 0.0:.4f} of {self.max_cost:.4f} in cost")
        return ", ".join(parts)


class CostEstimator:
    """Prices replies, and estimates requests from what replies have shown. One per client, used in its loop."""

    def __init__(self, model: str, prices: PriceTable, budget: Budget | None, *, reports_cost: bool):
        self.budget = budget
        self._model = model
        self._prices = prices
        self._reports_cost = reports_cost
        # English has about 4 characters a token; start above that, and follow the worst that is seen.
        self._tokens_per_char = 0.35
        self._longest_answer = _UNBOUNDED_ANSWER
        self._highest_cost = 0.0

    def priced(self, usage: Usage, request: ChatRequest, served: str = "") -> Usage:
        """`usage` with its cost: the server's own figure, else by the price table (also by `served`, the name the server gives
        the model), else `None`. Fills in missing counts."""
        if usage.estimated and not usage.prompt_tokens:
            usage = replace(usage, prompt_tokens=self._prompt_tokens(request))
        elif not usage.estimated:
            seen = usage.prompt_tokens / (request.n_chars + _CHAT_FRAME)
            self._tokens_per_char = max(self._tokens_per_char, min(4.0, seen * 1.05))
        self._longest_answer = max(self._longest_answer, usage.completion_tokens)
        if usage.cost is not None:
            self._reports_cost = True
            self._highest_cost = max(self._highest_cost, usage.cost)
            return usage
        price = self._prices.find(request.model or self._model) or self._prices.find(served)
        if price is None:
            return usage
        cost = price.of(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        return replace(usage, cost=cost)

    def estimate(self, request: ChatRequest) -> Usage:
        """An upper guess of one call: prompt tokens from its length, answer tokens from `max_tokens`."""
        prompt, answer = self._prompt_tokens(request), request.max_tokens or self._longest_answer
        price = self._prices.find(request.model or self._model)
        return Usage(prompt, answer, 0, None if price is None else price.of(prompt, answer), estimated=True)

    def reservation(self, request: ChatRequest) -> Usage:
        """What to set aside for one call. Raises BudgetExceeded when a budget in money meets a model without a price."""
        guess = self.estimate(request)
        if guess.cost is not None:
            return guess
        if self.budget is not None and self.budget.max_cost is not None and not self._reports_cost:
            raise NoPrice(
                f"The model {request.model or self._model!r} has no price, so a cost budget cannot be enforced. Set its price "
                f"in Settings, or give the budget in tokens."
            )
        return replace(guess, cost=self._highest_cost)

    def _prompt_tokens(self, request: ChatRequest) -> int:
        return math.ceil((request.n_chars + _CHAT_FRAME) * self._tokens_per_char)
