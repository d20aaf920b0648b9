"""Estimates of the share of right explanations, on simulated populations whose share is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.audit.estimate import Share, share_right
from autointerp.ratings import Stratum
from tests.audit.populations import allocated, drawn, population

TIMES = 300
SEEDS = st.integers(0, 9999)


def everything(right: np.ndarray) -> np.ndarray:
    return np.ones(len(right), dtype=bool)


def simulate(
    strata: int, n: int, middle: float, answered: float, *, raters: int = 1
) -> tuple[float, float, float]:
    """Mean error, its standard error, and how often the interval held the truth."""
    rng = np.random.default_rng([strata, n, int(1000 * middle), int(100 * answered), raters])
    errors, held = [], 0
    for _ in range(TIMES):
        whole = population(rng, strata, middle)
        drawn_from, stratum, right = drawn(rng, whole, n, answered)
        truth = whole.share
        if raters > 1:  # each errs in one of ten, so that the truth is what raters say on average
            right = np.abs(right - (rng.random((raters, len(right))) < 0.1)).mean(axis=0)
            truth = 0.9 * truth + 0.1 * (1 - truth)
        found = share_right(drawn_from, stratum, right, everything(right))
        if found.silent:
            continue
        assert found.estimate is not None
        assert found.estimate.low is not None
        assert found.estimate.high is not None
        errors.append(found.estimate.value - truth)
        held += found.estimate.low <= truth <= found.estimate.high
    assert len(errors) > 0.95 * TIMES
    return float(np.mean(errors)), float(np.std(errors) / math.sqrt(len(errors))), held / len(errors)


@pytest.mark.parametrize("middle", [0.02, 0.1, 0.5, 0.8, 0.98])
@pytest.mark.parametrize(
    ("strata", "n", "answered", "raters"),
    [
        (4, 10, 1.0, 1),
        (10, 20, 1.0, 1),
        (20, 50, 1.0, 1),
        (60, 200, 1.0, 1),
        (60, 200, 0.3, 1),
        (20, 100, 0.5, 2),
    ],
)
def test_estimates_are_unbiased_and_intervals_hold_the_truth(
    strata: int, n: int, answered: float, raters: int, middle: float
):
    """Of 300 audits: no bias beyond 3.5 standard errors, and 95 % of intervals less 3 points (three standard errors of a
    count of 300 are 3.8)."""
    error, standard, held = simulate(strata, n, middle, answered, raters=raters)
    assert abs(error) < 3.5 * standard
    assert held >= 0.92


@pytest.mark.parametrize("middle", [0.1, 0.5, 0.9])
def test_a_tenth_of_the_answers_still_gives_an_honest_interval(middle: float):
    """Twenty answers in sixty strata: most are joined to a neighbour, which may shift the share by a little."""
    error, _, held = simulate(60, 200, middle, 0.1)
    assert abs(error) < 0.03
    assert held >= 0.92


@pytest.mark.parametrize("middle", [0.1, 0.5, 0.9])
def test_the_share_of_a_part_is_of_that_part(middle: float):
    """Of one explainer's explanations, less those whose contexts are broken: which those are is random, also within strata."""
    rng = np.random.default_rng(int(100 * middle))
    errors, held, sizes = [], 0, []
    for _ in range(TIMES):
        whole = population(rng, 20, middle)
        of_all = [rng.random(len(right)) < (0.6 if h % 2 else 0.2) for h, right in enumerate(whole.right)]
        truth = float(np.concatenate(whole.right)[np.concatenate(of_all)].mean())
        each = allocated(np.array([stratum.population for stratum in whole.strata]), 100)
        places = [
            rng.choice(len(right), k, replace=False) for right, k in zip(whole.right, each, strict=True)
        ]
        right = np.concatenate([all_right[at] for all_right, at in zip(whole.right, places, strict=True)])
        counted = np.concatenate([flags[at] for flags, at in zip(of_all, places, strict=True)])
        found = share_right(
            whole.strata, np.repeat(np.arange(20), each), np.where(counted, right, np.nan), counted
        )
        assert found.estimate is not None
        assert found.estimate.low is not None
        assert found.estimate.high is not None
        assert found.n == counted.sum()
        errors.append(found.estimate.value - truth)
        sizes.append(found.population / np.concatenate(of_all).sum())
        held += found.estimate.low <= truth <= found.estimate.high
    assert abs(np.mean(errors)) < 3.5 * np.std(errors) / math.sqrt(TIMES) + 0.005
    assert np.mean(sizes) == pytest.approx(1, abs=0.03)
    assert held / TIMES >= 0.92


