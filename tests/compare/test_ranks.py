"""Tests of two samples against scipy, and against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autointerp.compare import ranks
from autointerp.score import intervals

SEEDS = st.integers(0, 9999)
SIZES = st.integers(ranks.MIN_LATENTS, 60)


def samples(n: int, m: int, seed: int, *, steps: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Scores as scorers give them: shares of a few examples, so that many are tied."""
    rng = np.random.default_rng(seed)
    first = rng.binomial(steps, rng.uniform(0.2, 0.8), n) / steps
    return first, rng.binomial(steps, rng.uniform(0.2, 0.8), m) / steps


@given(n=SIZES, m=SIZES, seed=SEEDS)
def test_superiority_is_counted_and_its_p_is_scipys(n: int, m: int, seed: int):
    first, second = samples(n, m, seed)
    test = ranks.superiority(first, second)
    wins = sum((x > y) + (x == y) / 2 for x in first for y in second)
    assert test.estimate.value == pytest.approx(wins / (n * m))
    assert test.estimate.low is not None
    assert test.estimate.high is not None
    assert 0 <= test.estimate.low <= test.estimate.value <= test.estimate.high <= 1
    if 0 < wins < n * m:
        assert test.p == pytest.approx(stats.brunnermunzel(first, second).pvalue, abs=1e-12)
        # Where the interval is not cut off, it excludes one half exactly where p is below 0.05.
        if test.estimate.low > 0 and test.estimate.high < 1:
            assert (test.p < 0.05) == (not test.estimate.low <= 0.5 <= test.estimate.high)
    other = ranks.superiority(second, first)
    assert other.estimate.value == pytest.approx(1 - test.estimate.value)
    assert other.p == pytest.approx(test.p)


def test_the_interval_of_superiority_holds_the_truth_as_often_as_it_says():
    """With unequal spreads and sizes, ties included: of 600 draws some 95 %."""
    rng = np.random.default_rng(4)
    steps = 30
    grid = np.arange(steps + 1)
    p, q = stats.binom.pmf(grid, steps, 0.6), stats.betabinom.pmf(grid, steps, 3, 2)
    truth = float(np.tril(np.outer(p, q), -1).sum() + (p * q).sum() / 2)
    held = 0
    for _ in range(600):
        first, second = rng.choice(grid, 40, p=p), rng.choice(grid, 90, p=q)
        estimate = ranks.superiority(first.astype(float), second.astype(float)).estimate
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= truth <= estimate.high
    assert 0.92 <= held / 600 <= 0.98


def test_samples_that_do_not_overlap_are_not_taken_for_proof():
    low, high = np.arange(10.0), np.arange(10.0) + 10
    test = ranks.superiority(high, low)
    assert (test.estimate.value, test.estimate.high) == (1.0, 1.0)
    assert test.estimate.low == pytest.approx(0.05 ** (1 / 11))
    assert test.p == pytest.approx(2 / math.comb(20, 10))
    assert ranks.superiority(low, high).estimate.high == pytest.approx(1 - 0.05 ** (1 / 11))
    equal = ranks.superiority(np.ones(10), np.ones(12))
    assert (equal.estimate.value, equal.p) == (0.5, 1.0)


@given(n=SIZES, m=SIZES, seed=SEEDS)
def test_means_and_their_difference_are_scipys(n: int, m: int, seed: int):
    first, second = samples(n, m, seed)
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval()  # type: ignore[attr-defined]
    difference = ranks.mean_difference(first, second)
    assert (difference.low, difference.high) == (pytest.approx(welch.low), pytest.approx(welch.high))
    student = stats.ttest_1samp(first, 0).confidence_interval()  # type: ignore[attr-defined]
    mean = intervals.mean(first)
    assert (mean.low, mean.high) == (pytest.approx(student.low), pytest.approx(student.high))


@given(n=st.integers(1, 80), seed=SEEDS)
def test_the_median_lies_between_the_order_statistics_of_the_binomial(n: int, seed: int):
    sample = np.random.default_rng(seed).normal(size=n)
    median = intervals.median(sample)
    assert median.value == np.median(sample)
    ordered = sorted(sample)
    # The narrowest pair of places, as far from either end, that misses the median in 5 % of cases at most.
    fitting = [
        place for place in range(n // 2) if 2 * sum(math.comb(n, k) for k in range(place + 1)) / 2**n <= 0.05
    ]
    expected = (ordered[fitting[-1]], ordered[n - 1 - fitting[-1]]) if fitting else (None, None)
    assert (median.low, median.high) == expected
    assert (median.low is None) == (n < 6)


@given(n=st.integers(3, 40), seed=SEEDS)
def test_a_paired_mean_is_a_t_test_where_all_weigh_alike(n: int, seed: int):
    differences = np.random.default_rng(seed).normal(size=n)
    test = ranks.mean_of_pairs(differences, np.ones(n))
    known = stats.ttest_1samp(differences, 0)
    interval = known.confidence_interval()  # type: ignore[attr-defined]
    assert test.p == pytest.approx(known.pvalue)  # pyright: ignore
    assert (test.estimate.low, test.estimate.high) == (
        pytest.approx(interval.low),
        pytest.approx(interval.high),
    )
    weighed = ranks.mean_of_pairs(differences * 7, np.full(n, 7.0))
    assert weighed.estimate.value == pytest.approx(test.estimate.value)
    assert weighed.p == pytest.approx(test.p)


@given(st.lists(st.floats(0, 1), min_size=0, max_size=12))
def test_holms_correction_is_its_definition(p: list[float]):
    corrected = ranks.holm(p)
    order = np.argsort(p, kind="stable")
    for place, at in enumerate(order):
        steps = [min(1.0, (len(p) - i) * p[order[i]]) for i in range(place + 1)]
        assert corrected[at] == pytest.approx(max(steps))
