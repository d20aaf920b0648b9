"""Scoring: held-out examples and an explanation to a scorer, what comes of it to records; and stored scores side by side."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.llm.errors import BudgetExceeded, Cancelled
from autointerp.pipeline.examples import select_heldout
from autointerp.pipeline.options import KeyGone, ScoreOptions, plan_seed
from autointerp.pipeline.records import score_records, score_result
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.sampling.windows import cut
from autointerp.score import Difference, JudgedItem, ScoreResult, delphi, difference
from autointerp.score.results import Metric
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Explanation, JudgedExample, Score


def score(
    session: Session, explanation: Explanation, options: ScoreOptions
) -> tuple[Score, list[JudgedExample]]:
    """A new score of a stored explanation with its judged examples, not stored yet; failures are records. Raises `Cancelled`,
    `BudgetExceeded` and `KeyGone` only."""
    floor = session.resources.floors.choose(explanation, options)
    try:
        if explanation.status != "ok":
            raise UserError("This version is a failure, not an explanation: there is no text to score.")
        heldout = select_heldout(session.resources, explanation, options)
        result = session.scorer(options).run(
            explanation.text,
            heldout,
            seed=plan_seed(explanation.latent, options),
            floor=floor[1] if floor else None,
        )
    except (Cancelled, BudgetExceeded, KeyGone):
        raise
    except UserError as error:
        result = ScoreResult(
            scorer=options.scorer,
            judge=options.judge_name,
            metric=_METRICS[options.scorer],
            value=None,
            protocol=options.protocol,
            negatives=options.negatives_name,
            seed=options.seed,
            status="failed",
            error=str(error),
        )
    return score_records(result, explanation.id, options.identity(), floor[0] if floor else None)


_METRICS: dict[str, Metric] = {
    "detection": "balanced_accuracy",
    "fuzzing": "balanced_accuracy",
    "embedding": "auroc",
    "surprisal": "auroc",
    "simulation": "correlation",
}


def compare_scores(resources: Resources, first: str, second: str) -> Difference:
    """How much better the second score's explanation did than the first's, on the examples both were asked about. Raises
    UserError when the two cannot be compared."""
    store, annotations = resources.store, resources.annotations
    scores = [annotations.score(id_) for id_ in (first, second)]
    explanations = [annotations.explanation(score.explanation_id) for score in scores]
    coder, latent = explanations[0].coder, explanations[0].latent
    if (coder, latent) != (explanations[1].coder, explanations[1].latent):
        raise UserError("Only scores of the same feature can be compared; these are of two features.")
    results = [score_result(score, annotations.judged(score.id)) for score in scores]
    acts = store.coder(coder).activations(latent)

    def activations(item: JudgedItem) -> NDArray[np.float32]:
        return cut(acts, store.tokens, item.context, item.start, item.start + item.window).activations

    return difference(results[0], results[1], resources.resamples, activations)


def pooled_scores(
    store: Store, annotations: Annotations, coder: str, score_ids: Iterable[str]
) -> tuple[delphi.Pooled, float]:
    """The reference pipeline's summary of scores made by its protocol: all judged examples of these scores of one coder pooled,
    and the mean F1 of its latents weighted by how often each fires. Raises UnknownName."""
    counts = store.coder(coder).table().columns["n_activations"]

    def latents() -> Iterator[tuple[int, Sequence[JudgedItem]]]:
        for id_ in ids:
            score = annotations.score(id_)
            latent = annotations.explanation(score.explanation_id).latent
            yield int(counts[latent]), score_result(score, annotations.judged(id_)).judged

    ids = list(score_ids)
    pooled = delphi.pooled(item for _, judged in latents() for item in judged)
    return pooled, delphi.frequency_weighted_f1(latents())
