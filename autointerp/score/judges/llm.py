"""A language model as the judge: batches of texts, one JSON answer each."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

from autointerp.errors import Failure, UserError
from autointerp.llm import (
    Answer,
    BadAnswer,
    BudgetExceeded,
    Cancelled,
    CancelToken,
    ChatReply,
    ChatRequest,
    Client,
    LLMError,
    Message,
    Outcome,
    Question,
    Refused,
    TokenLogprob,
    list_answer,
    list_schema,
)
from autointerp.records import Explanation
from autointerp.sampling import DEFAULT_MARKERS, Markers, choose_markers, mark, one_line
from autointerp.score.judges.base import Shown, Task
from autointerp.score.plan import Verdict, Verdicts, add_costs
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
        if not 1 <= batch <= 100:
            raise UserError(f"a prompt takes 1 to 100 texts, got {batch}")
        self.client = client
        self.batch = batch
        self.graded = graded
        self.cancel = cancel

    @property
    def model(self) -> str | None:
        return self.client.model

    @property
    def config(self) -> Mapping[str, Any]:
        return {"batch": self.batch, "graded": self.graded, "temperature": 0.0}

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
        outcomes = collect(self.client.ask_many(questions, cancel=self.cancel), len(questions))
        verdicts = [
            verdict
            for outcome, batch in zip(outcomes.answers, batches, strict=True)
            for verdict in self._verdicts(outcome, len(batch))
        ]
        return outcomes.verdicts(verdicts)

    def _verdicts(self, answer: "Answer[Any] | LLMError", n: int) -> list[Verdict]:
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
        markers = choose_markers("".join(one.texts) for one in shown)
        texts = "\n".join(f"[{i}] {_text(one, markers)}" for i, one in enumerate(shown, 1))
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


class Collected:
    """Answers by question, their cost, and the first error that is no fault of an answer."""

    def __init__(self, n: int):
        self.answers: list[Answer[Any] | LLMError] = [BadAnswer("the question was not asked")] * n
        self.tokens_in = 0
        self.tokens_out = 0
        self.cost: float | None = 0.0
        self.failure: LLMError | None = None

    def add(self, outcome: Outcome[Any]) -> None:
        error = outcome.error
        self.answers[outcome.index] = outcome.answer or error or BadAnswer("no answer")
        usage = outcome.answer.reply.spent if outcome.answer is not None else error.usage if error else None
        if usage is not None:
            self.tokens_in += usage.prompt_tokens
            self.tokens_out += usage.completion_tokens
            self.cost = add_costs(self.cost, usage.cost)
        if isinstance(error, Cancelled | BudgetExceeded):
            raise error
        if error is not None and not isinstance(error, BadAnswer | Refused) and self.failure is None:
            self.failure = error

    def verdicts(self, verdicts: Sequence[Verdict]) -> Verdicts:
        failure = self.failure
        return Verdicts(
            tuple(verdicts),
            self.tokens_in,
            self.tokens_out,
            self.cost,
            failure=None if failure is None else Failure.of(failure),
            retryable=any(isinstance(answer, BadAnswer) for answer in self.answers),
        )


def collect(outcomes: Iterable[Outcome[Any]], n: int) -> Collected:
    """All `n` outcomes; raises `Cancelled` or `BudgetExceeded` when one of them ends that way, and `Cancelled` when some never
    come: after a cancel no further question is taken, and one that was not asked is no answer that could not be read."""
    collected = Collected(n)
    n_come = 0
    for outcome in outcomes:
        collected.add(outcome)
        n_come += 1
    if n_come < n:
        raise Cancelled(f"Stopped when {n_come} of {n} questions had been asked. What was answered is kept.")
    return collected


def probabilities(reply: ChatReply, answers: Sequence[float]) -> list[float] | None:
    """P(1) / (P(0) + P(1)) at each 0 or 1 of the list that `answers` were read from; `None` without log probabilities, or when
    no list of the answer has exactly these digits."""
    if reply.logprobs is None:
        return None
    text = "".join(token.token for token in reply.logprobs)
    places = _places(text, answers)
    if places is None:
        return None
    found: list[float] = []
    start, wanted = 0, iter(places)
    place = next(wanted, None)
    for token in reply.logprobs:
        end = start + len(token.token)
        while place is not None and start <= place < end:
            found.append(_graded(token, place - start))
            place = next(wanted, None)
        start = end
    return found if len(found) == len(answers) else None


def _places(text: str, answers: Sequence[float]) -> list[int] | None:
    """Where the digits of the answers stand: in the last list under the key that has just these, else in the last list."""
    lists = sorted(_LIST.finditer(text), key=lambda match: (match["key"] is not None, match.start()))
    for match in reversed(lists):
        digits = list(_ANSWER_DIGIT.finditer(text, match.start("list"), match.end("list")))
        if [float(digit[0]) for digit in digits] == list(answers):
            return [digit.start() for digit in digits]
    return None


def _graded(token: TokenLogprob, place: int) -> float:
    """The weight of 1 against 0 at one character of a token, among candidates that agree before that character."""
    before = token.token[:place]
    mass = {"0": 0.0, "1": 0.0}
    for candidate, logprob in dict([*token.top, (token.token, token.logprob)]).items():
        digit = candidate[place : place + 1]
        if digit in mass and candidate[:place] == before:
            mass[digit] += math.exp(logprob)
    total = mass["0"] + mass["1"]
    return mass["1"] / total if total > 0 else float(token.token[place])


def _text(shown: Shown, markers: Markers) -> str:
    if shown.marks is None:
        return one_line("".join(shown.texts))
    return one_line(mark(shown.texts, shown.marks, markers))


def _batches(shown: Sequence[Shown], size: int) -> list[Sequence[Shown]]:
    return [shown[i : i + size] for i in range(0, len(shown), size)]
