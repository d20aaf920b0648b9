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
    """Thousands of features of known accuracy and floor, scored twice: the extremes of the first time, shrunk, are on average
    what the second time gives; as they are, they are not. In the mean over eight populations, for one alone is luck."""
    off, as_they_are = np.zeros((2, 8, 2))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = np.clip(rng.normal(0.65, spread_of_truth, 3000), 0.02, 0.98)
        once, again = ((rng.binomial(n, truth) - rng.binomial(n, 0.5, 3000)) / n for _ in range(2))
        error = np.sqrt((truth * (1 - truth) + 0.25) / n)
        shrunk = expected(once, error, np.full(3000, n))
        for end, of in enumerate((np.argsort(shrunk)[:100], np.argsort(shrunk)[-100:])):
            off[seed, end] = again[of].mean() - shrunk[of].mean()
            as_they_are[seed, end] = again[of].mean() - once[of].mean()
        assert np.square(shrunk - (truth - 0.5)).mean() < 0.9 * np.square(once - (truth - 0.5)).mean()
    left, without = (np.abs(each.mean(0)) for each in (off, as_they_are))
    assert (left < 0.065).all()
    assert (left < 0.55 * without).all()


def test_what_is_below_its_floor_by_luck_is_expected_at_the_floor():
    """Most explanations say nothing: true differences end at 0, and do not go on below as a normal distribution would."""
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(4000) < 0.6, 0, rng.uniform(0, 0.45, 4000))
    once = rng.normal(truth, 0.08)
    shrunk = expected(once, np.full(4000, 0.08), np.full(4000, 60))
    lowest = np.argsort(once)[:50]
    assert once[lowest].mean() < -0.15
    assert shrunk[lowest].mean() == pytest.approx(0, abs=0.02)


def test_few_examples_come_first_only_with_better_reasons():
    """Among equal n the order is that of the differences; a difference on three examples is mostly luck."""
    rng = np.random.default_rng(3)
    difference = np.append(rng.normal(0.1, 0.1, 400), 0.5)
    n = np.append(np.full(400, 60.0), 3.0)
    difference[0] = 0.45
    shrunk = expected(difference, 0.5 / np.sqrt(n), n)
    many = np.argsort(difference[:-1])
    assert (np.diff(shrunk[many]) >= 0).all()
    assert shrunk[-1] < shrunk[0] < difference[0]


def test_expected_keeps_what_is_certain_and_leaves_out_what_is_not_there():
    difference = np.array([-0.2, 0.4, NAN, 0.1])
    n = np.full(4, 9.0)
    for error in (np.zeros(4), np.full(4, NAN)):
        assert expected(difference, error, n) == pytest.approx(difference, nan_ok=True)
    alone = expected(difference[:1], np.array([0.1]), n[:1])
    assert alone == pytest.approx(difference[:1], abs=0.01)
    alike = expected(np.full(40, 0.1), np.full(40, 0.05), np.full(40, 60.0))
    assert alike == pytest.approx(np.full(40, 0.1), abs=0.01)
