"""Embedding: are the texts on which the latent fires nearer to the explanation than others?"""

import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.records import Explanation, JudgedExample, Metric, Score
from autointerp.sampling import Places
from autointerp.score.compare import auroc_difference
from autointerp.score.metrics import auroc
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Embedder, Resources
from autointerp.score.scorer import NO_FLOOR, Floored, Heldout, Scorer, simple_plan, undefined
from autointerp.score.summary import Summary, summarise_values


class Embedding(Scorer):
    """AUROC of the cosine between explanation and window, activating against not.

    Source: embedding scoring in arXiv 2410.13928. No judge is asked: the embedder itself is the judge.
    """

    name: ClassVar[str] = "embedding"
    metric: ClassVar[Metric] = "auroc"
    judge_name = "embedder"

    def __init__(self, embedder: Embedder, *, resamples: Resamples | None = None):
        super().__init__(resamples=resamples)
        self.embedder = embedder
        self.model = embedder.name

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return simple_plan(heldout, seed)

    def score(self, explanation: Explanation, plan: Plan, *, floor: Explanation | None = None) -> Score:
        problem = self._problem(explanation, plan)
        if problem:
            return self._record(explanation, plan, Summary(), problem)
        floor = floor if floor is not None and floor.text.strip() else None
        examples = [item.window.example for item in plan.items]
        return self.score_vectors(
            explanation,
            floor,
            self.embedder.embed_queries([explanation.text, *([floor.text] if floor else [])]),
            self.embedder.embed_windows(plan.items),
            Places(
                np.array([(e.context, e.start, e.start + len(e.token_ids)) for e in examples]),
                [e.quantile for e in examples],
                [e.source for e in examples],
                [None] * len(examples),
                [0] * len(examples),
            ),
            np.array([bool(item.truth) for item in plan.items]),
            plan,
        )

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
        """The score from vectors: `queries` of the explanation, then of the floor's where there is one, and windows of both
        classes, Float32[ndarray, "n d"], with their places and whether they are activating, Bool[ndarray, " n"]. `plan` says
        what to record; its items are not read. Cosines that are not finite are in no figure.
        """
        started = time.perf_counter()
        values = [windows @ query for query in queries]
        read = np.isfinite(values[0])
        quantile: Sequence[int | None] = places.quantile
        asked, n_unread = truth, int((~read).sum())
        cosines = values[0].astype(np.float64)
        if n_unread:
            quantile = [q for q, is_read in zip(quantile, read, strict=True) if is_read]
            asked, cosines = truth[read], cosines[read]
        summary = summarise_values(asked, cosines, quantile, self.resamples, unparsed=n_unread)
        answers = (truth.tolist(), values[0].tolist(), places.quantile, places.source)
        examples = zip(places.spans.tolist(), *answers, strict=True)
        judged = tuple(
            JudgedExample(i, context, start, stop - start, fires, None, value, quantile, source)
            for i, ((context, start, stop), fires, value, quantile, source) in enumerate(examples)
        )
        if n_unread:
            judged = tuple(
                example if is_read else example._replace(value=None, error="the embedding is not finite")
                for example, is_read in zip(judged, read, strict=True)
            )
        floored = NO_FLOOR
        if len(values) > 1:
            both = read & np.isfinite(values[1])
            sides = [(value[both & truth], value[both & ~truth]) for value in values]
            _, above = auroc_difference(sides[1], sides[0], self.resamples)
            floored = Floored(auroc(truth[both], values[1][both]), int(both.sum()), *above)
        failure = undefined(summary, judged, False)
        return self._record(
            explanation,
            plan,
            summary,
            failure,
            floor=floor,
            floored=floored if failure is None else NO_FLOOR,
            started=started,
            judged=judged,
        )


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Embedding:
    """Raises UserError."""
    return Embedding(resources.embedder(options.embedder), resamples=resources.resamples)
