"""A worker's line to the job's process, and what hangs on it in place of annotations, floors, replies and a budget."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from autointerp.errors import Failure, UserError
from autointerp.llm.costs import Budget
from autointerp.llm.errors import BudgetExceeded
from autointerp.llm.messages import ChatReply, ChatRequest, Usage


class Message(NamedTuple):
    """From a worker. With a `number`, it waits for the answer that bears it."""

    number: int | None
    what: str
    args: tuple[Any, ...]


class Line:
    """The worker's end. Thread-safe; messages keep their order."""

    def __init__(self) -> None:
        self._out: list[Message] = []
        self._news = threading.Condition()
        self._numbers = itertools.count()
        self._asked: dict[int, Future[Any]] = {}

    def tell(self, what: str, *args: Any) -> None:
        self._send(Message(None, what, args))

    def ask(self, what: str, *args: Any) -> "Future[Any]":
        """The answer, once it is there; or a UserError of the kind that the job's process met."""
        number, answer = next(self._numbers), Future[Any]()
        self._asked[number] = answer
        self._send(Message(number, what, args))
        return answer

    def answered(self, number: int, value: Any, failure: Failure | None) -> None:
        answer = self._asked.pop(number)
        if not answer.set_running_or_notify_cancel():
            return
        if failure is None:
            answer.set_result(value)
        else:
            answer.set_exception(error_of(failure))

    def take(self, seconds: float) -> list[Message]:
        """All that waits to be sent; after so many seconds perhaps nothing."""
        with self._news:
            self._news.wait_for(lambda: self._out, seconds)
            taken, self._out = self._out, []
            return taken

    def _send(self, message: Message) -> None:
        with self._news:
            self._out.append(message)
            self._news.notify()


def error_of(failure: Failure) -> UserError:
    """An error that `Failure.of` makes the same failure from, for what was raised in another process."""
    kind = {"kind": failure.error_kind, "retryable": failure.retryable}
    return type("Relayed", (UserError,), kind)(failure.error)


class Remote:
    """The object of this name in the job's process: each method call is a question."""

    def __init__(self, line: Line, name: str):
        self._line, self._name = line, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._call, method)

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        return self._line.ask("call", self._name, method, args, options).result()


class RemoteReplies:
    """The store's replies as `llm.Client` wants them. A question that another worker is asking is waited for."""

    def __init__(self, line: Line):
        self._line = line
        self._turns = itertools.count()
        self._held: dict[str, ChatReply | None] = {}

    @asynccontextmanager
    async def alone(self, key: str, /) -> AsyncIterator[None]:
        turn = next(self._turns)
        try:
            self._held[key] = await asyncio.wrap_future(self._line.ask("hold", key, turn))
            yield
        finally:
            self._held.pop(key, None)
            self._line.tell("free", key, turn)

    async def find(self, key: str, /) -> ChatReply | None:
        if key in self._held:
            return self._held[key]
        return await asyncio.wrap_future(self._line.ask("call", "replies", "get", (key,), {}))

    async def keep(self, key: str, request: ChatRequest, reply: ChatReply, /) -> bool:
        # Sent at once: the reply to a cancelled question is paid for, and written all the same.
        return await asyncio.wrap_future(self._line.ask("keep_reply", key, request, reply))

    def get(self, key: str, /) -> ChatReply | None:
        """`find`, for a thread that may wait."""
        return self._line.ask("call", "replies", "get", (key,), {}).result()

    def put(self, key: str, request: ChatRequest, reply: ChatReply, /) -> None:
        """`keep`, for a thread that may wait."""
        self._line.ask("keep_reply", key, request, reply).result()

    def close(self) -> None:
        """Nothing is open."""


class RemoteBudget(Budget):
    """The job's, which is one over all workers."""

    def __init__(self, line: Line, max_tokens: int | None, max_cost: float | None):
        super().__init__(max_tokens=max_tokens, max_cost=max_cost)
        self._line = line

    async def reserve(self, most: Usage) -> bool:
        if self.max_tokens is None and self.max_cost is None:
            return True
        allowed = await asyncio.wrap_future(self._line.ask("reserve", self.max_tokens, self.max_cost, most))
        if isinstance(allowed, str):
            raise BudgetExceeded(allowed)
        return allowed

    def settle(self, most: Usage, usage: Usage | None) -> None:
        self._line.tell("settle", self.max_tokens, self.max_cost, most, usage)
