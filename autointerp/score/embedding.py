"""Embedding: are the texts on which the latent fires nearer to the explanation than others?"""

import math
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.records import Explanation, JudgedExample, Metric, Score
from autointerp.sampling import Places
from autointerp.score.metrics import auroc
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan, Verdict, Verdicts
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Embedder, Resources
from autointerp.score.scorer import Heldout, Scorer, simple_plan
from autointerp.score.summary import summarise_values


class Embedding(Scorer):
    """AUROC of the cosine between explanation and window, activating against not.

    Source: embedding scoring in arXiv 2410.13928. No judge is asked: the embedder itself is the judge.
    """

    name: ClassVar[str] = "embedding"
    metric: ClassVar[Metric] = "auroc"

    def __init__(self, embedder: Embedder, *, resamples: Resamples | None = None):
        super().__init__(resamples=resamples)
        self.embedder = embedder

    @property
    def judge_name(self) -> str:
        return "embedder"

    @property
    def model(self) -> str | None:
        return self.embedder.name

    @property
    def config(self) -> Mapping[str, Any]:
        return {"embedder": self.embedder.name}

    def plan(self, heldout: Heldout, rng: np.random.Generator) -> Plan:
        return simple_plan(heldout, rng)

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        return self.answers(explanation, None, plan)[0]

    def answers(
        self, explanation: Explanation, floor: Explanation | None, plan: Plan
    ) -> tuple[Verdicts, Verdicts | None]:
        windows = self.embedder.embed_windows(plan.items)
        queries = self.embedder.embed_queries(
            [asked.text for asked in (explanation, floor) if asked is not None]
        )
        verdicts = [_verdicts(windows @ query) for query in queries]
        return verdicts[0], verdicts[1] if floor is not None else None

    def score_vectors(
        self,
        explanation: Explanation,
        floor: Explanation | None,
        queries: NDArray[np.float32],
        windows: NDArray[np.float32],
        places: Places,
        truth: NDArray[np.bool_],
        plan: Plan,
    ) -> Score:
        """`score` where all vectors are at hand: `queries` of the explanation, then of the floor's where there is one, and
        windows of both classes, Float32[ndarray, "n d"], with their places and whether they are activating,
        Bool[ndarray, " n"]. `plan` says what to record; its items are not read. The cosines must be finite.
        """
        started = time.perf_counter()
        values = [windows @ query for query in queries]
        summary = summarise_values(truth, values[0].astype(np.float64), places.quantile, self.resamples)
        answers = (truth.tolist(), values[0].tolist(), places.quantile, places.source)
        examples = zip(places.spans.tolist(), *answers, strict=True)
        return self._record(
            explanation,
            plan,
            value=summary.value,
            ci_low=summary.ci.low,
            ci_high=summary.ci.high,
            auroc=summary.auroc,
            n_pos=summary.n_pos,
            n_neg=summary.n_neg,
            value_by_quantile=summary.value_by_quantile,
            floor=auroc(truth, values[1]) if len(values) > 1 else None,
            n_floor=len(truth) if len(values) > 1 else None,
            floor_explanation_id=floor.id if floor is not None and len(values) > 1 else None,
            duration=time.perf_counter() - started,
            judged=tuple(
                JudgedExample(i, context, start, stop - start, fires, None, value, quantile, source)
                for i, ((context, start, stop), fires, value, quantile, source) in enumerate(examples)
            ),
        )


def _verdicts(values: NDArray[np.float32]) -> Verdicts:
    finite = np.isfinite(values).all()
    return Verdicts(
        tuple(
            Verdict(value=value)
            if finite or math.isfinite(value)
            else Verdict(error="the embedding is not finite")
            for value in values.tolist()
        )
    )


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Embedding:
    """Raises UserError."""
    return Embedding(resources.embedder(options.embedder), resamples=resources.resamples)
