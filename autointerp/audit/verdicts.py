"""The verdicts of an audit as tables: what people answered, an array each, for the figures made from them. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.audit.agreement import GAP
from autointerp.ratings import VERDICTS, Audit, Rating, Verdict

CODES: dict[Verdict, int] = {verdict: code for code, verdict in enumerate(VERDICTS)}
_GRADES = np.array([np.nan if kind.grade is None else kind.grade for kind in VERDICTS.values()])
Float = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Verdicts:
    """Controls included. `codes` Int64[ndarray, "items raters"]: the verdict of each rater on each item when they first saw it,
    by `CODES`; `GAP` where they gave none. `again`: when it came back; `seen`: whether they had looked at what the audit hides
    before that. `settled` Int64[ndarray, " items"]: the verdict that raters settled on together, where one of `raters` has
    judged the item. `control`: which items are controls."""

    raters: tuple[str, ...]
    codes: Codes
    again: Codes
    seen: NDArray[np.bool_]
    settled: Codes
    control: NDArray[np.bool_]

    def right(self, right: Collection[Verdict]) -> Float:
        """How many of an item's raters give a verdict that counts as right, from 0 to 1; 0 or 1 where one was settled on. NaN
        where nobody gave any that says something about the explanation."""
        return self._means(self.is_right(right))

    def grade(self) -> Float:
        """The mean grade of an item's verdicts, from 0 to 1, likewise."""
        return self._means(_GRADES)

    def is_right(self, right: Collection[Verdict]) -> Float:
        """By code: 1 for a verdict that counts as right, 0 for others, NaN for those that say nothing."""
        values = np.array([float(verdict in right) for verdict in VERDICTS])
        return np.where(np.isnan(_GRADES), np.nan, values)

    def answered(self) -> NDArray[np.bool_]:
        """Which items have a verdict, of whatever kind."""
        return (self.codes != GAP).any(axis=1)

    def _means(self, values: Float) -> Float:
        own = _valued(self.codes, values)
        n = (~np.isnan(own)).sum(axis=1)
        means = np.where(n > 0, np.nansum(own, axis=1) / np.maximum(n, 1), np.nan)
        return np.where(self.settled != GAP, _valued(self.settled, values), means)


def verdicts(audit: Audit, ratings: Iterable[Rating], raters: Sequence[str]) -> Verdicts:
    """Of these raters; `ratings`: those that hold."""
    column = {rater: at for at, rater in enumerate(raters)}
    shape = len(audit.items), len(raters)
    codes, again, settled = np.full(shape, GAP), np.full(shape, GAP), np.full(shape[0], GAP)
    seen = np.zeros(shape, dtype=bool)
    for rating in ratings:
        if rating.verdict is None:
            continue
        if rating.role == "adjudicator":
            settled[rating.item] = CODES[rating.verdict]
        elif rating.rater in column:
            place = rating.item, column[rating.rater]
            (again if rating.round else codes)[place] = CODES[rating.verdict]
            seen[place] |= rating.revealed and rating.round == 1
    settled[(codes == GAP).all(axis=1)] = GAP  # what others differed on is no random sample of the items
    control = np.array([item.is_control for item in audit.items], dtype=bool)
    return Verdicts(tuple(raters), codes, again, seen, settled, control)


def _valued(codes: Codes, values: Float) -> Float:
    return np.where(codes == GAP, np.nan, values[codes])
