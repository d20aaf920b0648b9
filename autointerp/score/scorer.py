"""What every scorer does: plan, ask, count. A scorer differs in how it plans and whom it asks."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import Failure
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.records import Explanation, JudgedExample, Metric, Score
from autointerp.sampling import Window
from autointerp.score.compare import paired
from autointerp.score.plan import Item, Plan, Verdicts, judged_examples
from autointerp.score.resampling import Resamples
from autointerp.score.summary import Summary, summarise, value_of


@dataclass(frozen=True)
class Heldout:
    """Held-out examples of one latent: none of them may have been shown to the explainer.

    `latent_max` is the latent's largest activation in the corpus. `negatives`: where the non-activating ones come from
    ("random", "neighbours", "random+neighbours", ...). `centred`: the strongest token of the activating ones stands at one and
    the same place. `of`: coder and latent, for scorers that run the model.
    """

    activating: Sequence[Window]
    non_activating: Sequence[Window]
    latent_max: float
    negatives: str = "random"
    centred: bool = False
    of: tuple[str, int] | None = None


class Floored(NamedTuple):
    """What a score says of its floor; fields as in `autointerp.records.Score`."""

    floor: float | None
    n_floor: int | None
    above_low: float | None
    above_high: float | None


NO_FLOOR = Floored(None, None, None, None)


class Scorer(ABC):
    """Scores explanations. Use `run` for one explanation; `plan` and `score` apart to judge several on the same items.

    `judge_name`: who answers, as recorded and shown with the score; `model` and `prompt_version`: what it is asked with, if
    anything.
    """

    name: ClassVar[str]
    metric: ClassVar[Metric]
    needs_negatives: ClassVar[bool] = True
    judge_name: str
    model: str | None = None
    prompt_version: str | None = None

    def __init__(self, *, resamples: Resamples | None = None):
        self.resamples = resamples or Resamples()

    @abstractmethod
    def plan(self, heldout: Heldout, seed: int) -> Plan:
        """The items in the order they are asked."""

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        """One verdict per item. The truth of the items is not for the judge. A scorer that asks nobody has no use for it and
        overrides `score` instead, as embedding does; a new one must do either, or override `answers`."""
        raise NotImplementedError(f"{type(self).__name__} overrides none of `answer`, `answers` and `score`")

    def answers(self, explanations: Sequence[Explanation], plan: Plan) -> Iterator[Verdicts]:
        """Of several explanations on the same items, one after the other: what is not taken is not asked for. To be overridden
        where they can share work."""
        return (self.answer(explanation, plan) for explanation in explanations)

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        """What judging `explanations` one after the other would send to a language model, to show or to estimate; empty where
        none is asked. `kept` gives the replies that there are already."""
        return []

    def run(
        self, explanation: Explanation, heldout: Heldout, *, seed: int, floor: Explanation | None = None
    ) -> Score:
        """Plan with `seed` and score. `floor`: a random other explanation, judged on the same items."""
        return self.score(explanation, self.plan(heldout, seed), floor=floor)

    def score(self, explanation: Explanation, plan: Plan, *, floor: Explanation | None = None) -> Score:
        """Judge `explanation` on the items of `plan`. A failure is a record with status "failed" and its cause;
        only a cancel and the end of the budget are raised."""
        started = time.perf_counter()
        problem = self._problem(explanation, plan)
        if problem:
            return self._record(explanation, plan, Summary(), problem)
        asked = [explanation] if floor is None or not floor.text.strip() else [explanation, floor]
        answering = self.answers(asked, plan)
        answers, other = next(answering), None
        in_vain = answers.failure is not None or not any(verdict.parsed for verdict in answers.verdicts)
        if not in_vain:  # else asking would be paid for nothing
            other = next(answering, None)
        judged = judged_examples(plan.items, answers.verdicts)
        summary = summarise(self.metric, plan.items, judged, self.resamples)
        failure = answers.failure or undefined(summary, judged, answers.retryable)
        if failure is None and other is not None and other.failure is not None:
            # A score without the floor that was asked for would look complete; its own answers are kept and free next time.
            failure = of_the_floor(other.failure)
        floored = self._floor(plan, judged, other) if failure is None and other is not None else NO_FLOOR
        return self._record(
            explanation,
            plan,
            summary,
            failure,
            floor=floor,
            floored=floored,
            usage=answers.usage if other is None else answers.usage + other.usage,
            started=started,
            judged=judged,
        )

    def _floor(self, plan: Plan, judged: Sequence[JudgedExample], other: Verdicts) -> Floored:
        """Of the items that the value is made of, those that `other` could be read on too."""
        floors = judged_examples(plan.items, other.verdicts)
        pairs = [
            (floor, own) for floor, own in zip(floors, judged, strict=True) if own.parsed and floor.parsed
        ]
        items = [plan.items[own.i] for _, own in pairs]
        value = value_of(self.metric, items, [other.verdicts[own.i] for _, own in pairs])

        def activations(example: JudgedExample) -> NDArray[np.float32]:
            return plan.items[example.i].window.example.activations

        _, above, _ = paired(self.metric, pairs, self.resamples, activations)
        return Floored(value, len(pairs), *above)

    def _problem(self, explanation: Explanation, plan: Plan) -> Failure | None:
        if (problem := without_text(explanation)) is not None:
            return problem
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
        summary: Summary,
        failure: Failure | None,
        *,
        floor: Explanation | None = None,
        floored: Floored = NO_FLOOR,
        usage: Usage | None = None,
        started: float | None = None,
        judged: tuple[JudgedExample, ...] = (),
    ) -> Score:
        """A failure has no figures but counts."""
        usage = usage or Usage()
        if failure is not None:
            summary = Summary(n_pos=summary.n_pos, n_neg=summary.n_neg, unparsed=summary.unparsed)
        return Score(
            explanation_id=explanation.id,
            scorer=self.name,
            judge=self.judge_name,
            metric=self.metric,
            protocol=plan.protocol,
            negatives=plan.negatives,
            model=self.model,
            prompt_version=self.prompt_version,
            seed=plan.seed,
            floor_explanation_id=floor.id if floor is not None and floored.floor is not None else None,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            cost=usage.cost,
            duration=None if started is None else time.perf_counter() - started,
            judged=judged,
            **floored._asdict(),
            **vars(summary),
            **({} if failure is None else {"status": "failed", **failure._asdict()}),
        )


def without_text(explanation: Explanation) -> Failure | None:
    """What keeps it from being scored, where that is its text."""
    if explanation.status != "ok":
        return Failure("This version is a failure, not an explanation: there is no text to score.", "no_text")
    if not explanation.text.strip():
        return Failure("There is no explanation to score: its text is empty.", "no_text")
    return None


def of_the_floor(failure: Failure) -> Failure:
    """A failure that the explanation is not to blame for."""
    return failure._replace(error=f"{failure.error} (asked about the floor's explanation)")


def shuffled(items: Sequence[Item], rng: np.random.Generator) -> tuple[Item, ...]:
    """The items in random order, so that nothing can be told from the place of a question."""
    return tuple(items[i] for i in rng.permutation(len(items)))


def simple_plan(heldout: Heldout, seed: int) -> Plan:
    """Every held-out window once, unmarked, in random order."""
    items = [Item(window, True) for window in heldout.activating]
    items += [Item(window, False) for window in heldout.non_activating]
    order = np.random.default_rng(seed)
    return Plan(shuffled(items, order), heldout.latent_max, heldout.negatives, seed)


def undefined(summary: Summary, judged: Sequence[JudgedExample], retryable: bool) -> Failure | None:
    """Why there is no value, if there is none. `retryable`: whether asking again may give answers that can be read."""
    if summary.value is not None:
        return None
    if not summary.unparsed:
        return Failure(
            "The score is not defined on these examples: the answers or the activations do not vary.",
            "undefined",
        )
    cause = next((f" First cause: {example.error}" for example in judged if example.error), "")
    asked = summary.n_pos + summary.n_neg + summary.unparsed
    return Failure(
        f"{summary.unparsed} of {asked} answers could not be read, and the rest are not enough for a score.{cause}",
        "unparsed",
        retryable,
    )
