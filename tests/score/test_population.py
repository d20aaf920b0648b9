"""Figures over many latents agree with scipy and with plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autointerp.score.population import agreement, disagreement, spread

NAN = float("nan")
SCORES = st.one_of(st.just(NAN), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(-1, 1, width=32))
PAIRS = st.lists(st.tuples(SCORES, SCORES), max_size=40)


@given(PAIRS)
def test_agreement_is_scipys(pairs: list[tuple[float, float]]):
    first, second = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    found = agreement(first, second)
    both = ~(np.isnan(first) | np.isnan(second))
    x, y = first[both], second[both]
    assert found.n == len(x)
    if len(x) < 3 or np.ptp(x) < 1e-6 or np.ptp(y) < 1e-6:
        if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
            assert (found.spearman, found.pearson) == (None, None)
        return
    assert found.pearson == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-6)
    assert found.spearman == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-9)


@given(PAIRS)
def test_disagreement_is_the_difference_of_ranks(pairs: list[tuple[float, float]]):
    first, second = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    found = disagreement(first, second)
    both = ~(np.isnan(first) | np.isnan(second))
    if both.sum() < 3:
        assert np.isnan(found).all()
        return
    assert np.array_equal(np.isnan(found), ~both)
    n = both.sum()
    expected = (stats.rankdata(first[both]) - stats.rankdata(second[both])) / (n - 1)
    assert found[both] == pytest.approx(expected)
    assert np.abs(found[both]).max() <= 1
    assert found[both].sum() == pytest.approx(0, abs=1e-9)


@given(st.lists(st.tuples(SCORES, SCORES, SCORES), max_size=40))
def test_spread_is_what_counting_gives(rows: list[tuple[float, float, float]]):
    value, low, floor = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    found = spread(value, low, floor)
    kept = [row for row in rows if not np.isnan(row[0])]
    if not kept:
        assert found is None
        return
    assert found is not None
    values = [row[0] for row in kept]
    assert (found.n, found.mean) == (len(kept), pytest.approx(np.mean(values)))
    expected = stats.mstats.mquantiles(values, [0.05, 0.25, 0.5, 0.75, 0.95], alphap=1, betap=1)
    assert found.percentiles == pytest.approx(tuple(expected), abs=1e-12)
    floors = [row[2] for row in kept if not np.isnan(row[2])]
    assert found.floor == (pytest.approx(np.median(floors)) if floors else None)
    assert found.below == sum(v <= f for v, _, f in kept)
    assert found.clear == sum(v > f and low > f for v, low, f in kept)
    assert found.below + found.unclear + found.clear == len(floors)
