"""Scores against verdicts: figures against scikit-learn and scipy, intervals by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from autointerp.audit.calibration import MIN_CLASS, MIN_PAIRS, PAPER, calibration, paper, rank_correlation
from autointerp.score.intervals import auroc_interval, wilson
from autointerp.score.metrics import auroc

ROWS = st.lists(
    st.tuples(
        st.one_of(st.just(math.nan), st.integers(0, 10).map(lambda n: n / 10)),
        st.sampled_from([math.nan, 0.0, 0.5, 1.0]),
        st.sampled_from([math.nan, 0.0, 0.25, 0.5, 1.0]),
    ),
    min_size=0,
    max_size=60,
)


def columns(rows: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


@given(ROWS)
def test_figures_are_scikit_learns_and_scipys(rows):
    score, right, grade = columns(rows)
    found = calibration(score, right, grade)
    judged = ~np.isnan(score) & ~np.isnan(right)
    clear = judged & (right != 0.5)
    assert (found.n, found.n_right + found.n_wrong) == (judged.sum(), clear.sum())
    if min(found.n_right, found.n_wrong) >= MIN_CLASS:
        assert found.auroc is not None
        assert found.auroc.value == pytest.approx(roc_auc_score(right[clear] > 0.5, score[clear]))
        assert found.auroc.low is not None
        assert found.auroc.high is not None
        assert 0 <= found.auroc.low <= found.auroc.value <= found.auroc.high <= 1
    else:
        assert found.auroc is None
    graded = ~np.isnan(score) & ~np.isnan(grade)
    assert found.n_graded == graded.sum()
    constant = not graded.any() or np.ptp(score[graded]) == 0 or np.ptp(grade[graded]) == 0
    assert (found.correlation is None) == (graded.sum() < MIN_PAIRS or constant)
    if found.correlation is not None:
        assert found.correlation.value == pytest.approx(spearmanr(score[graded], grade[graded])[0])


@given(ROWS)
def test_bins_hold_every_item_once_and_equal_scores_together(rows):
    score, right, grade = columns(rows)
    found = calibration(score, right, grade)
    assert sum(each.n for each in found.bins) == found.n
    for lower, higher in zip(found.bins, found.bins[1:], strict=False):
        assert lower.high < higher.low
    for each in found.bins:
        inside = ~np.isnan(right) & (score >= each.low) & (score <= each.high)
        assert each.n == inside.sum()
        assert each.right.value == pytest.approx(right[inside].mean())
        assert (each.right.low, each.right.high) == wilson(each.right.value, each.n)


@given(ROWS)
def test_lists_hold_what_they_say(rows):
    score, right, grade = columns(rows)
    found = calibration(score, right, grade)
    assert all(right[i] < 0.5 for i in found.high_but_wrong)
    assert all(right[i] > 0.5 for i in found.low_but_right)
    assert list(score[list(found.high_but_wrong)]) == sorted(score[list(found.high_but_wrong)], reverse=True)
    assert list(score[list(found.low_but_right)]) == sorted(score[list(found.low_but_right)])
    judged = score[~np.isnan(score) & ~np.isnan(right)]
    for place in found.high_but_wrong:
        assert (judged <= score[place]).mean() >= 2 / 3 - 1e-9
    for place in found.low_but_right:
        assert (judged >= score[place]).mean() >= 2 / 3 - 1e-9


def test_lists_name_the_surprises():
    score = np.array([0.9, 0.95, 0.5, 0.5, 0.1, 0.2])
    right = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    found = calibration(score, right, right)
    assert (found.high_but_wrong, found.low_but_right) == ((1, 0), (4, 5))


def test_equal_scores_are_neither_high_nor_low():
    right = np.array([0.0, 1.0, 1.0])
    found = calibration(np.full(3, 0.7), right, right)
    assert (found.high_but_wrong, found.low_but_right, len(found.bins)) == ((), (), 1)


def sample(rng: np.random.Generator, n: int, rho: float, cuts: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Scores in steps of a twentieth, and grades of three values, of two normals correlated by `rho`."""
    x, noise = rng.standard_normal((2, n))
    return np.round(20 / (1 + np.exp(-x))) / 20, np.digitize(
        rho * x + math.sqrt(1 - rho**2) * noise, cuts
    ) / 2


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("cuts", [[-0.5, 0.5], [-1.3, -0.8]])
def test_intervals_hold_the_truth(n: int, rho: float, cuts: list[float]):
    """Of AUROC and rank correlation with many ties, also where most explanations are right: 95 % of 300 draws, less three
    standard errors."""
    rng = np.random.default_rng([n, int(10 * rho), len(cuts)])
    scores, grades = sample(rng, 200_000, rho, cuts)
    truths = auroc(grades == 1, scores) or 0.0, float(spearmanr(scores, grades)[0])  # pyright: ignore
    held, tried = [0, 0], [0, 0]
    for _ in range(300):
        score, grade = sample(rng, n, rho, cuts)
        found = calibration(score, (grade == 1).astype(float), grade)
        for place, estimate in enumerate((found.auroc, found.correlation)):
            if estimate is not None and estimate.low is not None and estimate.high is not None:
                tried[place] += 1
                held[place] += estimate.low <= truths[place] <= estimate.high
    for place in (0, 1):
        assert held[place] / tried[place] >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / tried[place])


@given(st.floats(0, 1), st.integers(1, 200), st.integers(1, 200))
def test_newcombes_interval_mirrors(value: float, n_pos: int, n_neg: int):
    low, high = auroc_interval(value, n_pos, n_neg)
    assert 0 <= low <= value <= high <= 1
    assert high > low
    assert auroc_interval(1 - value, n_pos, n_neg) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_perfect_order_has_no_interval_of_rank_correlation():
    ranks = np.arange(12.0)
    found = rank_correlation(ranks, ranks)
    assert found is not None
    assert (found.value, found.low, found.high) == (pytest.approx(1), None, None)


def test_the_papers_figures_have_their_own_interval():
    fuzzing = paper("fuzzing")
    assert fuzzing is not None
    assert fuzzing.low is not None
    assert fuzzing.high is not None
    assert fuzzing.value == PAPER["fuzzing"] == 0.69
    assert 0.5 < fuzzing.low < 0.69 < fuzzing.high < 0.85
    assert paper("delphi") is None
