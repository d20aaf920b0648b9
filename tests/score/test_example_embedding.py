"""Example embedding: triplets of windows, by another plain count, and where there is nothing to find."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.score.compare import difference
from autointerp.score.example_embedding import ExampleEmbedding, deltas, triplets
from autointerp.score.plan import Item
from autointerp.score.resampling import Resamples
from tests.score.builders import explained, heldout, judged
from tests.score.test_embedding_and_surprisal import LetterEmbedder

Float = NDArray[np.float64]


def unit(rows: Float) -> Float:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def counted(positive: Float, negative: Float) -> tuple[list[float], list[float], list[float]]:
    """Every triplet, one after the other."""
    won: dict[tuple[int, int, int], float] = {}
    for q, query in enumerate(positive):
        for p, near in enumerate(positive):
            for n, far in enumerate(negative):
                if p != q:
                    gap = float(query @ near) - float(query @ far)
                    won[q, p, n] = 0.5 if gap == 0 else float(gap > 0)

    def mean(axis: int, of: int) -> list[float]:
        return [float(np.mean([v for k, v in won.items() if k[axis] == i])) for i in range(of)]

    return mean(0, len(positive)), mean(1, len(positive)), mean(2, len(negative))


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 6), st.integers(0, 10_000), st.booleans())
def test_every_triplet_counts_once(n_pos: int, n_neg: int, seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    vectors = (
        np.eye(3)[rng.integers(3, size=n_pos + n_neg)] if tied else unit(rng.normal(size=(n_pos + n_neg, 3)))
    )
    positive, negative = vectors[:n_pos], vectors[n_pos:]
    found = triplets(positive, negative)
    of_query, of_example, of_negative = counted(positive, negative)
    assert found.of_query == pytest.approx(of_query)
    assert found.of_example == pytest.approx(of_example)
    assert found.of_negative == pytest.approx(of_negative)
    assert found.value == pytest.approx(np.mean(of_negative)) == pytest.approx(np.mean(of_example))


def test_delta_is_the_difference_of_two_mean_cosines_without_the_window_itself() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(9, 4)))
    truth = np.arange(9) % 3 > 0
    for i, value in enumerate(deltas(vectors, truth)):
        sides = [
            np.mean([vectors[i] @ vectors[j] for j in range(9) if j != i and truth[j] == side])
            for side in (True, False)
        ]
        assert value == pytest.approx(sides[0] - sides[1])
    assert np.isnan(deltas(vectors[:3], np.array([True, False, False]))).tolist() == [True, False, False]


def test_like_texts_score_high_and_each_window_holds_its_delta() -> None:
    result = ExampleEmbedding(LetterEmbedder()).run(explained("anything"), heldout(word=" xxxx"), seed=0)
    assert (result.metric, result.judge, result.model) == ("triplet_auroc", "embedder", "letters")
    assert (result.n_pos, result.n_neg, result.unparsed, result.floor) == (20, 20, 0, None)
    assert result.value is not None
    assert (result.ci_low or 0) > 0.5
    assert result.value > 0.9
    means = {
        side: np.mean([answer.value or 0.0 for answer in judged(result) if answer.truth is side])
        for side in (True, False)
    }
    assert means[True] > 0 > means[False]
    assert all(value is not None for value in result.value_by_quantile)
    assert np.nanmean(np.array(result.value_by_quantile, dtype=float)) == pytest.approx(result.value)


def test_the_explanation_and_a_floor_change_nothing_and_two_scores_are_not_compared() -> None:
    scorer = ExampleEmbedding(LetterEmbedder())
    first = scorer.run(explained("foxes"), heldout(), seed=0)
    second = scorer.run(explained("dogs"), heldout(), seed=0, floor=explained("cats"))
    figures = ("value", "ci_low", "ci_high", "value_by_quantile", "judged", "floor")
    assert [getattr(first, name) for name in figures] == [getattr(second, name) for name in figures]
    with pytest.raises(UserError, match="does not depend on the explanation"):
        difference(first, second, Resamples())


def test_where_there_is_nothing_to_find_intervals_hold_chance_about_as_often_as_they_say() -> None:
    """Both classes from one distribution: 95 % of intervals should hold 0.5, and the values should not lean either way."""
    resamples, rng = Resamples(n=200), np.random.default_rng(0)
    values, holds = [], []
    for _ in range(200):
        vectors = unit(rng.normal(size=(40, 8)) + np.array([1.0, *[0.0] * 7]))
        found = triplets(vectors[:20], vectors[20:])
        low, high = found.interval(resamples)
        assert low is not None
        assert high is not None
        values.append(found.value)
        holds.append(low <= 0.5 <= high)
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)
    assert 0.90 <= np.mean(holds) <= 0.99


def test_vectors_that_are_not_finite_are_in_no_figure() -> None:
    class Broken(LetterEmbedder):
        def embed_windows(self, items: Sequence[Item]) -> NDArray[np.float32]:
            vectors = super().embed_windows(items)
            vectors[[0, 1]] = np.nan
            return vectors

    result = ExampleEmbedding(Broken()).run(explained("x"), heldout(), seed=0)
    assert (result.status, result.unparsed, result.n) == ("ok", 2, 38)
    assert [bool(a.error) for a in judged(result)] == [True, True, *[False] * 38]


@pytest.mark.parametrize(
    ("n_pos", "n_neg", "kind"), [(1, 5, "undefined"), (0, 5, "no_examples"), (5, 0, "no_negatives")]
)
def test_too_few_windows_are_a_recorded_failure(n_pos: int, n_neg: int, kind: Any) -> None:
    result = ExampleEmbedding(LetterEmbedder()).run(explained("x"), heldout(n_pos, n_neg), seed=0)
    assert (result.status, result.value, result.error_kind) == ("failed", None, kind)
