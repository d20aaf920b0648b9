"""Simulation: predict the activation of every token from the explanation alone."""

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import BadAnswer, LLMError, RequestRejected
from autointerp.llm.messages import ChatReply, ChatRequest, Message, Question, TokenLogprob, Usage
from autointerp.llm.parsing import list_answer, list_schema
from autointerp.llm.spelling import spelled
from autointerp.records import Explanation, Metric
from autointerp.sampling import Window, one_line
from autointerp.score.judges.llm import Collected, ask_all, digits_at, opening, tokens_at
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan, Verdict, Verdicts
from autointerp.score.prompts import simulation as prompt
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Resources
from autointerp.score.scorer import Heldout, Scorer, simple_plan

Mode = Literal["auto", "slots", "answers"]
_CANDIDATES = 15
_SLOT_MAX = 9


class Simulation(Scorer):
    """Pearson correlation of predicted with true activations over all tokens of all windows.

    `mode`: "slots" reads the expected strength at each token from the log probabilities of the prompt, one cheap pass per
    window, on servers that give them (vLLM); "answers" asks for a list of numbers; "auto" tries the first once and goes on
    with the second where the server has none. The reply to that probe is cached like any other. Predictions are 0 to 10.
    Windows whose answer cannot be read are left out.

    Source: Bills et al. 2023, as used in arXiv 2410.13928.
    """

    name: ClassVar[str] = "simulation"
    metric: ClassVar[Metric] = "correlation"
    needs_negatives: ClassVar[bool] = False
    judge_name = "llm"

    def __init__(
        self,
        client: Client,
        *,
        mode: Mode = "auto",
        cancel: CancelToken | None = None,
        resamples: Resamples | None = None,
    ):
        super().__init__(resamples=resamples)
        self.client = client
        self.model = client.model
        self.cancel = cancel
        self._choose(mode)
        self._lock = threading.Lock()

    def _choose(self, mode: Mode) -> None:
        self._mode = mode
        self.prompt_version = prompt.SLOT_VERSION if mode == "slots" else prompt.VERSION

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return simple_plan(heldout, seed)

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        windows = [item.window for item in plan.items]
        spent = Usage()
        if self._mode == "auto":
            tried = self._probe(explanation.text, windows[0])
            if tried.failure is not None:
                # Which mode the server supports is unknown, so nothing is asked: value and floor must be of one mode.
                return tried.verdicts([Verdict(error="the server could not be asked")] * len(windows))
            spent = tried.usage
        if self._mode == "slots":
            questions = [
                Question(self.slot_request(explanation.text, window), _slot_reader(window.texts))
                for window in windows
            ]
        else:
            questions = [
                Question(
                    self.request(explanation.text, window),
                    list_answer(len(window.texts), high=10),
                )
                for window in windows
            ]
        collected = ask_all(self.client, questions, self.cancel)
        collected.usage += spent
        return collected.verdicts([_verdict(answer) for answer in collected.answers])

    def request(self, explanation: str, window: Window) -> ChatRequest:
        """The exact request for one window in "answers" mode."""
        n = len(window.texts)
        tokens = "\n".join(f"{i}\t{one_line(text)}" for i, text in enumerate(window.texts, 1))
        question = prompt.QUESTION.format(explanation=one_line(explanation.strip()), tokens=tokens)
        return ChatRequest(
            (*opening(prompt.SYSTEM, prompt.SHOTS), Message("user", question)),
            schema=list_schema(n, high=10),
            max_tokens=24 + 8 * n,
        )

    def slot_request(self, explanation: str, window: Window) -> ChatRequest:
        """The exact request for one window in "slots" mode: the last turn is the answer with placeholders."""
        question = prompt.SLOT_QUESTION.format(
            explanation=one_line(explanation.strip()), text=one_line(window.text)
        )
        return ChatRequest(
            (
                *opening(prompt.SLOT_SYSTEM, prompt.SLOT_SHOTS),
                Message("user", question),
                Message("assistant", slot_text(window.texts)),
            ),
            max_tokens=4,
            prompt_logprobs=_CANDIDATES,
            allow_truncated=True,
        )

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        """`kept` replies tell the mode. Where none does, the question that finds it out comes first, and then lists are asked
        for, which cost more."""
        windows = [item.window for item in plan.items]
        mode, first = self._mode, []
        if mode == "auto":
            probe = self.slot_request(explanations[0], windows[0])
            reply = kept(probe)
            if reply is None:
                first = [probe]
            elif _probe_reader(windows[0].texts)(reply) is not None:
                mode = "slots"
        ask = self.slot_request if mode == "slots" else self.request
        return first + [ask(text, window) for text in explanations for window in windows]

    def _probe(self, explanation: str, window: Window) -> Collected:
        """Finds out with the first window which mode the server supports; the reply is in the cache afterwards."""
        question = Question(self.slot_request(explanation, window), _probe_reader(window.texts))
        collected = ask_all(self.client, [question], self.cancel)
        answer = collected.answers[0]
        if isinstance(answer, RequestRejected):
            collected.failure = None  # perhaps only this form of the question: the other will tell
        if collected.failure is None:
            none = isinstance(answer, LLMError) or answer.value is None
            with self._lock:
                if self._mode == "auto":  # the first probe decides for all
                    self._choose("answers" if none else "slots")
        return collected


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Simulation:
    assert client is not None
    return Simulation(client, cancel=cancel, resamples=resources.resamples)


