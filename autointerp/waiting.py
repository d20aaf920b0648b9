"""Waiting for another thread so that Ctrl-C is always heard."""

from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
MOMENT = 0.2
"""Seconds."""


def result_of(future: "Future[T]", seconds: float | None = None) -> T:
    """As `future.result(seconds)`, in short waits. A Ctrl-C that arrives just before a wait begins, or on another thread, does
    not end that wait: it would be heard only after it, which may be never."""
    end = float("inf") if seconds is None else monotonic() + seconds
    while True:
        left = end - monotonic()
        try:
            return future.result(max(0.0, min(MOMENT, left)))
        except TimeoutError:
            if future.done():  # just now, or with a TimeoutError of its own
                return future.result()
            if left <= MOMENT:
                raise
