"""Our metrics against scikit-learn and scipy."""

import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from autointerp.score import metrics
from autointerp.score.resampling import Resamples, interval, spread_out

flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
graded = st.lists(
    st.tuples(st.booleans(), st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))),
    min_size=1,
    max_size=60,
)


@given(flags)
def test_balanced_accuracy_is_scikit_learns(pairs: list[tuple[bool, bool]]) -> None:
    truth, answer = zip(*pairs, strict=True)
    ours = metrics.balanced_accuracy(truth, answer)
    if len(set(truth)) < 2:
        assert ours is None
    else:
        assert ours == pytest.approx(balanced_accuracy_score(truth, answer))


@given(graded)
def test_auroc_is_scikit_learns_ties_included(pairs: list[tuple[bool, float]]) -> None:
    truth, value = zip(*pairs, strict=True)
    ours = metrics.auroc(truth, value)
    if len(set(truth)) < 2:
        assert ours is None
    else:
        assert ours == pytest.approx(roc_auc_score(truth, value))


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_midranks_are_scipys(values: list[int]) -> None:
    assert metrics.midranks(np.array(values, dtype=float)).tolist() == rankdata(values).tolist()


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1, max_size=50))
def test_correlation_is_scipys(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    ours = metrics.correlation(x, y)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        assert ours is None
        return
    assert ours is not None
    assert -1 <= ours <= 1
    if min(x.std() / np.abs(x).max(), y.std() / np.abs(y).max()) > 1e-6:
        assert ours == pytest.approx(pearsonr(x, y)[0], abs=1e-6)


def test_undefined_values_are_none_and_never_nan() -> None:
    assert metrics.correlation([], []) is None
    assert metrics.correlation([1.0, 1.0], [0.0, 3.0]) is None
    assert metrics.correlation([1e-300, 0.0], [1.0, 0.0]) == 1.0
    assert metrics.auroc([], []) is None
    assert metrics.rate([]) is None
    assert metrics.mean_by_quantile([0, 0, 9, None], [True, False, True, True]) == (0.5, *[None] * 8, 1.0)


@given(graded, st.integers(0, 2**32 - 1))
def test_resampled_auroc_is_the_auroc_of_the_drawn_examples(
    pairs: list[tuple[bool, float]], seed: int
) -> None:
    positive = [value for truth, value in pairs if truth]
    negative = [value for truth, value in pairs if not truth]
    weights = Resamples(seed, 3).weights(len(positive), len(negative))
    if weights is None or not positive or not negative:
        return
    ours = metrics.resampled_auroc(positive, negative, weights.pos, weights.neg)
    for b in range(3):
        drawn_pos = np.repeat(positive, weights.pos[b].astype(int))
        drawn_neg = np.repeat(negative, weights.neg[b].astype(int))
        truth = np.repeat([True, False], [len(drawn_pos), len(drawn_neg)])
        assert ours[b] == pytest.approx(roc_auc_score(truth, np.concatenate([drawn_pos, drawn_neg])))


def test_resampled_correlation_is_the_correlation_of_the_drawn_windows() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=5), rng.normal(size=5) + 3) for _ in range(6)]
    weights = Resamples(1, 20).weights(6, 0)
    assert weights is not None
    ours = metrics.resampled_correlation(metrics.correlation_sums(pairs), weights.pos)
    for b in range(20):
        drawn = [pairs[i] for i in np.repeat(np.arange(6), weights.pos[b].astype(int))]
        x, y = (np.concatenate([pair[side] for pair in drawn]) for side in (0, 1))
        assert ours[b] == pytest.approx(pearsonr(x, y)[0])


def test_balanced_accuracys_interval_is_near_scipys_bootstrap() -> None:
    from scipy.stats import bootstrap

    rng = np.random.default_rng(3)
    hits, rejections = rng.random(60) < 0.8, rng.random(40) < 0.6
    weights = Resamples(7, 4000).weights(60, 40)
    assert weights is not None
    low, high = interval(
        (metrics.resampled_rate(hits, weights.pos) + metrics.resampled_rate(rejections, weights.neg)) / 2
    )
    assert low is not None
    assert high is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = bootstrap(
            (hits, rejections),
            lambda a, b, axis=-1: (a.mean(axis=axis) + b.mean(axis=axis)) / 2,
            method="percentile",
            n_resamples=4000,
            rng=np.random.default_rng(1),
        ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.015)


@given(n=st.integers(2, 200), right=st.booleans())
def test_like_answers_do_not_pass_for_certainty(n: int, right: bool) -> None:
    """The ends are those of the posterior Beta(n + 1, 1), as scipy has it."""
    from scipy.stats import beta

    weights = Resamples(3, 4000).weights(n, n)
    assert weights is not None
    rates = spread_out(metrics.resampled_rate([right] * n, weights.pos), n, weights.chance_pos)
    low, high = interval(rates, around=float(right))
    assert low is not None
    assert high is not None
    expected = beta(n + 1, 1).ppf(0.025)
    assert (low if right else 1 - high) == pytest.approx(expected, abs=0.03)
    assert (high if right else 1 - low) == 1.0
    assert high - low > 0


def test_answers_that_differ_are_left_to_the_bootstrap() -> None:
    weights = Resamples(3).weights(4, 4)
    assert weights is not None
    rates = metrics.resampled_rate([True, True, False, True], weights.pos)
    assert np.array_equal(spread_out(rates, 4, weights.chance_pos), rates)
    zeros = np.array([0.0, 0.5, 0.0])
    assert np.array_equal(spread_out(zeros, 4, weights.chance_pos[:3]), zeros)


def test_resamples_of_large_classes_do_not_pile_up() -> None:
    resamples = Resamples(0)
    drawn = []
    for n in range(500, 600):
        weights = resamples.weights(n, n)
        assert weights is not None
        drawn.append(weakref.ref(weights))
    kept = [weights for reference in drawn if (weights := reference()) is not None]
    assert 0 < sum(weights.pos.nbytes + weights.neg.nbytes for weights in kept) <= 64 << 20


def test_too_few_examples_have_no_interval() -> None:
    assert Resamples(0).weights(1, 10) is None
    assert Resamples(0).weights(0, 0) is None
    assert interval(np.array([])) == (None, None)


def test_resamples_do_not_depend_on_what_was_drawn_before() -> None:
    alone, after_others = Resamples(5, 10), Resamples(5, 10)
    after_others.weights(3, 4)
    a, b = alone.weights(7, 8), after_others.weights(7, 8)
    assert a is not None
    assert b is not None
    assert (a.pos == b.pos).all()
    assert (a.neg == b.neg).all()
    assert (a.pos.sum(axis=1) == 7).all()
