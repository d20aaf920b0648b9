"""Asking language models: many questions at once, each answered, recorded as failed, or never sent."""

import asyncio
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from autointerp.llm.cache import OwnReplies, Replies, ReplyCache
from autointerp.llm.cancel import CancelToken
from autointerp.llm.costs import Budget, CostEstimator, PriceTable
from autointerp.llm.endpoints import base_url as full_url
from autointerp.llm.endpoints import identity
from autointerp.llm.errors import BudgetExceeded, Cancelled, LLMError
from autointerp.llm.executor import Executor, Stats
from autointerp.llm.limits import AdaptiveLimit, RetryPolicy
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Question, Usage
from autointerp.llm.secrets import Secret, find_key
from autointerp.llm.transport import OpenAITransport, Transport
from autointerp.waiting import result_of

T = TypeVar("T")

_loop_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """One for all clients of a process. Started at the first call in a daemon thread, so it never keeps the process alive."""
    global _loop
    with _loop_lock:
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
    global _loop, _loop_lock
    _loop, _loop_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Client:
    """A chat model on an OpenAI-compatible server. Thread-safe; cheap to make; close it, or use it in a `with`.

    `base_url`: a URL or a name in `ENDPOINTS`. `api_key`: else from the environment, see `find_key`. `max_in_flight`:
    the most requests at once; the client adapts below it. `timeout`: seconds for one attempt, reply included.
    `cache`: replies already paid for. `known_as`: the endpoint that their keys hold, where this server is a replica of that
    one. All waiting happens in a background thread; `submit` never blocks.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "openai",
        api_key: str | Secret | None = None,
        max_in_flight: int = 16,
        timeout: float = 120.0,
        retry: RetryPolicy | None = None,
        cache: ReplyCache | Replies | None = None,
        known_as: str | None = None,
        budget: Budget | None = None,
        prices: PriceTable | None = None,
        transport: Transport | None = None,
    ):
        self.model = model.strip()
        self.base_url = full_url(base_url)
        self.endpoint = known_as or identity(self.base_url)
        self.max_in_flight = max_in_flight
        self._secret = find_key(self.base_url, api_key)
        self._transport = transport or OpenAITransport(
            self.base_url, self.model, self._secret, timeout=timeout, max_in_flight=max_in_flight
        )
        self.limit = AdaptiveLimit(max_in_flight)
        replies = cache if cache is None or isinstance(cache, Replies) else OwnReplies(cache)
        self._executor = Executor(
            transport=self._transport,
            endpoint=identity(self.base_url),
            known_as=self.endpoint,
            model=self.model,
            limit=self.limit,
            retry=retry or RetryPolicy(),
            timeout=timeout,
            replies=replies,
            costs=CostEstimator(
                self.model,
                prices or PriceTable(),
                budget,
                reports_cost=self.endpoint.startswith("openrouter.ai"),
            ),
        )
        self.stats: Stats = self._executor.stats
        self._lock = threading.Lock()
        self._pending: set[Future[Any]] = set()
        self._closed = False
        self._finalizer = weakref.finalize(self, _close_soon, self._transport, replies)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, endpoint={self.endpoint!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def estimate(self, request: ChatRequest) -> Usage:
        """An upper guess of the tokens (and cost, if the price is known) of one request, before it is sent."""
        return self._executor.costs.estimate(request)

    def submit(
        self,
        request: ChatRequest,
        validate: Callable[[ChatReply], T] | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> "Future[Answer[T]]":
        """Ask in the background. `validate` makes the value from the reply, or raises `BadAnswer` or `ValueError` with
        the reason: the model is then given the reason and asked once more. It runs in the shared loop: keep it quick.

        The future ends in an `Answer` or an `LLMError`.
        """
        check: Callable[[ChatReply], Any] = validate or (lambda reply: reply)
        with self._lock:
            if self._closed:
                raise LLMError("This client is closed; make a new one.")
            loop = background_loop()
            future = asyncio.run_coroutine_threadsafe(self._executor.run(request, check, cancel), loop)
            self._pending.add(future)
        future.add_done_callback(self._forget)
        return future

    def ask(
        self, request: ChatRequest, validate: Callable[[ChatReply], T], *, cancel: CancelToken | None = None
    ) -> Answer[T]:
        """`submit`, waiting for the answer."""
        return self._wait(self.submit(request, validate, cancel=cancel))

    def complete(self, request: ChatRequest, *, cancel: CancelToken | None = None) -> ChatReply:
        """The model's reply as it is; `BadAnswer` if it is empty or cut."""
        answer: Answer[Any] = self._wait(self.submit(request, cancel=cancel))
        return answer.reply

    def ask_many(
        self,
        questions: Iterable[Question[T]],
        *,
        cancel: CancelToken | None = None,
    ) -> Iterator[tuple[int, Answer[T] | LLMError]]:
        """The place of each question and how it ended, as they end; twice `max_in_flight` questions are held at once.

        After a cancel or at the end of the budget no further question is taken; those in flight still report. Closing
        the iterator cancels what is in flight.
        """
        window = 2 * self.max_in_flight
        stop = CancelToken()
        undo = cancel.on_cancel(stop.cancel) if cancel is not None else lambda: None
        source = enumerate(questions)
        pending: dict[Future[Answer[T]], int] = {}
        done: queue.SimpleQueue[Future[Answer[T]]] = queue.SimpleQueue()
        more = True
        try:
            while more or pending:
                while more and len(pending) < window and not stop.cancelled:
                    index, question = next(source, (-1, None))
                    if question is None:
                        more = False
                        break
                    future = self.submit(question.request, question.validate, cancel=stop)
                    pending[future] = index
                    future.add_done_callback(done.put)
                more = more and not stop.cancelled
                if pending:
                    future = done.get()
                    ended = self._ended(future)
                    more = more and not isinstance(ended, Cancelled | BudgetExceeded)
                    yield pending.pop(future), ended
        finally:
            undo()
            if pending:
                stop.cancel()

    def models(self, *, timeout: float = 10.0) -> list[str]:
        """The models the server lists, sorted; empty when it does not say."""

        async def listed() -> list[str]:
            try:
                return await asyncio.wait_for(self._transport.models(), timeout)
            except TimeoutError:
                raise LLMError(f"{self.base_url} did not list its models in time.") from None

        return sorted(self._wait(asyncio.run_coroutine_threadsafe(listed(), background_loop())))

    def close(self) -> None:
        """Cancel what is in flight and drop the connections. Idempotent."""
        with self._lock:
            self._closed = True
            pending = list(self._pending)
        for future in pending:
            future.cancel()
        self._finalizer()

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._pending.discard(future)

    def _ended(self, future: "Future[Answer[T]]") -> Answer[T] | LLMError:
        try:
            return self._wait(future)
        except LLMError as error:
            return error

    def _wait(self, future: "Future[T]") -> T:
        if in_loop_thread():
            future.cancel()
            raise RuntimeError("ask and complete would deadlock in the client's own loop; use submit")
        try:
            return result_of(future)
        except CancelledError:
            raise Cancelled("The client was closed before the model answered.") from None
        finally:
            future.cancel()  # does nothing unless the wait was interrupted, for example by Ctrl-C


def _close_soon(transport: Transport, replies: Replies | None) -> None:
    async def close() -> None:
        await transport.close()
        if replies is not None:
            replies.close()

    asyncio.run_coroutine_threadsafe(close(), background_loop())