def slot_text(texts: Sequence[str]) -> str:
    """One line per token: the token, a tab, a placeholder for its strength."""
    return "\n".join(f"{one_line(text)}\t{prompt.SLOT_PLACEHOLDER}" for text in texts)


def read_slots(tokens: Sequence[TokenLogprob | None], texts: Sequence[str]) -> list[float]:
    """The expected strength, 0 to 10, at each placeholder of the last turn.

    Raises: BadAnswer: when the turn is not found in the prompt's tokens, or no digit is among a place's candidates.
    """
    prompt_text = "".join("" if token is None else token.token for token in tokens)
    matches = list(_slot_pattern(texts).finditer(prompt_text))
    if not matches:
        raise BadAnswer("the prompt's tokens do not hold the text that was asked about")
    places = [matches[-1].start(number) for number in range(1, len(texts) + 1)]
    return [_expected(token, place) for token, place in tokens_at(tokens, places)]


def _slot_pattern(texts: Sequence[str]) -> re.Pattern[str]:
    """`slot_text` as servers spell their tokens, with a group at each placeholder."""
    slot = f"{spelled(chr(9))}({re.escape(prompt.SLOT_PLACEHOLDER)})"
    return re.compile(spelled("\n").join(spelled(one_line(text)) + slot for text in texts))


def _expected(token: TokenLogprob, place: int) -> float:
    mass = weighted = 0.0
    for digit, probability in digits_at(token.top, token.token[:place]):
        mass += probability
        weighted += digit * probability
    if mass <= 0:
        raise BadAnswer("no digit is among the candidates at a place where one was expected")
    return weighted / mass * 10 / _SLOT_MAX


def _slot_reader(texts: Sequence[str]) -> Any:
    def read(reply: ChatReply) -> list[float]:
        if reply.prompt_logprobs is None:
            raise BadAnswer("the server gives no log probabilities of the prompt")
        return read_slots(reply.prompt_logprobs, texts)

    return read


def _probe_reader(texts: Sequence[str]) -> Callable[[ChatReply], list[float] | None]:
    """As `_slot_reader`, but that there is nothing to read is an answer, too: `None`."""
    read = _slot_reader(texts)

    def probe(reply: ChatReply) -> list[float] | None:
        try:
            return read(reply)
        except BadAnswer:
            return None

    return probe


def _verdict(answer: Any) -> Verdict:
    if isinstance(answer, LLMError):
        return Verdict(error=str(answer), reply_ref=answer.reply_ref)
    return Verdict(
        predicted=tuple(float(number) for number in answer.value), reply_ref=answer.reply.key or None
    )
