"""The job's process, as its workers see it: annotations, floors, replies and the budget, one of each over all workers."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from autointerp.errors import AutointerpError, Failure
from autointerp.jobs.handlers import Context
from autointerp.jobs.on_ray.line import Message
from autointerp.llm.errors import BudgetExceeded
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.store.annotations import Outcome

logger = logging.getLogger(__name__)

Answer = Callable[[Any, Failure | None], None]
Limits = tuple[int | None, float | None]
_CALLED = {
    "annotations": ("explanation", "explanations", "explanations_of", "scored_since"),
    "floors": ("choose", "texts"),
    "replies": ("get",),
}
"""What workers may call: all of it only reads."""


class Desk:
    """Thread-safe. Workers are known by a number each; one that is started again is another one."""

    def __init__(self, resources: Resources, session: Session, context: Context):
        self._resources, self._session, self._context = resources, session, context
        self._lock = threading.Lock()
        self._asking: dict[str, list[tuple[int, int, Answer]]] = defaultdict(list)
        """By a question's key, who holds it and who waits for it, in this order: worker, turn."""
        self._reserved: dict[int, list[tuple[Limits, Usage]]] = defaultdict(list)
        self._used = Usage()

    def spent(self) -> Outcome:
        """By all workers so far."""
        used = self._used
        return Outcome(tokens_in=used.prompt_tokens, tokens_out=used.completion_tokens, cost=used.cost)

    def hear(self, worker: int, message: Message, answer: Answer) -> None:
        """Do what a worker asks or tells; `answer` is called when there is one, perhaps later."""
        _, what, args = message
        ways = {
            "free": self._free,
            "settle": self._settle,
            "reserve": self._reserve,
            "call": self._call,
            "keep_reply": self._keep_reply,
            "keep": self._keep,
        }
        if what == "hold":
            self._hold(worker, answer, *args)
        else:
            _answer(answer, lambda: ways[what](worker, *args))

    def lost(self, worker: int) -> None:
        """The worker died. What its calls in flight may have cost counts against the budget; others may ask its questions."""
        with self._lock:
            held = [
                (key, turn) for key, turns in self._asking.items() for who, turn, _ in turns if who == worker
            ]
            reserved = self._reserved.pop(worker, [])
        for limits, most in reserved:
            self._session.budget(*limits).settle(most, most)
        for key, turn in held:
            self._free(worker, key, turn)

    def _hold(self, worker: int, answer: Answer, key: str, turn: int) -> None:
        with self._lock:
            turns = self._asking[key]
            turns.append((worker, turn, answer))
            first = len(turns) == 1
        if first:
            _answer(answer, lambda: self._resources.replies.get(key))

    def _free(self, worker: int, key: str, turn: int) -> None:
        with self._lock:
            turns = self._asking[key]
            held = bool(turns) and turns[0][:2] == (worker, turn)
            turns[:] = [each for each in turns if each[:2] != (worker, turn)]
            following = turns[0][2] if held and turns else None
            if not turns:
                del self._asking[key]
        if following is not None:
            _answer(following, lambda: self._resources.replies.get(key))

    def _keep_reply(self, worker: int, key: str, request: ChatRequest, reply: ChatReply) -> bool:
        try:
            self._resources.replies.put(key, request, reply)
        except Exception:
            # The answer is paid for: it is handed over even if it cannot be kept (a full disk).
            logger.exception("a reply could not be written to the cache")
            return False
        return True

    def _reserve(
        self, worker: int, max_tokens: int | None, max_cost: float | None, most: Usage
    ) -> bool | str:
        """Or why the budget can never take it."""
        try:
            allowed = self._session.budget(max_tokens, max_cost).try_reserve(most)
        except BudgetExceeded as error:
            return str(error)
        if allowed:
            with self._lock:
                self._reserved[worker].append(((max_tokens, max_cost), most))
        return allowed

    def _settle(
        self, worker: int, max_tokens: int | None, max_cost: float | None, most: Usage, usage: Usage | None
    ) -> None:
        limits = (max_tokens, max_cost)
        with self._lock:
            if limits != (None, None):
                self._reserved[worker].remove((limits, most))
            if usage is not None:
                self._used += usage
        if limits != (None, None):
            self._session.budget(*limits).settle(most, usage)

    def _call(
        self, worker: int, name: str, method: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if method not in _CALLED[name]:
            raise ValueError(f"no worker may call {name}.{method}")
        return getattr(getattr(self._resources, name), method)(*args, **options)

    def _keep(self, worker: int, part: Outcome) -> None:
        self._context.keep(part)


def _answer(answer: Answer, work: Callable[[], Any]) -> None:
    """With what `work` gives, or why it could not: nobody waits for an answer that never comes."""
    try:
        value = work()
    except AutointerpError as error:
        answer(None, Failure.of(error))
    except Exception as error:
        logger.exception("a worker could not be answered")
        answer(None, Failure(f"unexpected {type(error).__name__}: {error}", "bug"))
    else:
        answer(value, None)
