"""A client that follows a script, with the retries, cache, budget and re-asks of the real one; and a cache in memory."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autointerp.llm.client import Client
from autointerp.llm.errors import LLMError
from autointerp.llm.messages import ChatReply, ChatRequest, Usage

Line = str | ChatReply | BaseException
Script = Iterable[Line] | Callable[[ChatRequest], Line]


class MockClient(Client):
    """`script`: replies in order (a list or any iterator, perhaps endless), or a function of the request.

    A line is the reply's text, a whole `ChatReply`, or an exception to raise: `Transient` and its kin are retried as
    real ones are. `delay`: seconds each reply takes. `requests` holds what was asked, in order.
    """

    def __init__(self, script: Script, *, model: str = "mock", delay: float = 0.0, **options: Any):
        self._transport = ScriptTransport(script, model, delay)
        super().__init__(
            model, base_url="http://mock.invalid/v1", api_key="", transport=self._transport, **options
        )

    @property
    def requests(self) -> list[ChatRequest]:
        return self._transport.requests


class ScriptTransport:
    """The scripted stand-in for a connection."""

    def __init__(self, script: Script, model: str, delay: float):
        self.requests: list[ChatRequest] = []
        self._lines: Iterator[Line] | None = None if callable(script) else iter(script)
        self._answer = script if callable(script) else None
        self._model = model
        self._delay = delay
        self._lock = threading.Lock()

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply:
        if self._delay:
            await asyncio.sleep(self._delay)
        with self._lock:
            self.requests.append(request)
            line = self._next(request)
        if inspect.isawaitable(line):
            line = await line
        if isinstance(line, BaseException):
            raise line
        if isinstance(line, ChatReply):
            return line
        # About four characters a token, as in English; enough for tests of budgets and costs.
        usage = Usage(request.n_chars // 4 + 1, len(line) // 4 + 1, cost=None)
        return ChatReply(line, request.model or self._model, usage=usage)

    async def models(self) -> list[str]:
        return [self._model]

    async def close(self) -> None:
        return None

    def _next(self, request: ChatRequest) -> Line:
        if self._answer is not None:
            return self._answer(request)
        assert self._lines is not None
        for line in self._lines:
            return line
        raise LLMError(f"the mock's script ended: this is request {len(self.requests)}")


class MemoryCache:
    """Replies in memory."""

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
