"""What every scorer does: plan, ask, count. A scorer differs in how it plans and whom it asks."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from autointerp.sampling import Window
from autointerp.score.resampling import Resamples
from autointerp.score.results import (
    Item,
    Metric,
    Plan,
    Protocol,
    ScoreResult,
    Status,
    Verdicts,
    add_costs,
    judged_items,
)
from autointerp.score.summary import summarise, value_of

_BOOTSTRAP_SEED = 20241017


@dataclass(frozen=True)
class Heldout:
    """Held-out examples of one latent: none of them may have been shown to the explainer.

    `latent_max` is the latent's largest activation in the corpus. `negatives`: where the non-activating ones come from, told
    from the examples when not given ("random", "neighbours", "random+neighbours", ...). `centred`: the strongest token of the
    activating ones stands at one and the same place.
    """

    activating: Sequence[Window]
    non_activating: Sequence[Window]
    latent_max: float
    negatives: str = ""
    centred: bool = False

    @property
    def negatives_source(self) -> str:
        if self.negatives:
            return self.negatives
        sources = sorted({window.example.source for window in self.non_activating})
        return "+".join(sources) or "none"


class Scorer(ABC):
    """Scores explanations. Use `run` for one explanation; `plan` and `score` apart to judge several on the same items."""

    name: ClassVar[str]
    metric: ClassVar[Metric]
    needs_negatives: ClassVar[bool] = True

    def __init__(self, *, resamples: Resamples | None = None):
        self.resamples = resamples or Resamples(_BOOTSTRAP_SEED)

    @property
    @abstractmethod
    def judge_name(self) -> str:
        """Who answers, as recorded and shown with the score."""

    @property
    def model(self) -> str | None:
        return None

    @property
    def prompt_version(self) -> str | None:
        return None

    @property
    def config(self) -> Mapping[str, Any]:
        """Every choice that shapes the score, JSON-ready."""
        return {}

    @property
    def protocol(self) -> Protocol:
        return "ours"

    @abstractmethod
    def plan(self, heldout: Heldout, rng: np.random.Generator) -> Plan:
        """The items in the order they are asked."""

    @abstractmethod
    def answer(self, explanation: str, plan: Plan) -> Verdicts:
        """One verdict per item. The truth of the items is not for the judge."""

    def answers(self, explanation: str, floor: str | None, plan: Plan) -> tuple[Verdicts, Verdicts | None]:
        """The verdicts on `explanation`, and on `floor` where there is one and any of the first could be read: else there is
        nothing to hold against it, and asking would be paid for nothing."""
        found = self.answer(explanation, plan)
        in_vain = found.failure is not None or not any(one.parsed for one in found.verdicts)
        return found, None if floor is None or in_vain else self.answer(floor, plan)

    def run(self, explanation: str, heldout: Heldout, *, seed: int, floor: str | None = None) -> ScoreResult:
        """Plan with `seed` and score. `floor`: a random other explanation, judged on the same items."""
        plan = self.plan(heldout, np.random.default_rng(seed))
        if plan.protocol == "ours":  # delphi's seeds are its own
            plan = replace(plan, seed=seed)
        return self.score(explanation, plan, floor=floor)

    def score(self, explanation: str, plan: Plan, *, floor: str | None = None) -> ScoreResult:
        """Judge `explanation` on the items of `plan`. A failure is a result with status "failed" and its cause;
        only a cancel and the end of the budget are raised."""
        started = time.perf_counter()
        problem = self._problem(explanation, plan)
        if problem:
            return self._result(plan, status="failed", error=problem)
        answers, other = self.answers(explanation, floor if floor and floor.strip() else None, plan)
        judged = judged_items(plan.items, answers.verdicts)
        summary = summarise(self.metric, plan.items, judged, self.resamples)
        error = answers.failure or (None if summary.value is not None else _undefined(judged))
        if error is None and other is not None and other.failure is not None:
            # A score without the floor that was asked for would look complete; its own answers are kept and free next time.
            error = f"{other.failure} (asked about the floor's explanation)"
        ok = error is None
        floored, n_floor = self._floor(plan, answers, other) if ok and other is not None else (None, None)
        return self._result(
            plan,
            value=summary.value if ok else None,
            ci_low=summary.ci.low if ok else None,
            ci_high=summary.ci.high if ok else None,
            auroc=summary.auroc if ok else None,
            n_pos=summary.n_pos,
            n_neg=summary.n_neg,
            tpr_by_quantile=summary.tpr_by_quantile if ok else (),
            value_by_quantile=summary.value_by_quantile if ok else (),
            tnr=summary.tnr if ok else None,
            unparsed=summary.unparsed,
            floor=floored,
            n_floor=n_floor,
            tokens_in=answers.tokens_in + (other.tokens_in if other else 0),
            tokens_out=answers.tokens_out + (other.tokens_out if other else 0),
            cost=add_costs(answers.cost, other.cost if other else 0.0),
            duration=time.perf_counter() - started,
            status="ok" if ok else "failed",
            error=error,
            retryable=answers.retryable or (other is not None and other.retryable),
            judged=judged,
        )

    def _floor(self, plan: Plan, answers: Verdicts, other: Verdicts) -> tuple[float | None, int]:
        """The floor and how many items it stands on: of those that the value is made of, the ones that `other` could be read
        on too."""
        kept = [i for i, one in enumerate(answers.verdicts) if one.parsed and other.verdicts[i].parsed]
        return value_of(self.metric, [plan.items[i] for i in kept], [other.verdicts[i] for i in kept]), len(
            kept
        )

    def _problem(self, explanation: str, plan: Plan) -> str | None:
        if not explanation.strip():
            return "There is no explanation to score: its text is empty."
        activating = sum(item.window.example.max_activation > 0 for item in plan.items)
        if not activating:
            return "There are no held-out activating examples to score on: the latent fires too rarely in this corpus."
        if self.needs_negatives and len({item.truth for item in plan.items}) < 2:
            return "There are no non-activating examples to score against. Ask for some, or choose another source of them."
        return None

    def _result(
        self, plan: Plan, *, value: float | None = None, status: Status = "ok", **fields: Any
    ) -> ScoreResult:
        return ScoreResult(
            scorer=self.name,
            judge=self.judge_name,
            metric=self.metric,
            value=value,
            protocol=plan.protocol,
            negatives=plan.negatives,
            model=self.model,
            config=dict(self.config),
            prompt_version=self.prompt_version,
            seed=plan.seed,
            status=status,
            **fields,
        )


def shuffled(items: Sequence[Item], rng: np.random.Generator) -> tuple[Item, ...]:
    """The items in random order, so that nothing can be told from the place of a question."""
    return tuple(items[i] for i in rng.permutation(len(items)))


def simple_plan(heldout: Heldout, rng: np.random.Generator) -> Plan:
    """Every held-out window once, unmarked, in random order."""
    items = [Item(window, True) for window in heldout.activating]
    items += [Item(window, False) for window in heldout.non_activating]
    return Plan(shuffled(items, rng), heldout.latent_max, heldout.negatives_source, seed=-1)


def _undefined(judged: Sequence[Any]) -> str:
    unread = sum(not one.parsed for one in judged)
    if unread:
        causes = [one.error for one in judged if one.error]
        cause = f" First cause: {causes[0]}" if causes else ""
        return (
            f"{unread} of {len(judged)} answers could not be read, and the rest do not make a score.{cause}"
        )
    return "The score is not defined on these examples: the answers or the activations do not vary."
