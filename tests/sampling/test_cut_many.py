"""Cutting windows together gives what cutting them one by one gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autointerp.sampling.windows import Places, cut, cut_many
from autointerp.types import LatentActivations

N, LENGTH = 6, 10


@st.composite
def cases(draw: st.DrawFn) -> tuple[LatentActivations, np.ndarray, list[tuple[int, int, int]]]:
    fires = sorted(draw(st.sets(st.integers(0, N * LENGTH - 1))))
    values = draw(st.lists(st.floats(0.5, 9, width=32), min_size=len(fires), max_size=len(fires)))
    tokens = np.array(
        draw(st.lists(st.integers(0, 50), min_size=N * LENGTH, max_size=N * LENGTH)), dtype=np.uint16
    ).reshape(N, LENGTH)
    places = []
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, LENGTH - 1))
        places.append((draw(st.integers(0, N - 1)), start, draw(st.integers(start + 1, LENGTH))))
    acts = LatentActivations(np.array(fires, dtype=np.int64), np.array(values, dtype=np.float32))
    return acts, tokens, places


@given(cases(), st.sampled_from(["random", "neighbours"]))
def test_it_is_cut_repeated(
    case: tuple[LatentActivations, np.ndarray, list[tuple[int, int, int]]], source: str
) -> None:
    acts, tokens, places = case
    numbers = list(range(len(places)))
    spans = np.array(places, dtype=np.int64).reshape(-1, 3)
    together = cut_many(acts, tokens, Places(spans, numbers, [source] * len(places), numbers, numbers))
    assert len(together) == len(places)
    for i, (made, (context, start, stop)) in enumerate(zip(together, places, strict=True)):
        one = cut(acts, tokens, context, start, stop, source=source, quantile=i, n_duplicates=i, neighbour=i)
        assert made.token_ids.tolist() == one.token_ids.tolist()
        assert made.activations.tolist() == one.activations.tolist()
        assert (made.token_ids.dtype, made.activations.dtype) == (one.token_ids.dtype, one.activations.dtype)
        for field in (
            "context",
            "start",
            "max_activation",
            "quantile",
            "n_duplicates",
            "neighbour",
        ):
            assert getattr(made, field) == getattr(one, field)
            assert type(getattr(made, field)) is type(getattr(one, field))
