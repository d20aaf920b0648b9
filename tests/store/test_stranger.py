"""Stores are downloaded: a coder file or a corpus from anyone reads nothing of the reader's and runs nothing as it is read."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from autointerp.cli.main import main
from autointerp.errors import StoreDamaged, StoreError
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.explained import explain

Change = Callable[[duckdb.DuckDBPyConnection, Path], None]


def changed(path: Path, change: Change, secret: Path) -> None:
    """The database file at `path` after its maker's changes; written anew, since a file's tables are never changed in place."""
    with duckdb.connect(str(path)) as connection:
        change(connection, secret)


def meta_is_a_view(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("ALTER TABLE meta RENAME TO hidden")
    connection.execute(
        f"CREATE VIEW meta AS SELECT key, replace(value, 'layers', (SELECT content FROM read_text('{secret}'))) AS value "
        "FROM hidden"
    )


def endless_view(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("ALTER TABLE meta RENAME TO hidden")
    connection.execute(
        "CREATE VIEW meta AS SELECT 'k' AS key, sum(range)::VARCHAR AS value FROM range(1000000000000)"
    )


def a_view_beside(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute(f"CREATE VIEW more AS FROM read_text('{secret}')")


def a_macro(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("CREATE MACRO half(bits) AS 7")


def a_table_macro(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute(f"CREATE MACRO more() AS TABLE FROM read_text('{secret}')")


def a_long_meta(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("UPDATE meta SET value = value || repeat(' ', 20_000_000)")


def a_computed_column(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("ALTER TABLE meta RENAME TO hidden")
    connection.execute(
        "CREATE TABLE meta(key VARCHAR, kept VARCHAR, value VARCHAR GENERATED ALWAYS AS (repeat(kept, 1)))"
    )
    connection.execute("INSERT INTO meta SELECT key, value FROM hidden")
    connection.execute("DROP TABLE hidden")


def another_table(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("CREATE TABLE more(a INTEGER)")


def another_type(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("ALTER TABLE latents ALTER latent TYPE VARCHAR")


def a_table_less(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("DROP TABLE peaks")


def an_enum(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("CREATE TYPE mood AS ENUM ('good')")


def with_meta(key: str, change: Callable[[Any], Any]) -> Change:
    def write(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        assert row is not None
        value = json.dumps(change(json.loads(row[0])))
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", [value, key])

    return write


def info(**fields: Any) -> Change:
    return with_meta("info", lambda value: {**value, **fields})


OBJECTS: tuple[Change, ...] = (
    a_long_meta,
    meta_is_a_view, endless_view, a_view_beside, a_macro, a_table_macro, a_computed_column, another_table, another_type,
    a_table_less, an_enum,
)  # fmt: skip
VALUES: dict[str, Change] = {
    "sql as a relation's columns": with_meta(
        "relations",
        lambda _: {"decoder": "decoder FROM (SELECT 1) UNION ALL SELECT 1, 2, sum(range) FROM range(1e12)"},
    ),
    "sql as a relation": with_meta("relations", lambda _: {"' || (SELECT 1) || '": "decoder"}),
    "sql as a scale": info(scale="1) FROM range(1e12) --"),
    "no scale": info(scale=0),
    "more latents than rows": info(n_latents=10**9),
    "more activations than rows": info(n_activations=10**12),
    "another context length": info(ctx_len=10**9),
    "latents as text": info(n_latents="8"),
    "negative": info(n_tokens=-1),
    "a number as a name": info(kind=3),
    "half a character": info(source="\ud800"),
    "an unknown field": info(more=1),
    "no object": with_meta("info", lambda _: [1]),
    "fidelity of another kind": with_meta("fidelity", lambda _: {"fvu": "low", "l0": 1.0, "n_tokens": 1}),
    "deep": with_meta("statistics", lambda _: json.loads("[" * 500 + "]" * 500)),
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text("OPENSESAME")
    return file


def refused(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is left out and named, the other coder can be read, and nothing of the secret shows anywhere."""
    opened = Store.open(store)
    assert [each.coder for each in opened.coders()] == ["transcoder"]
    (problem,) = opened.problems()
    assert "sae.duckdb" in problem
    assert "OPENSESAME" not in problem
    assert opened.coder("transcoder").table().live is not None
    for arguments in (["info", str(store), "--json"], ["sql", str(store), "SELECT * FROM coders", "--json"]):
        main(arguments)
        out = capsys.readouterr()
        assert "OPENSESAME" not in out.out + out.err
        assert "Traceback" not in out.err


