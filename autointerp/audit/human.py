"""Scores of people: a judge's task answered by a person, with the figures of the judge's own score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autointerp.audit.evidence import explanation_of, judges_score
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.ratings import AuditItem, Rating
from autointerp.records import JudgedExample, Score
from autointerp.score.plan import Plan, Verdict, judged_examples
from autointerp.score.resampling import Resamples
from autointerp.score.summary import Summary, summarise


class Question(NamedTuple):
    """One example as the person answered it, and as the judge did, `None` where it was not asked."""

    person: JudgedExample
    judge: JudgedExample | None


@dataclass(frozen=True)
class HumanScore:
    """`human`: the figures of a person's answers; `judge`: of the judge's on the same examples, `None` where no score was asked
    all of them; `judged_by`: that score. `both`: on how many examples the person and the judge answered so, by the two
    answers. `questions`: those examples, in the order in which the person was asked."""

    human: Summary
    questions: tuple[Question, ...]
    judge: Summary | None = None
    judged_by: Score | None = None
    both: Mapping[tuple[bool, bool], int] | None = None


def answered(plan: Plan, answers: Sequence[bool | None]) -> tuple[JudgedExample, ...]:
    """The questions of a plan with a person's answers, `None` where there is none: what a `Rating` holds."""
    return judged_examples(plan.items, [Verdict(answer=answer) for answer in answers])


def human_score(resources: Resources, item: AuditItem, rating: Rating) -> HumanScore:
    """Of the answers to a judge's task, by the functions that make a judge's score. In a control both are about the latent's
    own examples: the person saw another latent's explanation, so `human` is a floor, and `judge` what the judge made of the
    latent's own. Raises UserError for a rating without answers."""
    if not rating.judged:
        raise UserError("This rating holds no answers, so there is nothing to score.")
    human = _summary(rating.judged, resources.resamples)
    alone = tuple(Question(mine, None) for mine in rating.judged)
    try:
        explanation = explanation_of(resources, item)
    except UserError:  # made on another copy of the store
        return HumanScore(human, alone)
    score = judges_score(resources, explanation, rating.task, asked=rating.judged)
    if score is None:
        return HumanScore(human, alone)
    by_judge = {example.key: example for example in score.judged or ()}
    pairs = [(mine, by_judge[mine.key]) for mine in rating.judged]
    both = {(mine, theirs): 0 for mine in (True, False) for theirs in (True, False)}
    for mine, theirs in pairs:
        if mine.answer is not None and theirs.answer is not None:
            both[mine.answer, theirs.answer] += 1
    judge = _summary([theirs for _, theirs in pairs], resources.resamples)
    return HumanScore(human, tuple(Question(*pair) for pair in pairs), judge, score, both)


def _summary(judged: Sequence[JudgedExample], resamples: Resamples) -> Summary:
    return summarise("balanced_accuracy", (), judged, resamples)
