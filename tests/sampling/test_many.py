"""Drawing for many latents at once gives each what it would be given alone."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.sampling import Places, Request, Sizes, sample, split_contexts
from autointerp.sampling.axis import peaks
from autointerp.types import LatentActivations

quick = settings(max_examples=400, deadline=None)


@dataclass(frozen=True)
class Case:
    tokens: np.ndarray
    acts: list[LatentActivations]
    shown: list[np.ndarray]
    window: int | None
    n: int
    n_non_activating: int
    fraction: float
    seed: int

    def split_rng(self, i: int) -> np.random.Generator:
        return np.random.default_rng([0, self.seed, i])

    def rng(self, i: int) -> np.random.Generator:
        return np.random.default_rng([2, self.seed, i])

    def contexts(self, i: int) -> np.ndarray:
        """The held-out ones, less those that were shown."""
        n_contexts, ctx_len = self.tokens.shape
        split = split_contexts(
            self.acts[i],
            n_contexts=n_contexts,
            ctx_len=ctx_len,
            rng=self.split_rng(i),
            heldout_fraction=self.fraction,
        )
        heldout = split.heldout.copy()
        heldout[self.shown[i][:, 0]] = False
        return heldout


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Some latents of all densities on one corpus of few token ids: with many ties and near-duplicates."""
    ctx_len, n_contexts = draw(st.integers(1, 40)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from([np.uint16, np.int32, np.int64]))
    tokens = rng.integers(0, draw(st.sampled_from([1, 2, 50, 60_000])), size=(n_contexts, ctx_len)).astype(
        kind
    )
    if draw(st.booleans()):  # many copies of a few contexts, and some of their own
        tokens = tokens[np.minimum(rng.geometric(0.2, size=4 * n_contexts), n_contexts) - 1]
        n_contexts = len(tokens)
    acts, shown = [], []
    for density in draw(st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]), max_size=5)):
        token = np.flatnonzero(rng.random(tokens.size) < density)
        values = rng.choice([0.5, 1.0, 1.5, 2.0, 7.0], size=len(token)).astype(np.float32)
        acts.append(LatentActivations(token, values))
        places = [
            (int(rng.integers(n_contexts)), int(rng.integers(ctx_len))) for _ in range(rng.integers(0, 6))
        ]
        spans = [(c, start, int(rng.integers(start + 1, ctx_len + 1))) for c, start in places]
        shown.append(np.array(spans, dtype=np.int64).reshape(-1, 3))
    return Case(
        tokens,
        acts,
        shown,
        window=draw(st.none() | st.integers(1, 50)),
        n=draw(st.integers(0, 5)),
        n_non_activating=draw(st.integers(0, 30)),
        fraction=draw(st.sampled_from([0.1, 0.5, 0.9])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def fields(places: Places) -> list[list[object]]:
    return [
        list(values) for values in (places.quantile, places.source, places.neighbour, places.n_duplicates)
    ]


def texts(case: Case, spans: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(case.tokens[context, start:stop].tolist()) for context, start, stop in spans.tolist()}


@quick
@given(case=cases())
def test_each_gets_what_it_would_get_alone(case: Case) -> None:
    def request(i: int) -> Request:
        near = [(j, acts) for j, acts in enumerate(case.acts) if j != i]
        return Request(case.acts[i], case.rng(i), case.contexts(i), case.shown[i], near)

    sizes = Sizes(case.n, case.n, case.n, case.n_non_activating, case.n)
    together = sample([request(i) for i in range(len(case.acts))], case.tokens, sizes, window=case.window)
    assert len(together) == len(case.acts)
    for i, groups in enumerate(together):
        (alone,) = sample([request(i)], case.tokens, sizes, window=case.window)
        for name, places in groups.items():
            assert places.spans.tolist() == alone[name].spans.tolist()
            assert fields(places) == fields(alone[name])
            assert {int(context) for context in places.spans[:, 0]} <= set(np.flatnonzero(case.contexts(i)))
        shown = texts(case, case.shown[i])
        assert not shown & texts(case, groups["quantiles"].spans)
        assert not shown & texts(case, groups["non_activating"].spans)


@quick
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60), n_ranges=st.integers(0, 20))
def test_peaks_are_the_first_of_the_strongest(seed: int, n: int, n_ranges: int) -> None:
    rng = np.random.default_rng(seed)
    acts = LatentActivations(
        np.sort(rng.choice(1000, size=n, replace=False)),
        rng.choice([1.0, 2.0, 3.0], size=n).astype(np.float32),
    )
    low = rng.integers(0, max(n, 1), size=n_ranges if n else 0)
    high = rng.integers(low + 1, n + 1)
    found = peaks(acts, low, high)
    assert found.tolist() == [
        int(acts.token[a + int(acts.activation[a:b].argmax())]) for a, b in zip(low, high, strict=True)
    ]
