"""Agreement against scikit-learn, and against a second implementation written from Krippendorff's own steps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from autointerp.audit.agreement import GAP, MIN_ITEMS, agreement, confusion
from autointerp.score.resampling import Resamples
from tests.audit.krippendorff import krippendorff

RESAMPLES = Resamples()
N_CATEGORIES = 4


def tables(min_raters: int = 2, max_raters: int = 4, gaps: bool = True) -> st.SearchStrategy[np.ndarray]:
    category = st.integers(GAP if gaps else 0, N_CATEGORIES - 1)
    return st.integers(min_raters, max_raters).flatmap(
        lambda n: st.lists(st.lists(category, min_size=n, max_size=n), min_size=1, max_size=30).map(np.array)
    )


@given(tables())
def test_alpha_is_krippendorffs(table: np.ndarray):
    found = agreement(table, RESAMPLES)
    expected = krippendorff(table)
    if expected is None:
        assert found.alpha is None
    else:
        assert found.alpha is not None
        assert found.alpha.value == pytest.approx(expected)


def test_alpha_of_krippendorffs_own_example():
    """Four observers, twelve units, nominal: 0.743 (Krippendorff, "Computing Krippendorff's alpha-reliability", 2011, C)."""
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    found = agreement(np.array(rows).T - 1, RESAMPLES)
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(0.743, abs=5e-4)
    assert found.kappa is None
    assert found.n_items == 11


@given(tables(max_raters=2))
def test_kappa_of_two_is_scikit_learns(table: np.ndarray):
    both = table[(table != GAP).all(axis=1)]
    found = agreement(table, RESAMPLES)
    assert found.n_items == found.n_pairs == len(both)
    if not len(both):
        assert found.raw is found.kappa is found.alpha is None
        return
    assert found.raw is not None
    assert found.raw.value == pytest.approx((both[:, 0] == both[:, 1]).mean())
    if len(np.unique(both)) == 1:
        assert found.kappa is None
    else:
        assert found.kappa is not None
        assert found.kappa.value == pytest.approx(cohen_kappa_score(both[:, 0], both[:, 1]))


@given(tables(min_raters=3))
def test_raw_agreement_counts_pairs(table: np.ndarray):
    pairs = [
        (row[a], row[b])
        for row in table.tolist()
        for a, b in itertools.combinations(range(len(row)), 2)
        if GAP not in (row[a], row[b])
    ]
    found = agreement(table, RESAMPLES)
    assert found.n_pairs == len(pairs)
    assert found.kappa is None
    if pairs:
        assert found.raw is not None
        assert found.raw.value == pytest.approx(np.mean([a == b for a, b in pairs]))


@given(tables(), st.permutations(range(N_CATEGORIES)), st.randoms(use_true_random=False))
def test_names_of_categories_and_the_order_of_items_and_raters_change_nothing(table, names, random):
    renamed = np.array([*names, GAP])[table]
    items, raters = list(range(len(table))), list(range(table.shape[1]))
    random.shuffle(items)
    random.shuffle(raters)
    first, second = agreement(table, RESAMPLES), agreement(renamed[items][:, raters], RESAMPLES)
    for figure in ("raw", "kappa", "alpha"):
        a, b = getattr(first, figure), getattr(second, figure)
        assert (a is None) == (b is None)
        assert a is None or a.value == pytest.approx(b.value)


@given(tables(max_raters=2, gaps=False))
def test_the_confusion_matrix_is_scikit_learns(table: np.ndarray):
    expected = confusion_matrix(table[:, 0], table[:, 1], labels=range(N_CATEGORIES))
    assert confusion(table[:, 0], table[:, 1], N_CATEGORIES).tolist() == expected.tolist()


def test_the_confusion_matrix_leaves_out_gaps():
    counts = confusion(np.array([0, GAP, 1, 1]), np.array([1, 1, GAP, 1]), 2)
    assert counts.tolist() == [[0, 1], [0, 1]]


def test_few_items_have_figures_and_no_interval():
    rng = np.random.default_rng(1)
    table = rng.integers(0, 2, size=(MIN_ITEMS, 2))
    few, enough = agreement(table[1:], RESAMPLES), agreement(table, RESAMPLES)
    for figure in ("raw", "kappa", "alpha"):
        assert getattr(few, figure).low is None
        assert getattr(enough, figure).low < getattr(enough, figure).value < getattr(enough, figure).high


def test_perfect_agreement_is_no_proof():
    table = np.array([[n % 3] * 2 for n in range(30)])
    found = agreement(table, RESAMPLES)
    assert found.raw is not None
    assert found.kappa is not None
    assert found.alpha is not None
    for estimate in (found.raw, found.kappa, found.alpha):
        assert estimate.value == estimate.high == pytest.approx(1)
        assert estimate.low is not None
        assert 0.75 < estimate.low < 0.95


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("skill", [0.3, 0.7, 0.95])
def test_intervals_hold_the_truth(n: int, skill: float):
    """Two raters who see the truth with this chance and guess else: kappa is its square. Of 200 draws, 95 % less what a
    bootstrap of few items falls short by, and three standard errors."""
    rng = np.random.default_rng([n, int(100 * skill)])
    shares = np.array([0.5, 0.2, 0.2, 0.1])
    raw = skill**2 + (1 - skill**2) * (shares**2).sum()
    truths = {"raw": raw, "kappa": skill**2, "alpha": skill**2}
    held, total, sums = dict.fromkeys(truths, 0), 200, dict.fromkeys(truths, 0.0)
    for _ in range(total):
        truth = rng.choice(4, n, p=shares)
        guesses = rng.choice(4, (n, 2), p=shares)
        found = agreement(np.where(rng.random((n, 2)) < skill, truth[:, None], guesses), RESAMPLES)
        for figure, value in truths.items():
            estimate = getattr(found, figure)
            held[figure] += estimate.low <= value <= estimate.high
            sums[figure] += estimate.value
    for figure, value in truths.items():
        assert held[figure] / total >= 0.85
        assert sums[figure] / total == pytest.approx(value, abs=0.03)
