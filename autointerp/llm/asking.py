"""One question from cache to answer: retries, fallbacks, the re-ask, the record. Runs in the background loop."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from autointerp.errors import nearest
from autointerp.llm import errors
from autointerp.llm.budget import Reservation
from autointerp.llm.cache import CacheWriter, ReplyCache, next_place, unusable_place
from autointerp.llm.cancel import CancelToken
from autointerp.llm.features import Features, blame, features, used
from autointerp.llm.limits import AdaptiveLimit, Breaker, Permit, RetryPolicy
from autointerp.llm.messages import ChatReply, ChatRequest, Message, Usage
from autointerp.llm.parse import looks_like_refusal, only_thought
from autointerp.llm.spending import Accountant
from autointerp.llm.transport import Transport

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SHOWN_AGAIN = 2000  # characters of a bad answer that the re-ask repeats
_ROOM_TO_THINK = (
    4096  # tokens for the re-ask of a model that had thought, and said nothing, when its room ended
)


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What `validate` made of the reply, and the reply."""

    value: T
    reply: ChatReply


@dataclass(frozen=True)
class Question(Generic[T]):
    """A request with its validator; `tag` is the caller's own handle."""

    request: ChatRequest
    validate: Callable[[ChatReply], T]
    tag: Any = None


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How one question ended: exactly one of `answer` and `error` is there. `index` counts the questions."""

    index: int
    question: Question[T]
    answer: Answer[T] | None
    error: errors.LLMError | None


@dataclass(frozen=True)
class Stats:
    """Counters of one client. `sent` counts attempts; `usage` what was really spent (`cost` `None` once unknown)."""

    sent: int
    answered: int
    failed: int
    retried: int
    rate_limited: int
    reasked: int
    cache_hits: int
    cache_errors: int
    in_flight: int
    waiting: int
    limit: int
    usage: Usage


@dataclass
class Asker:
    """The machine behind a `Client`; everything but `stats` belongs to the background loop."""

    transport: Transport
    endpoint: str
    model: str
    limit: AdaptiveLimit
    retry: RetryPolicy
    timeout: float
    cache: ReplyCache | None
    accountant: Accountant
    jitter: random.Random
    writer: CacheWriter | None = None
    breaker: Breaker = field(default_factory=Breaker)
    counts: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    _keys: dict[str, tuple[asyncio.Lock, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.writer = CacheWriter(self.cache) if self.cache is not None else None

    def stats(self) -> Stats:
        names = (
            "sent",
            "answered",
            "failed",
            "retried",
            "rate_limited",
            "reasked",
            "cache_hits",
            "cache_errors",
        )
        counts = {name: self.counts.get(name, 0) for name in names}
        return Stats(
            **counts,
            in_flight=self.limit.in_flight,
            waiting=self.limit.waiting,
            limit=int(self.limit.limit),
            usage=self.usage,
        )

    async def run(
        self, request: ChatRequest, validate: Callable[[ChatReply], T], cancel: CancelToken | None
    ) -> Answer[T]:
        """Answer one question, or raise the `LLMError` that says why not."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def stop() -> None:
            loop.call_soon_threadsafe(task.cancel)

        undo = cancel.on_cancel(stop) if cancel is not None else None
        try:
            if cancel is not None:
                cancel.check()
            answer = await self._answer(request, validate)
            self._count("answered")
            return answer
        except asyncio.CancelledError:
            if cancel is not None:
                cancel.check()
            raise
        except errors.LLMError:
            self._count("failed")
            raise
        finally:
            if undo is not None:
                undo()

    async def _answer(self, request: ChatRequest, validate: Callable[[ChatReply], T]) -> Answer[T]:
        if self.cache is None or self.writer is None:
            return await self._ask_twice(request, validate, "")
        key = request.key(self.endpoint, self.model)
        async with self._alone(key):  # the same question twice at once is one call
            place = key
            while (known := self.cache.get(place)) is not None:
                known = replace(known, cached=True, key=place)
                value, problem = _checked(known, request, validate)
                if problem is None:
                    self._count("cache_hits")
                    return Answer(value, known)
                # It was of use once, to another validator or an older parser, and the first reply kept under a key stays: the
                # new one goes to the next place, or it would be asked for, and paid, again and again.
                place = next_place(place)
            try:
                answer = await self._ask_twice(request, validate, place)
            except errors.LLMError as error:
                await self._keep_unusable(place, request, error)
                raise
            # Only now: a reply that nobody can use must not come back at the next try.
            if not await self.writer.put((place, request, answer.reply)):
                self._count("cache_errors")
                return replace(answer, reply=replace(answer.reply, key=""))  # nothing is kept under it
            return answer

    async def _keep_unusable(self, place: str, request: ChatRequest, error: errors.LLMError) -> None:
        """Keep what was said where no question looks for its answer, for people to read."""
        if not error.texts or self.writer is None:
            return
        *earlier, last = error.texts
        said = ChatReply(
            last,
            request.model or self.model,
            "unusable",
            usage=error.usage or Usage(),
            attempts=len(error.texts),
            discarded=tuple(earlier),
            complaints=error.complaints,
        )
        key = unusable_place(place, error.texts)
        if await self.writer.put((key, request, said)):
            error.reply_ref = key
        else:
            self._count("cache_errors")

    async def _ask_twice(
        self, request: ChatRequest, validate: Callable[[ChatReply], T], key: str
    ) -> Answer[T]:
        started = time.monotonic()
        first = await self._complete(request)
        value, problem = _checked(first, request, validate)
        if problem is None:
            return Answer(value, replace(first, key=key, seconds=time.monotonic() - started))
        self._count("reasked")
        again = _again(request, first, problem)
        complaints = (again.messages[-1].content if len(again.messages) > len(request.messages) else "",)
        try:
            second = await self._complete(again)
        except errors.LLMError as error:
            error.usage = first.usage if error.usage is None else first.usage + error.usage
            error.texts = (first.text, *error.texts)
            error.complaints = complaints
            raise
        value, problem = _checked(second, again, validate)
        usage = first.usage + second.usage
        if problem is None:
            reply = replace(
                second,
                key=key,
                usage=usage,
                attempts=first.attempts + second.attempts,
                discarded=(first.text,),
                complaints=complaints,
                seconds=time.monotonic() - started,
            )
            return Answer(value, reply)
        texts = (first.text, second.text)
        failure: errors.LLMError = errors.BadAnswer(
            f"{self.model!r} gave no usable answer, also when asked again: {problem}. Retry it, or use a stronger model.",
            usage=usage,
            texts=texts,
        )
        if all(looks_like_refusal(text) for text in texts):
            failure = errors.Refused(f"{self.model!r} declined to answer, twice.", usage=usage, texts=texts)
        failure.complaints = complaints
        raise failure

    async def _complete(self, request: ChatRequest) -> ChatReply:
        """One reply, however many attempts it takes."""
        known = features(self.endpoint, request.model or self.model)
        given_up: frozenset[str] = frozenset()
        complaint: errors.LLMError | None = None
        failures, sent, waited = 0, 0, 0.0
        while True:
            self.breaker.check()
            dropped = known.dropped | given_up
            result = await self._attempt(request, dropped, first=sent > 0)
            sent += 1
            if isinstance(result, ChatReply):
                self._learn(known, given_up, complaint)
                missing = tuple(sorted(name for name in dropped if name in used(request, dropped - {name})))
                return replace(result, attempts=sent, dropped=missing)
            if isinstance(result, errors.RequestRejected):
                # Perhaps the server only lacks something optional: go on without it, at once.
                complaint = complaint or result
                guilty = result.about or blame(str(result), used(request, dropped))
                if guilty:
                    given_up |= guilty
                    continue
                raise complaint
            failures += 1
            delay = self.retry.wait(result, failures, waited, self.jitter)
            if delay is None:
                raise await self._final(result, failures)
            logger.debug("retrying in %.2f s: %s", delay, result)
            self._count("retried")
            waited += delay
            await asyncio.sleep(delay)

    async def _attempt(
        self, request: ChatRequest, dropped: frozenset[str], *, first: bool
    ) -> ChatReply | errors.LLMError:
        """Send once. Failures of the exchange are returned; only what ends the question at once is raised."""
        permit = await self.limit.acquire(first=first)
        reservation: Reservation | None = None
        result: ChatReply | errors.LLMError | None = None
        try:
            reservation = await self._reserve(request)
            self._count("sent")
            result = await self._exchange(request, dropped)
            return result
        finally:
            self._settle(permit, reservation, result)

    async def _exchange(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply | errors.LLMError:
        try:
            async with asyncio.timeout(self.timeout):
                reply = await self.transport.send(request, dropped)
        except TimeoutError:
            return errors.Transient(
                f"{self.endpoint} gave no answer within {self.timeout:g} s. Raise the timeout or lower the number in "
                f"flight.",
                overload=True,
                max_attempts=3,
            )
        except errors.LLMError as error:
            if error.usage is not None:
                error.usage = self.accountant.priced(error.usage, request)
            return error
        return replace(reply, usage=self.accountant.priced(reply.usage, request, reply.model))

    def _settle(
        self, permit: Permit, reservation: Reservation | None, result: ChatReply | errors.LLMError | None
    ) -> None:
        """Book one attempt; `result` is `None` when it was cancelled or never sent."""
        usage = None if result is None else result.usage
        error = result if isinstance(result, errors.LLMError) else None
        overload = isinstance(error, errors.Transient) and error.overload
        pause = error.retry_after if isinstance(error, errors.Transient) and overload else None
        if pause is not None and pause > self.retry.patience:
            pause = None  # nobody will wait that long: let each request fail with the server's word
        self.limit.release(permit, ok=isinstance(result, ChatReply), overload=overload, pause=pause)
        if result is not None:
            self.breaker.record(error)
            self._count("rate_limited", isinstance(error, errors.RateLimited))
        if reservation is not None and self.accountant.budget is not None:
            self.accountant.budget.settle(reservation, usage)
        if usage is not None:
            self.usage += usage

    async def _reserve(self, request: ChatRequest) -> Reservation | None:
        budget = self.accountant.budget
        if budget is None:
            return None
        while True:
            reservation = self.accountant.reservation(request)
            if budget.try_reserve(reservation):
                return reservation
            await asyncio.sleep(0.02)  # calls in flight, perhaps of another client, may leave enough

    async def _final(self, error: errors.LLMError, failures: int) -> errors.LLMError:
        if isinstance(error, errors.UnknownModel):
            try:
                offered = await asyncio.wait_for(self.transport.models(), 5.0)
            except (TimeoutError, errors.LLMError):
                offered = []
            if offered:
                return errors.UnknownModel(f"{error} It offers: {', '.join(nearest(self.model, offered))}.")
        elif failures > 1 and isinstance(error, errors.Transient):
            return type(error)(f"{error} (tried {failures} times)", retry_after=error.retry_after)
        return error

    def _learn(self, known: Features, given_up: frozenset[str], complaint: errors.LLMError | None) -> None:
        new = known.drop(given_up) if given_up else frozenset()
        if new:
            logger.warning("%s does without %s: %s", self.endpoint, ", ".join(sorted(new)), complaint)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock, users = self._keys.get(key, (asyncio.Lock(), 0))
        self._keys[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._keys.pop(key)
            if users > 1:
                self._keys[key] = (lock, users - 1)

    def _count(self, name: str, amount: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount


def _checked(
    reply: ChatReply, request: ChatRequest, validate: Callable[[ChatReply], T]
) -> tuple[T, str | None]:
    """The value and no problem, or nothing and the problem."""
    nothing: Any = None
    if not reply.text.strip() and not request.prompt_logprobs:  # asked for the prompt's sake
        spent = (
            f" after {reply.usage.completion_tokens} tokens, perhaps all spent on thinking"
            if reply.truncated
            else ""
        )
        return nothing, f"the answer is empty{spent}"
    if reply.truncated and not request.allow_truncated:
        return nothing, f"the answer was cut at {request.max_tokens or reply.usage.completion_tokens} tokens"
    try:
        return validate(reply), None
    except (errors.BadAnswer, ValueError) as error:
        return nothing, str(error).rstrip(".")


def _again(request: ChatRequest, reply: ChatReply, problem: str) -> ChatRequest:
    """The second question: more room after a cut answer, the complaint after a wrong one."""
    if reply.truncated:
        if request.max_tokens is None:
            return request
        room = _ROOM_TO_THINK if only_thought(reply.text) else 0
        return replace(request, max_tokens=max(2 * request.max_tokens, room))
    if not reply.text.strip():
        return request
    return request.then(
        Message("assistant", reply.text[:_SHOWN_AGAIN]),
        Message(
            "user",
            f"This answer cannot be used: {problem}. Answer again, in the format asked for and nothing else.",
        ),
    )
