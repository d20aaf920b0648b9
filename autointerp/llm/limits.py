"""How many requests are in flight, when to retry, and when to give up."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from autointerp.llm.errors import (
    AuthError,
    LLMError,
    QuotaExceeded,
    RateLimited,
    ServerUnreachable,
    Transient,
    UnknownModel,
)

DOUBTED = (ServerUnreachable, AuthError, QuotaExceeded, UnknownModel)
"""What no retry heals, if it is so."""
_TRUSTED = 3
"""Attempts for which a server's Retry-After is taken as it is, however short."""
_LONGEST_OWN = 5.0
"""Seconds that are waited at most, after those attempts, where the server asks for less."""


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter, in seconds: the n-th wait is drawn from [0.5, 1] * min(cap, base * 2^n).

    `max_attempts` bounds failures of the server, `max_unreachable` attempts to connect. A request to wait (429, 503 with
    Retry-After) is not a failure and bounded only by `patience`, the sum of all waits of one request. `max_doubted` bounds
    attempts at a server that has given answers and now says something that would end all work: no such address or model, a
    wrong key, no credit; a restart, a login page of the network or a proxy's hiccup look so.
    """

    max_attempts: int = 6
    max_unreachable: int = 3
    max_doubted: int = 6
    base: float = 0.5
    cap: float = 30.0
    patience: float = 600.0

    def wait(
        self, error: LLMError, attempt: int, waited: float, jitter: random.Random, *, answered: bool = False
    ) -> float | None:
        """Seconds before the next try after `attempt` (1, 2, ...) failed with `error`; `None`: give up. `answered`: whether the
        server ever gave an answer."""
        if answered and isinstance(error, DOUBTED):
            allowed, asked = self.max_doubted, None
        elif isinstance(error, ServerUnreachable) and error.retryable:
            allowed, asked = self.max_unreachable, None
        elif isinstance(error, Transient):
            asked = error.retry_after
            allowed = min(self.max_attempts, error.max_attempts or self.max_attempts)
            if isinstance(error, RateLimited) or (asked is not None and error.overload):
                allowed = attempt + 1
        else:
            return None
        if attempt >= allowed:
            return None
        delay = min(self.cap, self.base * 2 ** (attempt - 1)) * jitter.uniform(0.5, 1.0)
        if asked is not None:
            # Never earlier than asked; spread a little so that waiting requests do not return as one wave. A server that asks
            # for no wait (0, or a past date) again and again is trusted a few times only: nothing else bounds the attempts.
            own = min(delay, _LONGEST_OWN) if attempt > _TRUSTED else 0.0
            delay = max(asked + jitter.uniform(0.0, min(1.0, 0.1 * asked + 0.05)), own)
        return delay if waited + delay <= self.patience else None


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds from a Retry-After header (seconds or an HTTP date) or its `-ms` variant; `None` when absent or nonsense."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if not text:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
            except (TypeError, ValueError, OverflowError):
                continue
        if seconds == seconds and seconds < float("inf"):
            return max(0.0, seconds)
    return None


class AdaptiveLimit:
    """Requests in flight between 1 and `maximum`, in the manner of TCP. Belongs to one event loop.

    Starts at half of the maximum and grows by one per success until the first overload; from then on by one per
    round of successes. An overload halves it, once for all requests of the same round, and a Retry-After delays all
    requests, not only the one that received it.
    """

    def __init__(self, maximum: int):
        self.maximum = maximum
        self.limit = float(max(1, min(maximum, max(4, maximum // 2))))
        self.in_flight = 0
        self._epoch = 0
        self._paused_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return sum(not ticket.done() for ticket in self._waiting)

    async def acquire(self, *, first: bool = False) -> int:
        """Wait for a free slot; `first` queues before the others (a request that has waited before). Returns the number of
        halvings so far, which `release` wants back."""
        while not self._free():
            ticket = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if first else self._waiting.append)(ticket)
            self._arm()
            try:
                await ticket
            except asyncio.CancelledError:
                if not ticket.cancelled():
                    self._wake()  # the slot offered to us goes to another
                raise
            first = True  # woken but overtaken: keep the place in the queue
        self.in_flight += 1
        return self._epoch

    def release(
        self, epoch: int, *, ok: bool = False, overload: bool = False, pause: float | None = None
    ) -> None:
        """Free a slot. `ok`: the server coped; `overload`: it did not; `pause`: seconds without requests that it asks for."""
        if ok:
            busy = self.in_flight >= int(self.limit)
            step = 1.0 if self._epoch == 0 else 1.0 / self.limit
            if busy:
                self.limit = min(float(self.maximum), self.limit + step)
        elif overload and epoch == self._epoch:
            self.limit = max(1.0, self.limit / 2)
            self._epoch += 1
        if pause:
            self._paused_until = max(self._paused_until, time.monotonic() + pause)
        self.in_flight -= 1
        self._wake()

    def _free(self) -> bool:
        return self.in_flight < int(self.limit) and time.monotonic() >= self._paused_until

    def _wake(self) -> None:
        if time.monotonic() < self._paused_until:
            self._arm()
            return
        places = int(self.limit) - self.in_flight
        while places > 0 and self._waiting:
            ticket = self._waiting.popleft()
            if not ticket.done():
                ticket.set_result(None)
                places -= 1

    def _arm(self) -> None:
        delay = self._paused_until - time.monotonic()
        if delay > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay + 0.001, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()


class Breaker:
    """After `threshold` failures in a row that no retry heals (no server, wrong key, unknown model), requests fail at once with
    the last error, except one probe every `cooldown` seconds."""

    def __init__(
        self, threshold: int = 8, cooldown: float = 2.0, clock: Callable[[], float] = time.monotonic
    ):
        self.threshold = threshold
        self.cooldown = cooldown
        self._clock = clock
        self._failures = 0
        self._error: LLMError | None = None
        self._next_probe = 0.0

    def error(self) -> LLMError | None:
        """A copy of the last error while the breaker is open."""
        if self._failures < self.threshold or self._error is None:
            return None
        if self._clock() >= self._next_probe:
            self._next_probe = self._clock() + self.cooldown
            return None
        return type(self._error)(str(self._error))

    def record(self, error: LLMError | None) -> None:
        """Note how a request ended; any other outcome closes the breaker."""
        if isinstance(error, DOUBTED):
            self._failures += 1
            self._error = error
            if self._failures == self.threshold:
                self._next_probe = self._clock() + self.cooldown
        else:
            self._failures = 0
            self._error = None
