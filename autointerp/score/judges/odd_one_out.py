"""Who says which of several marked texts does not belong with the others."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import BadAnswer, LLMError
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Message, Question
from autointerp.llm.parsing import list_answer, list_schema
from autointerp.sampling import DEFAULT_MARKERS, choose_markers, mark, one_line
from autointerp.score.judges.base import Shown
from autointerp.score.judges.llm import ask_all, opening
from autointerp.score.judges.matching import Quote, marks_of, text_of
from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.plan import Verdict, Verdicts
from autointerp.score.prompts import intruder as prompt

OFFLINE_VERSION = "offline-intruder-1"
_WORD = 0.25  # what a shared word of the texts says, beside a shared marked token

Texts = Sequence[Shown]
"""The marked texts of one question."""


class OddOneOut(Protocol):
    """`name` labels every score and answer of it."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str | None: ...

    @property
    def prompt_version(self) -> str: ...

    def requests(self, questions: Sequence[Texts]) -> list[ChatRequest]:
        """What `pick` would send to a language model; empty where none is asked."""
        ...

    def pick(self, questions: Sequence[Texts]) -> Verdicts:
        """A verdict for each text of each question, in order: whether it is the one. All of a question that was not answered
        have the error."""
        ...


class OfflineOddOneOut:
    """Picks the text that has least in common with the others, no model behind it: marked tokens of equal text, and words, each
    counting the more, the rarer it is in the corpus. What `judge` knows of the corpus carries no labels."""

    name = "offline"
    model = None
    prompt_version = OFFLINE_VERSION

    def __init__(self, judge: OfflineJudge):
        self._judge = judge

    def requests(self, questions: Sequence[Texts]) -> list[ChatRequest]:
        return []

    def pick(self, questions: Sequence[Texts]) -> Verdicts:
        return Verdicts(tuple(verdict for texts in questions for verdict in _picked(texts, self._odd(texts))))

    def _odd(self, texts: Texts) -> int:
        marked = [{core for each in marks_of(text) for core in each.low_cores} for text in texts]
        words = [text_of(text.texts).words for text in texts]
        common = np.zeros(len(texts))
        for a, b in combinations(range(len(texts)), 2):
            tokens = sum(
                -math.log(self._judge.usual("marked", Quote.of(core))) for core in marked[a] & marked[b]
            )
            rest = sum(-math.log(self._judge.usual("held", Quote.of(word))) for word in words[a] & words[b])
            common[[a, b]] += tokens + _WORD * rest
        return int(common.argmin())


class LLMOddOneOut:
    """Asks `client` one question at a time. Answers that cannot be read, even after asking again, and refusals are unparsed;
    any other error is a failure of the whole score, to be retried."""

    name = "llm"
    prompt_version = prompt.VERSION

    def __init__(self, client: Client, *, cancel: CancelToken | None = None):
        self.client = client
        self.model = client.model
        self.cancel = cancel

    def requests(self, questions: Sequence[Texts]) -> list[ChatRequest]:
        return [_request(texts) for texts in questions]

    def pick(self, questions: Sequence[Texts]) -> Verdicts:
        """Raises `Cancelled` and `BudgetExceeded`; every other failure is in the result."""
        collected = ask_all(
            self.client,
            [Question(_request(texts), _number_of(len(texts))) for texts in questions],
            self.cancel,
        )
        pairs = zip(questions, collected.answers, strict=True)
        return collected.verdicts([verdict for texts, answer in pairs for verdict in _read(texts, answer)])


def _request(texts: Texts) -> ChatRequest:
    markers = choose_markers("".join(text.texts) for text in texts)
    note = ""
    if markers != DEFAULT_MARKERS:
        note = prompt.OTHER_MARKERS.format(before=markers.before, after=markers.after)
    listed = "\n".join(
        f"[{i}] {one_line(mark(text.texts, text.marks or (), markers))}" for i, text in enumerate(texts, 1)
    )
    return ChatRequest(
        (
            *opening(prompt.SYSTEM, prompt.SHOTS),
            Message("user", prompt.QUESTION.format(markers=note, texts=listed)),
        ),
        schema=list_schema(1, low=1, high=len(texts)),
        max_tokens=32,
    )


def _number_of(n: int) -> Any:
    read = list_answer(1, high=n)

    def number(reply: ChatReply) -> int:
        (answer,) = read(reply)
        if answer < 1 or answer != int(answer):
            raise BadAnswer(f"the answer is {answer:g}, not the number of a text")
        return int(answer)

    return number


def _read(texts: Texts, answer: Answer[int] | LLMError) -> list[Verdict]:
    if isinstance(answer, LLMError):
        return [Verdict(error=str(answer), reply_ref=answer.reply_ref)] * len(texts)
    return _picked(texts, answer.value - 1, answer.reply.key or None)


def _picked(texts: Texts, odd: int, reply_ref: str | None = None) -> list[Verdict]:
    return [Verdict(answer=i == odd, reply_ref=reply_ref) for i in range(len(texts))]
