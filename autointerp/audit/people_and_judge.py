"""People and the judge on the same questions: who scores an explanation higher, and how often they answer alike."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from autointerp.audit.human import human_score
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit, Rating, Task
from autointerp.score.intervals import Estimate, mean


@dataclass(frozen=True)
class SameQuestions:
    """Of `n` items whose questions a judge's score has answers to: the mean score of people (an item's is the mean of its
    raters') and of the judge, and the mean `difference`, people less judge, with Student's interval over items. `n_same` of
    `n_questions` answers are the same."""

    n: int
    people: float
    judge: float
    difference: Estimate
    n_same: int
    n_questions: int


def same_questions(
    resources: Resources, audit: Audit, ratings: Iterable[Rating], task: Task
) -> SameQuestions | None:
    """Of one judge's task, without controls and items that came back; `None` where the store has no such score."""
    values: dict[int, list[tuple[float, float]]] = {}
    n_same = n_questions = 0
    for rating in ratings:
        item = audit.items[rating.item]
        if rating.task != task or not rating.judged or rating.round or item.is_control:
            continue
        score = human_score(resources, item, rating)
        if (
            score.judge is None
            or score.both is None
            or score.human.value is None
            or score.judge.value is None
        ):
            continue
        values.setdefault(rating.item, []).append((score.human.value, score.judge.value))
        n_same += sum(n for (mine, theirs), n in score.both.items() if mine == theirs)
        n_questions += sum(score.both.values())
    if not values:
        return None
    pairs = np.array([np.mean(each, axis=0) for each in values.values()])
    people, judge = pairs.mean(axis=0).tolist()
    return SameQuestions(len(pairs), people, judge, mean(pairs[:, 0] - pairs[:, 1]), n_same, n_questions)
