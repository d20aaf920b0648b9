"""A language model as the judge: batches of texts, one JSON answer each."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

from autointerp.errors import Failure
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import BadAnswer, BudgetExceeded, Cancelled, LLMError, Refused
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Message, Question, TokenLogprob, Usage
from autointerp.llm.parsing import list_answer, list_schema
from autointerp.records import Explanation
from autointerp.sampling import DEFAULT_MARKERS, Markers, choose_markers, mark, one_line
from autointerp.score.judges.base import Shown, Task
from autointerp.score.plan import Verdict, Verdicts
from autointerp.score.prompts import detection, fuzzing

_PROMPTS: Mapping[Task, ModuleType] = MappingProxyType({"detection": detection, "fuzzing": fuzzing})
_ANSWER_DIGIT = re.compile(r"(?<![\d.])[01](?![\d.])")
_LIST = re.compile(r"""(?P<key>["']answers["']\s*:\s*)?(?P<list>\[[^\[\]]*\])""")
_TOP_LOGPROBS = 5


class LLMJudge:
    """Asks `client` about `batch` texts at a time.

    `graded`: ask for log probabilities too, and take P(1) / (P(0) + P(1)) as the value of each answer; where the server has
    none the answers stay plain. Answers that cannot be read, even after asking again, and refusals are unparsed; any other
    error (server down, wrong key, prompt too long) is a failure of the whole score, to be retried: answers that did come
    are in the client's cache.
    """

    name = "llm"

    def __init__(
        self, client: Client, *, batch: int = 10, graded: bool = False, cancel: CancelToken | None = None
    ):
        self.client = client
        self.model = client.model
        self.batch = batch
        self.graded = graded
        self.cancel = cancel

    def prompt_version(self, task: Task) -> str | None:
        return _PROMPTS[task].VERSION

    def requests(self, task: Task, explanation: str, shown: Sequence[Shown]) -> list[ChatRequest]:
        """The exact requests that `judge` sends, for a look at the prompt or an estimate before."""
        return [self._request(task, explanation, batch) for batch in _batches(shown, self.batch)]

    def judge(self, task: Task, explanation: Explanation, shown: Sequence[Shown]) -> Verdicts:
        """Raises `Cancelled` and `BudgetExceeded`; every other failure is in the result."""
        batches = _batches(shown, self.batch)
        questions = [
            Question(self._request(task, explanation.text, batch), list_answer(len(batch)))
            for batch in batches
        ]
        collected = ask_all(self.client, questions, self.cancel)
        return collected.verdicts(
            [
                verdict
                for answer, batch in zip(collected.answers, batches, strict=True)
                for verdict in self._verdicts(answer, len(batch))
            ]
        )

    def _verdicts(self, answer: Answer[Any] | LLMError, n: int) -> list[Verdict]:
        if isinstance(answer, LLMError):
            return [Verdict(error=str(answer), reply_ref=answer.reply_ref)] * n
        numbers, reply = answer.value, answer.reply
        values = probabilities(reply, numbers) if self.graded else None
        return [
            Verdict(
                answer=number >= 0.5,
                value=None if values is None else values[i],
                reply_ref=reply.key or None,
            )
            for i, number in enumerate(numbers)
        ]

    def _request(self, task: Task, explanation: str, shown: Sequence[Shown]) -> ChatRequest:
        prompt = _PROMPTS[task]
        markers = choose_markers("".join(text.texts) for text in shown)
        texts = "\n".join(f"[{i}] {_text(text, markers)}" for i, text in enumerate(shown, 1))
        note = ""
        if task == "fuzzing" and markers != DEFAULT_MARKERS:
            note = prompt.OTHER_MARKERS.format(before=markers.before, after=markers.after)
        question = prompt.QUESTION.format(
            markers=note, explanation=one_line(explanation.strip()), texts=texts
        )
        return ChatRequest(
            (*opening(prompt.SYSTEM, prompt.SHOTS), Message("user", question)),
            schema=list_schema(len(shown)),
            max_tokens=24 + 8 * len(shown),
            top_logprobs=_TOP_LOGPROBS if self.graded else 0,
        )


def opening(system: str, shots: Sequence[tuple[str, str]]) -> tuple[Message, ...]:
    """What all requests of one kind begin with, so that servers can keep it in their prefix cache."""
    turns = [
        message for asked, said in shots for message in (Message("user", asked), Message("assistant", said))
    ]
    return (Message("system", system), *turns)


@dataclass
class Collected:
    """Answers by question, what they used, and the first error that is no fault of an answer."""

    answers: list[Answer[Any] | LLMError]
    usage: Usage
    failure: LLMError | None

    def verdicts(self, verdicts: Sequence[Verdict]) -> Verdicts:
        return Verdicts(
            tuple(verdicts),
            self.usage,
            failure=None if self.failure is None else Failure.of(self.failure),
            retryable=any(isinstance(answer, BadAnswer) for answer in self.answers),
        )


def ask_all(client: Client, questions: Sequence[Question[Any]], cancel: CancelToken | None) -> Collected:
    """Raises `Cancelled` or `BudgetExceeded` when a question ends that way, and `Cancelled` when some are not asked: after a
    cancel no further question is taken, and one that was not asked is no answer that could not be read."""
    ended: dict[int, Answer[Any] | LLMError] = {}
    usage = Usage()
    for i, answer in client.ask_many(questions, cancel=cancel):
        if isinstance(answer, Cancelled | BudgetExceeded):
            raise answer
        usage += answer.reply.spent if isinstance(answer, Answer) else answer.usage or Usage()
        ended[i] = answer
    n = len(questions)
    if len(ended) < n:
        raise Cancelled(
            f"Stopped when {len(ended)} of {n} questions had been asked. The answers so far are kept."
        )
    errors = [answer for answer in ended.values() if isinstance(answer, LLMError)]
    failure = next((error for error in errors if not isinstance(error, BadAnswer | Refused)), None)
    return Collected([ended[i] for i in range(n)], usage, failure)


def probabilities(reply: ChatReply, answers: Sequence[float]) -> list[float] | None:
    """P(1) / (P(0) + P(1)) at each 0 or 1 of the list that `answers` were read from; `None` without log probabilities, or when
    no list of the answer has exactly these digits."""
    if reply.logprobs is None:
        return None
    text = "".join(token.token for token in reply.logprobs)
    places = _places(text, answers)
    if places is None:
        return None
    return [
        _graded(token, place, answer)
        for (token, place), answer in zip(tokens_at(reply.logprobs, places), answers, strict=True)
    ]


def tokens_at(tokens: Iterable[TokenLogprob | None], places: Sequence[int]) -> list[tuple[TokenLogprob, int]]:
    """The token that holds each of some characters, ascending, of the text that `tokens` make, and where in the token it is."""
    held: list[tuple[TokenLogprob, int]] = []
    start = 0
    for token in tokens:
        if token is not None:
            end = start + len(token.token)
            held += [(token, place - start) for place in places if start <= place < end]
            start = end
    return held


def digits_at(candidates: Iterable[tuple[str, float]], before: str) -> list[tuple[int, float]]:
    """The digits that may follow `before` within a token, with their probabilities."""
    following = [
        (candidate[len(before) : len(before) + 1], logprob)
        for candidate, logprob in candidates
        if candidate.startswith(before)
    ]
    return [
        (int(digit), math.exp(logprob)) for digit, logprob in following if digit.isascii() and digit.isdigit()
    ]


def _graded(token: TokenLogprob, place: int, answer: float) -> float:
    """The weight of 1 against 0 at one character of a token; the `answer` itself where neither is a candidate."""
    candidates = dict([*token.top, (token.token, token.logprob)]).items()
    mass = {0: 0.0, 1: 0.0}
    for digit, probability in digits_at(candidates, token.token[:place]):
        mass[digit] = mass.get(digit, 0.0) + probability
    total = mass[0] + mass[1]
    return mass[1] / total if total > 0 else answer


def _places(text: str, answers: Sequence[float]) -> list[int] | None:
    """Where the digits of the answers stand: in the last list under the key that has just these, else in the last list."""
    lists = sorted(_LIST.finditer(text), key=lambda match: (match["key"] is not None, match.start()))
    for match in reversed(lists):
        digits = list(_ANSWER_DIGIT.finditer(text, match.start("list"), match.end("list")))
        if [float(digit[0]) for digit in digits] == list(answers):
            return [digit.start() for digit in digits]
    return None


def _text(shown: Shown, markers: Markers) -> str:
    if shown.marks is None:
        return one_line("".join(shown.texts))
    return one_line(mark(shown.texts, shown.marks, markers))


def _batches(shown: Sequence[Shown], size: int) -> list[Sequence[Shown]]:
    return [shown[i : i + size] for i in range(0, len(shown), size)]
