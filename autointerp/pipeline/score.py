"""Scoring: held-out examples and an explanation to a scorer, what comes of it to records; and stored scores side by side."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import Failure, UserError
from autointerp.llm.errors import BudgetExceeded, Cancelled
from autointerp.pipeline.examples import select_heldout
from autointerp.pipeline.keys import KeyGone
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.sampling.windows import cut
from autointerp.score import delphi
from autointerp.score.compare import Difference, difference
from autointerp.score.options import ScoreOptions, plan_seed, recorded_negatives
from autointerp.store import Store
from autointerp.store.annotations import Annotations


def score(session: Session, explanation: Explanation, options: ScoreOptions) -> Score:
    """A new score of a stored explanation with its judged examples, not stored yet; a failure is a record too. Raises
    `Cancelled`, `BudgetExceeded` and `KeyGone` only."""
    floor = session.resources.floors.choose(explanation, options)
    try:
        heldout = select_heldout(session.resources, explanation, options)
        seed = plan_seed(explanation.latent, options)
        made = session.scorer(options).run(explanation, heldout, seed=seed, floor=floor)
    except (Cancelled, BudgetExceeded, KeyGone):
        raise
    except UserError as error:
        made = Score(
            explanation_id=explanation.id,
            scorer=options.scorer,
            judge=options.judge_name,
            metric=options.entry.metric,
            value=None,
            protocol=options.protocol,
            negatives=options.negatives_name,
            seed=options.seed,
            cost=0.0,
            status="failed",
            **Failure.of(error)._asdict(),
            judged=(),
        )
    info = session.resources.store.coder(explanation.coder).info
    negatives = recorded_negatives(made.negatives, info)
    return replace(made, config=options.identity(), negatives=negatives)


def compare_scores(resources: Resources, first: str, second: str) -> Difference:
    """How much better the second score's explanation did than the first's, on the examples both were asked about. Raises
    UserError when the two cannot be compared."""
    store, annotations = resources.store, resources.annotations
    scores = [annotations.score(id_) for id_ in (first, second)]
    explanations = [annotations.explanation(score.explanation_id) for score in scores]
    coder, latent = explanations[0].coder, explanations[0].latent
    if (coder, latent) != (explanations[1].coder, explanations[1].latent):
        raise UserError("Only scores of the same feature can be compared; these are of two features.")
    scores = [replace(score, judged=annotations.judged(score.id)) for score in scores]
    acts = store.coder(coder).activations(latent)

    def activations(item: JudgedExample) -> NDArray[np.float32]:
        return cut(acts, store.tokens, item.context, item.start, item.start + item.window).activations

    return difference(scores[0], scores[1], resources.resamples, activations)


def pooled_scores(
    store: Store, annotations: Annotations, coder: str, score_ids: Iterable[str]
) -> tuple[delphi.Pooled, float]:
    """delphi's summary of scores made by its protocol: all judged examples of these scores of one coder pooled,
    and the mean F1 of its latents weighted by how often each fires. Raises UnknownName."""
    counts = store.coder(coder).table().columns["n_activations"]

    def latents() -> Iterator[tuple[int, Sequence[JudgedExample]]]:
        for id_ in ids:
            latent = annotations.explanation(annotations.score(id_).explanation_id).latent
            yield int(counts[latent]), annotations.judged(id_)

    ids = list(score_ids)
    pooled = delphi.pooled(item for _, judged in latents() for item in judged)
    return pooled, delphi.frequency_weighted_f1(latents())
