"""Stopping work in flight."""

import threading
from collections.abc import Callable

from autointerp.llm.errors import Cancelled


class CancelToken:
    """Handed to every call of one piece of work; `cancel()` from any thread aborts them all at once. Thread-safe."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        with self._lock:
            self._event.set()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise `Cancelled` once `cancel` was called."""
        if self.cancelled:
            raise Cancelled("Cancelled before the model answered. Run it again to go on where it stopped.")

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at `cancel` (at once if that has been); returns a function that takes it back."""
        with self._lock:
            if not self._event.is_set():
                number = self._next
                self._next += 1
                self._callbacks[number] = callback
                return lambda: self._forget(number)
        callback()
        return lambda: None

    def _forget(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)
