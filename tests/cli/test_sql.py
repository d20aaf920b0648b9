"""`autointerp sql`."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from autointerp.store import Store
from autointerp.store.sql import unique
from autointerp.store.table_files import FORMATS, from_file
from tests.cli.conftest import RunError, RunJson, RunText


def test_rows_are_objects(tiny_store: Store, run_json: RunJson):
    query = "SELECT coder, count(*) AS n FROM latents GROUP BY coder ORDER BY coder"
    assert run_json("sql", tiny_store.path, query) == {
        "columns": ["coder", "n"],
        "rows": [{"coder": "sae", "n": 8}, {"coder": "transcoder", "n": 6}],
        "n_rows": 2,
        "truncated": False,
    }


def test_the_limit_is_said(tiny_store: Store, run_json: RunJson, run_text: RunText):
    query = "SELECT * FROM range(10) AS t(n)"
    document = run_json("sql", tiny_store.path, query, "--limit", 3)
    assert (document["n_rows"], document["truncated"]) == (3, True)
    assert run_json("sql", tiny_store.path, query, "--limit", 10)["truncated"] is False
    assert run_json("sql", tiny_store.path, query, "--limit", 0)["n_rows"] == 10
    assert "first 3 rows" in run_text("sql", tiny_store.path, query, "--limit", 3)[1]


@pytest.mark.parametrize("value", ["'nan'::DOUBLE", "'inf'::FLOAT", "NULL"])
def test_what_json_cannot_say_is_null(value: str, tiny_store: Store, run_json: RunJson):
    assert run_json("sql", tiny_store.path, f"SELECT {value} AS x")["rows"] == [{"x": None}]


@pytest.mark.parametrize(
    "expression",
    [
        "1::HUGEINT",
        "1.5::DECIMAL(9,2)",
        "DATE '2026-01-02'",
        "'\\xAA'::BLOB",
        "[1,2]",
        "{'a': 1}",
        "now()",
        "TIMESTAMP 'infinity'",
        "DATE '-infinity'",
        "TIMESTAMP '290000-01-01'",
        "TIMESTAMPTZ 'infinity'",
        "INTERVAL 9 MONTH",
        "TIME '24:00:00'",
        "UUID '00000000-0000-0000-0000-000000000000'",
        "'101'::BIT",
        "MAP {'a': 1}",
    ],
)
def test_every_type_can_be_written(expression: str, tiny_store: Store, run_json: RunJson):
    assert run_json("sql", tiny_store.path, f"SELECT {expression} AS x")["n_rows"] == 1


@pytest.mark.parametrize(
    "query",
    ["SELEC 1", "DROP TABLE vocabulary", "SELECT 1; SELECT 2", "SELECT * FROM nowhere", "COPY vocabulary TO 'x.csv'",
     "SELECT * FROM read_csv('/etc/passwd')", "ATTACH 'x.duckdb'", ""],
)  # fmt: skip
def test_anything_but_one_reading_query_is_refused(query: str, tiny_store: Store, run_text: RunText):
    code, out, err = run_text("sql", tiny_store.path, query)
    assert (code, out) == (2, "")
    assert err.startswith("autointerp: ")
    assert "Traceback" not in err


def test_hostile_text_cannot_drive_the_terminal(tiny_store: Store, run_text: RunText):
    code, out, _ = run_text("sql", tiny_store.path, "SELECT text FROM vocabulary")
    assert code == 0
    assert "\u202e" not in out
    assert "\x00" not in out


def test_a_repeated_column_name_gets_a_number():
    assert unique(["a", "a", "b", "a"]) == ["a", "a_2", "b", "a_3"]


def test_repeated_columns_keep_both_values(tiny_store: Store, run_json: RunJson):
    assert run_json("sql", tiny_store.path, "SELECT 1 AS a, 2 AS a")["rows"] == [{"a": 1, "a_2": 2}]


ENDLESS = (
    "SELECT count(*) FROM range(9000000000000000000) WHERE range % 7 = 8"  # without end, and without memory
)


def test_a_query_is_stopped_in_time(tiny_store: Store, run_error: RunError):
    assert "stopped after 0.3 s" in run_error("sql", tiny_store.path, ENDLESS, "--seconds", 0.3)


@pytest.mark.parametrize("of", ["the process", "another thread"])
def test_ctrl_c_stops_a_query(of: str, tiny_store: Store, run_text: RunText):
    """A signal that another thread takes does not end a wait of the main one, nor does one that comes just before it."""

    def press() -> None:
        if of == "the process":
            os.kill(os.getpid(), signal.SIGINT)
        else:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    threading.Timer(1.5, press).start()
    code, out, err = run_text("sql", tiny_store.path, ENDLESS)
    assert (code, out) == (130, ""), err
    assert "Traceback" not in err


def test_nested_times_without_end_are_refused_with_a_way_out(tiny_store: Store, run_error: RunError):
    assert "x::VARCHAR" in run_error("sql", tiny_store.path, "SELECT [TIMESTAMP 'infinity'] AS x")


def test_a_result_is_bounded(tiny_store: Store, run_error: RunError, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autointerp.store.sql.MAX_BYTES", 1 << 20)
    query = "SELECT repeat('a', 1000) FROM range(100000000)"
    assert "larger than" in run_error("sql", tiny_store.path, query, "--limit", 0)


@pytest.mark.parametrize(
    "option",
    [("--limit", 10**30), ("--limit", -1), ("--seconds", -1), ("--seconds", "nan"), ("--seconds", 1e300)],
)
def test_impossible_bounds(option: tuple[str, Any], tiny_store: Store, run_error: RunError):
    assert option[0] in run_error("sql", tiny_store.path, "SELECT 1", *option)


def test_a_byte_that_is_no_character(tiny_store: Store, run_error: RunError):
    assert "not valid UTF-8" in run_error("sql", tiny_store.path, "SELECT '\udcff'")


def test_headers_and_errors_cannot_drive_the_terminal(
    tiny_store: Store, run_text: RunText, run_error: RunError
):
    assert "\x1b" not in run_text("sql", tiny_store.path, 'SELECT 1 AS "a\x1b[2J\u202e"')[1]
    assert "\x1b" not in run_error("sql", tiny_store.path, 'SELECT "a\x1b[2J\u202e"')


ROWS = (
    "SELECT n::INTEGER AS n, n / 3 AS third, NULL AS nothing, 'a,\"b\"\n' || n AS text, [n, NULL] AS list, {'a': n} AS pair, "
    "'\\xAA'::BLOB AS bytes, 1 AS n FROM range(70000) AS t(n) ORDER BY n"
)


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_of_any_number_become_a_file(
    ending: str, tiny_store: Store, run_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autointerp.store.sql.MAX_BYTES", 1 << 10)  # nothing of it is gathered in memory
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / f"rows.{ending}"
    path.write_text("before")
    done = run_json("sql", tiny_store.path, ROWS, "--to", path)
    assert done == {"path": str(path), "n_rows": 70_000}
    rows = from_file(path)
    assert len(rows) == 70_000
    assert list(rows[7]) == ["n", "third", "nothing", "text", "list", "pair", "bytes", "n_2"]
    read = {
        name: json.loads(value) if ending == "csv" and name in ("list", "pair") else value
        for name, value in rows[7].items()
    }
    assert (str(read["n"]), read["text"], read["list"], read["pair"]) == (
        "7",
        'a,"b"\n7',
        [7, None],
        {"a": 7},
    )
    assert float(read["third"]) == 7 / 3
    assert read["bytes"] == (b"\xaa" if ending == "parquet" else "aa")
    assert run_json("sql", tiny_store.path, ROWS, "--to", path, "--limit", 3)["n_rows"] == 3
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("query", "name", "reason"),
    [
        (ROWS, "rows.txt", ".csv"),
        (ROWS, "none/rows.csv", "there is no folder"),
        ("SELECT 1 / 0 AS x, error('stop') AS y", "rows.csv", "stop"),
        (ENDLESS, "rows.csv", "stopped after"),
        ("SELECT [TIMESTAMP 'infinity'] AS x", "rows.jsonl", "x::VARCHAR"),
    ],
)
def test_a_file_that_cannot_be_written_stays_as_it_was(
    query: str, name: str, reason: str, tiny_store: Store, run_error: RunError, tmp_path: Path
):
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / name
    if path.parent == folder:
        path.write_text("before")
    assert reason in run_error("sql", tiny_store.path, query, "--to", path, "--seconds", 1)
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == (
        [(name, "before")] if path.parent == folder else []
    )


def test_every_numeric_and_text_type_can_be_a_cell(tiny_store: Store, run_json: RunJson, tmp_path: Path):
    types = (
        "HUGEINT",
        "UTINYINT",
        "DECIMAL(9,2)",
        "FLOAT",
        "BOOLEAN",
        "DATE",
        "TIMESTAMP",
        "TIME",
        "UUID",
        "VARCHAR",
    )
    query = "SELECT " + ", ".join(f"NULL::{kind} AS c{i}" for i, kind in enumerate(types))
    for ending in FORMATS:
        assert run_json("sql", tiny_store.path, query, "--to", tmp_path / f"rows.{ending}")["n_rows"] == 1
