"""Intruder: do the texts on which the latent fires have in common what another has not? No explanation is read."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.records import Explanation, Metric
from autointerp.sampling import MARK_SHARE, Window, marks_above
from autointerp.score.classify import random_marks, shown
from autointerp.score.judges.base import Shown
from autointerp.score.judges.odd_one_out import LLMOddOneOut, OddOneOut, OfflineOddOneOut
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Item, Plan, Verdicts
from autointerp.score.registry import N_TEXTS
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Resources
from autointerp.score.scorer import Heldout, Scorer, shuffled


class Intruder(Scorer):
    """The share of questions in which a judge finds the one of `N_TEXTS` texts on which the latent does not fire. In the
    others, of one decile, the tokens are marked that have at least 0.3 of the window's largest activation; in the intruder,
    runs as many and as long at random places. No window is in two questions. Chance is one in `N_TEXTS`.

    Where a decile has too few windows left, those of neighbouring deciles are shown together; such a question counts for no
    decile. The judged examples are all texts of all questions in the order shown: what is to be said is whether each is the
    intruder.

    Source: `intruder` of delphi (arXiv 2507.08473), where a window may be in several questions.
    """

    name: ClassVar[str] = "intruder"
    metric: ClassVar[Metric] = "intruder_accuracy"

    def __init__(self, judge: OddOneOut, *, resamples: Resamples | None = None):
        super().__init__(resamples=resamples)
        self.judge = judge
        self.judge_name = judge.name
        self.model = judge.model
        self.prompt_version = judge.prompt_version

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        rng = np.random.default_rng(seed)
        groups = _groups(heldout.activating, rng)
        intruders = heldout.non_activating
        items: list[Item] = []
        for group, i in zip(groups, rng.permutation(len(intruders)), strict=False):
            right = [
                Item(window, False, marks_above(window.example.activations, MARK_SHARE)) for window in group
            ]
            like = right[rng.integers(len(right))].marks or ()
            marks = random_marks(like, intruders[i], rng, same_places=heldout.centred)
            if marks:  # a window that fires on every token has no wrong place
                items += shuffled([*right, Item(intruders[i], True, marks)], rng)
        return Plan(tuple(items), heldout.latent_max, heldout.negatives, seed)

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        return self.judge.pick(_questions(plan))

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        return self.judge.requests(_questions(plan))


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Intruder:
    """Raises UserError."""
    judge: OddOneOut
    if options.judge == "offline":
        judge = OfflineOddOneOut(resources.offline_judge(options.window))
    else:
        assert client is not None
        judge = LLMOddOneOut(client, cancel=cancel)
    return Intruder(judge, resamples=resources.resamples)


def _questions(plan: Plan) -> list[list[Shown]]:
    texts = shown(plan.items)
    return [texts[i : i + N_TEXTS] for i in range(0, len(texts), N_TEXTS)]


def _groups(windows: Sequence[Window], rng: np.random.Generator) -> list[list[Window]]:
    """The activating windows of each question, in random order: of one decile as far as they go, then of neighbouring ones."""
    size = N_TEXTS - 1
    whole: list[list[Window]] = []
    rest: list[Window] = []
    for quantile in sorted({window.example.quantile or 0 for window in windows}):
        alike = [window for window in windows if (window.example.quantile or 0) == quantile]
        alike = [alike[i] for i in rng.permutation(len(alike))]
        n = len(alike) // size * size
        whole += [alike[i : i + size] for i in range(0, n, size)]
        rest += alike[n:]
    whole += [rest[i : i + size] for i in range(0, len(rest) // size * size, size)]
    return [whole[i] for i in rng.permutation(len(whole))]
