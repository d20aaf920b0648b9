"""Writing a DuckDB file: every batch arrives, and none stays in memory."""

import sys
from pathlib import Path

import duckdb
import numpy as np

from autointerp.store.database import DatabaseWriter


def test_batches_arrive_and_are_let_go_before_the_transaction_ends(tmp_path: Path) -> None:
    values = [np.arange(start, start + 1000, dtype=np.uint64) for start in range(0, 3000, 1000)]
    before = [sys.getrefcount(each) for each in values]
    with DatabaseWriter(tmp_path / "file.duckdb") as database:
        database.execute('CREATE TABLE "odd name" ("a" UBIGINT, "b c" UBIGINT)')
        for place in range(len(values)):  # no name of its own for an array: it would be one reference more
            database.insert("odd name", {"b c": values[place], "a": values[place]})
        assert [sys.getrefcount(each) for each in values] == before
    with duckdb.connect(str(tmp_path / "file.duckdb"), read_only=True) as connection:
        rows = connection.execute('SELECT a, "b c" FROM "odd name" ORDER BY a').fetchall()
    assert rows == [(number, number) for number in range(3000)]


def test_more_than_fits_in_memory_is_written(tmp_path: Path) -> None:
    """Row groups leave pieces of blocks behind until the end: here as many as 10^9 activations do, for a small memory."""
    rng = np.random.default_rng(0)
    with DatabaseWriter(tmp_path / "file.duckdb", 20_480) as database:
        database.execute("SET memory_limit = '12MB'")
        database.execute("CREATE TABLE t (a UBIGINT)")
        for _ in range(80):
            database.insert("t", {"a": rng.integers(0, 2**40, 122_880).astype(np.uint64)})
    with duckdb.connect(str(tmp_path / "file.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (80 * 122_880,)
    assert [path.name for path in tmp_path.iterdir()] == ["file.duckdb"]
