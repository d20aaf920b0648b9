"""A scorer and an explainer that only tests know: what a newcomer writes, a module with a way to build each."""

from typing import Any, ClassVar

from autointerp.explain.pattern import PatternExplainer
from autointerp.explain.registry import N_CONTRAST, N_EXAMPLES, SEED, ExplainerEntry
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.records import Explanation, Metric
from autointerp.registry import Option
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan, Verdict, Verdicts
from autointerp.score.registry import N_EXAMPLES as N_ACTIVATING
from autointerp.score.registry import N_NEGATIVES, NEGATIVES, ScorerEntry
from autointerp.score.resources import Resources
from autointerp.score.scorer import Heldout, Scorer, simple_plan


class LengthScorer(Scorer):
    """Longer texts are likelier to be activating."""

    name: ClassVar[str] = "length"
    metric: ClassVar[Metric] = "auroc"
    judge_name = "ruler"

    def __init__(self, power: int, **more: Any):
        super().__init__(**more)
        self.power = power

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return simple_plan(heldout, seed)

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        return Verdicts(
            tuple(Verdict(value=float(len(item.window.text) ** self.power)) for item in plan.items)
        )


def build_scorer(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Scorer:
    return LengthScorer(options.value("power"), resamples=resources.resamples)


class EchoExplainer(PatternExplainer):
    """Says what pattern says."""


POWER = Option(
    name="power", label="Power", help="Exponent of the length", default=1, kind=int, minimum=1, maximum=3
)
LENGTH = ScorerEntry(
    name="length",
    label="Length",
    help="Longer texts score higher",
    metric="auroc",
    answered_by="ruler",
    needs=frozenset({"negatives"}),
    options=(N_ACTIVATING, N_NEGATIVES, NEGATIVES, POWER),
    build="tests.cli.toys:build_scorer",
)
RHYME = ScorerEntry(
    name="rhyme",
    label="Rhyme",
    help="Verses are written from the explanation",
    metric="balanced_accuracy",
    answered_by="poet",
    options=(),
    written=True,
    build="tests.cli.toys:build_scorer",
)
"""One that judges texts written for it, by a metric that others have too. No test builds it."""
ECHO = ExplainerEntry(
    name="echo",
    label="Echo",
    help="Says what pattern says",
    needs=frozenset({"negatives"}),
    options=(N_EXAMPLES, N_CONTRAST, SEED),
    build="tests.cli.toys:EchoExplainer",
)
