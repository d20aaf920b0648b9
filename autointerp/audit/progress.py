"""Where a rater stands in an audit: what is done, what comes next, and how long the rest takes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from autointerp.audit.order import Entry, entries
from autointerp.ratings import Audit, Rating, Task

PACE = 20
"""Answers, the last ones, that the pace is taken from."""


@dataclass(frozen=True)
class Progress:
    """`done`: entries with an answer; `skipped`: those put off, which come again at the end. `position`: of the next entry,
    `None` at the end. `seconds`: a median answer's; `seconds_left`: all that is left at this pace, each task at its own; `None`
    before the first answer."""

    entries: tuple[Entry, ...]
    done: int
    skipped: int
    position: int | None
    seconds: float | None
    seconds_left: float | None

    @property
    def left(self) -> int:
        return len(self.entries) - self.done


def progress(audit: Audit, rater: str, ratings: Iterable[Rating]) -> Progress:
    """Of one rater; `ratings`: those that hold, other raters' or not."""
    order = entries(audit, rater)
    own = [rating for rating in ratings if rating.rater == rater and rating.role == "rater"]
    answers = by_entry(own)
    done = sum(entry in answers and not answers[entry].skipped for entry in order)
    left: list[Task] = [entry.task for entry in order if entry not in answers or answers[entry].skipped]
    seconds, seconds_left = _pace(sorted(own, key=lambda rating: rating.created), left)
    return Progress(
        order,
        done,
        sum(entry in answers and answers[entry].skipped for entry in order),
        next_after(order, own, None),
        seconds,
        seconds_left,
    )


def by_entry(ratings: Iterable[Rating]) -> dict[Entry, Rating]:
    """A rater's ratings that hold, by what they answer."""
    return {
        Entry(rating.item, rating.round, rating.task): rating
        for rating in ratings
        if rating.role == "rater" and not rating.withdrawn
    }


def next_after(order: Sequence[Entry], ratings: Iterable[Rating], current: int | None) -> int | None:
    """The position of what comes after `current` (`None`: of what comes first): the first entry without an answer behind it,
    else the first one at all, else the next skipped one, itself last. `None` where all is answered. `ratings`: the rater's own
    that hold."""
    answers = by_entry(ratings)
    at = -1 if current is None else current
    behind = [*range(at + 1, len(order)), *range(at + 1)]
    waiting = [i for i in behind if order[i] not in answers]
    skipped = [i for i in behind if order[i] in answers and answers[order[i]].skipped]
    return next(iter([*waiting, *skipped]), None)


def _pace(answered: Sequence[Rating], left: Sequence[Task]) -> tuple[float | None, float | None]:
    by_task: dict[Task, list[float]] = {}
    for rating in answered:
        if rating.seconds is not None and not rating.skipped:
            by_task.setdefault(rating.task, []).append(rating.seconds)
    if not by_task:
        return None, None
    every = [r.seconds for r in answered if r.seconds is not None and not r.skipped]
    seconds = median(every[-PACE:])
    paces: Mapping[Task, float] = {task: median(times[-PACE:]) for task, times in by_task.items()}
    return seconds, sum(paces.get(task, seconds) for task in left)
