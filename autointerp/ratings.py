"""Audits, and what people answered in them: typed, frozen, made once and never changed.

An `Audit` says what people are asked: items drawn from a population of explanations by strata, with controls mixed in. A
`Rating` is one person's answer to one task about one item. A changed mind is a new rating that `revises` the old one; nothing
is overwritten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Literal, NamedTuple, get_args

from autointerp.errors import UnknownName, UserError, check_length
from autointerp.records import JudgedExample, config_hash, new_id, now

Verdict = Literal[
    "correct",
    "too_broad",
    "too_narrow",
    "wrong",
    "several_meanings",
    "output_side",
    "single_token",
    "uninterpretable",
    "broken_contexts",
]
Task = Literal["verdict", "detection", "fuzzing"]
Role = Literal["rater", "adjudicator"]


class VerdictKind(NamedTuple):
    """`label` and `help` as a rater reads them; `key`: the key that gives it. `grade`: how much of the explanation is right, 1
    all of it, 0 nothing, `None` where it says nothing about the explanation: such a rating is in no rate and no correlation."""

    label: str
    help: str
    key: str
    grade: float | None


VERDICTS: Mapping[Verdict, VerdictKind] = {
    "correct": VerdictKind("Correct", "It says what the contexts have in common.", "1", 1.0),
    "too_broad": VerdictKind("Too broad", "It also covers text where the feature does not fire.", "2", 0.5),
    "too_narrow": VerdictKind("Too narrow", "The feature fires on more than it says.", "3", 0.5),
    "wrong": VerdictKind("Wrong", "It does not describe these contexts.", "4", 0.0),
    "several_meanings": VerdictKind(
        "Several meanings", "The contexts have several unrelated meanings; it names one at most.", "5", 0.0
    ),
    "output_side": VerdictKind(
        "About the output",
        "The feature is about the token that follows, not about the text before it.",
        "6",
        0.0,
    ),
    "single_token": VerdictKind("Token only", "The feature fires on one token and nothing more.", "7", 0.5),
    "uninterpretable": VerdictKind("Not interpretable", "No explanation would fit these contexts.", "8", 0.0),
    "broken_contexts": VerdictKind("Contexts broken", "The contexts cannot be read or judged.", "9", None),
}
"""In the order of their keys. What counts as right in an estimate is "correct" alone, unless the report is asked for more."""

TASKS: Mapping[Task, str] = {"verdict": "Verdict", "detection": "Detection", "fuzzing": "Fuzzing"}
CONFIDENCES = {1: "Low", 2: "Medium", 3: "High"}
MAX_NOTE = 2_000
"""Characters of a note."""
MAX_NAME = 200
"""Characters of a name, of an audit or a person, and of a tag."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the population: explanations of one coder between two bounds of score and density, both inclusive, as
    observed; `None` where it is not stratified by that. `population`: how many there are; `sampled`: items drawn of them."""

    number: int
    coder: str
    score: tuple[float, float] | None
    density: tuple[float, float] | None
    population: int
    sampled: int


@dataclass(frozen=True, slots=True)
class AuditItem:
    """What is judged, fixed when the audit is made: the latent, and the `text` that is shown as its explanation.

    `i`: place in the audit, from 0. `explanation_id`: the explanation of this latent that the item is about. In a control the
    text is that of another latent's explanation, `text_id`, and `stratum` is `None`: it is in no estimate. Else `text_id` is
    `explanation_id`. `scores`: the automatic scores of `explanation_id` at that moment, by label of their kind.
    """

    i: int
    coder: str
    latent: int
    explanation_id: str
    text_id: str
    text: str
    stratum: int | None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_control(self) -> bool:
        return self.text_id != self.explanation_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """`config`: the options it was drawn with (`autointerp.audit.options`). `store`: what identifies store, corpus and coders
    (fingerprints), so that a file from another copy can be told from one of another store."""

    name: str
    author: str
    tasks: tuple[Task, ...]
    seed: int
    items: tuple[AuditItem, ...]
    strata: tuple[Stratum, ...]
    purpose: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    store: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    created: str = field(default_factory=now)

    @property
    def config_hash(self) -> str:
        return config_hash(self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One answer of one person to one task about one item.

    `round`: 0, or 1 where the item came back to measure self-agreement. `verdict`: `None` for a judge's task and for a skipped
    item. `judged`: the examples of a judge's task with the person's answers. `revises`: the rating that this one replaces;
    `withdrawn`: it takes that one back and puts nothing in its place. `revealed`: whether the rater had looked at what an
    audit hides before this answer. `seconds`: from the item's appearance to the answer. `role`: "adjudicator" for the verdict
    that raters settled on together; it stands beside theirs.
    """

    audit_id: str
    item: int
    rater: str
    task: Task
    round: int = 0
    verdict: Verdict | None = None
    confidence: int | None = None
    note: str = ""
    tags: tuple[str, ...] = ()
    skipped: bool = False
    withdrawn: bool = False
    revises: str | None = None
    revealed: bool = False
    judged: tuple[JudgedExample, ...] = ()
    seconds: float | None = None
    role: Role = "rater"
    id: str = field(default_factory=new_id)
    created: str = field(default_factory=now)


