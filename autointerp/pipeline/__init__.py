"""Explaining and scoring on a store: draw the examples, ask, record; one latent at a time or as a job.

bench = Workbench(store, annotations)
explanation = bench.explain("sae", 12, ExplainOptions())              # not yet stored
annotations.add(explanation)
score, judged = bench.score(explanation, ScoreOptions(scorer="fuzzing"))
annotations.add(score, *judged)

with JobRunner(annotations, job_kinds(bench)) as runner:
    runner.submit(**explain_job("sae", range(100), ExplainOptions(), then=[ScoreOptions()]))
"""

from autointerp.pipeline.bench import Workbench
from autointerp.pipeline.options import (
    EXPLAINERS,
    JUDGED_SCORERS,
    JUDGES,
    NEGATIVES,
    SAMPLINGS,
    SCORERS,
    ExplainOptions,
    LLMOptions,
    ScoreOptions,
)
from autointerp.pipeline.pending import live_latents, shown_explanations, unexplained, unscored
from autointerp.pipeline.preview import Preview
from autointerp.pipeline.worker import Worker

__all__ = [
    "EXPLAINERS",
    "JUDGED_SCORERS",
    "JUDGES",
    "NEGATIVES",
    "SAMPLINGS",
    "SCORERS",
    "ExplainOptions",
    "LLMOptions",
    "Preview",
    "ScoreOptions",
    "Workbench",
    "Worker",
    "live_latents",
    "shown_explanations",
    "unexplained",
    "unscored",
]
