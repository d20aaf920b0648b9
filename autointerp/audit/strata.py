"""Strata: parts of a population from each of which a fixed number of items is drawn. Pure.

A coder's explanations are cut by score and by density, at quantiles of its own. Where a part is too small to give two items,
it is put together with a neighbour, within the same tenth of scores where there is one. Items are allotted in proportion, so
every explanation stands for about as many others; what remains unequal is in the weights, population over sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autointerp.ratings import Stratum

LEAST = 2
"""Items of a stratum: with fewer, its variance cannot be estimated."""


@dataclass(frozen=True)
class Stratification:
    """`label` Int64[ndarray, " n"]: the stratum of each member of the population."""

    label: NDArray[np.int64]
    strata: tuple[Stratum, ...]


class _Cell(NamedTuple):
    """`row`: its part by score; `members`: indices into the population."""

    row: int
    members: NDArray[np.int64]


def stratify(
    coders: Sequence[str],
    coder: NDArray[np.integer],
    density: NDArray[np.floating],
    score: NDArray[np.floating] | None,
    *,
    n: int,
    score_bins: int,
    density_bins: int,
) -> Stratification:
    """Of a population of explanations, from which `n` are drawn (all, where there are fewer).

    coder    Int[ndarray, " n"]: index into `coders`
    density  Float[ndarray, " n"]: NaN where it is not known; coders with such are not stratified by it
    score    Float[ndarray, " n"]: finite; `None`: the population is not stratified by it
    """
    population = len(coder)
    n = min(n, population)
    grids: dict[int, list[_Cell]] = {}
    for which in range(len(coders)):
        members = np.flatnonzero(coder == which)
        if len(members):
            rows = None if score is None else parts(score[members], score_bins)
            known = np.isfinite(density[members]).all()
            columns = parts(density[members], density_bins) if known else np.zeros(len(members), np.int64)
            grids[which] = _grid(members, rows, columns)
    least = LEAST * population / max(n, 1)
    while True:
        cells = [(which, cell) for which, grid in grids.items() for cell in merged(grid, least)]
        sizes = [len(members) for _, members in cells]
        if _needed(sizes) <= n or len(cells) == len(grids):
            break
        least *= 1.5  # small coders take their items from the others
    sampled = allocate(sizes, n)
    label = np.full(population, -1, dtype=np.int64)
    strata = []
    for number, (which, members) in enumerate(cells):
        label[members] = number
        strata.append(
            Stratum(
                number,
                coders[which],
                None if score is None else _range(score[members]),
                _range(density[members]) if np.isfinite(density[members]).all() else None,
                len(members),
                sampled[number],
            )
        )
    return Stratification(label, tuple(strata))


def parts(values: NDArray[np.floating], n: int) -> NDArray[np.int64]:
    """Which of `n` parts of about equal size each value is in, ascending; equal values are in the same one."""
    edges = np.quantile(values, np.linspace(0, 1, n + 1)[1:-1])
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _grid(
    members: NDArray[np.int64], rows: NDArray[np.int64] | None, columns: NDArray[np.int64]
) -> list[_Cell]:
    """Cells that hold anyone, row by row, every other row backwards, so that each is a neighbour of the next."""
    rows = np.zeros(len(members), dtype=np.int64) if rows is None else rows
    cells = []
    for row in range(int(rows.max()) + 1):
        order = range(int(columns.max()) + 1)
        for column in order if row % 2 == 0 else reversed(order):
            inside = members[(rows == row) & (columns == column)]
            if len(inside):
                cells.append(_Cell(row, inside))
    return cells


def merged(cells: Sequence[_Cell], least: float) -> list[NDArray[np.int64]]:
    """Members of the cells, put together until each has at least `least`, or one is left: the smallest first, with its smaller
    neighbour, if it can be with one in its row."""
    cells = list(cells)
    while len(cells) > 1:
        i = min(range(len(cells)), key=lambda i: len(cells[i].members))
        if len(cells[i].members) >= least:
            break
        near = [j for j in (i - 1, i + 1) if 0 <= j < len(cells)]
        j = min(near, key=lambda j: (cells[j].row != cells[i].row, len(cells[j].members)))
        first, second = sorted((i, j))
        larger = max(cells[first], cells[second], key=lambda cell: len(cell.members))
        both = np.sort(np.concatenate([cells[first].members, cells[second].members]))
        cells[first : second + 1] = [_Cell(larger.row, both)]
    return [cell.members for cell in cells]


def allocate(sizes: Sequence[int], n: int) -> list[int]:
    """How many of `n` items each part gives: in proportion to its size, by largest remainders, but two at least (one, where
    `n` does not suffice), and never more than it has. Their sum is `n`, or all there are."""
    total = sum(sizes)
    n = min(n, total)
    least = LEAST if n >= _needed(sizes) else 1
    quota = np.array(sizes) * n / max(total, 1)
    given = np.maximum(np.floor(quota), np.minimum(sizes, least)).astype(np.int64)
    while given.sum() < n:
        given[int(np.argmax(np.where(given < sizes, quota - given, -np.inf)))] += 1
    while given.sum() > n and (given > least).any():
        given[int(np.argmax(np.where(given > least, given - quota, -np.inf)))] -= 1
    return given.tolist()


def _needed(sizes: Sequence[int]) -> int:
    """Items that give every part as many as it is to have at least."""
    return sum(min(size, LEAST) for size in sizes)


def _range(values: NDArray[np.floating]) -> tuple[float, float]:
    return float(values.min()), float(values.max())
