"""What came out of an audit: agreement, the share of right explanations, and what the scores say of the verdicts.

What people say of controls is in none of this; it is counted for each rater apart, and a judge's task on a control gives the
floor of human scores.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autointerp.audit.agreement import GAP, Agreement, agreement, confusion
from autointerp.audit.calibration import Calibration, calibration, rank_correlation
from autointerp.audit.estimate import Share, share_right
from autointerp.audit.people_and_judge import SameQuestions, same_questions
from autointerp.audit.verdicts import CODES, Verdicts, verdicts
from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.resources import Resources
from autointerp.ratings import VERDICTS, Audit, Rating, Verdict
from autointerp.score.intervals import Estimate, mean
from autointerp.score.resampling import Resamples
from autointerp.score.summary import summarise

RIGHT: tuple[Verdict, ...] = ("correct",)
HumanTask = Literal["detection", "fuzzing"]
HUMAN_TASKS: tuple[HumanTask, ...] = ("detection", "fuzzing")
Float = NDArray[np.float64]
_RESAMPLES = Resamples()


@dataclass(frozen=True)
class RaterFigures:
    """One rater. `n`: verdicts on explanations, of which `n_right` count as right and `n_unreadable` are about broken contexts;
    `skipped`: items put off; `n_seen`: verdicts given after looking at what the audit hides. `controls`: of so many,
    `controls_right` were called right. `again`: agreement with themselves on items that came back, less `again_seen` that they
    had looked up before. `seconds`: a median verdict's."""

    rater: str
    n: int
    n_right: int
    n_unreadable: int
    skipped: int
    n_seen: int
    controls: int
    controls_right: int
    again: Agreement
    again_seen: int
    seconds: float | None


@dataclass(frozen=True)
class Part:
    """The share of right explanations of one coder, of one explainer, of one explainer's on one coder, or of all (`None`)."""

    coder: str | None
    explainer: str | None
    share: Share


@dataclass(frozen=True)
class Human:
    """A judge's task answered by people: the mean score of `n` items, each the mean of its raters', and on `n_floor` controls.
    `judges`: by kind of score of the same scorer, Spearman's correlation of human and automatic score, and the items.
    `beside`: people and judge on the same questions, where a judge was asked them."""

    task: HumanTask
    n: int
    score: Estimate | None
    n_floor: int
    floor: Estimate | None
    judges: Mapping[str, tuple[Estimate, int]]
    beside: SameQuestions | None


@dataclass(frozen=True)
class Disagreement:
    """An item on which verdicts differ, by rater, and the verdict that was settled on, if any. `matters`: whether it is right
    by some and not by others."""

    item: int
    verdicts: Mapping[str, Verdict]
    settled: Verdict | None
    matters: bool


@dataclass(frozen=True)
class Report:
    """Everything about one audit. `n_items`: without its `n_controls`; `n_rated`: with a verdict. `counts`: verdicts given.
    `agreement` on the verdict, `agreement_right` on whether it counts as right (contexts broken left out). `calibrations`: by
    kind of score (`ScoreKind.key`) and for human scores by task; their places are those of the audit's items."""

    audit: Audit
    raters: tuple[RaterFigures, ...]
    right: tuple[Verdict, ...]
    n_items: int
    n_controls: int
    n_rated: int
    counts: Mapping[Verdict, int]
    agreement: Agreement
    agreement_right: Agreement
    again: Agreement
    parts: tuple[Part, ...]
    calibrations: Mapping[str, Calibration]
    human_calibrations: Mapping[HumanTask, Calibration]
    humans: tuple[Human, ...]
    disagreements: tuple[Disagreement, ...]
    table: Verdicts

    @property
    def whole(self) -> Share:
        """The share of right explanations of the whole population."""
        return self.parts[0].share

    @property
    def n_settled(self) -> int:
        """Items in the rates whose verdict raters settled on together."""
        values = self.table.is_right(self.right)[self.table.settled]
        return int((~self.table.control & (self.table.settled != GAP) & ~np.isnan(values)).sum())

    def pair(self, first: str, second: str) -> tuple[Agreement, NDArray[np.int64]]:
        """Two raters: how they agree, and how often they gave which verdicts, as `agreement.confusion`."""
        columns = [self.table.raters.index(rater) for rater in (first, second)]
        codes = self.table.codes[~self.table.control][:, columns]
        return agreement(codes, _RESAMPLES), confusion(codes[:, 0], codes[:, 1], len(VERDICTS))


