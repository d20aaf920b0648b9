"""Windows, plans and judges for the tests of explain/ and score/."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autointerp.errors import Failure
from autointerp.llm.cancel import CancelToken
from autointerp.llm.messages import ChatRequest
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.sampling import Window
from autointerp.score.judges.base import Shown
from autointerp.score.plan import Verdict, Verdicts
from autointerp.score.resources import LikelihoodJudge, LogProbs
from autointerp.score.scorer import Heldout
from autointerp.types import Example

if TYPE_CHECKING:
    from autointerp.score.judges.causal import CausalTextModel


def window(
    texts: Sequence[str],
    fires: Mapping[int, float] | None = None,
    *,
    context: int = 0,
    quantile: int | None = None,
    source: str | None = None,
) -> Window:
    """A window of these tokens, firing at these positions."""
    activations = np.zeros(len(texts), dtype=np.float32)
    for position, value in (fires or {}).items():
        activations[position] = value
    maximum = float(activations.max(initial=0.0))
    example = Example(
        context=context,
        start=0,
        token_ids=np.arange(len(texts)),
        activations=activations,
        max_activation=maximum,
        quantile=quantile if quantile is not None or maximum == 0 else 0,
        source=source or ("activating" if maximum > 0 else "random"),
    )
    return Window(example, tuple(texts))


def heldout(n_pos: int = 20, n_neg: int = 20, *, word: str = " fox", length: int = 8) -> Heldout:
    """Positives hold `word` at a changing place and fire there; negatives never do."""
    filler = [" the", " quick", " brown", " dog", " jumps", " over", " lazy", " hills"]
    positives, negatives = [], []
    for i in range(n_pos):
        texts = [filler[(i + j) % len(filler)] for j in range(length)]
        place = (3 * i) % length
        texts[place] = word
        positives.append(
            window(texts, {place: 10.0 - (i * 9) / max(1, n_pos)}, context=i, quantile=i * 10 // n_pos)
        )
    for i in range(n_neg):
        negatives.append(window([filler[(5 * i + 3 * j) % 8] for j in range(length)], context=1000 + i))
    return Heldout(positives, negatives, latent_max=10.0)


def distinct(n: int) -> Heldout:
    """Activating windows only, each of tokens of its own, of a latent that a model can be asked about."""
    windows = [
        Window(replace(each.example, token_ids=each.example.token_ids + 10 * i), each.texts)
        for i, each in enumerate(heldout(n, 0).activating)
    ]
    return Heldout(windows, (), 10.0, of=("sae", 0))


class ScriptedJudge:
    """Answers with what `decide(task, explanation, shown)` says for each text: True, False or None (unparsed)."""

    name = "scripted"
    model = None

    def __init__(self, decide: Any, *, failure: Failure | None = None):
        self._decide = decide
        self._failure = failure
        self.asked: list[tuple[str, str, list[Shown]]] = []

    @property
    def config(self) -> Mapping[str, Any]:
        return {}

    def prompt_version(self, task: str) -> str | None:
        return None

    def requests(self, task: str, explanation: str, shown: Sequence[Shown]) -> list[ChatRequest]:
        return []

    def judge(self, task: Any, explanation: Explanation, shown: Sequence[Shown]) -> Verdicts:
        self.asked.append((task, explanation.text, list(shown)))
        verdicts = []
        for one in shown:
            answer = self._decide(task, explanation.text, one)
            verdicts.append(Verdict(answer=answer, error=None if answer is not None else "unreadable"))
        return Verdicts(tuple(verdicts), failure=self._failure)


def knows(word: str) -> ScriptedJudge:
    """A perfect judge of a latent that fires on `word`, whatever the explanation."""

    def decide(task: str, _: str, one: Shown) -> bool:
        if task == "detection":
            return word in "".join(one.texts)
        return bool(one.marks) and all(one.texts[i] == word for i in one.marks or ())

    return ScriptedJudge(decide)


def explained(text: str, **more: Any) -> Explanation:
    """An explanation of that text."""
    return Explanation(**{"coder": "sae", "latent": 3, "explainer": "person", **more, "text": text})


def judged(score: Score) -> tuple[JudgedExample, ...]:
    """The judged examples that a scorer returned."""
    assert score.judged is not None
    return score.judged


def log_probs_of(judge: LikelihoodJudge, prefixes: Sequence[str], text: str) -> LogProbs:
    """Of a single text."""
    [told] = judge.log_probs_after(prefixes, [text])
    return told


def cancelled_after(
    n: int, judge: "CausalTextModel", cancel: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> list[None]:
    """Cancel during the n-th pass of the judge's model; the passes are listed as they are run."""
    passes: list[None] = []
    forward = judge._forward

    def counted(*args: Any, **given: Any) -> Any:
        passes.append(None)
        if len(passes) == n:
            cancel.cancel()
        return forward(*args, **given)

    monkeypatch.setattr(judge, "_forward", counted)
    return passes
