"""Tables in files: CSV, JSON Lines and Parquet, written and read."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from autointerp.errors import UserError
from autointerp.reading import reading

FileFormat = Literal["csv", "jsonl", "parquet"]
"""Also the ending of the file's name."""
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
_MOST = 1 << 24
"""Characters of a cell of a CSV file."""


def format_of(path: Path) -> FileFormat:
    """By the ending of its name. Raises UserError."""
    for file_format in FORMATS:
        if path.suffix.lower() == f".{file_format}":
            return file_format
    raise UserError(f"{path.name!r}: the name must end in {', '.join(f'.{name}' for name in FORMATS)}.")


def to_file(table: pa.Table, file_format: FileFormat) -> bytes:
    """The table as a file's bytes. CSV: UTF-8 with a header, numbers to their last digit, empty where null. JSON Lines: one
    object a row."""
    sink = io.BytesIO()
    match file_format:
        case "parquet":
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, sink, compression="zstd")
        case "csv":
            import pyarrow.csv

            pyarrow.csv.write_csv(table, sink)
        case "jsonl":
            for row in table.to_pylist():
                sink.write(
                    json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
                )
    return sink.getvalue()


def from_file(path: Path) -> list[dict[str, Any]]:
    """The rows of such a file; everything in a CSV file is text. Raises UserError for one that cannot be read."""
    file_format = format_of(path)
    with reading(path, file_format.upper()):
        match file_format:
            case "parquet":
                import pyarrow.parquet

                return pyarrow.parquet.read_table(path).to_pylist()
            case "csv":
                csv.field_size_limit(_MOST)
                with path.open(encoding="utf-8-sig", newline="") as text:
                    return [{str(name): value for name, value in row.items()} for row in csv.DictReader(text)]
            case "jsonl":
                # Not by `splitlines`: texts hold other characters that it takes for the end of a line.
                lines = path.read_text(encoding="utf-8-sig").split("\n")
                rows = [json.loads(line) for line in lines if line.strip()]
                if not all(isinstance(row, dict) for row in rows):
                    raise UserError(f"{path.name!r}: each line must be one JSON object.")
                return rows
