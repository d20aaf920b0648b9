"""Stopping work in flight."""

import threading
from collections.abc import Callable

from autointerp.llm.errors import Cancelled


class CancelToken:
    """Shared by all calls of one task; `cancel()` aborts them all at once. Thread-safe."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], None]] = {}

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        with self._lock:
            self._event.set()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            callback()

    def wait(self, seconds: float) -> bool:
        """Sleep until `cancel`, or for that long; whether it was called."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise `Cancelled` once `cancel` was called."""
        if self.cancelled:
            raise Cancelled("Cancelled before the model answered. Run it again to continue.")

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at `cancel` (at once if that has been); returns a function that undoes this."""
        with self._lock:
            if not self.cancelled:
                place = object()
                self._callbacks[place] = callback
                return lambda: self._forget(place)
        callback()
        return lambda: None

    def _forget(self, place: object) -> None:
        with self._lock:
            self._callbacks.pop(place, None)
