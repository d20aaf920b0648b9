"""SQL over a store: the views say what the reader says, and nothing but reading is possible."""

from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import UserError
from autointerp.store import Store
from autointerp.store.coders.half import decode
from tests.conftest import CoderSpec, StoreFactory


def test_views_agree_with_the_reader(tiny_store: Store) -> None:
    for name in ("sae", "transcoder"):
        coder = tiny_store.coder(name)
        for latent in range(coder.info.n_latents):
            acts = coder.activations(latent)
            rows = tiny_store.sql(
                f"SELECT * FROM activations WHERE coder = '{name}' AND latent = {latent} ORDER BY token"
            ).to_pydict()
            assert rows["token"] == acts.token.tolist()
            assert rows["activation"] == acts.activation.tolist()
            assert rows["context"] == (acts.token // 64).tolist()
            assert rows["position"] == (acts.token % 64).tolist()
            assert tiny_store.sql(
                f"SELECT * FROM {name}.activations WHERE latent = {latent}"
            ).num_rows == len(acts.token)
            histogram = coder.histogram(latent)
            bins = tiny_store.sql(
                f"SELECT bin, low, n FROM {name}.histograms WHERE latent = {latent}"
            ).to_pydict()
            assert [histogram.counts[b] for b in bins["bin"]] == bins["n"]
            assert np.allclose([histogram.edges[b] for b in bins["bin"]], bins["low"])
    near = tiny_store.sql(
        "SELECT neighbour, value FROM sae.neighbours WHERE latent = 3 AND relation = 'decoder' ORDER BY rank"
    )
    assert [tuple(row.values()) for row in near.to_pylist()] == [
        (n.latent, n.value) for n in tiny_store.coder("sae").neighbours(3, "decoder")
    ]
    logits = tiny_store.sql(
        "SELECT token, value FROM logits WHERE latent = 3 AND NOT promoted ORDER BY rank"
    ).to_pylist()
    assert [tuple(row.values()) for row in logits] == [
        (logit.token, logit.value) for logit in tiny_store.coder("sae").logits(3)[1]
    ]
    stats = tiny_store.sql(
        "SELECT coder, latent, density, positional_mi FROM latents WHERE top_token = 3"
    ).to_pylist()
    assert (stats[0]["coder"], stats[0]["latent"]) == ("sae", 0)
    assert tiny_store.sql("SELECT count(*) AS n FROM vocabulary").to_pydict() == {"n": [20]}
    assert tiny_store.sql("SELECT coder, n_dead FROM coders ORDER BY coder").to_pydict() == {
        "coder": ["sae", "transcoder"],
        "n_dead": [1, 1],
    }


def test_half_floats_decode_in_sql(tiny_store: Store) -> None:
    bits = [0, 1, 1023, 1024, 15360, 31743, 31744, 32769, 48128, 64511]
    tiny_store.sql("SELECT 1")
    found = tiny_store.sql(f"SELECT half(b::USMALLINT) AS v FROM (SELECT unnest({bits}) AS b)").to_pydict()[
        "v"
    ]
    assert found == decode(np.array(bits, dtype=np.uint16)).tolist()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "  -- a comment\n select 1;",
        "/* c */ WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "FROM latents LIMIT 1",
        "VALUES (1)",
        "DESCRIBE sae.latents",
        "SHOW TABLES",
        "SUMMARIZE sae.latents",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "PIVOT (SELECT coder, kind FROM coders) ON kind USING count(*)",
        "SELECT ';' AS x, 'COPY' AS y",
    ],
)
@pytest.mark.parametrize("limit", [None, 1])
def test_reading_statements_are_accepted(tiny_store: Store, query: str, limit: int | None) -> None:
    table = tiny_store.sql(query, limit=limit)
    assert table.num_rows >= 1
    if limit:
        assert table.num_rows == 1


WRITING = [
    "COPY (SELECT 1) TO '{out}'",
    "COPY latents TO '{out}' (FORMAT parquet)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{out}'",
    "explain /* x */ analyze copy (select 1) to '{out}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{coder}' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{coder}' (USE_TMP_FILE false)",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "ATTACH '{coder}' AS x",
    "DETACH corpus",
    "SELECT 1; COPY (SELECT 1) TO '{out}'",
    "SELECT 1; SELECT 2",
    "",
    ";",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "INSERT INTO corpus.vocabulary VALUES (1)",
    "DELETE FROM coder_0.latents",
    "UPDATE coder_0.latents SET latent = 1",
    "DROP VIEW latents",
    "PRAGMA database_list",
    "SET threads = 1",
    "RESET threads",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "USE coder_0",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT content FROM read_blob('{coder}')",
    "SELECT content FROM \"read_blob\"('{coder}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM parquet_scan('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM glob('*')",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "SELECT * FROM query('SELECT content FROM read' || '_blob(''{coder}'')')",
    "SELECT * FROM query_table('{secret}')",
    "SELECT * FROM duckdb_logs(), read_blob('{manifest}')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT * FROM secret_frame",
    "SELEC 1",
    "SELECT missing FROM latents",
]


@pytest.mark.parametrize("query", WRITING)
def test_everything_else_is_refused(tiny_store: Store, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nhunter2\n")
    secret_frame = np.arange(3)  # a name that DuckDB would otherwise find in this frame
    out, coder = tmp_path / "out", tiny_store.layout.coder("sae")
    before = coder.read_bytes()
    with pytest.raises(UserError) as caught:
        tiny_store.sql(query.format(out=out, coder=coder, secret=secret, manifest=tiny_store.layout.manifest))
    assert "hunter2" not in str(caught.value)
    assert not out.exists()
    assert coder.read_bytes() == before
    assert len(secret_frame) == 3
    assert tiny_store.sql("SELECT 1 AS x").to_pydict() == {"x": [1]}


def test_coder_names_are_quoted(store_factory: StoreFactory) -> None:
    spec = CoderSpec({0: [(1, 1.5)]}, n_latents=2)
    store = store_factory(np.zeros((2, 4), dtype=int), {"layers.2.mlp-x+1": spec, "select": spec})
    assert store.sql('SELECT activation FROM "layers.2.mlp-x+1".activations').to_pydict() == {
        "activation": [1.5]
    }
    assert store.sql('SELECT count(*) AS n FROM "select".latents').to_pydict() == {"n": [2]}


def test_an_empty_store_still_answers(store_factory: StoreFactory) -> None:
    store = store_factory(np.zeros((2, 4), dtype=int))
    assert store.sql("SELECT count(*) AS n FROM contexts").to_pydict() == {"n": [2]}
    assert store.coders() == []
