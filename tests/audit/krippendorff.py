"""Krippendorff's alpha, a second time: written from his own steps, in exact fractions, to hold ours against."""

import itertools
from fractions import Fraction

import numpy as np

from autointerp.audit.agreement import GAP


def krippendorff(table: np.ndarray) -> float | None:
    """By the coincidence matrix, in exact fractions, over pairs of values."""
    coincidences: dict[tuple[int, int], Fraction] = {}
    for row in table.tolist():
        values = [value for value in row if value != GAP]
        for a, b in itertools.permutations(range(len(values)), 2):
            pair = values[a], values[b]
            coincidences[pair] = coincidences.get(pair, Fraction(0)) + Fraction(1, len(values) - 1)
    totals: dict[int, Fraction] = {}
    for (a, _), times in coincidences.items():
        totals[a] = totals.get(a, Fraction(0)) + times
    n = sum(totals.values())
    expected = sum(totals[a] * totals[b] for a, b in itertools.permutations(totals, 2))
    if not expected:
        return None
    observed = sum(times for (a, b), times in coincidences.items() if a != b)
    return float(1 - (n - 1) * observed / expected)
