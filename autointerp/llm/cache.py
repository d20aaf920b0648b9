"""Replies already paid for."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

from autointerp.llm.messages import ChatReply, ChatRequest

logger = logging.getLogger(__name__)


class ReplyCache(Protocol):
    """Replies by key: usable ones under their request's key, unusable ones under a key that no request has.

    `get` runs in the background loop of the clients, so it must be a quick, non-blocking look-up; `put` runs in a
    thread of its own.
    """

    def get(self, key: str, /) -> ChatReply | None: ...

    def put(self, key: str, request: ChatRequest, reply: ChatReply, /) -> None: ...


@runtime_checkable
class Replies(Protocol):
    """Replies by key as the background loop asks for them, which is never blocked."""

    def alone(self, key: str, /) -> AbstractAsyncContextManager[None]:
        """Waits until nobody else asks the question with this key: the same question twice at once is one call."""
        ...

    async def find(self, key: str, /) -> ChatReply | None: ...

    async def keep(self, key: str, request: ChatRequest, reply: ChatReply, /) -> bool:
        """Returns once the reply is written, or False if it could not be."""
        ...

    def close(self) -> None: ...


class OwnReplies:
    """Of a cache in this process. Writes in a thread of its own, one after the other."""

    def __init__(self, cache: ReplyCache) -> None:
        self._cache = cache
        self._thread = ThreadPoolExecutor(1, "autointerp-llm-cache")
        self._keys: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def alone(self, key: str, /) -> AsyncIterator[None]:
        lock, users = self._keys.get(key, (asyncio.Lock(), 0))
        self._keys[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._keys.pop(key)
            if users > 1:
                self._keys[key] = (lock, users - 1)

    async def find(self, key: str, /) -> ChatReply | None:
        return self._cache.get(key)

    async def keep(self, key: str, request: ChatRequest, reply: ChatReply, /) -> bool:
        def write() -> bool:
            try:
                self._cache.put(key, request, reply)
            except Exception:
                # The answer is paid for: it is handed over even if it cannot be kept (a full disk).
                logger.exception("a reply could not be written to the cache")
                return False
            return True

        # The reply to a cancelled question is paid for, and written all the same.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, write))

    def close(self) -> None:
        """Let the thread end after what is queued."""
        self._thread.shutdown(wait=False)


def next_place(key: str) -> str:
    """The key of the answer to a question whose reply under `key` can no longer be used."""
    return hashlib.sha256(f"after {key}".encode()).hexdigest()


def unusable_place(key: str, texts: tuple[str, ...]) -> str:
    """The key of unusable replies. It depends on their texts, so that those of a later attempt do not replace them."""
    return hashlib.sha256(json.dumps(["unusable", key, *texts]).encode()).hexdigest()
