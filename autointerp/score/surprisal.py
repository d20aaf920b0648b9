"""Surprisal: does the explanation make the activating texts more likely under a language model?"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from autointerp.errors import Failure, UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import Cancelled
from autointerp.records import Explanation, Metric
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan, Verdict, Verdicts
from autointerp.score.prompts import surprisal as prompt
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Likelihoods, Resources
from autointerp.score.scorer import Heldout, Scorer, simple_plan

MAX_NEUTRAL = 20_000
"""Texts whose log-probability without an explanation is kept."""
_ROOM = 512
"""Tokens that the examples of the task, an explanation and a text need together."""


class Surprisal(Scorer):
    """AUROC of log p(text | explanation) - log p(text | neutral description), activating against not.

    Models with a short context are asked without the examples of the task; `prompt_version` tells.

    Source: surprisal scoring in arXiv 2410.13928.
    """

    name: ClassVar[str] = "surprisal"
    metric: ClassVar[Metric] = "auroc"
    judge_name = "language model"

    def __init__(
        self, model: Likelihoods, *, cancel: CancelToken | None = None, resamples: Resamples | None = None
    ):
        super().__init__(resamples=resamples)
        self.text_model, self.cancel = model, cancel
        self.model = model.name
        # Decided by the model alone, so that all explanations it scores are asked about in the same way.
        self._short = model.max_tokens is not None and model.max_tokens < _ROOM
        self.prompt_version = prompt.SHORT_VERSION if self._short else prompt.VERSION
        self._neutral: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return simple_plan(heldout, seed)

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        texts = [_excerpt(item.window.text) for item in plan.items]
        try:
            given = self.text_model.log_probs(self._entry(explanation.text), texts, cancel=self.cancel)
            neutral = self._neutral_log_probs(texts)
        except Cancelled:
            raise
        except UserError as error:
            return Verdicts(tuple(Verdict() for _ in texts), failure=Failure.of(error))
        values = [a - b for a, b in zip(given, neutral, strict=True)]
        return Verdicts(
            tuple(
                Verdict(value=value)
                if np.isfinite(value)
                else Verdict(error="the model gave no finite probability")
                for value in values
            )
        )

    def _neutral_log_probs(self, texts: Sequence[str]) -> list[float]:
        """The same for every explanation, so the latest are kept. Other threads may drop any of them at any time."""
        distinct = dict.fromkeys(texts)
        kept = {text: value for text in distinct if (value := self._neutral.get(text)) is not None}
        missing = [text for text in distinct if text not in kept]
        if missing:
            values = self.text_model.log_probs(self._entry(prompt.NEUTRAL), missing, cancel=self.cancel)
            new = dict(zip(missing, values, strict=True))
            kept |= new
            with self._lock:
                self._neutral.update(new)
        with self._lock:
            while len(self._neutral) > MAX_NEUTRAL:
                self._neutral.popitem(last=False)
        return [kept[text] for text in texts]

    def _entry(self, explanation: str) -> str:
        prefix = prompt.SHORT_PREFIX if self._short else prompt.PREFIX
        return prefix + prompt.ENTRY.format(explanation=" ".join(explanation.split()))


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Surprisal:
    """Raises UserError."""
    return Surprisal(resources.text_model(), cancel=cancel, resamples=resources.resamples)


def _excerpt(text: str) -> str:
    return text if text[:1].isspace() else f" {text}"
