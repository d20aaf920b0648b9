"""What scorers return: immutable records that hold all that is stored about a score. What there is sixty of in a score is a
tuple, which is made several times as fast as a frozen dataclass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from autointerp.sampling import Window

Metric = Literal["balanced_accuracy", "auroc", "correlation"]
Protocol = Literal["ours", "delphi"]
Status = Literal["ok", "failed"]

N_QUANTILES = 10


class Item(NamedTuple):
    """One thing a judge is asked about: a window, whether the right answer is yes (`None` for token-wise scorers), and the
    positions marked when it is shown (`None` when nothing is)."""

    window: Window
    truth: bool | None
    marks: tuple[int, ...] | None = None

    @property
    def key(self) -> tuple[str, bool | None, tuple[int, ...] | None]:
        """The same for the same question about two explanations."""
        return (self.window.id, self.truth, self.marks)


@dataclass(frozen=True)
class Plan:
    """All items of one score in the order they are asked, fixed before any explanation is seen: two explanations judged on
    one plan can be compared example by example."""

    items: tuple[Item, ...]
    latent_max: float
    negatives: str
    seed: int
    protocol: Protocol = "ours"


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
    at all (as opposed to answers that could not be read): nothing is scored then. `retryable`: whether the
    same may work later."""

    verdicts: tuple[Verdict, ...]
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    failure: str | None = None
    retryable: bool = False


class JudgedItem(NamedTuple):
    """One item with its answer, as stored. `i` counts from 0 in the order asked."""

    i: int
    context: int
    start: int
    window: int
    truth: bool | None
    answer: bool | None
    value: float | None
    quantile: int | None
    source: str
    marks: tuple[int, ...] | None = None
    predicted: tuple[float, ...] | None = None
    reply_ref: str | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[int, int, int, bool | None, tuple[int, ...] | None]:
        """The same for the same question about two explanations."""
        return (self.context, self.start, self.window, self.truth, self.marks)

    @property
    def parsed(self) -> bool:
        return self.answer is not None or self.value is not None or self.predicted is not None

    @property
    def correct(self) -> bool | None:
        """`None` when there is nothing to compare."""
        return None if self.truth is None or self.answer is None else self.truth == self.answer


@dataclass(frozen=True)
class ScoreResult:
    """How well one explanation did.

    `value` in the unit of `metric`, `None` when it is not defined or the score failed; `ci_low` to `ci_high` its 95 %
    bootstrap interval over examples, stratified by class, `None` with fewer than two in a class. `auroc`: beside the value
    of detection and fuzzing where the judge grades its answers. `n_pos` and `n_neg`: answered items per class; `unparsed`:
    items whose answer could not be read, in no figure. `tpr_by_quantile[q]`: share of the activating items of quantile q
    answered yes (0 = strongest); `value_by_quantile[q]`: the score itself with only the activating items of q. `floor`: the
    same scorer's value on the same items for a random other explanation, over the `n_floor` of them whose answers could be read
    for it too. Tokens and `cost` (`None` = price unknown) are what
    this run paid, the floor included; replies from a cache are free.
    """

    scorer: str
    judge: str
    metric: Metric
    value: float | None
    protocol: Protocol = "ours"
    negatives: str = "random"
    ci_low: float | None = None
    ci_high: float | None = None
    auroc: float | None = None
    n_pos: int = 0
    n_neg: int = 0
    tpr_by_quantile: tuple[float | None, ...] = ()
    value_by_quantile: tuple[float | None, ...] = ()
    tnr: float | None = None
    unparsed: int = 0
    floor: float | None = None
    n_floor: int | None = None
    model: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    prompt_version: str | None = None
    seed: int | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    duration: float | None = None
    status: Status = "ok"
    error: str | None = None
    retryable: bool = False
    judged: tuple[JudgedItem, ...] = ()

    @property
    def n(self) -> int:
        return self.n_pos + self.n_neg


def judged_items(items: Sequence[Item], verdicts: Sequence[Verdict]) -> tuple[JudgedItem, ...]:
    """Items and their answers, zipped."""
    return tuple(
        JudgedItem(
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


def add_costs(a: float | None, b: float | None) -> float | None:
    """A sum in which one unknown price makes the whole unknown."""
    return None if a is None or b is None else a + b
