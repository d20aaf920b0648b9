"""Explainers of what a latent does to what the model writes: `intervention` asks a language model, `raised_tokens` lists the
tokens that become likelier. arXiv 2410.13928, appendix G."""

import json
import time
from collections.abc import Sequence
from typing import ClassVar

from autointerp.errors import Failure
from autointerp.explain.explainer import NO_EXAMPLES, Evidence
from autointerp.explain.llm import LLMExplainer
from autointerp.explain.options import ExplainOptions
from autointerp.explain.prompts import intervention as prompt
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.messages import ChatRequest, Message
from autointerp.models.effect import Rise
from autointerp.records import Explanation
from autointerp.sampling import one_line

_MAX_TOKENS = 5
_SHARE = 0.2
"""Of the largest rise, that a token is to be named."""
NO_RISE = Failure("No token becomes likelier when the latent is raised.", "no_pattern")


class InterventionExplainer(LLMExplainer):
    """Asks `client` what the tokens have in common that become likelier after each example."""

    version: ClassVar[str] = prompt.VERSION
    without_shots: ClassVar[str] = prompt.WITHOUT_SHOTS

    def opening(self) -> tuple[Message, ...]:
        answer = prompt.ANSWER_REASONED if self.options.reasoning else prompt.ANSWER
        messages = [Message("system", prompt.TASK + answer)]
        for texts, reasoning, explanation in prompt.SHOTS:
            said = {"reasoning": reasoning} if self.options.reasoning else {}
            answer = json.dumps({**said, "explanation": explanation}, ensure_ascii=False)
            asked = _listing([(text, [Rise(*rise) for rise in rises]) for text, rises in texts])
            messages += [Message("user", asked), Message("assistant", answer)]
        return tuple(messages)

    def _question(self, evidence: Evidence) -> str:
        assert evidence.effect is not None
        shown = evidence.effect.prompts[: self.options.n_examples]
        return _listing([(each.prompt, each.rises) for each in shown])

    def _repeated(self, text: str, evidence: Evidence) -> str:
        said = text.strip(' ."').casefold()
        for _, _, explanation in prompt.SHOTS:
            if said == explanation.strip(' ."').casefold():
                return f"an example of the prompt ({explanation!r})"
        return ""

    def _problem(self, evidence: Evidence) -> Failure | None:
        if evidence.effect is None:
            return Failure(NO_EXAMPLES, "no_examples")
        return None if any(each.rises for each in evidence.effect.prompts) else NO_RISE


class RaisedTokensExplainer:
    """Names the tokens whose probability rises most in the mean over the examples. Needs no language model but the store's."""

    def __init__(
        self, options: ExplainOptions, client: Client | None = None, cancel: CancelToken | None = None
    ):
        self.options = options

    def requests(self, evidence: Evidence) -> list[ChatRequest]:
        return []

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> Explanation:
        started = time.perf_counter()
        rises = evidence.effect.rises if evidence.effect is not None else ()
        text = tokens_sentence(rises)
        problem = Failure(NO_EXAMPLES, "no_examples") if evidence.effect is None else NO_RISE
        return Explanation(
            coder=evidence.coder,
            latent=evidence.latent,
            text=text,
            explainer=self.options.explainer,
            prompt_version=prompt.TOKENS_VERSION,
            seed=seed,
            example_ids=tuple(window.id for window in evidence.activating),
            cost=0.0,
            duration=time.perf_counter() - started,
            **({} if text else {"status": "failed", **problem._asdict()}),
        )


def tokens_sentence(rises: Sequence[Rise]) -> str:
    """`Promotes " an", " a".`; empty where nothing rises. `rises`: most first."""
    named = [rise for rise in rises[:_MAX_TOKENS] if rise.by >= _SHARE * rises[0].by and rise.text.strip()]
    return f"Promotes {', '.join(_quoted(rise.text) for rise in named)}." if named else ""


def _listing(texts: Sequence[tuple[str, Sequence[Rise]]]) -> str:
    lines = []
    for number, (text, rises) in enumerate(texts, 1):
        lines.append(prompt.TEXT.format(number=number, text=one_line(text)))
        listed = ", ".join(f"{_quoted(rise.text)} +{rise.by:.2f}" for rise in rises)
        lines.append(prompt.RISES.format(rises=listed or "none"))
    return "\n".join(lines)


def _quoted(token: str) -> str:
    return json.dumps(one_line(token), ensure_ascii=False)
