"""What every scorer does: plan, ask, count. A scorer differs in how it plans and whom it asks."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from autointerp.errors import Failure
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.records import Explanation, JudgedExample, Metric, Protocol, Score
from autointerp.sampling import Window
from autointerp.score.plan import Item, Plan, Verdicts, judged_examples
from autointerp.score.resampling import Resamples
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
        return "held-out"

    @abstractmethod
    def plan(self, heldout: Heldout, rng: np.random.Generator) -> Plan:
        """The items in the order they are asked."""

    @abstractmethod
    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        """One verdict per item. The truth of the items is not for the judge."""

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        """What judging `explanations` one after the other would send to a language model, to show or to estimate; empty where
        none is asked. `kept` gives the replies that there are already."""
        return []

    def answers(
        self, explanation: Explanation, floor: Explanation | None, plan: Plan
    ) -> tuple[Verdicts, Verdicts | None]:
        """The verdicts on `explanation`, and on `floor` where there is one and any of the first could be read: else there is
        nothing to hold against it, and asking would be paid for nothing."""
        answers = self.answer(explanation, plan)
        in_vain = answers.failure is not None or not any(verdict.parsed for verdict in answers.verdicts)
        return answers, None if floor is None or in_vain else self.answer(floor, plan)

    def run(
        self, explanation: Explanation, heldout: Heldout, *, seed: int, floor: Explanation | None = None
    ) -> Score:
        """Plan with `seed` and score. `floor`: a random other explanation, judged on the same items."""
        plan = self.plan(heldout, np.random.default_rng(seed))
        if plan.protocol == "held-out":  # delphi's seeds are its own
            plan = replace(plan, seed=seed)
        return self.score(explanation, plan, floor=floor)

    def score(self, explanation: Explanation, plan: Plan, *, floor: Explanation | None = None) -> Score:
        """Judge `explanation` on the items of `plan`. A failure is a record with status "failed" and its cause;
        only a cancel and the end of the budget are raised."""
        started = time.perf_counter()
        problem = self._problem(explanation, plan)
        if problem:
            return self._record(explanation, plan, status="failed", **problem._asdict(), judged=())
        against = floor if floor is not None and floor.text.strip() else None
        answers, other = self.answers(explanation, against, plan)
        judged = judged_examples(plan.items, answers.verdicts)
        summary = summarise(self.metric, plan.items, judged, self.resamples)
        failure = answers.failure or (
            None if summary.value is not None else _undefined(judged, answers.retryable)
        )
        if failure is None and other is not None and other.failure is not None:
            # A score without the floor that was asked for would look complete; its own answers are kept and free next time.
            failure = other.failure._replace(
                error=f"{other.failure.error} (asked about the floor's explanation)"
            )
        ok = failure is None
        usage = answers.usage if other is None else answers.usage + other.usage
        floored, n_floor = self._floor(plan, answers, other) if ok and other is not None else (None, None)
        return self._record(
            explanation,
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
            floor_explanation_id=floor.id if floor is not None and floored is not None else None,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            cost=usage.cost,
            duration=time.perf_counter() - started,
            judged=judged,
            **({} if failure is None else {"status": "failed", **failure._asdict()}),
        )

    def _floor(self, plan: Plan, answers: Verdicts, other: Verdicts) -> tuple[float | None, int]:
        """The floor and how many items it stands on: of those that the value is made of, the ones that `other` could be read
        on too."""
        pairs = zip(answers.verdicts, other.verdicts, strict=True)
        kept = [i for i, (verdict, floor) in enumerate(pairs) if verdict.parsed and floor.parsed]
        return value_of(self.metric, [plan.items[i] for i in kept], [other.verdicts[i] for i in kept]), len(
            kept
        )

    def _problem(self, explanation: Explanation, plan: Plan) -> Failure | None:
        if explanation.status != "ok":
            return Failure(
                "This version is a failure, not an explanation: there is no text to score.", "no_text"
            )
        if not explanation.text.strip():
            return Failure("There is no explanation to score: its text is empty.", "no_text")
        activating = sum(item.window.example.max_activation > 0 for item in plan.items)
        if not activating:
            return Failure(
                "There are no held-out activating examples to score on: the latent fires too rarely in this corpus.",
                "no_examples",
            )
        if self.needs_negatives and len({item.truth for item in plan.items}) < 2:
            return Failure(
                "There are no non-activating examples to score against. Ask for some, or choose another source of them.",
                "no_negatives",
            )
        return None

    def _record(
        self,
        explanation: Explanation,
        plan: Plan,
        *,
        value: float | None = None,
        cost: float | None = 0.0,
        **fields: Any,
    ) -> Score:
        return Score(
            explanation_id=explanation.id,
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
            cost=cost,
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


def _undefined(judged: Sequence[JudgedExample], retryable: bool) -> Failure:
    unread = sum(not example.parsed for example in judged)
    if not unread:
        return Failure(
            "The score is not defined on these examples: the answers or the activations do not vary.",
            "undefined",
        )
    cause = next((f" First cause: {example.error}" for example in judged if example.error), "")
    return Failure(
        f"{unread} of {len(judged)} answers could not be read, and the rest do not make a score.{cause}",
        "unparsed",
        retryable,
    )
