"""How many requests fly at once, when to try again, and when to stop trying."""

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

_BELIEVED = 3
"""How often in a row a wait that a server asks for is kept to, however short."""
_LONGEST_DOUBT = 5.0
"""Seconds that are waited at most, after that, where the server asks for less."""


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter, in seconds: the n-th wait is drawn from [0.5, 1] * min(cap, base * 2^n).

    `max_attempts` bounds failures of the server, `max_unreachable` attempts to connect. Being told to wait (429, 503 with
    Retry-After) is no failure and bounded only by `patience`, the sum of all waits of one request.
    """

    max_attempts: int = 6
    max_unreachable: int = 3
    base: float = 0.5
    cap: float = 30.0
    patience: float = 600.0

    def wait(self, error: LLMError, attempt: int, waited: float, jitter: random.Random) -> float | None:
        """Seconds before the next try after `attempt` (1, 2, ...) failed with `error`; `None`: give up."""
        if isinstance(error, ServerUnreachable) and error.retryable:
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
            # Never earlier than asked; spread a little so that waiting requests do not return as one wave. A server that says
            # "at once" (0, or a date that has passed) again and again is believed a few times: nothing else bounds the tries.
            own = min(delay, _LONGEST_DOUBT) if attempt > _BELIEVED else 0.0
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


@dataclass
class Permit:
    """The right to one request in flight; `epoch` counts the halvings before it was given."""

    epoch: int


class AdaptiveLimit:
    """Requests in flight between 1 and `maximum`, in the manner of TCP. Belongs to one event loop.

    Starts at half of the maximum and grows by one per success until the first overload; from then on by one per
    round of successes. An overload halves it, once for all requests of the same round, and a Retry-After holds every
    request back, not only the one that was told.
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

    async def acquire(self, *, first: bool = False) -> Permit:
        """Wait for a free place; `first` queues before the others (a request that has waited before)."""
        while not self._free():
            ticket = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if first else self._waiting.append)(ticket)
            self._arm()
            try:
                await ticket
            except asyncio.CancelledError:
                if not ticket.cancelled():
                    self._wake()  # the place offered to us goes to another
                raise
            first = True  # woken but overtaken: keep the place in the queue
        self.in_flight += 1
        return Permit(self._epoch)

    def release(
        self, permit: Permit, *, ok: bool = False, overload: bool = False, pause: float | None = None
    ) -> None:
        """Give a permit back. `ok`: the server coped; `overload`: it did not; `pause`: seconds it wants silence."""
        if ok:
            busy = self.in_flight >= int(self.limit)
            step = 1.0 if self._epoch == 0 else 1.0 / self.limit
            if busy:
                self.limit = min(float(self.maximum), self.limit + step)
        elif overload and permit.epoch == self._epoch:
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
    """Spares a server that cannot serve us, and us the wait: after `threshold` failures in a row of the hopeless kind
    (no server, wrong key, unknown model) requests fail at once with the last error; one in `cooldown` seconds probes."""

    def __init__(
        self, threshold: int = 8, cooldown: float = 2.0, clock: Callable[[], float] = time.monotonic
    ):
        self.threshold = threshold
        self.cooldown = cooldown
        self._clock = clock
        self._failures = 0
        self._error: LLMError | None = None
        self._next_probe = 0.0

    def check(self) -> None:
        """Raise a copy of the last error while the breaker is open."""
        if self._failures < self.threshold or self._error is None:
            return
        if self._clock() >= self._next_probe:
            self._next_probe = self._clock() + self.cooldown
            return
        raise type(self._error)(str(self._error))

    @property
    def open(self) -> bool:
        return self._failures >= self.threshold

    def record(self, error: LLMError | None) -> None:
        """Note how a request ended; anything but a hopeless error closes the breaker."""
        if isinstance(error, ServerUnreachable | AuthError | QuotaExceeded | UnknownModel):
            self._failures += 1
            self._error = error
            if self._failures == self.threshold:
                self._next_probe = self._clock() + self.cooldown
        else:
            self._failures = 0
            self._error = None
