"""One background thread with one event loop, shared by all clients of a process."""

import asyncio
import os
import threading

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """The running loop; started at the first call, a daemon, so it never keeps the process alive."""
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="autointerp-llm", daemon=True).start()
            _loop = loop
        return _loop


def in_loop_thread() -> bool:
    """Whether the caller runs inside the loop, where waiting for it would deadlock."""
    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


def _after_fork() -> None:
    # Threads do not survive a fork; the child starts its own.
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
