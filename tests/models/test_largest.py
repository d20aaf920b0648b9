"""Keeping only the largest activations of each token."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from autointerp.models.coders.coder import SparseActivations


@given(st.lists(st.lists(st.integers(1, 30), max_size=9), max_size=6), st.integers(1, 4))
def test_the_largest_of_each_token(tokens: list[list[int]], n: int) -> None:
    values = torch.tensor([float(value) for token in tokens for value in token])
    latents = torch.arange(len(values))
    offsets = torch.tensor(
        [0, *torch.tensor([len(token) for token in tokens], dtype=torch.int64).cumsum(0).tolist()]
    )
    kept = SparseActivations(values, latents, offsets).largest(n)
    assert kept.offsets is not None
    assert kept.offsets.diff().tolist() == [min(n, len(token)) for token in tokens]
    for at, token in enumerate(tokens):
        part = slice(int(kept.offsets[at]), int(kept.offsets[at + 1]))
        assert sorted(kept.values[part].tolist(), reverse=True) == sorted(map(float, token), reverse=True)[:n]
        assert torch.equal(values[kept.latents[part]], kept.values[part])


def test_the_largest_of_a_fixed_number() -> None:
    acts = SparseActivations(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[7, 8, 9]]))
    kept = acts.largest(2)
    assert set(zip(kept.latents[0].tolist(), kept.values[0].tolist(), strict=True)) == {(8, 3.0), (9, 2.0)}
    assert acts.largest(3) is acts