def report(
    resources: Resources,
    audit_id: str,
    *,
    raters: Collection[str] | None = None,
    right: Sequence[Verdict] = RIGHT,
) -> Report:
    """The report of an audit as it stands. `raters`: only these (default: all); verdicts that were settled on count on
    items that one of them judged. `right`: verdicts that count as right.

    Raises: UnknownName: an audit, rater or verdict that does not exist.
    """
    annotations = resources.annotations
    audit = annotations.audits.get(audit_id)
    ratings = annotations.audits.ratings(audit_id)
    known = list(dict.fromkeys(rating.rater for rating in ratings if rating.role == "rater"))
    chosen = known if raters is None else list(dict.fromkeys(raters))
    for rater in chosen:
        if rater not in known:
            raise UnknownName("rater of this audit", rater, known)
    for verdict in right:
        if verdict not in VERDICTS:
            raise UnknownName("verdict", verdict, list(VERDICTS))
        if VERDICTS[verdict].grade is None:
            raise UserError(f"{verdict} says nothing about the explanation, so it cannot count as right.")
    ids = [item.explanation_id for item in audit.items]
    explainers = {explanation.id: explanation.explainer for explanation in annotations.explanations_of(ids)}
    ratings = [rating for rating in ratings if rating.role == "adjudicator" or rating.rater in chosen]
    beside: dict[HumanTask, SameQuestions] = {
        task: comparison
        for task in HUMAN_TASKS
        if (comparison := same_questions(resources, audit, ratings, task)) is not None
    }
    return of_ratings(audit, ratings, chosen, explainers, right=right, beside=beside)


def of_ratings(
    audit: Audit,
    ratings: Sequence[Rating],
    raters: Sequence[str],
    explainers: Mapping[str, str],
    *,
    right: Sequence[Verdict] = RIGHT,
    beside: Mapping[HumanTask, SameQuestions] | None = None,
) -> Report:
    """The same from what is given. `explainers`: by explanation; those that this store lacks have none. `beside`: people and
    judge on the same questions, by task."""
    table = verdicts(audit, ratings, raters)
    plain = ~table.control
    codes = table.codes[plain]
    codes = codes[:, (codes != GAP).any(axis=0)]  # who only skipped, or did other tasks, is no third rater
    values = table.is_right(right)
    both = np.where(codes == GAP, np.nan, values[codes])
    given = np.bincount(codes[codes != GAP], minlength=len(VERDICTS))
    shares, grades = table.right(right), table.grade()
    human: dict[HumanTask, Float] = {
        task: _human_scores(ratings, task, len(audit.items)) for task in HUMAN_TASKS
    }
    human = {task: scores for task, scores in human.items() if not np.isnan(scores[plain]).all()}
    automatic = _automatic(audit)
    hidden = np.where(plain, 0.0, np.nan)  # controls take no part
    return Report(
        audit,
        tuple(_rater(table, ratings, rater, values) for rater in raters),
        tuple(right),
        int(plain.sum()),
        int(table.control.sum()),
        int((plain & table.answered()).sum()),
        {verdict: int(given[code]) for verdict, code in CODES.items()},
        agreement(codes, _RESAMPLES),
        agreement(np.where(np.isnan(both), GAP, both).astype(np.int64), _RESAMPLES),
        agreement(np.concatenate([_again(table, at) for at in range(len(raters))] or [_NONE]), _RESAMPLES),
        tuple(_parts(audit, table, shares, explainers)),
        {label: calibration(scores + hidden, shares, grades) for label, scores in automatic.items()},
        {task: calibration(scores + hidden, shares, grades) for task, scores in human.items()},
        tuple(
            _human(task, scores, plain, automatic, (beside or {}).get(task)) for task, scores in human.items()
        ),
        tuple(disagreements(table, right)),
        table,
    )


_NONE = np.empty((0, 2), dtype=np.int64)


def _again(table: Verdicts, column: int) -> NDArray[np.int64]:
    """A rater's verdicts on items that came back, first and second, [n, 2]; without those looked up in between."""
    pairs = np.stack([table.codes[:, column], table.again[:, column]], axis=1)
    return pairs[(pairs != GAP).all(axis=1) & ~table.seen[:, column]]


