"""Explainers that ask a language model: `default`, `contrastive`, `top_logits`."""

import json
import re
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from autointerp.errors import Failure
from autointerp.explain.copied import repeats
from autointerp.explain.explainer import NO_EXAMPLES, Evidence
from autointerp.explain.options import ExplainOptions
from autointerp.explain.prompts import default as prompt
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import BadAnswer, BudgetExceeded, Cancelled, LLMError
from autointerp.llm.messages import ChatReply, ChatRequest, Message, Usage
from autointerp.llm.parsing import object_answer, object_schema, split_reasoning
from autointerp.records import Explanation
from autointerp.sampling import (
    DEFAULT_MARKERS,
    MARK_SHARE,
    Markers,
    Window,
    choose_markers,
    levels,
    mark,
    marks_above,
    one_line,
)

_MAX_PAIRS = 10  # marked tokens listed under an excerpt, the strongest ones
_N_LOGITS = 10
_MAX_CHARS = 2000  # longer answers are no explanation but an essay
# A model that must answer in a form declines in that form. Not in quotation marks, for those are what a latent may fire on.
_DECLINES = re.compile(
    r"i(?:['\u2019]m| am) (?:\w+ )?sorry\b|(?:i )?apologi[sz]e\b|sorry, (?:but )?i\b|as an ai\b|"
    r"i(?: am|['\u2019]m)? (?:cannot|can['\u2019]t|can not|won['\u2019]t|will not|unable to|not able to) "
    r"(?:help|assist|comply|provide|continue|fulfil|answer|explain|determine|identify|describe|do (?:that|this|so))\b",
    re.IGNORECASE,
)


