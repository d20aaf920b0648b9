"""Equal numbers of latents, drawn with a seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.compare.drawing import BINS_PER_DECADE, draw, draw_matched

LATENTS = {"a": np.arange(0, 200, 2), "b": np.arange(150), "c": np.arange(40, 101)}


@given(n=st.integers(0, 61), seed=st.integers(0, 999))
def test_a_draw_depends_on_coder_and_seed_alone_and_grows(n: int, seed: int):
    drawn = draw(LATENTS, n, seed)
    for coder, latents in drawn.items():
        assert len(set(latents.tolist())) == n
        assert set(latents) <= set(LATENTS[coder])
        assert (np.diff(latents) > 0).all()
        assert set(latents) <= set(draw({coder: LATENTS[coder]}, 61, seed)[coder])


def test_another_seed_draws_others_and_too_many_are_refused():
    assert not np.array_equal(draw(LATENTS, 30, 0)["a"], draw(LATENTS, 30, 1)["a"])
    with pytest.raises(ValueError, match="c has 61"):
        draw(LATENTS, 62, 0)


@given(seed=st.integers(0, 999), n=st.none() | st.integers(1, 80))
def test_matched_draws_have_equally_many_of_each_density(seed: int, n: int | None):
    rng = np.random.default_rng(seed)
    densities = {coder: 10 ** rng.normal(-2 - place / 4, 0.7, 200) for place, coder in enumerate(LATENTS)}
    drawn, n_bins = draw_matched(LATENTS, densities, n, seed)

    def histogram(coder: str, latents: np.ndarray) -> dict[int, int]:
        counts: dict[int, int] = {}
        for latent in latents:
            at = int(np.floor(np.log10(densities[coder][latent]) * BINS_PER_DECADE))
            counts[at] = counts.get(at, 0) + 1
        return counts

    histograms = {coder: histogram(coder, latents) for coder, latents in drawn.items()}
    assert histograms["a"] == histograms["b"] == histograms["c"]
    assert len(histograms["a"]) == n_bins
    every = {coder: histogram(coder, LATENTS[coder]) for coder in LATENTS}
    most = {at: min(of.get(at, 0) for of in every.values()) for at in every["a"]}
    total = sum(most.values())
    assert len(drawn["a"]) == (total if n is None else min(n, total))
    for at, count in histograms["a"].items():
        # In proportion to what there is, to one.
        assert abs(count - most[at] * len(drawn["a"]) / total) < 1 or n is None


def test_nothing_in_common_draws_nothing():
    drawn, n_bins = draw_matched(
        {"a": np.arange(5), "b": np.arange(5)}, {"a": np.full(5, 1e-4), "b": np.full(5, 0.5)}, None, 0
    )
    assert n_bins == 0
    assert all(len(latents) == 0 for latents in drawn.values())
