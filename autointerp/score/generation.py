"""Generation: does the latent fire in texts that were written from the explanation alone?"""

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from autointerp.errors import Failure, UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import BadAnswer, Cancelled, LLMError
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Message, Question
from autointerp.llm.parsing import object_answer, object_schema
from autointerp.records import Explanation, JudgedExample, Metric, Score
from autointerp.sampling import one_line
from autointerp.score.compare import rate_difference
from autointerp.score.judges.llm import ask_all, opening
from autointerp.score.metrics import rate
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import NO_NEGATIVES, Plan
from autointerp.score.prompts import generation as prompt
from autointerp.score.registry import FIRES_ABOVE, N_WRITTEN
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Firings, Resources
from autointerp.score.scorer import (
    NO_FLOOR,
    Floored,
    Heldout,
    Scorer,
    of_the_floor,
    without_text,
)
from autointerp.score.summary import Summary, hits_of, summarise

_TOKENS_A_TEXT = 80  # room for one in the answer
_MIN_COPIED = 4  # words; fewer stand in an explanation by chance
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[^\W_]+")


class Generation(Scorer):
    """The share of `n_texts` texts, written by a language model that sees the explanation alone, in which the latent fires: its
    activation on one of the text's own tokens exceeds `fires_above` times its maximum in the corpus. The floor is that share
    of the texts written from the explanation of another latent, so that a latent that fires in any text is not well explained.

    The judged examples are the texts of both, see `autointerp.records.JudgedExample`. A text that is empty, repeats one before
    it, or copies the explanation or the prompt is not counted. An answer with too few texts is asked for once more, and then a
    failure. The request depends on explanation and options alone, so what is written for one latent's score is another's
    floor, and paid for once.

    Source: generation scoring in EleutherAI's "Open Source Automated Interpretability for Sparse Autoencoder Features" (2024),
    which has no floor.
    """

    name: ClassVar[str] = "generation"
    metric: ClassVar[Metric] = "hit_rate"
    needs_negatives: ClassVar[bool] = False
    judge_name = "llm"

    def __init__(
        self,
        client: Client,
        firings: Firings,
        *,
        n_texts: int = N_WRITTEN.default,
        fires_above: float = FIRES_ABOVE.default,
        seed: int = 0,
        cancel: CancelToken | None = None,
        resamples: Resamples | None = None,
    ):
        super().__init__(resamples=resamples)
        self.client, self.firings, self.cancel = client, firings, cancel
        self.n_texts, self.fires_above, self.seed = n_texts, fires_above, seed
        self.model = client.model
        self.prompt_version = prompt.VERSION

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        """Nothing is asked about the corpus."""
        return Plan((), heldout.latent_max, NO_NEGATIVES, seed, of=heldout.of)

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        return [self._request(text) for text in explanations if text.strip()]

    def score(self, explanation: Explanation, plan: Plan, *, floor: Explanation | None = None) -> Score:
        """Raises `Cancelled` and `BudgetExceeded`; any other failure is in the record."""
        started = time.perf_counter()
        assert plan.of is not None
        problem = without_text(explanation)
        if problem is not None:
            return self._record(explanation, plan, Summary(), problem)
        try:
            self.firings.prepare(plan.of[0])
        except UserError as error:
            return self._record(explanation, plan, Summary(), Failure.of(error))
        sources = [explanation, *([floor] if floor is not None and floor.text.strip() else [])]
        questions = [Question(self._request(source.text), self._read) for source in sources]
        asked = ask_all(self.client, questions, self.cancel)
        judged: list[JudgedExample] = []
        failure: Failure | None = None
        for source, answer in zip(sources, asked.answers, strict=True):
            rows, failed = self._judged(source.text, source is explanation, answer, plan, len(judged))
            judged += rows
            if failed is not None:
                failure = failure or (failed if source is explanation else of_the_floor(failed))
        summary = summarise(self.metric, (), judged, self.resamples)
        if failure is None and summary.value is None:
            cause = next(example.error for example in judged if example.truth)
            failure = Failure(f"None of the {self.n_texts} texts counts. The first one {cause}.", "unparsed")
        return self._record(
            explanation,
            plan,
            summary,
            failure,
            floor=floor,
            floored=self._held_against(judged) if failure is None else NO_FLOOR,
            usage=asked.usage,
            started=started,
            judged=tuple(judged),
        )

    def _judged(
        self, explanation: str, own: bool, answer: Answer[list[str]] | LLMError, plan: Plan, first: int
    ) -> tuple[list[JudgedExample], Failure | None]:
        """A judged example for each text that was written from `explanation`, the first with this number; one where there is no
        answer that can be used, which is shown with it."""
        assert plan.of is not None
        if isinstance(answer, LLMError):
            unread = JudgedExample(first, -1, 0, 0, own, error=str(answer), reply_ref=answer.reply_ref)
            return [unread], Failure.of(answer)
        texts = answer.value
        try:
            fired, key = self.firings.on(*plan.of, texts, written_by=answer.reply.key, cancel=self.cancel)
        except Cancelled:
            raise
        except UserError as error:
            return [], Failure.of(error)
        bar = self.fires_above * plan.latent_max
        rows = []
        for i, (text, problem) in enumerate(zip(fired, problems(texts, explanation), strict=True)):
            row = JudgedExample(first + i, -1, i, len(text.token_ids), own, reply_ref=key)
            problem = problem or ("" if text.token_ids else "has no tokens")
            if problem:
                rows.append(row._replace(error=problem))
            else:
                rows.append(row._replace(answer=text.maximum > bar, value=text.maximum))
        return rows, None

    def _held_against(self, judged: Sequence[JudgedExample]) -> Floored:
        hits, others = hits_of(judged, True), hits_of(judged, False)
        if not others:
            return NO_FLOOR
        _, above = rate_difference(others, hits, self.resamples)
        return Floored(rate(others), len(others), *above)

    def _request(self, explanation: str) -> ChatRequest:
        n = self.n_texts
        shots = [(_question(said, len(texts)), _answer(texts)) for said, texts in prompt.SHOTS]
        texts = {"type": "array", "items": {"type": "string"}, "minItems": n, "maxItems": n}
        return ChatRequest(
            (*opening(prompt.SYSTEM, shots), Message("user", _question(explanation, n))),
            schema=object_schema({"texts": texts}),
            temperature=0.7,
            max_tokens=64 + _TOKENS_A_TEXT * n,
            seed=self.seed,
        )

    def _read(self, reply: ChatReply) -> list[str]:
        texts = object_answer(reply.text, "texts").get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadAnswer('the answer has no list of texts under "texts"')
        if len(texts) < self.n_texts:
            raise BadAnswer(f"the list has {len(texts)} texts, {self.n_texts} were asked for")
        return [_SURROGATE.sub("\ufffd", text).strip() for text in texts[: self.n_texts]]


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Generation:
    assert client is not None
    return Generation(
        client,
        resources.firings(),
        n_texts=options.value(N_WRITTEN.name),
        fires_above=options.value(FIRES_ABOVE.name),
        seed=options.seed,
        cancel=cancel,
        resamples=resources.resamples,
    )


def problems(texts: Sequence[str], explanation: str) -> list[str]:
    """Of each text why it does not count, as what follows its name; empty for one that does."""
    shots = {words for _, examples in prompt.SHOTS for words in map(_words, examples)}
    said = _words(explanation)
    first: dict[str, int] = {}
    problems = []
    for i, text in enumerate(texts):
        words, same = _words(text), " ".join(text.casefold().split())
        before = first.setdefault(same, i)
        if not same:
            problems.append("is empty")
        elif before < i:
            problems.append(f"repeats text {before + 1}")
        elif words in shots:
            problems.append("is copied from the prompt")
        elif words and (words == said or (len(words) >= _MIN_COPIED and _holds(said, words))):
            problems.append("is copied from the explanation")
        else:
            problems.append("")
    return problems


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _holds(words: Sequence[str], part: Sequence[str]) -> bool:
    n = len(part)
    return any(words[i : i + n] == part for i in range(len(words) - n + 1))


def _question(explanation: str, n: int) -> str:
    return prompt.QUESTION.format(explanation=one_line(explanation.strip()), n=n)


def _answer(texts: Sequence[str]) -> Any:
    return json.dumps({"texts": list(texts)}, ensure_ascii=False)