class LLMExplainer:
    """Asks `client` what the marked tokens share.

    By `options.explainer`: "default" shows activating examples; "contrastive" non-activating ones too; "top_logits" also what
    the latent promotes. Of the evidence the first examples are shown, as many as the options say.
    """

    version: ClassVar[str] = prompt.VERSION
    without_shots: ClassVar[str] = prompt.WITHOUT_SHOTS

    def __init__(self, options: ExplainOptions, client: Client | None, cancel: CancelToken | None = None):
        assert client is not None
        self.options = options
        self.client = client
        self.cancel = cancel
        self.contrast = options.explainer == "contrastive"
        self.logits = options.explainer == "top_logits"

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> Explanation:
        """One question to the model, and a second one without the prompt's examples where the answer repeats them. Raises
        `Cancelled` and `BudgetExceeded`; any other failure is in the record."""
        started = time.perf_counter()
        usage, made = self._asked(evidence)
        shown, contrast = self._shown(evidence)
        return Explanation(
            coder=evidence.coder,
            latent=evidence.latent,
            explainer=self.options.explainer,
            seed=seed,
            example_ids=tuple(window.id for window in [*shown, *contrast]),
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            cost=usage.cost,
            duration=time.perf_counter() - started,
            **{"text": "", "model": self.client.model, "prompt_version": self.version, **made},
        )

    def _asked(self, evidence: Evidence) -> tuple[Usage, dict[str, Any]]:
        """What it used, and the fields of the record that depend on the answer."""
        problem = self._problem(evidence)
        if problem is not None:
            return Usage(), {"status": "failed", **problem._asdict()}
        usage, made = self._answered(self.request(evidence))
        if "status" in made or not self._repeated(made["text"], evidence):
            return usage, made
        # The examples cannot be repeated where they are not shown. This is another question, with a version of its own.
        more, made = self._answered(self.request(evidence, shots=False))
        made["prompt_version"] = self.without_shots
        repeated = "" if "status" in made else self._repeated(made["text"], evidence)
        if repeated:
            failure = Failure(
                f"{self.client.model!r} repeats {repeated}, even when asked without the examples. Use a stronger model.",
                "repeats_prompt",
            )
            made = {**made, "text": "", "status": "failed", **failure._asdict()}
        return usage + more, made

    def _repeated(self, text: str, evidence: Evidence) -> str:
        """What of the prompt the answer repeats, in words."""
        shown, _ = self._shown(evidence)
        return repeats(text, [window.texts[int(window.example.activations.argmax())] for window in shown])

    def _answered(self, request: ChatRequest) -> tuple[Usage, dict[str, Any]]:
        try:
            answer = self.client.ask(request, self._read, cancel=self.cancel)
        except (Cancelled, BudgetExceeded):
            raise
        except LLMError as error:
            failure = Failure.of(error)._asdict()
            return error.usage or Usage(), {"status": "failed", "reply_ref": error.reply_ref, **failure}
        text, reasoning = answer.value
        reply = answer.reply
        made = {"text": text, "reasoning": reasoning, "reply_ref": reply.key or None, "model": reply.model}
        return reply.spent, made

    def request(self, evidence: Evidence, *, shots: bool = True) -> ChatRequest:
        """The exact request, for a look at the prompt or an estimate before it is sent. Without `shots`: what is
        asked where the answer repeats the prompt."""
        keys = ("reasoning", "explanation") if self.options.reasoning else ("explanation",)
        schema = object_schema({key: {"type": "string"} for key in keys})
        return ChatRequest(
            (*self.opening()[: None if shots else 1], Message("user", self._question(evidence))),
            schema=schema,
            max_tokens=800 if self.options.reasoning else 250,
        )

    def requests(self, evidence: Evidence) -> list[ChatRequest]:
        return [self.request(evidence)]

    def opening(self) -> tuple[Message, ...]:
        """System message and examples of the task: the same for every latent, so that servers can keep it in their cache."""
        contrast, logits, strengths = self.contrast, self.logits, self.options.activations
        system = prompt.TASK + (prompt.STRENGTHS if strengths else "")
        system += (prompt.CONTRAST if contrast else "") + (prompt.LOGITS if logits else "")
        system += prompt.ANSWER_REASONED if self.options.reasoning else prompt.ANSWER
        messages = [Message("system", system)]
        for excerpts, non_activating, promoted, reasoning, explanation in prompt.SHOTS:
            asked = _listing(
                excerpts,
                non_activating if contrast else (),
                promoted if logits else (),
                (),
                strengths=strengths,
            )
            said = {"reasoning": reasoning} if self.options.reasoning else {}
            messages += [
                Message("user", asked),
                Message("assistant", _json({**said, "explanation": explanation})),
            ]
        return tuple(messages)

    def _question(self, evidence: Evidence) -> str:
        shown, contrast = self._shown(evidence)
        markers = choose_markers(window.text for window in [*shown, *contrast])
        excerpts = [self._excerpt(window, evidence.latent_max, markers) for window in shown]
        non_activating = [one_line("".join(window.texts[: self.options.max_tokens])) for window in contrast]
        return _listing(
            excerpts,
            non_activating,
            evidence.promoted[:_N_LOGITS] if self.logits else (),
            evidence.suppressed[:_N_LOGITS] if self.logits else (),
            strengths=self.options.activations,
            note=""
            if markers == DEFAULT_MARKERS
            else prompt.OTHER_MARKERS.format(before=markers.before, after=markers.after),
        )

    def _shown(self, evidence: Evidence) -> tuple[list[Window], list[Window]]:
        contrast = list(evidence.non_activating[: self.options.n_contrast]) if self.contrast else []
        return list(evidence.activating[: self.options.n_examples]), contrast

    def _excerpt(
        self, window: Window, latent_max: float, markers: Markers
    ) -> tuple[str, tuple[tuple[str, int], ...]]:
        start, end = _cut(window, self.options.max_tokens)
        texts, activations = window.texts[start:end], window.example.activations[start:end]
        marks = marks_above(activations, MARK_SHARE)
        scaled = levels(activations, latent_max)
        strongest = sorted(sorted(marks, key=lambda i: -activations[i])[:_MAX_PAIRS])
        pairs = tuple((one_line(texts[i]), int(scaled[i])) for i in strongest if texts[i])
        return one_line(mark(texts, marks, markers)), pairs

    def _read(self, reply: ChatReply) -> tuple[str, str | None]:
        value = object_answer(reply.text, "explanation")
        text = value.get("explanation")
        if not isinstance(text, str) or not text.strip():
            raise BadAnswer('the answer has no text under "explanation"')
        if len(text) > _MAX_CHARS:
            raise BadAnswer(
                f"the explanation has {len(text):,} characters; one or two sentences were asked for"
            )
        if _DECLINES.match(text.strip()):
            raise BadAnswer(f"the explanation declines to explain: {one_line(text.strip())[:100]!r}")
        reasoning = value.get("reasoning")
        if not isinstance(reasoning, str):
            reasoning = reply.reasoning or split_reasoning(reply.text)[0] or None
        return " ".join(text.split()), reasoning

    def _problem(self, evidence: Evidence) -> Failure | None:
        if not evidence.activating:
            return Failure(NO_EXAMPLES, "no_examples")
        if self.contrast and not evidence.non_activating:
            return Failure(
                "The contrastive explainer needs non-activating examples, and none were given.",
                "no_negatives",
            )
        if self.logits and not evidence.promoted:
            return Failure(
                "The top_logits explainer needs the tokens that the latent promotes, and this coder has none stored.",
                "no_logits",
            )
        return None


def _listing(
    excerpts: Sequence[tuple[str, Sequence[tuple[str, int]]]],
    non_activating: Sequence[str],
    promoted: Sequence[str],
    suppressed: Sequence[str],
    *,
    strengths: bool,
    note: str = "",
) -> str:
    lines = [note] if note else []
    lines.append(prompt.ACTIVATING)
    for i, (text, pairs) in enumerate(excerpts, 1):
        lines.append(f"[{i}] {text}")
        if strengths and pairs:
            listed = ", ".join(f"{_json(token)} {strength}" for token, strength in pairs)
            lines.append(prompt.STRENGTH_LINE.format(pairs=listed))
    if non_activating:
        lines += ["", prompt.NON_ACTIVATING, *(f"[{i}] {text}" for i, text in enumerate(non_activating, 1))]
    for wording, tokens in ((prompt.MORE_LIKELY, promoted), (prompt.LESS_LIKELY, suppressed)):
        if tokens:
            lines += ["", wording.format(tokens=", ".join(_json(one_line(token)) for token in tokens))]
    return "\n".join(lines)


def _cut(window: Window, length: int | None) -> tuple[int, int]:
    """The part of a window that is shown: `length` tokens, with the strongest one at three quarters if there is room."""
    n = len(window.texts)
    if length is None or length >= n:
        return 0, n
    peak = int(window.example.activations.argmax())
    start = min(max(0, peak - 3 * length // 4), n - length)
    return start, start + length


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
