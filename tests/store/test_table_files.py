"""Files of tables from anybody: read in bounded memory, or refused."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autointerp.errors import UserError
from autointerp.store import table_files
from autointerp.store.table_files import FORMATS, from_file, to_file


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_have_a_bound(
    ending: table_files.FileFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(to_file(pa.table({"a": ["x"] * 1000}), ending))
    assert len(from_file(path)) == 1000
    monkeypatch.setattr(table_files, "MAX_ROWS", 999)
    with pytest.raises(UserError, match=r"'rows\.\w+' is too large to read: at most 999 rows"):
        from_file(path)


@pytest.mark.parametrize("ending", FORMATS)
def test_bytes_have_a_bound(
    ending: table_files.FileFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(to_file(pa.table({"a": ["x" * 10_000]}), ending))
    monkeypatch.setattr(table_files, "MAX_BYTES", 5_000)
    with pytest.raises(UserError, match="too large to read"):
        from_file(path)


def test_a_text_that_is_stored_once_counts_for_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "MAX_BYTES", 1 << 24)
    path = tmp_path / "rows.parquet"
    for column in (
        pa.array(["x" * 10_000] * 100_000).dictionary_encode(),
        pa.array(["x" * 10_000] * 100_000),
    ):
        pq.write_table(pa.table({"a": column}), path, compression="zstd")
        assert path.stat().st_size < 1 << 20
        with pytest.raises(UserError, match="too large to read"):
            from_file(path)


def test_dictionaries_are_read_as_their_values(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"a": pa.array(["x", None, "y"]).dictionary_encode(), "b": [[1], None, []]}), path
    )
    assert from_file(path) == [{"a": "x", "b": [1]}, {"a": None, "b": None}, {"a": "y", "b": []}]


def test_lines_need_not_be_ascii(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"a": "\u2028é"}, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert from_file(path) == [{"a": "\u2028é"}]
