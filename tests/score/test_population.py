"""Figures over many latents agree with scipy and with plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autointerp.score.population import agreement, disagreement, expected, spread

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


@given(st.lists(st.tuples(SCORES, SCORES), max_size=40))
def test_spread_is_what_counting_gives(rows: list[tuple[float, float, float]]):
    value, floor = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    found = spread(value, floor)
    kept = [row for row in rows if not np.isnan(row[0])]
    if not kept:
        assert found is None
        return
    assert found is not None
    values = [row[0] for row in kept]
    assert (found.n, found.mean) == (len(kept), pytest.approx(np.mean(values)))
    expected = stats.mstats.mquantiles(values, [0.05, 0.25, 0.5, 0.75, 0.95], alphap=1, betap=1)
    assert found.percentiles == pytest.approx(tuple(expected), abs=1e-12)
    floors = [row[1] for row in kept if not np.isnan(row[1])]
    assert found.floor == (pytest.approx(np.median(floors)) if floors else None)


GROUPED = st.lists(st.tuples(SCORES, SCORES, st.integers(0, 2)), max_size=40)


@given(GROUPED)
def test_agreement_within_groups_is_that_of_centred_scores_and_ranks(rows: list[tuple[float, float, int]]):
    kept = [row for row in rows if not (np.isnan(row[0]) or np.isnan(row[1]))]
    first, second, group = (np.array([row[i] for row in rows]) for i in range(3))
    found = agreement(first.astype(float), second.astype(float), group.astype(int))
    assert found.n == len(kept)
    centred, ranked = [], []
    for g in range(3):
        of = [row for row in kept if row[2] == g]
        for side in (0, 1):
            values = np.array([row[side] for row in of], float)
            ranks = (stats.rankdata(values) - 1) / max(len(of) - 1, 1)
            centred.append(values - values.mean() if of else values)
            ranked.append(ranks - ranks.mean() if of else values)
    for made, parts in ((found.pearson, centred), (found.spearman, ranked)):
        x, y = np.concatenate(parts[::2]), np.concatenate(parts[1::2])
        if len(kept) >= 3 and np.ptp(x) > 1e-6 and np.ptp(y) > 1e-6:
            assert made == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-6)


def test_coders_of_different_level_do_not_make_scorers_agree():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 500)
    first, second = (rng.normal(size=1000) + 4 * group for _ in range(2))
    assert (agreement(first, second).pearson or 0) > 0.7
    within = agreement(first, second, group)
    assert abs(within.pearson or 0) < 0.1
    assert abs(within.spearman or 0) < 0.1
    assert np.abs(disagreement(first, second, group)[group == 0]).max() > 0.9


@pytest.mark.parametrize(("spread_of_truth", "n"), [(0.05, 60), (0.15, 60), (0.15, 20)])
def test_expected_is_what_fresh_examples_give(spread_of_truth: float, n: int):
    """Thousands of features of known accuracy, scored twice: the extremes of the first time, shrunk, are on average what the
    second time gives; as they are, they are not."""
    rng = np.random.default_rng(1)
    level = np.repeat([0.6, 0.75], 3000)
    truth = np.clip(rng.normal(level, spread_of_truth), 0.02, 0.98)
    once, again = (rng.binomial(n, truth) / n for _ in range(2))
    error = np.sqrt(once * (1 - once) / n)
    shrunk = expected(
        once, once - 1.96 * error, once + 1.96 * error, np.full(6000, n), np.repeat([0, 1], 3000)
    )
    for ends in (np.argsort(shrunk)[:100], np.argsort(shrunk)[-100:]):
        off, as_they_are = (abs(again[ends].mean() - made[ends].mean()) for made in (shrunk, once))
        assert off < 0.025
        assert off < 0.7 * as_they_are
    assert np.square(shrunk - truth).mean() < 0.9 * np.square(once - truth).mean()


def test_what_is_below_chance_by_luck_is_expected_at_chance():
    """Most explanations say nothing: true scores end at one half, and do not go on below as a normal distribution would."""
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(4000) < 0.6, 0.5, rng.uniform(0.5, 0.95, 4000))
    once = rng.binomial(60, truth) / 60
    error = np.sqrt(once * (1 - once) / 60)
    shrunk = expected(once, once - 1.96 * error, once + 1.96 * error, np.full(4000, 60), np.zeros(4000, int))
    lowest = np.argsort(once)[:50]
    assert once[lowest].mean() < 0.4
    assert shrunk[lowest].mean() == pytest.approx(0.5, abs=0.02)


def test_expected_keeps_what_is_certain_and_leaves_out_what_is_not_there():
    value = np.array([0.2, 0.8, NAN, 0.5])
    assert expected(value, value, value, np.full(4, 9.0), np.zeros(4, int)) == pytest.approx(
        value, nan_ok=True
    )
    none = np.full(4, NAN)
    assert expected(value, none, none, np.full(4, 9.0), np.zeros(4, int)) == pytest.approx(value, nan_ok=True)
    alone = expected(value, value - 0.1, value + 0.1, np.full(4, 9.0), np.arange(4))
    assert alone == pytest.approx(value, abs=0.01, nan_ok=True)
    alike = expected(
        np.full(40, 0.5), np.full(40, 0.4), np.full(40, 0.6), np.full(40, 60.0), np.zeros(40, int)
    )
    assert alike == pytest.approx(np.full(40, 0.5), abs=0.01)
