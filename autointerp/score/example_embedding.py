"""Example embedding: are the texts on which the latent fires nearer to each other than to others? No explanation is read."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.records import Explanation, Metric, Score
from autointerp.score.metrics import mean_by_quantile, midranks
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan, Verdict, judged_examples
from autointerp.score.resampling import NO_INTERVAL, Interval, Resamples, interval, spread_out
from autointerp.score.resources import Embedder, Resources
from autointerp.score.scorer import Heldout, Scorer, simple_plan, undefined
from autointerp.score.summary import Summary
from autointerp.types import N_QUANTILES

Float = NDArray[np.float64]


class ExampleEmbedding(Scorer):
    """The mean AUROC, over activating windows as queries, of the cosine between query and window, other activating windows
    against non-activating ones: the share of triplets (query, activating, non-activating) in which the activating window is
    nearer to the query. Chance is 0.5.

    Of each window the judged example holds Δ, its mean cosine with the activating windows less that with the non-activating
    ones, itself left out. The interval resamples the windows of both classes.

    Source: `example_embedding` of delphi (arXiv 2507.08473), whose two figures are the means of Δ over the windows of each
    class, from a few at random; here every window is a query, and all others are its examples.
    """

    name: ClassVar[str] = "example_embedding"
    metric: ClassVar[Metric] = "triplet_auroc"
    judge_name = "embedder"

    def __init__(self, embedder: Embedder, *, resamples: Resamples | None = None):
        super().__init__(resamples=resamples)
        self.embedder = embedder
        self.model = embedder.name

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return simple_plan(heldout, seed)

    def score(self, explanation: Explanation, plan: Plan, *, floor: Explanation | None = None) -> Score:
        """`floor` is not used: another explanation would change nothing."""
        started = time.perf_counter()
        problem = self._problem(explanation, plan)
        if problem:
            return self._record(explanation, plan, Summary(), problem)
        vectors = self.embedder.embed_windows(plan.items).astype(np.float64)
        finite = np.asarray(np.isfinite(vectors).all(axis=1))
        truth = np.array([bool(item.truth) for item in plan.items])
        quantile = [item.window.example.quantile for item in plan.items]
        kept = np.flatnonzero(finite)
        delta = np.full(len(truth), np.nan)
        delta[kept] = deltas(vectors[kept], truth[kept])
        verdicts = [
            Verdict(value=float(value)) if np.isfinite(value) else Verdict(error=_NO_VALUE[bool(is_finite)])
            for value, is_finite in zip(delta, finite, strict=True)
        ]
        judged = judged_examples(plan.items, verdicts)
        positive, negative = finite & truth, finite & ~truth
        n_pos, n_neg = int(positive.sum()), int(negative.sum())
        summary = Summary(n_pos=n_pos, n_neg=n_neg, unparsed=int((~finite).sum()))
        if n_pos > 1 and n_neg:
            won = triplets(vectors[positive], vectors[negative])
            ci = won.interval(self.resamples)
            by_quantile = mean_by_quantile(
                [q for q, kept in zip(quantile, positive, strict=True) if kept],
                won.of_query.tolist(),
                N_QUANTILES,
            )
            summary = Summary(
                won.value, ci.low, ci.high, None, n_pos, n_neg, (), by_quantile, None, summary.unparsed
            )
        failure = undefined(summary, judged, False)
        return self._record(explanation, plan, summary, failure, started=started, judged=judged)


_NO_VALUE = {False: "the embedding is not finite", True: "there is no other window of its class"}


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> ExampleEmbedding:
    """Raises UserError."""
    return ExampleEmbedding(resources.embedder(options.embedder), resamples=resources.resamples)


def deltas(vectors: Float, truth: NDArray[np.bool_]) -> Float:
    """Of each window, Float64[ndarray, " n"], its mean cosine with the activating ones (`truth`) less that with the others,
    itself left out; NaN where none is left. `vectors`: of unit length, Float64[ndarray, "n d"]."""
    means = []
    itself = (vectors * vectors).sum(axis=1)
    for of_class in (truth, ~truth):
        n = of_class.sum() - of_class
        total = vectors @ vectors[of_class].sum(axis=0) - np.where(of_class, itself, 0.0)
        means.append(np.where(n > 0, total / np.maximum(n, 1), np.nan))
    return means[0] - means[1]


@dataclass(frozen=True)
class Triplets:
    """Shares of the triplets that the activating window wins, ties counting half: of each activating window as the query, of
    each as the one compared, and against each non-activating one. Each has the mean `value`."""

    of_query: Float
    of_example: Float
    of_negative: Float

    @property
    def value(self) -> float:
        return float(self.of_query.mean())

    def interval(self, resamples: Resamples) -> Interval:
        """Of the value when both classes are resampled: the value is a mean over triplets, and what each window contributes to
        it, in its two or its one part, is added up (Hoeffding's projection)."""
        n_pos, n_neg = len(self.of_query), len(self.of_negative)
        weights = resamples.weights(n_pos, n_neg)
        if weights is None:
            return NO_INTERVAL
        by_positive = weights.pos @ (self.of_query + self.of_example - 2 * self.value) / n_pos
        by_negative = weights.neg @ (self.of_negative - self.value) / n_neg
        resampled = np.clip(self.value + by_positive + by_negative, 0.0, 1.0)
        return interval(spread_out(resampled, min(n_pos, n_neg), weights.chance_pos), around=self.value)


def triplets(positive: Float, negative: Float) -> Triplets:
    """From vectors of unit length of both classes, Float64[ndarray, "n_pos d"] and Float64[ndarray, "n_neg d"]; at least two
    and one."""
    n_pos, n_neg = len(positive), len(negative)
    of_query, of_example, of_negative = np.zeros(n_pos), np.zeros(n_pos), np.zeros(n_neg)
    both = np.concatenate([positive, negative])
    for query in range(
        n_pos
    ):  # one after the other: n_pos * n_pos * n_neg triplets would not fit for large n
        cosine = np.delete(both @ positive[query], query)
        near, far = cosine[: n_pos - 1], cosine[n_pos - 1 :]
        ranks = midranks(cosine)
        below = ranks[: n_pos - 1] - midranks(near)  # non-activating windows less near than each, ties half
        above = ranks[n_pos - 1 :] - midranks(far)
        of_query[query] = below.mean() / n_neg
        of_example += np.insert(below / n_neg, query, 0.0)
        of_negative += 1 - above / (n_pos - 1)
    return Triplets(of_query, of_example / (n_pos - 1), of_negative / n_pos)
