"""What a judge is asked about, and what it answers.

What there is sixty of in a score is a tuple, which is made several times as fast as a frozen dataclass."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autointerp.errors import Failure
from autointerp.llm.messages import Usage
from autointerp.records import JudgedExample, Protocol
from autointerp.sampling import Window

NO_NEGATIVES = "none"
"""Recorded as the source of non-activating examples by a scorer that has no use for any."""


class Item(NamedTuple):
    """One thing a judge is asked about: a window, whether the right answer is yes (`None` for token-wise scorers), and the
    positions marked when it is shown (`None` when nothing is)."""

    window: Window
    truth: bool | None
    marks: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """All items of one score in the order they are asked, fixed before any explanation is seen: two explanations judged on
    one plan can be compared example by example. `of`: coder and latent that the items are of, where the model is run."""

    items: tuple[Item, ...]
    latent_max: float
    negatives: str
    seed: int
    protocol: Protocol = "held-out"
    of: tuple[str, int] | None = None


class Verdict(NamedTuple):
    """One answer. `answer` and `value` both `None` and an `error` when it could not be read. `value`: a graded answer where
    larger means yes; `predicted`: one number per token, from simulation."""

    answer: bool | None = None
    value: float | None = None
    predicted: tuple[float, ...] | None = None
    reply_ref: str | None = None
    error: str | None = None

    @property
    def parsed(self) -> bool:
        return self.answer is not None or self.value is not None or self.predicted is not None


@dataclass(frozen=True)
class Verdicts:
    """Answers in the order of the items, and what they cost. `failure` is the cause when the questions could not be asked
    at all (as opposed to answers that could not be read): nothing is scored then. `retryable`: whether asking again may give
    answers where some could not be read."""

    verdicts: tuple[Verdict, ...]
    usage: Usage = field(default_factory=Usage)
    failure: Failure | None = None
    retryable: bool = False


def judged_examples(items: Sequence[Item], verdicts: Sequence[Verdict]) -> tuple[JudgedExample, ...]:
    """Items and their answers, zipped."""
    return tuple(
        JudgedExample(
            i=i,
            context=item.window.example.context,
            start=item.window.example.start,
            window=len(item.window.example.token_ids),
            truth=item.truth,
            answer=verdict.answer,
            value=verdict.value,
            quantile=item.window.example.quantile,
            source=item.window.example.source,
            marks=item.marks,
            predicted=verdict.predicted,
            reply_ref=verdict.reply_ref,
            error=verdict.error,
        )
        for i, (item, verdict) in enumerate(zip(items, verdicts, strict=True))
    )