def test_strata_weigh_by_their_population_not_by_their_answers():
    strata = [Stratum(0, "a", None, None, 900, 10), Stratum(1, "a", None, None, 100, 10)]
    stratum, right = np.array([0] * 10 + [1] * 10), np.array([1.0] * 10 + [0.0] * 10)
    found = share_right(strata, stratum, right, everything(right))
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(0.9)
    assert found.population == 1000


def test_where_everything_is_judged_the_interval_has_no_width():
    strata = [Stratum(0, "a", None, None, 3, 3), Stratum(1, "b", None, None, 2, 2)]
    right = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    found = share_right(strata, np.array([0, 0, 0, 1, 1]), right, everything(right))
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == pytest.approx((0.6, 0.6, 0.6))
    assert found.more is None


def test_strata_without_an_answer_join_the_nearest_and_silent_coders_are_left_out():
    strata = [Stratum(i, coder, None, None, 10, 2) for i, coder in enumerate("aaabbb")]
    right = np.array([1.0, 0.0])
    found = share_right(strata, np.array([0, 2]), right, everything(right))
    assert (found.joined, found.silent, found.population) == ((1,), ("b",), 30)
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(0.5)  # half of stratum 1 to either side
    uneven = share_right(strata, np.array([0, 3]), right, everything(right))
    assert (uneven.joined, uneven.silent) == ((1, 2, 4, 5), ())


def test_nothing_judged_is_no_estimate():
    strata = [Stratum(0, "a", None, None, 10, 2)]
    nothing = share_right(strata, np.array([], dtype=np.int64), np.array([]), np.array([], dtype=bool))
    assert (nothing.estimate, nothing.n, nothing.silent) == (None, 0, ("a",))
    broken = share_right(strata, np.array([0, 0]), np.array([np.nan, np.nan]), np.array([False, False]))
    assert (broken.estimate, broken.n) == (None, 0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_answers_are_no_proof(value: float):
    strata = [Stratum(i, "a", None, None, 100, 2) for i in range(5)]
    right = np.full(10, value)
    found = share_right(strata, np.repeat(np.arange(5), 2), right, everything(right))
    assert found.estimate is not None
    assert found.estimate.low is not None
    assert found.estimate.high is not None
    assert found.estimate.high - found.estimate.low == pytest.approx(
        0.276, abs=0.01
    )  # as for 10 of 10, less the correction


@pytest.mark.parametrize("n", [30, 100, 300])
@pytest.mark.parametrize("middle", [0.1, 0.5, 0.9])
def test_so_many_more_items_do_halve_the_interval(n: int, middle: float):
    """Drawn in the same way from the same population: by simulation, within a tenth."""
    rng = np.random.default_rng([n, int(10 * middle)])
    before, after = [], []
    for _ in range(40):
        whole = population(rng, 10, middle, size=1000)
        first = _of(whole, rng, n)
        assert first.more is not None
        before.append(_width(first))
        after.append(_width(_of(whole, rng, n + first.more)))
    assert np.mean(after) / np.mean(before) == pytest.approx(0.5, abs=0.05)


def _of(whole, rng: np.random.Generator, n: int) -> Share:
    strata, stratum, right = drawn(rng, whole, n)
    return share_right(strata, stratum, right, everything(right))


def _width(found: Share) -> float:
    assert found.estimate is not None
    assert found.estimate.low is not None
    assert found.estimate.high is not None
    return found.estimate.high - found.estimate.low


def test_of_a_small_population_no_more_than_all_the_others_are_asked_for():
    strata = [Stratum(0, "a", None, None, 12, 10)]
    right = np.array([1.0, 0.0] * 5)
    assert share_right(strata, np.zeros(10, dtype=np.int64), right, everything(right)).more == 2


@given(SEEDS, st.integers(2, 8), st.integers(0, 40))
def test_any_answers_give_a_share_between_its_ends(seed: int, n_strata: int, n: int):
    rng = np.random.default_rng(seed)
    strata = [
        Stratum(number, f"c{rng.integers(2)}", None, None, int(rng.integers(n, 3 * n + 2)), 0)
        for number in rng.permutation(50)[:n_strata].tolist()
    ]
    stratum = rng.choice([each.number for each in strata], n)
    right, counted = rng.choice([0.0, 0.5, 1.0], n), rng.random(n) < 0.8
    found = share_right(strata, stratum, right, counted)
    assert found.n == counted.sum()
    assert (found.estimate is None) == (found.n == 0)
    if found.estimate is not None:
        assert found.estimate.low is not None
        assert found.estimate.high is not None
        assert 0 <= found.estimate.low <= found.estimate.value <= found.estimate.high <= 1
        assert right[counted].min() - 1e-9 <= found.estimate.value <= right[counted].max() + 1e-9
        assert found.more is None or found.more >= 0
