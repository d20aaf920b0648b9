"""Matching by cosine against scipy on the whole matrix and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from autointerp.compare import matching
from autointerp.compare.matching import match


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Float64[n, m], row by row; a row of zeros has cosine 0."""
    out = np.zeros((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            size = np.linalg.norm(x) * np.linalg.norm(y)
            out[i, j] = float(x @ y) / size if size else 0.0
    return out


sizes = st.integers(1, 12)


@given(n=sizes, m=sizes, seed=st.integers(0, 99), exact=st.booleans(), block=st.sampled_from([1, 1 << 20]))
def test_partners_and_nearest_are_those_of_the_whole_matrix(
    n: int, m: int, seed: int, exact: bool, block: int
):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, 5)).astype(np.float32), rng.normal(size=(m, 5)).astype(np.float32)
    a[0] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "BLOCK_BYTES", block)
        found = match(torch.from_numpy(a), torch.from_numpy(b), exact_up_to=99 if exact else 0)
    truth = cosines(a, b)
    np.testing.assert_allclose(found.there.cosine, truth.max(1), atol=1e-5)
    np.testing.assert_allclose(found.back.cosine, truth.max(0), atol=1e-5)
    np.testing.assert_allclose(truth[np.arange(n), found.there.index], truth.max(1), atol=1e-5)
    np.testing.assert_allclose(truth[found.back.index, np.arange(m)], truth.max(0), atol=1e-5)
    has = found.partner >= 0
    assert len(set(found.partner[has])) == has.sum()
    np.testing.assert_allclose(found.cosine[has], truth[np.flatnonzero(has), found.partner[has]], atol=1e-5)
    assert np.isnan(found.cosine[~has]).all()
    if exact:
        assert found.method == "exact"
        assert has.sum() == min(n, m)
        rows, columns = linear_sum_assignment(truth, maximize=True)
        assert found.cosine[has].sum() == pytest.approx(truth[rows, columns].sum(), abs=1e-4)
    else:
        assert found.method == "mutual"
        for i in np.flatnonzero(has):
            assert truth[i].max() == pytest.approx(truth[i, found.partner[i]], abs=1e-5)
            assert truth[:, found.partner[i]].max() == pytest.approx(truth[i, found.partner[i]], abs=1e-5)


@pytest.mark.parametrize("exact_up_to", [0, 1000])
def test_a_permuted_copy_is_found_whole_and_an_independent_one_at_the_floor(exact_up_to: int):
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.normal(size=(300, 64)).astype(np.float32))
    order = torch.from_numpy(rng.permutation(300))
    scale = torch.from_numpy(rng.uniform(0.1, 9, size=(300, 1)).astype(np.float32))
    copy = match(a, (a * scale)[order], exact_up_to=exact_up_to)
    np.testing.assert_array_equal(order.numpy()[copy.partner], np.arange(300))
    np.testing.assert_allclose(copy.cosine, 1.0, atol=1e-5)
    other = match(a, torch.from_numpy(rng.normal(size=(300, 64)).astype(np.float32)), exact_up_to=exact_up_to)
    assert other.there.cosine.mean() == pytest.approx(other.floors[0], abs=0.02)
    assert (other.there.cosine < 0.7).all()
