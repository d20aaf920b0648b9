"""`autointerp sql`."""

import os
import signal
import threading
from typing import Any

import pytest

from autointerp.cli.sql import unique
from autointerp.store import Store
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


ENDLESS = "SELECT sum(a.range * b.range) FROM range(1000000000) a, range(1000000000) b"


def test_a_query_is_stopped_in_time(tiny_store: Store, run_error: RunError):
    assert "stopped after 0.3 s" in run_error("sql", tiny_store.path, ENDLESS, "--seconds", 0.3)


def test_ctrl_c_stops_a_query(tiny_store: Store, run_text: RunText):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    code, out, err = run_text("sql", tiny_store.path, ENDLESS)
    assert (code, out) == (130, "")
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
    assert "no text in UTF-8" in run_error("sql", tiny_store.path, "SELECT '\udcff'")


def test_headers_and_errors_cannot_drive_the_terminal(
    tiny_store: Store, run_text: RunText, run_error: RunError
):
    assert "\x1b" not in run_text("sql", tiny_store.path, 'SELECT 1 AS "a\x1b[2J\u202e"')[1]
    assert "\x1b" not in run_error("sql", tiny_store.path, 'SELECT "a\x1b[2J\u202e"')
