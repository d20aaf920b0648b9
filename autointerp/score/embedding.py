"""Embedding: are the texts on which the latent fires nearer to the explanation than others?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from autointerp.score.metrics import auroc, resampled_auroc
from autointerp.score.resampling import NO_INTERVAL, Interval, Resamples, interval
from autointerp.score.results import Item, Metric, Plan, Verdict, Verdicts
from autointerp.score.scorer import Heldout, Scorer, simple_plan


class Embedder(Protocol):
    """Turns texts into vectors whose dot product tells likeness (unit length: cosine). `name` is recorded."""

    @property
    def name(self) -> str: ...

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Explanations, Float32[ndarray, "n d"], with the instruction a model wants before queries."""
        ...

    def embed_windows(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """Windows, Float32[ndarray, "n d"]; an implementation may look stored ones up by their place in the corpus."""
        ...


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

    def answer(self, explanation: str, plan: Plan) -> Verdicts:
        return self.answers(explanation, None, plan)[0]

    def answers(self, explanation: str, floor: str | None, plan: Plan) -> tuple[Verdicts, Verdicts | None]:
        windows = self.embedder.embed_windows(plan.items)
        queries = self.embedder.embed_queries([explanation] if floor is None else [explanation, floor])
        found = [_verdicts(windows @ query) for query in queries]
        return found[0], found[1] if floor is not None else None


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


@dataclass(frozen=True)
class BatchScore:
    """The embedding score of one of many latents; `None` where a class is empty. `similarity`: cosines of the activating, then
    of the non-activating windows, Float32[ndarray, " n"]."""

    value: float | None
    ci: Interval
    floor: float | None
    similarity: NDArray[np.float32]


def score_many(
    queries: NDArray[np.float32],
    windows: NDArray[np.floating],
    activating: Sequence[NDArray[np.int64]],
    non_activating: Sequence[NDArray[np.int64]],
    *,
    resamples: Resamples,
    floors: NDArray[np.int64] | None = None,
) -> list[BatchScore]:
    """Embedding scores of many explanations from embeddings at hand: milliseconds for a whole coder.

    Args:
        queries: Unit vectors of the explanations, Float32[ndarray, "latents d"].
        windows: Unit vectors of the corpus's windows, Float[ndarray, "windows d"], perhaps memory-mapped and of half precision.
        activating, non_activating: For each latent the rows of `windows` to score on.
        floors: For each latent the row of `queries` that serves as the random other explanation.
    """
    scores = []
    for i, (positive, negative) in enumerate(zip(activating, non_activating, strict=True)):
        rows = np.concatenate([positive, negative]).astype(np.int64)
        truth = np.arange(len(rows)) < len(positive)
        vectors = np.asarray(windows[rows], dtype=np.float32)
        asked = queries[[i]] if floors is None else queries[[i, floors[i]]]
        similarity = vectors @ asked.T
        values = similarity[:, 0]
        ci = NO_INTERVAL
        weights = resamples.weights(len(positive), len(negative)) if len(positive) and len(negative) else None
        if weights is not None:
            ci = interval(resampled_auroc(values[truth], values[~truth], weights.pos, weights.neg))
        floor = None if floors is None else auroc(truth, similarity[:, 1])
        scores.append(BatchScore(auroc(truth, values), ci, floor, values))
    return scores
