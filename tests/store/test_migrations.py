"""Stores of earlier releases and of formats to come."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import StoreTooNew
from autointerp.store import CoderStore, LatentQuery, Store, list_latents, migrations
from autointerp.store.migrations import Step
from tests.conftest import CoderSpec, write_coder
from tests.quantiles import quantile_edges

OLD = Path(__file__).parent / "old" / "format_2.zip"
"""A store of format 2 with two coders and embeddings, and `expected.json`: all of it as the program that wrote it read it."""


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path / "old")
    return tmp_path / "old"


def check(store: Store, expected: dict) -> None:
    """That `store` reads as the program that wrote it read it."""
    assert store.problems() == []
    assert store.tokens.tolist() == expected["tokens"]
    assert [store.context_text(i) for i in range(store.n_contexts)] == expected["texts"]
    documents = "SELECT name FROM contexts LEFT JOIN documents USING (document) ORDER BY context"
    assert store.sql(documents)["name"].to_pylist() == expected["documents"]
    assert [hit._asdict() for hit in store.search_contexts("cat").hits] == expected["hits"]
    vectors = store.embeddings("toy", window=16)
    assert vectors is not None
    assert vectors.vectors.tolist() == expected["vectors"]
    for name, coder in expected["coders"].items():
        info = asdict(store.coder(name).info)
        for field, before in coder["info"].items():
            assert info[field] == before or info[field].items() >= before.items(), field
        for latent, row in enumerate(coder["latents"]):
            assert latent_as_stored(store, store.coder(name), latent) == row
    for table, rows in expected["sql"].items():
        columns = ", ".join(f'"{column}"' for column in rows[0])
        assert store.sql(f"SELECT {columns} FROM {table} ORDER BY ALL").to_pylist() == rows


def latent_as_stored(store: Store, coder: CoderStore, latent: int) -> dict:
    acts, stats = coder.activations(latent), coder.stats(latent)
    promoted, suppressed = coder.logits(latent)
    names = (
        *("n_activations", "n_contexts", "density", "context_density", "max_activation", "mean_activation"),
        *("top_token", "top_token_share", "positional"),
    )
    return {
        "stats": {"latent": latent, **{name: stats[name] for name in names}},
        "peak_token": coder.stats(latent)["peak_token"],
        "token": acts.token.tolist(),
        "activation": acts.activation.tolist(),
        "quantiles": [
            [None if np.isnan(edge) else edge for edge in row]
            for row in quantile_edges(store, coder.name, latent).tolist()
        ],
        "histogram": coder.histogram(latent).counts.tolist(),
        "promoted": [asdict(logit) for logit in promoted],
        "suppressed": [asdict(logit) for logit in suppressed],
        "neighbours": {
            relation: [asdict(near) for near in coder.neighbours(latent, relation)]
            for relation in ("decoder", "encoder", "cofiring")
        },
    }


def test_a_store_of_format_2_reads_as_it_did(old_store: Path) -> None:
    check(Store.open(old_store), json.loads((old_store / "expected.json").read_text()))


def test_an_old_store_gains_new_statistics_and_new_coders(old_store: Path) -> None:
    store = Store.open(old_store)
    page = list_latents(store, query=LatentQuery(sort="token_entropy"))
    values = [row.stats["token_entropy"] for row in page.rows]
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0
    write_coder(store, "new", CoderSpec({0: [(1, 1.0)]}, n_latents=1))
    assert [info.coder for info in store.coders()] == ["new", "sae", "transcoder"]


def test_a_step_shows_an_old_store_in_todays_terms(old_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if format 3 had renamed a column, added a table, and written other words into both metas; and 4 renamed it back."""
    expected = json.loads((old_store / "expected.json").read_text())
    before = {path: path.read_bytes() for path in old_store.rglob("*") if path.is_file()}
    there = Step(
        manifest=lambda meta: {**meta, "corpus": {**meta["corpus"], "title": meta["corpus"]["name"]}},
        meta=lambda meta: {**meta, "info": {**meta["info"], "source": "renamed"}},
        corpus={"contexts": "SELECT context, document, text AS body FROM {old}.contexts"},
        coder={
            "latents": "SELECT * RENAME (max_activation AS largest) FROM {old}.latents",
            "notes": "SELECT 'a note' AS note",
        },
    )
    back = Step(
        meta=lambda meta: {**meta, "info": {**meta["info"], "source": meta["info"]["source"] + " twice"}},
        corpus={"contexts": "SELECT * RENAME (body AS text) FROM {old}.contexts"},
        coder={
            "latents": "SELECT * EXCLUDE (largest), largest * (SELECT count(*) FROM {old}.notes) AS max_activation "
            "FROM {old}.latents"
        },
    )
    monkeypatch.setattr(migrations, "FORMAT", 4)
    monkeypatch.setattr(migrations, "STEPS", {2: there, 3: back})
    store = Store.open(old_store)
    assert store.meta["corpus"]["title"] == "old"
    for coder in expected["coders"].values():
        coder["info"]["source"] = "renamed twice"
    check(store, expected)
    assert (
        before.items() <= {path: path.read_bytes() for path in old_store.rglob("*") if path.is_file()}.items()
    )
    write_coder(store, "new", CoderSpec({0: [(1, 1.0)]}, n_latents=1))  # in format 4, beside those of 2
    assert Store.open(old_store).coder("new").stats(0).max_activation == 1.0
    monkeypatch.setattr(migrations, "FORMAT", 3)
    monkeypatch.setattr(migrations, "STEPS", {2: back})
    older = Store.open(old_store)  # the program of format 3 sees what it can
    assert "has format 4; this version of autointerp reads up to 3" in " ".join(older.problems())


def test_a_store_of_a_later_format_is_refused(old_store: Path) -> None:
    meta = json.loads((old_store / "store.json").read_text())
    (old_store / "store.json").write_text(json.dumps({**meta, "format": migrations.FORMAT + 1}))
    with pytest.raises(StoreTooNew, match="Upgrade"):
        Store.open(old_store)
