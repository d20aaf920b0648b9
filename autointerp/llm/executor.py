"""One question from cache to answer: retries, fallbacks, the re-ask, the record. Runs in the background loop."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from autointerp.errors import nearest
from autointerp.llm import errors, parameters
from autointerp.llm.cache import Replies, next_place, unusable_place
from autointerp.llm.cancel import CancelToken
from autointerp.llm.costs import CostEstimator
from autointerp.llm.limits import AdaptiveLimit, Breaker, RetryPolicy
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Message, Usage
from autointerp.llm.parsing import looks_like_refusal, only_thought
from autointerp.llm.transport import Transport

logger = logging.getLogger(__name__)

T = TypeVar("T")

_QUOTED = 2000  # characters of an unusable answer that the re-ask repeats
_ROOM_TO_THINK = 4096  # tokens for the re-ask of a model that was still thinking when its room ended


@dataclass
class Stats:
    """Counters of one client. `sent` counts attempts; `usage` what was really spent (`cost` `None` once unknown)."""

    sent: int = 0
    retried: int = 0
    rate_limited: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass
class Executor:
    """Answers the questions of a `Client`; everything but `stats` belongs to the background loop. `endpoint`: the server's host
    and path; `known_as`: those that keys hold in their place."""

    transport: Transport
    endpoint: str
    known_as: str
    model: str
    limit: AdaptiveLimit
    retry: RetryPolicy
    timeout: float
    replies: Replies | None
    costs: CostEstimator
    breaker: Breaker = field(default_factory=Breaker)
    jitter: random.Random = field(default_factory=random.Random)
    stats: Stats = field(default_factory=Stats)
    _answered: bool = False
    """Whether this server ever gave an answer: then an odd one is doubted before it is believed."""

    async def run(
        self, request: ChatRequest, validate: Callable[[ChatReply], T], cancel: CancelToken | None
    ) -> Answer[T]:
        """Answer one question, or raise the `LLMError` that says why not."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        cancel = cancel or CancelToken()

        def stop() -> None:
            loop.call_soon_threadsafe(task.cancel)

        undo = cancel.on_cancel(stop)
        try:
            cancel.check()
            return await self._answer(request, validate)
        except asyncio.CancelledError:
            cancel.check()
            raise
        finally:
            undo()

    async def _answer(self, request: ChatRequest, validate: Callable[[ChatReply], T]) -> Answer[T]:
        if self.replies is None:
            return await self._ask_twice(request, validate, "")
        key = request.key(self.known_as, self.model)
        async with self.replies.alone(key):
            place = key
            while (kept := await self.replies.find(place)) is not None:
                kept = replace(kept, cached=True, key=place)
                value, problem = _checked(kept, request, validate)
                if problem is None:
                    return Answer(value, kept)
                # Another validator or an older parser could use it, and the first reply kept under a key stays: the new one
                # goes to the next place, or it would be asked for, and paid for, again and again.
                place = next_place(place)
            try:
                answer = await self._ask_twice(request, validate, place)
            except errors.LLMError as error:
                await self._keep_unusable(place, request, error)
                raise
            # Only now: a reply that nobody can use must not come back at the next try.
            if not await self._keep(place, request, answer.reply):
                return replace(answer, reply=replace(answer.reply, key=""))
            return answer

    async def _keep_unusable(self, place: str, request: ChatRequest, error: errors.LLMError) -> None:
        """Keep the unusable texts where no question looks for its answer, for people to read."""
        if not error.texts:
            return
        *earlier, last = error.texts
        reply = ChatReply(
            last,
            request.model or self.model,
            "unusable",
            usage=error.usage or Usage(),
            attempts=len(error.texts),
            discarded=tuple(earlier),
            complaints=error.complaints,
        )
        key = unusable_place(place, error.texts)
        if await self._keep(key, request, reply):
            error.reply_ref = key

    async def _keep(self, key: str, request: ChatRequest, reply: ChatReply) -> bool:
        assert self.replies is not None
        return await self.replies.keep(key, request, reply)

    async def _ask_twice(
        self, request: ChatRequest, validate: Callable[[ChatReply], T], key: str
    ) -> Answer[T]:
        started = time.monotonic()
        first = await self._complete(request)
        value, problem = _checked(first, request, validate)
        if problem is None:
            return Answer(value, replace(first, key=key, seconds=time.monotonic() - started))
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
            f"{self.model!r} gave no usable answer, even when asked again: {problem}. Retry, or use a stronger model.",
            usage=usage,
            texts=texts,
        )
        if all(looks_like_refusal(text) for text in texts):
            failure = errors.Refused(f"{self.model!r} declined to answer, twice.", usage=usage, texts=texts)
        failure.complaints = complaints
        raise failure

    async def _complete(self, request: ChatRequest) -> ChatReply:
        """One reply, however many attempts it takes."""
        model = request.model or self.model
        named: frozenset[str] = frozenset()
        guessed: frozenset[str] = frozenset()
        complaint: errors.RequestRejected | None = None
        failures, sent, waited = 0, 0, 0.0
        while True:
            dropped = parameters.dropped(self.endpoint, model) | named | guessed
            using = parameters.used(request, dropped)
            stopped = self.breaker.error()
            result = stopped or await self._attempt(request, dropped, first=sent > 0)
            sent += stopped is None
            if isinstance(result, ChatReply):
                self._answered = True
                new = parameters.learn(self.endpoint, model, used=using, named=named, guessed=guessed)
                if new:
                    logger.warning(
                        "%s works without %s: %s", self.endpoint, ", ".join(sorted(new)), complaint
                    )
                missing = (name for name in dropped if name in parameters.used(request, dropped - {name}))
                return replace(result, attempts=sent, dropped=tuple(sorted(missing)))
            if isinstance(result, errors.RequestRejected):
                # Perhaps the server only lacks something optional: go on without it, at once. What it does not name is asked
                # for once more before anything is left out.
                first, complaint = complaint is None, complaint or result
                about = result.about or parameters.named(str(result), using)
                suspect = frozenset() if about else parameters.guess(using)
                if not about and not suspect:
                    raise complaint
                named |= about
                guessed |= frozenset() if first else suspect
                continue
            failures += 1
            delay = self.retry.wait(result, failures, waited, self.jitter, answered=self._answered)
            if delay is None:
                raise result if stopped else await self._final(result, failures)
            logger.debug("retrying in %.2f s: %s", delay, result)
            self.stats.retried += 1
            waited += delay
            await asyncio.sleep(delay)

    async def _attempt(
        self, request: ChatRequest, dropped: frozenset[str], *, first: bool
    ) -> ChatReply | errors.LLMError:
        """Send once. Failures of the exchange are returned; only what ends the question at once is raised."""
        epoch = await self.limit.acquire(first=first)
        reserved: Usage | None = None
        result: ChatReply | errors.LLMError | None = None
        try:
            reserved = await self._reserve(request)
            self.stats.sent += 1
            result = await self._exchange(request, dropped)
            return result
        finally:
            self._settle(epoch, reserved, result)

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
                error.usage = self.costs.priced(error.usage, request)
            return error
        return replace(reply, usage=self.costs.priced(reply.usage, request, reply.model))

    def _settle(self, epoch: int, reserved: Usage | None, result: ChatReply | errors.LLMError | None) -> None:
        """Book one attempt; `result` is `None` when it was cancelled or never sent."""
        usage = None if result is None else result.usage
        error = result if isinstance(result, errors.LLMError) else None
        overload = isinstance(error, errors.Transient) and error.overload
        pause = error.retry_after if isinstance(error, errors.Transient) and overload else None
        if pause is not None and pause > self.retry.patience:
            pause = None  # nobody will wait that long: let each request fail with the server's message
        self.limit.release(epoch, ok=isinstance(result, ChatReply), overload=overload, pause=pause)
        if result is not None:
            self.breaker.record(error)
            self.stats.rate_limited += isinstance(error, errors.RateLimited)
        if reserved is not None and self.costs.budget is not None:
            self.costs.budget.settle(reserved, usage)
        if usage is not None:
            self.stats.usage += usage

    async def _reserve(self, request: ChatRequest) -> Usage | None:
        budget = self.costs.budget
        if budget is None:
            return None
        while True:
            most = self.costs.reservation(request)
            if await budget.reserve(most):
                return most
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
    complaint = (
        f"This answer cannot be used: {problem}. Answer again, in the format asked for and nothing else."
    )
    turns = (Message("assistant", reply.text[:_QUOTED]), Message("user", complaint))
    return replace(request, messages=request.messages + turns)
