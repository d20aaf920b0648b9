"""Replies already paid for."""

import threading
from typing import Protocol

from autointerp.llm.messages import ChatReply, ChatRequest


class ReplyCache(Protocol):
    """Replies by request key. Called from worker threads, so it must be thread-safe; only usable replies are put."""

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