def says(rating: Rating) -> str:
    """What a rating says, in words."""
    if rating.withdrawn:
        return "taken back"
    if rating.skipped:
        return "skipped"
    if rating.verdict is None:
        return f"{len(rating.judged)} answers"
    return f"“{VERDICTS[rating.verdict].label}”"


def check_audit(audit: Audit) -> None:
    """Raises UserError for an audit that contradicts itself or asks nothing."""
    _check_text("The name of an audit", audit.name)
    _check_text("The name of its author", audit.author)
    check_length("The purpose", audit.purpose, MAX_NOTE)
    unknown = [task for task in audit.tasks if task not in get_args(Task)]
    if unknown or not audit.tasks or len(set(audit.tasks)) < len(audit.tasks):
        raise UserError(f"The tasks of an audit: one or more of {', '.join(get_args(Task))}, each once.")
    if not audit.items:
        raise UserError("This audit has no items: nothing matches the selection.")
    if [item.i for item in audit.items] != list(range(len(audit.items))):
        raise UserError("The items of an audit are numbered from 0 in their order; these are not.")
    strata = {stratum.number for stratum in audit.strata}
    for item in audit.items:
        if item.is_control != (item.stratum is None) or (not item.is_control and item.stratum not in strata):
            raise UserError(f"Item {item.i} is in stratum {item.stratum}, which the audit does not have.")


def check_rating(rating: Rating) -> None:
    """Raises UserError for a rating that contradicts itself, UnknownName for a verdict, task or role that does not exist."""
    _check_text("The name of the rater", rating.rater)
    for what, value, accepted in (("task", rating.task, Task), ("role", rating.role, Role)):
        if value not in get_args(accepted):
            raise UnknownName(what, value, get_args(accepted))
    if rating.verdict is not None and rating.verdict not in VERDICTS:
        raise UnknownName("verdict", rating.verdict, list(VERDICTS))
    if rating.confidence is not None and rating.confidence not in CONFIDENCES:
        raise UserError(f"confidence is {rating.confidence}; accepted: {', '.join(map(str, CONFIDENCES))}.")
    check_length("The note", rating.note, MAX_NOTE)
    for tag in rating.tags:
        _check_text("A tag", tag)
    given = [rating.verdict is not None, bool(rating.judged), rating.skipped, rating.withdrawn]
    if sum(given) != 1:
        raise UserError("A rating is one of: a verdict, the answers of a judge's task, skipped, taken back.")
    if not (rating.skipped or rating.withdrawn) and (rating.verdict is not None) != (
        rating.task == "verdict"
    ):
        raise UserError(f"This answer does not belong to the task “{rating.task}”.")
    if rating.withdrawn and rating.revises is None:
        raise UserError("A rating that takes another back says which.")
    if rating.role == "adjudicator" and (rating.task != "verdict" or rating.round):
        raise UserError("What raters settle on together is a verdict of the first round.")
    if rating.seconds is not None and not 0 <= rating.seconds < inf:
        raise UserError(f"seconds is {rating.seconds}; accepted: from 0.")
    if any(not isfinite(example.value or 0) or example.predicted for example in rating.judged):
        raise UserError("A person's answer is yes or no, with at most a finite value.")
    if rating.round not in (0, 1):
        raise UserError(f"round is {rating.round}; accepted: 0, and 1 where an item came back.")


def _check_text(what: str, text: str) -> None:
    if not text.strip():
        raise UserError(f"{what} is empty.")
    check_length(what, text, MAX_NAME)