def _rater(table: Verdicts, ratings: Sequence[Rating], rater: str, values: Float) -> RaterFigures:
    column = table.raters.index(rater)
    codes = table.codes[:, column]
    plain, control = codes[(codes != GAP) & ~table.control], codes[(codes != GAP) & table.control]
    own = [rating for rating in ratings if rating.rater == rater and rating.role == "rater"]
    given = [rating for rating in own if rating.verdict is not None]
    seconds = [rating.seconds for rating in given if rating.seconds is not None]
    back = (codes != GAP) & (table.again[:, column] != GAP)
    return RaterFigures(
        rater,
        len(plain),
        int(np.nansum(values[plain])),
        int(np.isnan(values[plain]).sum()),
        sum(rating.skipped for rating in own),
        sum(rating.revealed and not rating.round for rating in given),
        len(control),
        int(np.nansum(values[control])),
        agreement(_again(table, column), _RESAMPLES),
        int((back & table.seen[:, column]).sum()),
        median(seconds) if seconds else None,
    )


def _parts(audit: Audit, table: Verdicts, shares: Float, explainers: Mapping[str, str]) -> Iterator[Part]:
    """All, then each coder, each explainer, and each explainer on each coder, where there are several."""
    stratum = np.array([-1 if item.stratum is None else item.stratum for item in audit.items])
    coder = np.array([item.coder for item in audit.items])
    explainer = np.array([explainers.get(item.explanation_id, "") for item in audit.items])
    answered = table.answered() & ~table.control

    def part(of: str | None, by: str | None) -> Part:
        strata = [each for each in audit.strata if of is None or each.coder == of]
        here = answered & ((coder == of) if of is not None else True)
        counted = ~np.isnan(shares) & ((explainer == by) if by is not None else True)
        return Part(of, by, share_right(strata, stratum[here], shares[here], counted[here]))

    coders = list(dict.fromkeys(each.coder for each in audit.strata))
    names = sorted(set(explainer[~table.control].tolist()))
    yield part(None, None)
    if len(coders) > 1:
        yield from (part(name, None) for name in coders)
    if len(names) > 1:
        yield from (part(None, name) for name in names)
        if len(coders) > 1:
            there = set(zip(coder.tolist(), explainer.tolist(), strict=True))
            yield from (part(of, by) for of in coders for by in names if (of, by) in there)


def _automatic(audit: Audit) -> dict[str, Float]:
    """Scores of the items by kind, NaN where an item has none."""
    labels = dict.fromkeys(label for item in audit.items for label in item.scores)
    return {
        label: np.array([item.scores.get(label, np.nan) for item in audit.items], dtype=np.float64)
        for label in labels
    }


def _human_scores(ratings: Sequence[Rating], task: HumanTask, n_items: int) -> Float:
    """The score of each item by people, the mean of its raters'; NaN where there is none."""
    scores: dict[int, list[float]] = {}
    for rating in ratings:
        if rating.task == task and rating.judged and not rating.round:
            value = summarise("balanced_accuracy", (), rating.judged, _RESAMPLES).value
            if value is not None:
                scores.setdefault(rating.item, []).append(value)
    return np.array([np.mean(scores[i]) if i in scores else np.nan for i in range(n_items)])


def _human(
    task: HumanTask,
    scores: Float,
    plain: NDArray[np.bool_],
    automatic: Mapping[str, Float],
    beside: SameQuestions | None,
) -> Human:
    some = ~np.isnan(scores)
    own, floor = scores[some & plain], scores[some & ~plain]
    judges = {}
    for label, values in automatic.items():
        both = some & plain & ~np.isnan(values)
        correlation = rank_correlation(scores[both], values[both]) if label.split("~")[0] == task else None
        if correlation is not None:
            judges[label] = correlation, int(both.sum())
    return Human(task, len(own), _mean(own), len(floor), _mean(floor), judges, beside)


_mean: Callable[[Float], Estimate | None] = lambda sample: mean(sample) if len(sample) else None  # noqa: E731


def disagreements(table: Verdicts, right: Collection[Verdict] = RIGHT) -> list[Disagreement]:
    """Items on which verdicts differ: those first that decide whether an item is right; those settled last."""
    values = table.is_right(right)
    names: list[Verdict] = list(CODES)
    rows = []
    for item in np.flatnonzero(~table.control).tolist():
        given = {
            rater: int(code)
            for rater, code in zip(table.raters, table.codes[item], strict=True)
            if code != GAP
        }
        if len(set(given.values())) > 1:
            says = {values[code] for code in given.values() if not np.isnan(values[code])}
            settled = int(table.settled[item])
            by_name: dict[str, Verdict] = {rater: names[code] for rater, code in given.items()}
            rows.append(
                Disagreement(item, by_name, None if settled == GAP else names[settled], len(says) > 1)
            )
    return sorted(rows, key=lambda row: (row.settled is not None, not row.matters, row.item))
