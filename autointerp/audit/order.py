"""In which order each rater is asked. Pure: it follows from the audit's seed and the rater's name."""

import hashlib
from typing import NamedTuple

import numpy as np

from autointerp.ratings import Audit, Task

GAP = 5
"""Entries between an item and its return, at least."""


class Entry(NamedTuple):
    """One thing that a rater is asked: `item` by its place in the audit; `round` 1 where it comes back."""

    item: int
    round: int
    task: Task


def entries(audit: Audit, rater: str) -> tuple[Entry, ...]:
    """The tasks of an item follow each other, a judge's before the verdict, which would else be an answer to them. A share of
    the items that are no controls (`repeat_share` of the audit's configuration) comes back in the second half; a few less
    where the audit is too short for that."""
    rng = np.random.default_rng([audit.seed, _number(rater)])
    items = rng.permutation(len(audit.items)).tolist()
    n_real = sum(not item.is_control for item in audit.items)
    n_back = round(float(audit.config.get("repeat_share", 0)) * n_real)
    tasks = sorted(audit.tasks, key=lambda task: (task == "verdict", audit.tasks.index(task)))
    return tuple(
        Entry(item, round_, task)
        for item, round_ in _with_returns(
            items, {item.i for item in audit.items if item.is_control}, n_back, rng
        )
        for task in tasks
    )


def _number(rater: str) -> int:
    digest = hashlib.blake2b(rater.strip().encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _with_returns(
    items: list[int], controls: set[int], n_back: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Items with their rounds: `n_back` of them again, at random places of the second half."""
    total = len(items) + n_back
    second_half = np.arange(-(-total // 2), total)
    places = set(rng.choice(second_half, min(n_back, len(second_half)), replace=False).tolist())
    asked: list[tuple[int, int]] = []
    may_return: list[int] = []
    coming, passed = iter(items), 0
    for place in range(total):
        for item, round_ in asked[passed : max(passed, len(asked) - GAP)]:
            passed += 1
            if round_ == 0 and item not in controls:
                may_return.append(item)
        if place in places and may_return:
            which = int(rng.integers(len(may_return)))
            may_return[which], may_return[-1] = may_return[-1], may_return[which]
            asked.append((may_return.pop(), 1))
        elif (item := next(coming, None)) is not None:
            asked.append((item, 0))
    return asked
