"""The map of explanations: its shape, that it is the same again, and that it shows the structure that is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness

from autointerp.compare import map as maps
from autointerp.compare import results
from autointerp.compare.map import arrange, inside, read
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.types import Progress, no_progress
from tests.compare import planted
from tests.compare.test_meaning import own, topics

__all__ = ["own"]


def vectors(n_each: int, n_topics: int) -> np.ndarray:
    texts = [f"topic {i % n_topics}: {i}" for i in range(n_each * n_topics)]
    return np.array([planted.vector(text) for text in texts], dtype=np.float32)


def test_topics_are_places_and_neighbours_stay_neighbours(monkeypatch: pytest.MonkeyPatch):
    points = vectors(60, 3)
    monkeypatch.setattr(maps, "BLOCK_BYTES", 4 * len(points) * 16)  # several blocks
    places = arrange(points, no_progress)
    assert places.shape == (180, 2)
    assert places.dtype == np.float32
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(180)
    nearest = np.argsort(distances, axis=1)[:, :10]
    assert (nearest % 3 == np.arange(180)[:, None] % 3).mean() > 0.99
    assert trustworthiness(points, places, n_neighbors=10) > 0.85


@pytest.mark.parametrize("on_grid", [0, 10_000])
def test_the_same_explanations_give_the_same_map(on_grid: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maps, "ON_GRID", on_grid)
    monkeypatch.setattr(maps, "LATE", 40)
    points = vectors(40, 2)
    first = arrange(points, no_progress)
    monkeypatch.setattr(maps, "_cores", lambda n: 2)
    np.testing.assert_array_equal(arrange(points, no_progress), first)


@pytest.mark.parametrize("n", [5, 6, 12])
def test_a_few_explanations_have_a_map_and_equal_ones_too(n: int):
    assert np.isfinite(arrange(vectors(n, 1), no_progress)).all()
    assert np.isfinite(arrange(np.repeat(vectors(1, 1), n, axis=0), no_progress)).all()


def test_every_explained_latent_of_every_coder_has_a_place(own: Resources):
    planted.write(own.annotations, "sae", {2 * i: text for i, text in enumerate(topics("a", 9))})
    planted.write(own.annotations, "skip", topics("b", 4))
    stages: list[Progress] = []
    names = ["sae", "skip"]
    found = read(results.obtain(own, "map", names, progress=stages.append), names)
    assert found.coders == ("sae", "skip")
    assert found.owner.tolist() == [0] * 9 + [1] * 4
    assert found.latent.tolist() == [*range(0, 18, 2), *range(4)]
    assert [stages[-1].done, stages[-1].total] == [maps.EARLY + maps.LATE] * 2
    assert results.known(own, "map", names) is not None
    planted.write(own.annotations, "skip", {7: "topic 1: new"})
    assert results.known(own, "map", names) is None


def test_it_can_be_stopped_and_needs_some_explanations(own: Resources):
    planted.write(own.annotations, "sae", topics("a", 4))
    with pytest.raises(UserError, match="needs at least 5"):
        results.obtain(own, "map", ["sae"])
    with pytest.raises(UserError, match="skip has no explanations"):
        results.obtain(own, "map", ["sae", "skip"])
    planted.write(own.annotations, "skip", topics("b", 9))

    def stop(progress: Progress) -> None:
        if progress.stage == "arrange":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.obtain(own, "map", ["sae", "skip"], progress=stop)
    assert results.known(own, "map", ["sae", "skip"]) is None


@given(seed=st.integers(0, 30), n_corners=st.integers(3, 9))
def test_what_lies_in_a_polygon_is_what_a_ray_says(seed: int, n_corners: int):
    rng = np.random.default_rng(seed)
    corners = [tuple(corner) for corner in rng.uniform(-1, 1, (n_corners, 2)).tolist()]
    points = rng.uniform(-1, 1, (50, 2))
    found = inside(points[:, 0].astype(np.float64), points[:, 1].astype(np.float64), corners)  # type: ignore[arg-type]
    for (x, y), is_inside in zip(points.tolist(), found.tolist(), strict=True):
        crossings = 0
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if min(y0, y1) <= y < max(y0, y1) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) > x:
                crossings += 1
        assert is_inside == (crossings % 2 == 1)


def test_what_lies_in_a_box():
    x, y = np.array([0.0, 1.0, 2.0], np.float32), np.array([0.0, 1.0, 2.0], np.float32)
    assert inside(x, y, [(1.5, 2.0), (0.5, -1.0)]).tolist() == [False, True, False]
