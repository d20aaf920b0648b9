"""Keeping only the largest activations of each token."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autointerp.models.coders.coder import Firing


@given(st.lists(st.lists(st.integers(1, 30), max_size=9), max_size=6), st.integers(1, 4))
def test_the_largest_of_each_token(tokens: list[list[int]], n: int) -> None:
    values = np.array([value for token in tokens for value in token], dtype=np.float32)
    token = np.repeat(np.arange(len(tokens)), [len(token) for token in tokens])
    kept = Firing(np.arange(len(values)), token, values).largest(n)
    assert (np.diff(kept.latent) > 0).all()  # in the order in which they came
    assert np.array_equal(values[kept.latent], kept.activation)
    for at, strengths in enumerate(tokens):
        own = sorted(kept.activation[kept.token == at].tolist(), reverse=True)
        assert own == sorted(map(float, strengths), reverse=True)[:n]