@pytest.mark.parametrize("change", OBJECTS, ids=lambda change: change.__name__)
def test_a_coder_file_with_anything_but_our_tables_is_left_out(
    change: Change, tiny_store: Store, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = Path(shutil.copytree(tiny_store.path, tmp_path / "copy"))
    changed(copy / "coders" / "sae.duckdb", change, secret)
    refused(copy, capsys)


@pytest.mark.parametrize("name", VALUES)
def test_a_coder_file_that_says_what_cannot_be_is_left_out(
    name: str, tiny_store: Store, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = Path(shutil.copytree(tiny_store.path, tmp_path / "copy"))
    changed(copy / "coders" / "sae.duckdb", VALUES[name], secret)
    refused(copy, capsys)


def vocabulary_view(connection: duckdb.DuckDBPyConnection, secret: Path) -> None:
    connection.execute("ALTER TABLE vocabulary RENAME TO hidden")
    connection.execute(
        f"CREATE VIEW vocabulary AS SELECT token, (SELECT content FROM read_text('{secret}')) AS text, bytes, special "
        "FROM hidden"
    )


@pytest.mark.parametrize(
    "change", [vocabulary_view, a_view_beside, a_macro, another_table], ids=lambda change: change.__name__
)
def test_a_corpus_with_anything_but_our_tables_is_refused(
    change: Change, tiny_store: Store, secret: Path, tmp_path: Path
):
    copy = Path(shutil.copytree(tiny_store.path, tmp_path / "copy"))
    changed(copy / "corpus" / "corpus.duckdb", change, secret)
    with pytest.raises(StoreDamaged, match=r"corpus\.duckdb") as refusal:
        Store.open(copy)
    assert "OPENSESAME" not in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("corpus", "n_contexts"), 10**12), (("corpus", "n_contexts"), "2"), (("corpus", "n_contexts"), -1),
        (("corpus", "ctx_len"), True), (("corpus",), []), (("corpus", "sha256"), 3), (("model",), "gpt"),
        (("model", "name"), {}), (("model", "d_model"), 1.5), (("tokenizer",), None), (("created",), 7),
        (("format",), "2"), (("model", "source"), "\ud800"),
    ],
)  # fmt: skip
def test_a_manifest_that_says_what_cannot_be_is_refused(
    place: tuple[str, ...], value: object, tiny_store: Store, tmp_path: Path
):
    copy = Path(shutil.copytree(tiny_store.path, tmp_path / "copy"))
    manifest = copy / "store.json"
    meta = json.loads(manifest.read_text())
    inner = meta
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    manifest.write_text(json.dumps(meta))
    with pytest.raises(StoreError) as refusal:
        Store.open(copy)
    assert str(copy) in str(refusal.value)


def test_what_a_manifest_does_not_say_is_unknown(tiny_store: Store, tmp_path: Path):
    copy = Path(shutil.copytree(tiny_store.path, tmp_path / "copy"))
    meta = json.loads((copy / "store.json").read_text())
    del meta["model"], meta["created"]
    (copy / "store.json").write_text(json.dumps(meta))
    opened = Store.open(copy)
    assert (opened.meta["model"]["name"], opened.meta["model"]["d_model"]) == ("unknown", 0)
    assert opened.problems() == []


ANNOTATIONS = {
    "a view as a table": "ALTER TABLE pins RENAME TO hidden; CREATE VIEW pins AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
    "SELECT i + 1 FROM n) SELECT coder, latent, explanation, author, created FROM hidden, n",
    "a view beside": "CREATE VIEW more AS SELECT 1",
    "a trigger": "CREATE TRIGGER more AFTER INSERT ON explanations BEGIN DELETE FROM pins; END",
    "a rule less": "DROP TRIGGER explanations_no_delete",
    "a table less": "DROP TABLE pins",
    "another table": "DROP TABLE pins; CREATE TABLE pins(coder, latent, explanation AS (zeroblob(9)), author, created)",
}


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_with_anything_that_runs_are_refused(name: str, read_only: bool, tiny_store: Store):
    store = explain(tiny_store)
    with closing(sqlite3.connect(store.path / "annotations.sqlite")) as connection:
        connection.executescript(ANNOTATIONS[name])
    with pytest.raises(StoreDamaged, match="foreign"):
        Annotations(store.path, read_only=read_only)


def test_tables_of_ones_own_beside_the_annotations_are_left_alone(tiny_store: Store):
    store = explain(tiny_store)
    with closing(sqlite3.connect(store.path / "annotations.sqlite")) as connection:
        connection.executescript("CREATE TABLE mine(a); CREATE INDEX fast ON mine(a)")
    with Annotations(store.path) as annotations:
        assert annotations.counts()


@pytest.mark.parametrize("target", ["a file", "itself"])
def test_coders_that_are_no_folder_are_told(
    target: str, tiny_store: Store, secret: Path, capsys: pytest.CaptureFixture[str]
):
    coders = tiny_store.path / "coders"
    shutil.rmtree(coders)
    coders.symlink_to(secret if target == "a file" else coders)
    assert main(["info", str(tiny_store.path)]) == 2
    assert f"{coders} cannot be read as a folder" in capsys.readouterr().err
