"""Two histories of one audit put together. Pure.

Answers to one question are a line, each in the place of the one before. Where one history goes on from where the other stands,
the line grows; where both went their own way and end with other answers, people have to say which one holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from autointerp.errors import UserError
from autointerp.ratings import Rating

Side = Literal["here", "there"]


@dataclass(frozen=True)
class Conflict:
    """One question with two answers."""

    here: Rating
    there: Rating


@dataclass(frozen=True)
class Merge:
    """`new`: ratings to add here, in their order. `known`: how many were there already, or say nothing new. `conflicts`: those
    of the other side are in `new` only if they were asked for."""

    new: tuple[Rating, ...]
    known: int
    conflicts: tuple[Conflict, ...]


def merge(here: Iterable[Rating], there: Sequence[Rating], *, take: Side = "here") -> Merge:
    """What `there` adds to `here`, each in order of arrival. `take`: which answer holds in a conflict. Raises UserError for a
    rating that both have with different content."""
    lines = _lines(here)
    new: list[Rating] = []
    known = 0
    conflicts: list[Conflict] = []
    for question, theirs in _lines(there).items():
        ours = lines.get(question, [])
        places = {rating.id: i for i, rating in enumerate(ours)}
        shared = [i for i, rating in enumerate(theirs) if rating.id in places]
        for i in shared:
            _check_same(ours[places[theirs[i].id]], theirs[i])
        more = theirs[shared[-1] + 1 :] if shared else theirs
        known += len(theirs) - len(more)
        if not ours or not more or (shared and theirs[shared[-1]].id == ours[-1].id):
            new += more
            continue
        standing, last = None if ours[-1].withdrawn else ours[-1], more[-1]
        if last.withdrawn or (standing is not None and _answer(standing) == _answer(last)):
            known += len(more)
        elif standing is None:
            new.append(replace(last, revises=None))
        else:
            conflicts.append(Conflict(standing, last))
            if take == "there":
                new.append(replace(last, revises=standing.id))
    order = {rating.id: i for i, rating in enumerate(there)}
    return Merge(tuple(sorted(new, key=lambda rating: order[rating.id])), known, tuple(conflicts))


def check_lines(ratings: Iterable[Rating]) -> None:
    """Raises UserError unless each rating follows the one that stood when it was given."""
    for line in _lines(ratings).values():
        seen: set[str] = set()
        standing: str | None = None
        for rating in line:
            follows = rating.revises == standing if standing else rating.revises in {None, *seen}
            if rating.id in seen or not follows:
                raise UserError(
                    f"Rating {rating.id} (item {rating.item + 1}, {rating.rater}) does not follow from the ratings before it. "
                    "Export the audit again; the rows must stay as they are, and in order."
                )
            seen.add(rating.id)
            standing = None if rating.withdrawn else rating.id


def _lines(ratings: Iterable[Rating]) -> dict[tuple[Any, ...], list[Rating]]:
    """Ratings by the question that they answer; there is one adjudicated verdict, whoever entered it."""
    lines: dict[tuple[Any, ...], list[Rating]] = {}
    for rating in ratings:
        who = rating.rater if rating.role == "rater" else ""
        lines.setdefault((rating.item, rating.task, rating.round, rating.role, who), []).append(rating)
    return lines


def _answer(rating: Rating) -> tuple[Any, ...]:
    answers = tuple(sorted((str(example.key), example.answer) for example in rating.judged))
    return (rating.verdict, rating.confidence, rating.note, rating.tags, rating.skipped, answers)


def _check_same(here: Rating, there: Rating) -> None:
    if replace(here, revises=None) != replace(there, revises=None):
        raise UserError(
            f"Rating {here.id} (item {here.item + 1}, {here.rater}) is in this store with different content. A rating is never "
            "changed: give a new one instead of editing the file."
        )
