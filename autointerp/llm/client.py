"""Asking language models: many questions at once, each answered, recorded as failed, or never sent."""

import asyncio
import logging
import queue
import random
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from autointerp.llm import engine
from autointerp.llm.asking import Answer, Asker, Outcome, Question, Stats
from autointerp.llm.budget import Budget
from autointerp.llm.cache import CacheWriter, ReplyCache
from autointerp.llm.cancel import CancelToken
from autointerp.llm.endpoint import base_url as full_url
from autointerp.llm.endpoint import identity
from autointerp.llm.errors import BudgetExceeded, Cancelled, LLMError
from autointerp.llm.limits import AdaptiveLimit, RetryPolicy
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.llm.prices import PriceTable
from autointerp.llm.secrets import Secret, find_key, redact
from autointerp.llm.spending import Accountant
from autointerp.llm.transport import OpenAITransport, Transport

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Client:
    """A chat model on an OpenAI-compatible server. Thread-safe; cheap to make; close it, or use it in a `with`.

    `base_url`: a URL or a name in `ENDPOINTS`. `api_key`: else from the environment, see `find_key`. `max_in_flight`:
    the most requests at once; the client adapts below it. `timeout`: seconds for one attempt, reply included.
    `cache`: replies already paid for. All waiting happens in a background thread; `submit` never blocks.
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
        cache: ReplyCache | None = None,
        budget: Budget | None = None,
        prices: PriceTable | None = None,
        transport: Transport | None = None,
    ):
        if not model.strip():
            raise LLMError("No model given. Name one that the server offers, for example with --llm.")
        if max_in_flight < 1 or not timeout > 0:
            raise LLMError(
                f"max_in_flight must be at least 1 and timeout above 0, got {max_in_flight} and {timeout}"
            )
        self.model = model.strip()
        self.base_url = full_url(base_url)
        self.endpoint = identity(self.base_url)
        self.max_in_flight = max_in_flight
        self._secret = find_key(self.base_url, api_key)
        self._transport = transport or OpenAITransport(
            self.base_url, self.model, self._secret, timeout=timeout, max_in_flight=max_in_flight
        )
        self._asker = Asker(
            transport=self._transport,
            endpoint=self.endpoint,
            model=self.model,
            limit=AdaptiveLimit(max_in_flight),
            retry=retry or RetryPolicy(),
            timeout=timeout,
            cache=cache,
            accountant=Accountant(
                self.model,
                prices or PriceTable(),
                budget,
                reports_cost=self.endpoint.startswith("openrouter.ai"),
            ),
            jitter=random.Random(),
        )
        self._lock = threading.Lock()
        self._pending: set[Future[Any]] = set()
        self._closed = False
        self._finalizer = weakref.finalize(self, _close_soon, self._transport, self._asker.writer)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, endpoint={self.endpoint!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        """Counters since the client was made."""
        return self._asker.stats()

    def describe(self) -> dict[str, Any]:
        """What provenance records: no key."""
        return {"model": self.model, "endpoint": self.endpoint}

    def estimate(self, request: ChatRequest) -> Usage:
        """An upper guess of the tokens (and cost, if the price is known) of one request, before it is sent."""
        return self._asker.accountant.estimate(request)

    def submit(
        self,
        request: ChatRequest,
        validate: Callable[[ChatReply], T] | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> "Future[Answer[T]]":
        """Ask in the background. `validate` makes the value from the reply, or raises `BadAnswer` or `ValueError` with
        the reason: the model is then asked once more, and told it. It runs in the shared loop: keep it quick.

        The future ends in an `Answer` or an `LLMError`.
        """
        check: Callable[[ChatReply], Any] = validate if validate is not None else _as_it_is
        with self._lock:
            if self._closed:
                raise LLMError("This client is closed; make a new one.")
            loop = engine.background_loop()
            future = asyncio.run_coroutine_threadsafe(self._asker.run(request, check, cancel), loop)
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
        window: int | None = None,
    ) -> Iterator[Outcome[T]]:
        """Outcomes as they come, one per question, failures included; at most `window` questions are held at once.

        After a cancel or at the end of the budget no further question is taken; those in flight still report. Closing
        the iterator cancels what is in flight.
        """
        window = window or 2 * self.max_in_flight
        stop = CancelToken()
        undo = cancel.on_cancel(stop.cancel) if cancel is not None else lambda: None
        source = enumerate(questions)
        flying: dict[Future[Answer[T]], tuple[int, Question[T]]] = {}
        landed: queue.SimpleQueue[Future[Answer[T]]] = queue.SimpleQueue()
        open_ = True
        try:
            while open_ or flying:
                while open_ and len(flying) < window and not stop.cancelled:
                    index, question = next(source, (-1, None))
                    if question is None:
                        open_ = False
                        break
                    future = self.submit(question.request, question.validate, cancel=stop)
                    flying[future] = (index, question)
                    future.add_done_callback(landed.put)
                open_ = open_ and not stop.cancelled
                if flying:
                    future = landed.get()
                    index, question = flying.pop(future)
                    outcome = _outcome(index, question, future)
                    open_ = open_ and not isinstance(outcome.error, Cancelled | BudgetExceeded)
                    yield outcome
        finally:
            undo()
            if flying:
                stop.cancel()

    def models(self, *, timeout: float = 10.0) -> list[str]:
        """The models the server lists, sorted; empty when it does not say."""
        work = asyncio.wait_for(self._transport.models(), timeout)
        future = asyncio.run_coroutine_threadsafe(
            _named_timeout(work, self.base_url), engine.background_loop()
        )
        return sorted(self._wait(future))

    def redact(self, text: str) -> str:
        """`text` without this client's key."""
        return redact(text, self._secret)

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

    def _wait(self, future: "Future[T]") -> T:
        if engine.in_loop_thread():
            future.cancel()
            raise RuntimeError(
                "ask and complete would wait for ever inside the client's own loop; use submit"
            )
        try:
            return future.result()
        except CancelledError:
            raise Cancelled("The client was closed before the model answered.") from None
        finally:
            future.cancel()  # does nothing unless the wait was interrupted, for example by Ctrl-C


def _outcome(index: int, question: Question[T], future: "Future[Answer[T]]") -> Outcome[T]:
    try:
        return Outcome(index, question, future.result(), None)
    except LLMError as error:
        return Outcome(index, question, None, error)
    except CancelledError:
        return Outcome(index, question, None, Cancelled("The client was closed before the model answered."))


def _as_it_is(reply: ChatReply) -> ChatReply:
    return reply


async def _named_timeout(work: Any, url: str) -> list[str]:
    try:
        return await work
    except TimeoutError:
        raise LLMError(f"{url} did not list its models in time.") from None


def _close_soon(transport: Transport, writer: CacheWriter | None) -> None:
    asyncio.run_coroutine_threadsafe(transport.close(), engine.background_loop())
    if writer is not None:
        writer.close()
