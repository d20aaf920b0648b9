"""Windows, groups, negatives and the split, against their definitions."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.sampling import build_groups, example, positive_windows, split_contexts
from autointerp.sampling.axis import within
from autointerp.sampling.windows import Windows, falling, quantile_of_rank, signatures
from autointerp.types import Example, LatentActivations

quick = settings(max_examples=60, deadline=None)


@st.composite
def latents(draw: st.DrawFn, max_contexts: int = 8) -> tuple[LatentActivations, np.ndarray]:
    """Firings of a latent on a small corpus of few token ids, with many ties."""
    ctx_len, n_contexts = draw(st.integers(1, 40)), draw(st.integers(1, max_contexts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tokens = rng.integers(0, draw(st.sampled_from([1, 2, 50])), size=(n_contexts, ctx_len)).astype(np.uint16)
    density = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]))
    token = np.flatnonzero(rng.random(tokens.size) < density)
    values = rng.choice([0.5, 1.0, 1.5, 2.0, 7.0], size=len(token)).astype(np.float32)
    return LatentActivations(token, values), tokens


def dense(acts: LatentActivations, tokens: np.ndarray) -> np.ndarray:
    grid = np.zeros(tokens.size, dtype=np.float32)
    grid[acts.token] = acts.activation
    return grid.reshape(tokens.shape)


def check_example(made: Example, acts: LatentActivations, tokens: np.ndarray) -> None:
    window = slice(made.start, made.start + len(made.token_ids))
    assert np.array_equal(made.token_ids, tokens[made.context, window])
    assert np.array_equal(made.activations, dense(acts, tokens)[made.context, window])
    assert made.max_activation == made.activations.max(initial=0)
    assert made.token_ids.dtype == np.int64
    assert type(made.token_ids) is np.ndarray


def quantiles_of(found: Windows) -> np.ndarray:
    """The tenth of each window by its maximum, ties by position."""
    rank = np.empty(len(found), dtype=np.int64)
    rank[falling(found.maximum)] = np.arange(len(found))
    return quantile_of_rank(rank, len(found))


@quick
@given(case=latents(), window=st.none() | st.integers(1, 50))
def test_aligned_windows_by_definition(
    case: tuple[LatentActivations, np.ndarray], window: int | None
) -> None:
    acts, tokens = case
    grid, ctx_len = dense(acts, tokens), tokens.shape[1]
    width = min(window or ctx_len, ctx_len)
    expected = []
    for context in range(len(tokens)):
        for start in range(0, ctx_len, width):
            part = grid[context, start : start + width]
            if part.max() > 0:
                peak = context * ctx_len + start + int(part.argmax())
                expected.append((context, start, min(start + width, ctx_len), peak, float(part.max())))
    found = positive_windows(acts, ctx_len=ctx_len, window=window)
    rows = zip(found.context, found.start, found.stop, found.peak, found.maximum, strict=True)
    assert [tuple(map(float, row)) for row in rows] == [tuple(map(float, row)) for row in expected]
    order = sorted(range(len(expected)), key=lambda i: (-expected[i][4], expected[i][3]))
    assert falling(found.maximum).tolist() == order
    quantile = quantiles_of(found)
    sizes = Counter(quantile.tolist()).values()
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert all(quantile[order[i]] <= quantile[order[i + 1]] for i in range(len(order) - 1))


@quick
@given(case=latents(), window=st.integers(1, 20), data=st.data())
def test_centring_puts_the_peak_where_it_says(
    case: tuple[LatentActivations, np.ndarray], window: int, data: st.DataObject
) -> None:
    acts, tokens = case
    ctx_len = tokens.shape[1]
    width = min(window, ctx_len)
    centre = data.draw(st.integers(0, width - 1))
    found = positive_windows(acts, ctx_len=ctx_len, window=window, centre=centre)
    grid = dense(acts, tokens)
    for context, start, stop, peak, top in zip(
        found.context, found.start, found.stop, found.peak, found.maximum, strict=True
    ):
        position = peak - context * ctx_len
        assert stop - start == width
        assert start == min(max(position - centre, 0), ctx_len - width)
        part = grid[context, start:stop]
        assert part.max() == top
        assert part.argmax() == position - start
    assert len(set(found.peak.tolist())) == len(found)
    if len(acts.token):  # the strongest activation always has its window
        assert acts.token[acts.activation.argmax()] in found.peak


@quick
@given(case=latents(), window=st.none() | st.integers(1, 20), seed=st.integers(0, 2**32), data=st.data())
def test_groups_are_what_they_say(
    case: tuple[LatentActivations, np.ndarray], window: int | None, seed: int, data: st.DataObject
) -> None:
    acts, tokens = case
    dedupe = data.draw(st.booleans())
    rng = np.random.default_rng(seed)
    theirs = np.flatnonzero(rng.random(tokens.size) < 0.2)
    neighbours = [(77, LatentActivations(theirs, np.ones(len(theirs), dtype=np.float32))), (78, acts)]

    def make(seed: int, count_duplicates: bool = True):
        return build_groups(
            acts, tokens, rng=np.random.default_rng(seed), window=window, n_top=4, n_random=3, n_per_quantile=2,
            n_non_activating=3, n_hard=2, neighbour_acts=neighbours, dedupe=dedupe, count_duplicates=count_duplicates,
        )  # fmt: skip

    groups = make(seed)
    uncounted = make(seed, count_duplicates=False)
    found = positive_windows(acts, ctx_len=tokens.shape[1], window=window)
    for name, group in groups.items():
        assert [(one.context, one.start) for one in uncounted[name]] == [(o.context, o.start) for o in group]
        assert all(one.n_duplicates == 0 for one in uncounted[name])
    places = {(int(c), int(s)): i for i, (c, s) in enumerate(zip(found.context, found.start, strict=True))}
    for group in groups.values():
        for made in group:
            check_example(made, acts, tokens)
    for name in ("top", "random", "quantiles"):
        rows = [places[made.context, made.start] for made in groups[name]]
        assert len(set(rows)) == len(rows)
        for made, row in zip(groups[name], rows, strict=True):
            assert made.quantile == quantiles_of(found)[row]
            assert made.source == "activating"
        if dedupe:
            marks = signatures(found.peak, tokens)
            assert len(set(marks[rows].tolist())) == len(rows)
            for made, row in zip(groups[name], rows, strict=True):
                assert made.n_duplicates == (marks == marks[row]).sum() - 1
        else:
            assert all(made.n_duplicates == 0 for made in groups[name])
    maxima = [(-made.max_activation, made.context, made.start) for made in groups["top"]]
    assert maxima == sorted(maxima)
    n_distinct = len(set(signatures(found.peak, tokens).tolist())) if dedupe else len(found)
    assert len(groups["top"]) == min(4, n_distinct)
    assert len(groups["random"]) == min(3, n_distinct)
    assert all(count <= 2 for count in Counter(made.quantile for made in groups["quantiles"]).values())
    quantiles = [made.quantile for made in groups["quantiles"]]
    assert quantiles == sorted(quantiles, key=lambda q: q or 0)
    fires = dense(LatentActivations(theirs, np.ones(len(theirs), dtype=np.float32)), tokens)
    seen = set()
    for made in groups["non_activating"]:
        assert made.max_activation == 0
        assert made.quantile is None
        key = made.token_ids.tobytes() if dedupe else (made.context, made.start)
        assert key not in seen
        seen.add(key)
        if made.source == "neighbours":
            assert made.neighbour == 77
            assert fires[made.context, made.start : made.start + len(made.token_ids)].any()
        else:
            assert (made.source, made.neighbour) == ("random", None)
    again = make(seed)
    assert [[(e.context, e.start) for e in group] for group in groups.values()] == [
        [(e.context, e.start) for e in group] for group in again.values()
    ]


@quick
@given(case=latents(max_contexts=30), seed=st.integers(0, 2**32), fraction=st.floats(0.05, 0.95))
def test_no_context_is_on_both_sides(
    case: tuple[LatentActivations, np.ndarray], seed: int, fraction: float
) -> None:
    acts, tokens = case
    n_contexts, ctx_len = tokens.shape
    rng = np.random.default_rng(seed)
    split = split_contexts(acts, n_contexts=n_contexts, ctx_len=ctx_len, rng=rng, heldout_fraction=fraction)
    assert not (split.explain & split.heldout).any()
    assert (split.explain | split.heldout).all()
    positive = np.unique(acts.token // ctx_len)
    if len(positive) >= 2:
        assert split.explain[positive].any()
        assert split.heldout[positive].any()
    neighbour = LatentActivations(np.arange(tokens.size), np.ones(tokens.size, dtype=np.float32))
    shown = []
    for side in (split.explain, split.heldout):
        groups = build_groups(
            acts,
            tokens,
            rng=rng,
            window=8,
            contexts=side,
            neighbour_acts=[(1, neighbour)],
            n_hard=3,
            dedupe=False,
        )
        contexts = {made.context for group in groups.values() for made in group}
        assert all(side[context] for context in contexts)
        assert bool(groups["top"]) == bool(len(within(acts, side, ctx_len).token))
        shown.append(contexts)
    assert not shown[0] & shown[1]


@quick
@given(case=latents(), window=st.none() | st.integers(1, 20), data=st.data())
def test_a_linked_example(
    case: tuple[LatentActivations, np.ndarray], window: int | None, data: st.DataObject
) -> None:
    acts, tokens = case
    context = data.draw(st.integers(0, len(tokens) - 1))
    start = data.draw(st.integers(-5, tokens.shape[1] + 5))
    made = example(acts, tokens, context, start, window)
    check_example(made, acts, tokens)
    assert len(made.token_ids) == min(window or tokens.shape[1], tokens.shape[1])
    assert (made.quantile is None) == (made.max_activation == 0)
    assert made.source == ("activating" if made.max_activation else "random")


def test_aligned_link_has_the_quantile_of_its_group() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 50, size=(40, 64))
    token = np.sort(rng.choice(tokens.size, 300, replace=False))
    acts = LatentActivations(token, rng.random(300).astype(np.float32) + 0.01)
    groups = build_groups(acts, tokens, rng=rng, window=16)
    assert len({made.quantile for made in groups["quantiles"]}) == 10
    for made in groups["quantiles"]:
        assert example(acts, tokens, made.context, made.start, 16).quantile == made.quantile


def test_boilerplate_is_shown_once_and_counted() -> None:
    tokens = np.tile(np.arange(64), (5, 1))
    tokens[4] = 63 - np.arange(64)
    token = np.arange(5) * 64 + 20
    acts = LatentActivations(token, np.array([1, 2, 3, 4, 0.5], dtype=np.float32))
    groups = build_groups(acts, tokens, rng=np.random.default_rng(0), window=32)
    assert [(made.context, made.n_duplicates) for made in groups["top"]] == [(3, 3), (4, 0)]
    assert len(groups["random"]) == 2


def test_random_negatives_are_uniform() -> None:
    tokens = np.arange(12 * 8).reshape(12, 8)
    acts = LatentActivations(np.array([0, 9, 30, 95]), np.ones(4, dtype=np.float32))
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(600):
        groups = build_groups(acts, tokens, rng=np.random.default_rng(seed), window=4, n_non_activating=2)
        counts.update((made.context, made.start) for made in groups["non_activating"])
    assert len(counts) == 24 - 4
    assert 30 < min(counts.values()) <= max(counts.values()) < 95  # 60 expected, standard deviation 7.3


def test_random_positives_do_not_favour_the_strong() -> None:
    tokens = np.arange(400).reshape(100, 4)
    acts = LatentActivations(np.arange(0, 400, 4), np.arange(1, 101, dtype=np.float32))
    maxima = [
        made.max_activation
        for seed in range(100)
        for made in build_groups(acts, tokens, rng=np.random.default_rng(seed), window=4, n_random=10)[
            "random"
        ]
    ]
    assert 47 < np.mean(maxima) < 54


@pytest.mark.parametrize("n_windows", [40, 73, 300])
@pytest.mark.parametrize("copies", [False, True])
def test_windows_of_a_quantile_are_drawn_uniformly(n_windows: int, copies: bool) -> None:
    """Whatever has to be drawn again, because it came twice or looks like another one."""
    tokens = np.arange(4 * n_windows).reshape(n_windows, 4)
    if copies:  # of every second window in each quantile
        tokens[::2] = 0
    acts = LatentActivations(np.arange(0, 4 * n_windows, 4), np.arange(n_windows, 0, -1, dtype=np.float32))
    quantile = np.arange(n_windows) * 10 // n_windows
    drawn: Counter[int] = Counter()
    n_seeds = 1500
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        made = build_groups(
            acts, tokens, rng=rng, window=4, n_top=0, n_per_quantile=2, n_non_activating=0, n_hard=0,
            count_duplicates=False,
        )["quantiles"]  # fmt: skip
        places = [one.context for one in made]
        assert len(set(places)) == len(places)
        assert [one.quantile for one in made] == quantile[places].tolist()
        drawn.update(places)
    for q in range(10):
        members = np.flatnonzero(quantile == q)
        alone = members[members % 2 == 1] if copies else members
        counts = np.array([drawn[int(one)] for one in alone])
        expected = counts.mean()
        assert counts.sum() <= 2 * n_seeds
        assert copies or counts.sum() == 2 * n_seeds
        assert np.abs(counts - expected).max() <= 5 * np.sqrt(expected)


@pytest.mark.parametrize("window", [0, -3])
def test_impossible_windows(window: int) -> None:
    acts = LatentActivations(np.array([1]), np.ones(1, dtype=np.float32))
    tokens = np.zeros((2, 4), dtype=np.uint16)
    with pytest.raises(UserError, match="impossible"):
        build_groups(acts, tokens, rng=np.random.default_rng(0), window=window)
    with pytest.raises(UserError, match="context 2 does not exist"):
        example(acts, tokens, 2, 0, 4)
    with pytest.raises(UserError, match="centre index"):
        positive_windows(acts, ctx_len=4, window=2, centre=2)
    with pytest.raises(UserError, match="fraction"):
        split_contexts(acts, n_contexts=2, ctx_len=4, rng=np.random.default_rng(0), heldout_fraction=1.0)


def test_a_dead_latent_has_only_negatives() -> None:
    acts = LatentActivations(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    tokens = np.random.default_rng(0).integers(0, 99, size=(10, 32))
    groups = build_groups(acts, tokens, rng=np.random.default_rng(0), window=8, centre=3)
    assert [len(groups[name]) for name in ("top", "random", "quantiles", "non_activating")] == [0, 0, 0, 5]
