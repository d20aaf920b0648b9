"""Explaining and scoring on a store: draw the examples, ask, record; one latent at a time or as a job.

bench = Workbench(store, annotations)
explanation = bench.explain("sae", 12, ExplainOptions())              # not yet stored
annotations.add(explanation)
score, judged = bench.score(explanation, ScoreOptions(scorer="fuzzing"))
annotations.add(score, *judged)

with JobRunner(annotations, job_kinds(bench)) as runner:
    runner.submit(**explain_job("sae", range(100), ExplainOptions(), then=[ScoreOptions()]))
"""

from autointerp.runs.bench import Workbench
from autointerp.runs.kinds import (
    embed_explanations_job,
    embed_job,
    explain_job,
    job_kinds,
    score_job,
)
from autointerp.runs.options import (
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
from autointerp.runs.pending import live_latents, shown_explanations, unexplained, unscored
from autointerp.runs.preview import Preview
from autointerp.runs.worker import Worker

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
    "embed_explanations_job",
    "embed_job",
    "explain_job",
    "job_kinds",
    "live_latents",
    "score_job",
    "shown_explanations",
    "unexplained",
    "unscored",
]
