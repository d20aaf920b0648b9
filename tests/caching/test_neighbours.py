"""Neighbours against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.caching import neighbours
from autointerp.caching.neighbours import Cofiring, nearest_by_cosine


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(1, 30), st.integers(0, 99), st.booleans())
def test_cofiring_is_the_jaccard_index(
    n_latents: int, k: int, n_tokens: int, seed: int, counted: bool
) -> None:
    k = min(k, n_latents)
    rng = np.random.default_rng(seed)
    latents = np.stack([rng.choice(n_latents, k, replace=False) for _ in range(n_tokens)])
    acts = rng.random((n_tokens, k)) * (rng.random((n_tokens, k)) < 0.7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "COUNTED_LATENTS", 4096 if counted else 0)
        patch.setattr(neighbours, "COUNTED_AT_ONCE", 12)
        cofiring = Cofiring(n_latents)
    for start in range(0, n_tokens, 7):
        part = slice(start, start + 7)
        fires = acts[part] > 0
        cofiring.add(latents[part][fires], np.repeat(np.arange(n_tokens)[part], fires.sum(1)))
    ids, values = cofiring.nearest(4)
    assert cofiring.share == 1
    fires = np.zeros((n_tokens, n_latents), bool)
    for token in range(n_tokens):
        fires[token, latents[token][acts[token] > 0]] = True
    for latent in range(n_latents):
        both = (fires[:, [latent]] & fires).sum(0)
        either = (fires[:, [latent]] | fires).sum(0)
        jaccard = np.where(both > 0, both / np.maximum(either, 1), 0)
        jaccard[latent] = 0
        wanted = np.sort(jaccard)[::-1][:4]
        wanted = np.pad(wanted, (0, 4 - len(wanted)))
        np.testing.assert_allclose(values[latent], wanted, rtol=1e-6)
        for neighbour, value in zip(ids[latent], values[latent], strict=True):
            assert (neighbour == -1) == (value == 0)
            if neighbour >= 0:
                assert jaccard[neighbour] == pytest.approx(value)


@pytest.mark.parametrize("batch", [1, 7, 500])
@pytest.mark.parametrize("limit", [{"max_pairs": 3000}, {"max_firings": 600}])
def test_a_sample_is_bounded_and_does_not_depend_on_batches(batch: int, limit: dict[str, int]) -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 9, 500)
    latents = [rng.choice(32, n, replace=False) for n in counts]

    def sampled(size: int) -> Cofiring:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(neighbours, "COUNTED_LATENTS", 0)
            cofiring = Cofiring(32, **limit)
        for start in range(0, 500, size):
            part = slice(start, start + size)
            cofiring.add(np.concatenate(latents[part]), np.repeat(np.arange(500)[part], counts[part]))
        return cofiring

    cofiring, whole = sampled(batch), sampled(500)
    assert cofiring.share == whole.share
    assert 0.05 < cofiring.share < 0.6
    assert all(
        np.array_equal(mine, other) for mine, other in zip(cofiring.nearest(), whole.nearest(), strict=True)
    )


def test_a_small_coder_counts_every_token_whatever_the_corpus() -> None:
    cofiring = Cofiring(64, max_firings=10, max_pairs=10)
    for context in range(1000):
        token = np.arange(context * 8, context * 8 + 8)
        cofiring.add(np.tile(np.arange(4), 8), np.repeat(token, 4))
    assert cofiring.share == 1
    assert cofiring.nearest(3)[1][0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("n_latents", [5, 64, 1500])
def test_cosine_neighbours(n_latents: int) -> None:
    weight = torch.randn(n_latents, 12)
    live = np.random.default_rng(0).random(n_latents) < 0.8
    ids, values = nearest_by_cosine(weight, live)
    unit = torch.nn.functional.normalize(weight, dim=1).numpy()
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -9)
    cosine[:, ~live] = -9
    keep = min(10, int(live.sum()) - 1)
    for latent in range(n_latents):
        if not live[latent]:
            assert (ids[latent] == -1).all()
            continue
        np.testing.assert_allclose(values[latent, :keep], np.sort(cosine[latent])[::-1][:keep], atol=1e-5)
        np.testing.assert_allclose(cosine[latent, ids[latent, :keep]], values[latent, :keep], atol=1e-5)
        assert (ids[latent, keep:] == -1).all()


def test_no_neighbours_without_company() -> None:
    live = np.array([True, False, False])
    assert (nearest_by_cosine(torch.randn(3, 4), live)[0] == -1).all()
