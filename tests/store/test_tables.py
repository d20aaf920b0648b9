"""What a coder file leaves out is worked out to the last bit when it is read; what it packs comes back."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autointerp.store import CoderWriter, Store, coder_writer
from autointerp.store.coders import computed, statistics
from autointerp.store.coders.half import decode, encode_signed
from autointerp.store.coders.reader import CoderStore
from autointerp.store.coders.tables import PER_UNIT, decode_similarity, encode_similarity
from autointerp.types import Relation
from tests.quantiles import quantile_edges

CTX_LEN, N_CONTEXTS, N_LATENTS = 48, 6, 5
GRID = CTX_LEN * N_CONTEXTS
EVERYTHING = 1 << 30

firings = st.dictionaries(
    st.tuples(st.integers(0, GRID - 1), st.integers(0, N_LATENTS - 1)),
    st.floats(min_value=2.0**-24, max_value=60000.0, width=16),
    max_size=150,
)
any_store = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from autointerp.store import CorpusWriter

    tokens = np.random.default_rng(0).integers(0, 9, size=(N_CONTEXTS, CTX_LEN))
    vocabulary = [(chr(97 + i), chr(97 + i).encode(), False) for i in range(9)]
    path = tmp_path_factory.mktemp("corpus") / "store"
    with CorpusWriter(
        path, model={}, tokenizer={}, name="t", ctx_len=CTX_LEN, vocabulary=vocabulary
    ) as writer:
        writer.append(tokens)
        return writer.finish()


@contextmanager
def derived_up_to(n: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "DERIVED_UP_TO", n)
        patch.setattr(coder_writer, "DERIVED_UP_TO", n)
        yield


def write(
    store: Store, name: str, rows: dict[tuple[int, int], float], scale: float = 1.0, **finish
) -> CoderStore:
    ordered = sorted(rows.items())
    with CoderWriter(
        store, name, kind="sae", hookpoint="h", n_latents=N_LATENTS, k=None, d_in=4, source="", overwrite=True, scale=scale
    ) as writer:  # fmt: skip
        writer.append(
            np.array([latent for (_, latent), _ in ordered], dtype=np.int64),
            np.array([token for (token, _), _ in ordered], dtype=np.int64),
            np.array([value for _, value in ordered], dtype=np.float32),
        )
        writer.finish(n_tokens=GRID, **finish)
    return store.coder(name)


@any_store
@given(rows=firings, some=st.integers(1, 40), scale=st.sampled_from([1.0, 0.25, 64.0]))
def test_derived_statistics_equal_the_stored_ones(
    corpus: Store, rows: dict[tuple[int, int], float], some: int, scale: float
) -> None:
    found = []
    for threshold in (0, some, EVERYTHING):
        with derived_up_to(threshold):
            coder = write(corpus, "c", rows, scale)
        read = []
        for latent in range(N_LATENTS):
            known = coder.activations(latent)
            histogram, edges = coder.histogram(latent), quantile_edges(corpus, "c", latent)
            assert histogram.counts.sum() == len(known.token)
            assert np.array_equal(histogram.counts, coder.histogram(latent, known).counts)
            read += [histogram.edges.tobytes(), histogram.counts.tolist(), edges.tobytes()]
        tables = [
            corpus.sql(f"SELECT * FROM c.{table} ORDER BY ALL").to_pydict()
            for table in ("latents", "histograms", "quantiles")
        ]
        one = corpus.sql("SELECT * FROM histograms WHERE coder = 'c' AND latent = 3").num_rows
        assert one == np.count_nonzero(coder.histogram(3).counts)
        found.append((read, tables))
    assert found[0] == found[1] == found[2]
    for latent, bins, n in zip(*(found[0][1][1][name] for name in ("latent", "bin", "n")), strict=True):
        assert coder.histogram(latent).counts[bins] == n


def test_activations_on_the_edge_of_a_bin_fall_to_the_same_side(corpus: Store) -> None:
    """Where single and double precision disagree about the bin, the table, the reader and SQL still agree."""
    halves = np.arange(0x3000, 0x5000, dtype=np.uint16).view(np.float16).astype(np.float32)
    rows: dict[tuple[int, int], float] = {}
    latent = 0
    for top in halves[::-37]:
        below = halves[halves < top]
        single = (below * (np.float32(40) / top)).astype(np.int64)
        double = (below.astype(np.float64) * (40 / float(top))).astype(np.int64)
        torn = below[single != double][: GRID - 1]
        if len(torn) < 3:
            continue
        rows |= {(token, latent): float(value) for token, value in enumerate([*torn, top])}
        latent += 1
        if latent == N_LATENTS:
            break
    assert latent == N_LATENTS
    bins = []
    for threshold in (0, EVERYTHING):
        with derived_up_to(threshold):
            coder = write(corpus, "c", rows)
        bins.append(corpus.sql("SELECT latent, bin, n FROM c.histograms ORDER BY ALL").to_pydict())
        bins.append([coder.histogram(which).counts.tolist() for which in range(N_LATENTS)])
    assert bins[:2] == bins[2:]


def test_only_frequent_latents_have_stored_rows(corpus: Store) -> None:
    rows = {(token, latent): 1.0 + token % 7 for latent, n in enumerate((0, 3, 4, 200)) for token in range(n)}
    with derived_up_to(3):
        write(corpus, "c", rows)
    generation = corpus.generation()
    alias = generation.coder("c").alias
    for table in ("histograms", "quantiles"):
        stored = generation.columns(f"SELECT DISTINCT latent FROM {alias}.{table} ORDER BY latent")["latent"]
        assert stored.tolist() == [2, 3]


@any_store
@given(rows=firings, sorted_rows=st.sampled_from([1, 20, 10_000]))
def test_whatever_the_order_on_disk_everything_reads_the_same(
    corpus: Store, rows: dict[tuple[int, int], float], sorted_rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coder_writer, "SORTED_ROWS", sorted_rows)
        coder = write(corpus, "c", rows)
    expected = sorted((latent, token, value) for (token, latent), value in rows.items())
    one_by_one = [
        (latent, token, value)
        for latent in range(N_LATENTS)
        for token, value in zip(*(part.tolist() for part in _pair(coder, latent)), strict=True)
    ]
    in_blocks = [
        (block.first + int(local), int(token), float(value))
        for block in computed.blocks(corpus.generation(), corpus.generation().coder("c"), max_rows=30)
        for local, token, value in zip(block.local, block.token, block.activation, strict=True)
    ]
    by_sql = corpus.sql("SELECT latent, token, activation FROM c.activations ORDER BY ALL").to_pylist()
    assert one_by_one == in_blocks == [tuple(row.values()) for row in by_sql] == expected


def _pair(coder: CoderStore, latent: int) -> tuple[np.ndarray, np.ndarray]:
    found = coder.activations(latent)
    return found.token, found.activation


@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-1, 1, width=32)))
def test_similarities_keep_their_order_to_half_a_step(values: np.ndarray) -> None:
    back = decode_similarity(encode_similarity(values))
    assert np.all(np.abs(back - values) <= 0.5 / PER_UNIT + 1e-6)
    assert np.all(np.diff(back[np.argsort(values)]) >= 0)
    assert np.array_equal(decode_similarity(encode_similarity(back)), back)


@any_store
@given(seed=st.integers(0, 1 << 30), m=st.integers(0, 6), tied=st.booleans())
def test_logits_and_neighbours_come_back(corpus: Store, seed: int, m: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)

    def near() -> tuple[np.ndarray, np.ndarray]:
        ids = rng.integers(0, N_LATENTS, (N_LATENTS, m))
        none = np.arange(m) >= rng.integers(0, m + 1, N_LATENTS)[:, None]
        return np.where(none, -1, ids), rng.uniform(-1, 1, (N_LATENTS, m)).astype(np.float32)

    decoder = near()
    relations: dict[Relation, tuple[np.ndarray, np.ndarray]] = {
        "decoder": decoder,
        "encoder": (decoder[0].copy(), decoder[1].copy()) if tied else near(),
        "cofiring": near(),
    }
    ids = rng.integers(0, 9, (2, N_LATENTS, m))
    values = (rng.normal(size=(2, N_LATENTS, m)) * 10.0 ** rng.integers(-3, 7)).astype(np.float32)
    coder = write(
        corpus, "c", {(0, 1): 1.0}, neighbours=relations, logits=(ids[0], values[0], ids[1], values[1])
    )
    scale = corpus.generation().coder("c").logit_scale
    for latent in range(N_LATENTS):
        for relation, (wanted, similar) in relations.items():
            kept = wanted[latent] >= 0
            found = coder.neighbours(latent, relation, limit=99)
            assert [near.latent for near in found] == wanted[latent][kept].tolist()
            assert [near.value for near in found] == pytest.approx(similar[latent][kept], abs=0.6 / PER_UNIT)
            assert len(coder.neighbours(latent, relation, limit=2)) == min(2, kept.sum())
        for side, found in enumerate(coder.logits(latent)):
            assert [logit.token for logit in found] == ids[side, latent].tolist()
            rounded = decode(encode_signed(values[side, latent], scale), scale)
            assert [logit.value for logit in found] == rounded.tolist()
    by_sql = corpus.sql(
        "SELECT relation, latent, neighbour FROM c.neighbours ORDER BY relation, latent, rank"
    )
    assert [tuple(row.values()) for row in by_sql.to_pylist()] == [
        (relation, latent, neighbour)
        for relation in sorted(relations)
        for latent in range(N_LATENTS)
        for neighbour in relations[relation][0][latent].tolist()
        if neighbour >= 0
    ]


def test_relations_that_agree_are_stored_once(corpus: Store) -> None:
    ids = np.tile(np.arange(3), (N_LATENTS, 1))
    similar = np.linspace(0.9, 0.1, 3, dtype=np.float32) * np.ones((N_LATENTS, 1), np.float32)
    neighbours: dict[Relation, tuple[np.ndarray, np.ndarray]] = {
        "decoder": (ids, similar),
        "encoder": (ids, similar),
        "cofiring": (ids, similar / 2),
    }
    coder = write(corpus, "c", {(0, 1): 1.0}, neighbours=neighbours)
    attached = corpus.generation().coder("c")
    assert attached.relations == {"cofiring": "cofiring", "decoder": "decoder", "encoder": "decoder"}
    assert coder.neighbours(1, "encoder") == coder.neighbours(1, "decoder") != coder.neighbours(1, "cofiring")
    counted = corpus.sql("SELECT relation, count(*) AS n FROM c.neighbours GROUP BY ALL ORDER BY ALL")
    assert counted.to_pydict() == {"relation": ["cofiring", "decoder", "encoder"], "n": [15, 15, 15]}


def test_a_query_for_one_latent_reads_one_latent(tiny_store: Store) -> None:
    """The views leave the condition to the scan, where DuckDB skips what cannot hold the latent."""
    for table, scanned in (
        ("histograms", "activations"),
        ("quantiles", "activations"),
        ("logits", "logits"),
        ("neighbours", "neighbours"),
    ):
        plan = tiny_store.sql(f"EXPLAIN SELECT * FROM sae.{table} WHERE latent = 3").to_pylist()[0]
        drawn = plan["explain_value"]
        scans = drawn.count(f".main.{scanned} ")
        assert scans
        assert drawn.count("Filters: latent = 3 ") == scans, table
