"""What goes in comes out: activations exact to float16, statistics equal to a second, plain implementation."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.errors import BadActivations
from autointerp.store import CoderWriter, Store
from autointerp.store.coders import computed, statistics
from autointerp.store.coders import spool as spool_module
from autointerp.store.coders.reader import CoderStore
from autointerp.store.coders.spool import LatentBlock
from tests.conftest import CoderSpec, StoreFactory
from tests.quantiles import quantile_edges

CTX_LEN, N_CONTEXTS, N_LATENTS = 48, 6, 5
GRID = CTX_LEN * N_CONTEXTS

firings = st.dictionaries(
    st.tuples(st.integers(0, GRID - 1), st.integers(0, N_LATENTS - 1)),
    st.floats(min_value=2.0**-24, max_value=60000.0, width=16),
    max_size=120,
)
any_store = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from autointerp.store import CorpusWriter

    tokens = np.random.default_rng(0).integers(0, 9, size=(N_CONTEXTS, CTX_LEN))
    path = tmp_path_factory.mktemp("corpus") / "store"
    vocabulary = [(chr(97 + i), chr(97 + i).encode(), False) for i in range(9)]
    with CorpusWriter(
        path, model={}, tokenizer={}, name="t", ctx_len=CTX_LEN, vocabulary=vocabulary
    ) as writer:
        writer.append(tokens[:2])
        writer.append(tokens[2:])
        return writer.finish()


def write(store: Store, rows: dict[tuple[int, int], float], *, batches: int = 3, **options) -> CoderStore:
    ordered = sorted(rows.items())
    with CoderWriter(
        store,
        "c",
        kind="sae",
        hookpoint="h",
        n_latents=N_LATENTS,
        k=None,
        d_in=4,
        source="",
        overwrite=True,
        **options,
    ) as writer:
        for part in np.array_split(np.arange(len(ordered)), batches):
            writer.append(
                np.array([ordered[i][0][1] for i in part], dtype=np.int64),
                np.array([ordered[i][0][0] for i in part], dtype=np.int64),
                np.array([ordered[i][1] for i in part], dtype=np.float32),
            )
        writer.finish(n_tokens=GRID)
    return store.coder("c")


@any_store
@given(rows=firings, batches=st.integers(1, 4))
def test_activations_come_back_exactly(
    corpus: Store, rows: dict[tuple[int, int], float], batches: int
) -> None:
    coder = write(corpus, rows, batches=batches)
    assert coder.info.n_activations == len(rows)
    for latent in range(N_LATENTS):
        expected = sorted((token, value) for (token, which), value in rows.items() if which == latent)
        found = coder.activations(latent)
        assert found.token.tolist() == [token for token, _ in expected]
        assert found.activation.tolist() == [value for _, value in expected]
        assert found.token.dtype == np.int64
        assert found.activation.dtype == np.float32


@any_store
@given(rows=firings, seed=st.integers(0, 9))
def test_many_small_runs_and_blocks_give_the_same(
    corpus: Store, rows: dict[tuple[int, int], float], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(corpus, rows)
    expected = [
        (whole.stats(i), whole.activations(i).token.tolist(), quantile_edges(corpus, "c", i).tolist())
        for i in range(5)
    ]
    with monkeypatch.context() as patch:
        original = spool_module.Spool.__init__

        def small_runs(self, *args, **kwargs):
            original(self, *args, **{**kwargs, "run_size": 7})

        patch.setattr(spool_module.Spool, "__init__", small_runs)
        blocks = spool_module.Spool.blocks
        patch.setattr(spool_module.Spool, "blocks", lambda self, *_: blocks(self, max_rows=11, max_latents=2))
        pieces = write(corpus, rows, batches=5 + seed)
        for i, (stats, token, edges) in enumerate(expected):
            assert pieces.stats(i) == stats
            assert pieces.activations(i).token.tolist() == token
            assert np.array_equal(quantile_edges(corpus, "c", i), edges, equal_nan=True)


@any_store
@given(rows=firings)
def test_statistics_agree_with_plain_python(corpus: Store, rows: dict[tuple[int, int], float]) -> None:
    coder = write(corpus, rows)
    ids = corpus.tokens.reshape(-1)
    for latent in range(N_LATENTS):
        mine = {token: value for (token, which), value in sorted(rows.items()) if which == latent}
        stats, n = coder.stats(latent), len(mine)
        assert stats.n_activations == n
        assert stats.is_dead == (n == 0)
        assert stats.density == n / GRID
        assert stats.n_contexts == len({token // CTX_LEN for token in mine})
        assert stats["context_density"] == stats.n_contexts / N_CONTEXTS
        histogram = coder.histogram(latent)
        if not n:
            assert stats.top_token is None
            assert stats.max_activation == 0
            assert histogram.counts.sum() == 0
            assert coder.stats(latent)["peak_token"] is None
            continue
        top = max(mine.values())
        assert stats.max_activation == top
        assert coder.stats(latent)["peak_token"] == next(
            token for token, value in mine.items() if value == top
        )
        assert stats["mean_activation"] == pytest.approx(sum(mine.values()) / n, rel=1e-5)
        counted = Counter(int(ids[token]) for token in mine)
        most = max(counted.values())
        assert stats.top_token == min(token for token, count in counted.items() if count == most)
        assert stats["top_token_share"] == pytest.approx(most / n)
        assert stats["positional"] == pytest.approx(positional(mine), abs=1e-6)
        assert histogram.counts.sum() == n
        assert histogram.edges[-1] == np.float32(top)
        assert np.allclose(quantile_edges(corpus, "c", latent), quantiles(mine), equal_nan=True)


def positional(mine: dict[int, float]) -> float:
    """Mutual information of firing and position, by its definition."""
    per_position = Counter(token % CTX_LEN for token in mine)
    fires = len(mine) / GRID
    total = 0.0
    for position in range(CTX_LEN):
        here = per_position[position] / N_CONTEXTS
        for given_position, overall in ((here, fires), (1 - here, 1 - fires)):
            if given_position > 0:
                total += given_position * math.log(given_position / overall) / CTX_LEN
    return total


def quantiles(mine: dict[int, float]) -> np.ndarray:
    """Edges of window maxima, window by window."""
    windows: dict[tuple[int, int], float] = defaultdict(float)
    for token, value in mine.items():
        key = token // CTX_LEN, token % CTX_LEN // 32
        windows[key] = max(windows[key], value)
    ranked = sorted(windows.values(), reverse=True)
    edges = np.full((10, 2), np.nan)
    for quantile in range(10):
        inside = [value for rank, value in enumerate(ranked) if rank * 10 // len(ranked) == quantile]
        if inside:
            edges[quantile] = min(inside), max(inside)
    return edges


@pytest.mark.parametrize("n_values", [60, 60_000])
def test_edges_of_quantiles_whether_values_are_few_or_many(n_values: int) -> None:
    """Few different values are counted, many are sorted."""
    rng = np.random.default_rng(0)
    counts = np.bincount(rng.integers(0, 37, 3000), minlength=40)
    token = np.concatenate([32 * np.arange(n) for n in counts]).astype(np.uint64)  # a window each
    bits = rng.integers(1, n_values, len(token)).astype(np.uint16)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = statistics.quantiles(LatentBlock(0, offsets, token, bits, 1.0), ctx_len=32)
    expected = []
    for latent in range(40):
        ranked = sorted(bits[offsets[latent] : offsets[latent + 1]].tolist(), reverse=True)
        for quantile in range(10):
            inside = [value for rank, value in enumerate(ranked) if rank * 10 // len(ranked) == quantile]
            expected += [(latent, quantile, min(inside), max(inside))] if inside else []
    names = ("latent", "quantile", "low", "high")
    assert sorted(zip(*(rows[name].tolist() for name in names), strict=True)) == expected


def test_large_and_tiny_values_stay_firing_and_exact(corpus: Store) -> None:
    rows = {(0, 0): 2.0**-30, (5, 0): 3.0, (100, 0): 3.0e6, (101, 1): 1.0}
    coder = write(corpus, rows, batches=4)
    assert coder.info.scale == 64.0
    found = coder.activations(0)
    assert found.token.tolist() == [0, 5, 100]
    assert (found.activation > 0).all()
    assert found.activation[1] == 3.0
    assert found.activation[2] == pytest.approx(3.0e6, rel=2**-11)
    assert coder.stats(0).max_activation == found.activation[2]
    assert coder.activations(1).activation.tolist() == [1.0]


def test_zeros_and_negatives_do_not_fire(corpus: Store) -> None:
    coder = write(corpus, {(3, 1): 0.0, (4, 1): -2.0, (5, 1): 1.0})
    assert coder.activations(1).token.tolist() == [5]
    assert coder.info.n_activations == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused(corpus: Store, bad: float) -> None:
    before = sorted(path.name for path in corpus.layout.coders.iterdir())
    with (
        pytest.raises(BadActivations, match="NaN or infinity"),
        CoderWriter(corpus, "bad", kind="sae", hookpoint="h", n_latents=5, k=1, d_in=4, source="") as writer,
    ):
        writer.append(np.array([0, 1]), np.array([0, 0]), np.array([1.0, bad], dtype=np.float32))
    assert sorted(path.name for path in corpus.layout.coders.iterdir()) == before


def test_batches_out_of_order_are_refused(corpus: Store) -> None:
    with CoderWriter(
        corpus, "order", kind="sae", hookpoint="h", n_latents=5, k=1, d_in=4, source=""
    ) as writer:
        one = np.ones(1, dtype=np.float32)
        writer.append(np.array([0]), np.array([50]), one)
        with pytest.raises(ValueError, match="batches in order"):
            writer.append(np.array([0]), np.array([49]), one)
        with pytest.raises(ValueError, match="latents must lie"):
            writer.append(np.array([5]), np.array([60]), one)
        with pytest.raises(ValueError, match="must lie in"):
            writer.append(np.array([0]), np.array([GRID]), one)


def test_more_than_65536_latents(corpus: Store) -> None:
    rng = np.random.default_rng(0)
    n_latents = 70_000
    latent = np.concatenate([rng.integers(0, n_latents, 500), [n_latents - 1, 65_536, 0]])
    token = np.sort(rng.integers(0, GRID, len(latent)))
    keys = np.unique(token * n_latents + latent)
    token, latent = keys // n_latents, keys % n_latents
    with CoderWriter(
        corpus, "wide", kind="sae", hookpoint="h", n_latents=n_latents, k=1, d_in=4, source=""
    ) as writer:
        writer.append(latent, token, np.ones(len(latent), dtype=np.float32))
        info = writer.finish(n_tokens=GRID)
    coder = corpus.coder("wide")
    assert info.n_dead == n_latents - len(np.unique(latent))
    for which in (65_536, n_latents - 1, int(latent[7])):
        assert coder.activations(which).token.tolist() == token[latent == which].tolist()


def test_blocks_hold_everything(store_factory: StoreFactory) -> None:
    tokens = np.zeros((4, 32), dtype=int)
    pairs = {0: [(1, 1.0), (40, 2.0)], 2: [(0, 0.5)], 3: [(127, 4.0), (5, 1.5)]}
    store = store_factory(tokens, {"c": CoderSpec(pairs, n_latents=4)})
    rows = [
        (block.first + int(local), int(token), float(value))
        for block in computed.blocks(store.generation(), store.generation().coder("c"), max_rows=2)
        for local, token, value in zip(block.local, block.token, block.activation, strict=True)
    ]
    assert rows == [
        (latent, token, value) for latent, found in pairs.items() for token, value in sorted(found)
    ]


def test_density_counts_only_positions_that_could_fire(store_factory: StoreFactory) -> None:
    store = store_factory(np.zeros((4, 32), dtype=int))
    counts = np.full(32, 4)
    counts[0] = 0
    with CoderWriter(store, "c", kind="sae", hookpoint="h", n_latents=2, k=1, d_in=4, source="") as writer:
        token = np.array([t for t in range(128) if t % 32])
        writer.append(np.zeros(124, dtype=int), token, np.ones(124, dtype=np.float32))
        writer.finish(n_tokens=124, position_counts=counts)
    stats = store.coder("c").stats(0)
    assert stats.density == 1.0
    assert stats["positional"] == pytest.approx(
        0.0, abs=1e-7
    )  # it fires wherever it could: position says nothing


def test_disk_per_activation(store_factory: StoreFactory) -> None:
    rng = np.random.default_rng(0)
    n_latents, k, ctx_len, n_contexts = 1024, 24, 128, 700
    n_tokens = ctx_len * n_contexts
    store = store_factory(rng.integers(0, 500, size=(n_contexts, ctx_len)))
    weights = 1 / np.arange(1, n_latents + 1) ** 0.7
    token = np.repeat(np.arange(n_tokens), k)
    latent = rng.choice(n_latents, size=len(token), p=weights / weights.sum())
    keys = np.sort(token * n_latents + latent)
    keys = keys[np.flatnonzero(np.diff(keys, prepend=-1))]
    token, latent = keys // n_latents, keys % n_latents
    values = rng.lognormal(0.0, 0.7, len(token)).astype(np.float32)
    ids = rng.integers(0, 500, size=(n_latents, 10))
    logits = np.sort(rng.normal(size=(n_latents, 10)).astype(np.float32))[:, ::-1]
    near = rng.integers(0, n_latents, size=(n_latents, 10))
    with CoderWriter(
        store, "c", kind="sae", hookpoint="h", n_latents=n_latents, k=k, d_in=4, source=""
    ) as writer:
        writer.append(latent, token, values)
        info = writer.finish(
            n_tokens=n_tokens,
            logits=(ids, logits, ids, -logits),
            neighbours={"decoder": (near, logits), "encoder": (near, logits), "cofiring": (near, logits)},
        )
    assert info.n_activations > 1_900_000
    assert info.bytes_on_disk / info.n_activations < 4.0
