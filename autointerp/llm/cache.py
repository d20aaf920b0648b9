"""Replies already paid for."""

import asyncio
import hashlib
import json
import logging
import queue
import threading
import time
from typing import Protocol

from autointerp.llm.messages import ChatReply, ChatRequest

logger = logging.getLogger(__name__)

Entry = tuple[str, ChatRequest, ChatReply]

_GATHER = 0.01  # seconds in which replies collect before they are written together


class ReplyCache(Protocol):
    """Replies by key: usable ones under their request's, the others where no question looks.

    `get` runs in the background loop of the clients, so it must be a quick look-up that waits for nobody; `put` runs in a
    thread of its own. A cache may also offer `put_many(entries: list[tuple[key, request, reply]])`, called instead of `put`,
    to write them in one transaction.
    """

    def get(self, key: str) -> ChatReply | None: ...

    def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None: ...


class MemoryCache:
    """A cache for one process: tests, notebooks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replies: dict[str, ChatReply] = {}

    def get(self, key: str) -> ChatReply | None:
        with self._lock:
            return self._replies.get(key)

    def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
        with self._lock:
            self._replies[key] = reply

    def __len__(self) -> int:
        return len(self._replies)


class CacheWriter:
    """Writes replies from a thread, several at a time: one hop between threads and one transaction for many replies."""

    def __init__(self, cache: ReplyCache):
        self._cache = cache
        self._queue: queue.SimpleQueue[tuple[Entry, asyncio.Future[bool]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def put(self, entry: Entry) -> bool:
        """Returns once the reply is written, or False if it could not be."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(
                target=self._run, args=(loop,), name="autointerp-llm-cache", daemon=True
            )
            self._thread.start()
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put((entry, written))
        # A cancelled question does not take its reply back: it is paid for, and written all the same.
        return await asyncio.shield(written)

    def close(self) -> None:
        """Let the thread end after what is queued."""
        self._queue.put(None)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        open_ = True
        while open_:
            batch = [self._queue.get()]
            if batch[0] is not None:
                time.sleep(_GATHER)
            while not self._queue.empty():
                batch.append(self._queue.get())
            open_ = None not in batch
            jobs = [item for item in batch if item is not None]
            done = self._write([entry for entry, _ in jobs])
            loop.call_soon_threadsafe(_resolve, [(future, done) for _, future in jobs])

    def _write(self, entries: list[Entry]) -> bool:
        put_many = getattr(self._cache, "put_many", None)
        try:
            if put_many is not None:
                put_many(entries)
            else:
                for entry in entries:
                    self._cache.put(*entry)
        except Exception:
            # The answers are paid for: they are handed over even if they cannot be kept (a full disk).
            logger.exception("%d replies could not be written to the cache", len(entries))
            return False
        return True


def _resolve(results: list[tuple[asyncio.Future[bool], bool]]) -> None:
    for future, done in results:
        if not future.done():
            future.set_result(done)


def next_place(key: str) -> str:
    """Where the cache keeps the answer to a question whose reply under `key` can no longer be used."""
    return hashlib.sha256(f"after {key}".encode()).hexdigest()


def unusable_place(key: str, texts: tuple[str, ...]) -> str:
    """Where the cache keeps replies to a question that nobody could use: by what they say, for the next try says something else
    and both are referred to. No look-up comes here."""
    return hashlib.sha256(json.dumps(["unusable", key, *texts]).encode()).hexdigest()
