"""A limit on what a run may spend."""

import threading
from dataclasses import dataclass, replace

from autointerp.errors import UserError
from autointerp.llm.errors import BudgetExceeded
from autointerp.llm.messages import Usage

USED_UP = "The budget of this work is used up"
"""How the message of a `BudgetExceeded` begins when a larger budget would help."""


@dataclass(frozen=True)
class Reservation:
    """The most that one call in flight is expected to cost."""

    tokens: int
    cost: float


class Budget:
    """Counts tokens and money across clients and threads; a call is sent only if its estimate still fits.

    Calls in flight hold reservations (prompt estimate plus `max_tokens`), so many at once cannot overshoot together.
    What a call really used is counted when it returns; replies from the cache cost nothing. `spent`: what the same work has
    used already, before it was interrupted.
    """

    def __init__(
        self, *, max_tokens: int | None = None, max_cost: float | None = None, spent: Usage | None = None
    ):
        for name, limit in (("max_tokens", max_tokens), ("max_cost", max_cost)):
            if limit is not None and not limit >= 0:
                raise UserError(f"a budget's {name} must be 0 or more, got {limit!r}")
        self.max_tokens = max_tokens
        self.max_cost = max_cost
        self._lock = threading.Lock()
        self._spent = replace(spent or Usage(), cost=(spent.cost or 0.0) if spent else 0.0)
        self._reserved = Usage()

    @property
    def spent(self) -> Usage:
        return self._spent

    def try_reserve(self, reservation: Reservation) -> bool:
        """Whether the call may go now. False: wait until calls in flight settle. `BudgetExceeded`: it never can."""
        with self._lock:
            tokens = self._spent.total_tokens + reservation.tokens
            cost = (self._spent.cost or 0.0) + reservation.cost
            if not self._over(tokens + self._reserved.total_tokens, cost + (self._reserved.cost or 0.0)):
                self._reserved += Usage(prompt_tokens=reservation.tokens, cost=reservation.cost)
                return True
            if not self._over(tokens, cost):
                return False
        raise BudgetExceeded(
            f"{USED_UP}: {self._describe()}. The next call would cross it, so nothing more is sent. What was answered is kept. "
            f"To go on, press Retry, which grants as much again as “Budget of a job” in Settings says, or give --budget-tokens "
            f"or --budget-cost to `autointerp jobs STORE retry ID`."
        )

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Give the reservation back and count what the call used; `None`: it was not billed."""
        with self._lock:
            self._reserved += Usage(prompt_tokens=-reservation.tokens, cost=-reservation.cost)
            if usage is not None:
                # An unknown price counts as nothing; a budget in money refuses such calls beforehand.
                self._spent += usage if usage.cost is not None else replace(usage, cost=0.0)

    def _over(self, tokens: int, cost: float) -> bool:
        return (self.max_tokens is not None and tokens > self.max_tokens) or (
            self.max_cost is not None and cost > self.max_cost + 1e-12
        )

    def _describe(self) -> str:
        parts = []
        if self.max_tokens is not None:
            parts.append(f"{self._spent.total_tokens:,} of {self.max_tokens:,} tokens")
        if self.max_cost is not None:
            parts.append(f"{self._spent.cost or 0.0:.4f} of {self.max_cost:.4f} in cost")
        return ", ".join(parts)
