"""From replies to money, and from requests to what they may cost at most."""

import math
from dataclasses import replace

from autointerp.llm.budget import Budget, Reservation
from autointerp.llm.errors import BudgetExceeded
from autointerp.llm.messages import ChatRequest, Usage
from autointerp.llm.prices import Price, PriceTable

_UNBOUNDED_ANSWER = 1024  # tokens assumed for an answer without max_tokens, until longer ones were seen


class Accountant:
    """Prices replies, and estimates requests from what replies have shown. One per client, used in its loop."""

    def __init__(self, model: str, prices: PriceTable, budget: Budget | None, *, reports_cost: bool):
        self.budget = budget
        self._model = model
        self._prices = prices
        self._reports_cost = reports_cost
        # English has about 4 characters a token; start above that, and follow the worst that is seen.
        self._tokens_per_char = 0.35
        self._longest_answer = _UNBOUNDED_ANSWER
        self._dearest = 0.0

    def price(self, model: str, served: str = "") -> Price | None:
        return self._prices.find(model) or (self._prices.find(served) if served else None)

    def priced(self, usage: Usage, request: ChatRequest, served: str = "") -> Usage:
        """`usage` with its cost: the server's own figure, else by the price table, else `None`. Fills in missing counts."""
        if usage.estimated and not usage.prompt_tokens:
            usage = replace(usage, prompt_tokens=self._prompt_tokens(request))
        elif not usage.estimated:
            seen = usage.prompt_tokens / (request.n_chars + 40)
            self._tokens_per_char = max(self._tokens_per_char, min(4.0, seen * 1.05))
        self._longest_answer = max(self._longest_answer, usage.completion_tokens)
        if usage.cost is not None:
            self._reports_cost = True
            self._dearest = max(self._dearest, usage.cost)
            return usage
        price = self.price(request.model or self._model, served)
        if price is None:
            return usage
        return replace(
            usage, cost=price.of(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        )

    def estimate(self, request: ChatRequest) -> Usage:
        """An upper guess of one call: prompt tokens from its length, answer tokens from `max_tokens`."""
        prompt, answer = self._prompt_tokens(request), request.max_tokens or self._longest_answer
        price = self.price(request.model or self._model)
        return Usage(prompt, answer, 0, None if price is None else price.of(prompt, answer), estimated=True)

    def reservation(self, request: ChatRequest) -> Reservation:
        """What to set aside for one call. `BudgetExceeded` when a budget in money meets a model without a price."""
        guess = self.estimate(request)
        cost = guess.cost
        if (
            cost is None
            and self.budget is not None
            and self.budget.max_cost is not None
            and not self._reports_cost
        ):
            raise BudgetExceeded(
                f"No price is known for the model {request.model or self._model!r}, so a budget in money cannot be kept. "
                f"Set its price in Settings, or give the budget in tokens."
            )
        return Reservation(guess.total_tokens, self._dearest if cost is None else cost)

    def _prompt_tokens(self, request: ChatRequest) -> int:
        return math.ceil((request.n_chars + 40) * self._tokens_per_char)
