"""Tables in files: CSV, JSON Lines and Parquet, written and read."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TypeVar, get_args

import pyarrow as pa

from autointerp.errors import UserError
from autointerp.plain import plain
from autointerp.reading import reading

T = TypeVar("T")

FileFormat = Literal["csv", "jsonl", "parquet"]
"""Also the ending of the file's name."""
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
MAX_ROWS = 1_000_000
MAX_BYTES = 1 << 28
"""Of a file that is read into memory: as it lies on disk and as it is unpacked."""
_MOST = 1 << 24
"""Characters of a cell of a CSV file."""


def format_of(path: Path) -> FileFormat:
    """By the ending of its name. Raises UserError."""
    for file_format in FORMATS:
        if path.suffix.lower() == f".{file_format}":
            return file_format
    raise UserError(f"{path.name!r}: the name must end in {', '.join(f'.{name}' for name in FORMATS)}.")


def to_file(table: pa.Table, file_format: FileFormat) -> bytes:
    """The table as a file's bytes, see `write`."""
    sink = io.BytesIO()
    write(table.to_batches(), table.schema, sink, file_format)
    return sink.getvalue()


def write(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, sink: IO[bytes], file_format: FileFormat
) -> int:
    """Writes batches of rows as they come; how many rows. CSV: UTF-8 with a header, numbers to their last digit, empty where
    null, lists and structures as JSON. JSON Lines: one object a row. In both, bytes are hexadecimal."""
    n = 0
    with _writer(schema, sink, file_format) as write_batch:
        for batch in batches:
            write_batch(batch)
            n += batch.num_rows
    return n


@contextmanager
def _writer(
    schema: pa.Schema, sink: IO[bytes], file_format: FileFormat
) -> Iterator[Callable[[pa.RecordBatch], None]]:
    match file_format:
        case "parquet":
            import pyarrow.parquet

            with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as parquet:
                yield parquet.write_batch
        case "csv":
            import pyarrow.csv

            cells = pa.schema(
                [(field.name, pa.string() if _is_foreign(field) else field.type) for field in schema]
            )
            with pyarrow.csv.CSVWriter(sink, cells) as written:

                def write_cells(batch: pa.RecordBatch) -> None:
                    columns = [
                        _as_text(column) if _is_foreign(field) else column
                        for field, column in zip(schema, batch.columns, strict=True)
                    ]
                    written.write_batch(pa.RecordBatch.from_arrays(columns, schema=cells))

                yield write_cells
        case "jsonl":

            def write_lines(batch: pa.RecordBatch) -> None:
                for row in batch.to_pylist():
                    sink.write(_json(row).encode("utf-8", "replace") + b"\n")

            yield write_lines


def _is_foreign(field: pa.Field) -> bool:
    """Whether CSV has no form for such values."""
    kind = field.type
    return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _as_text(column: pa.Array) -> pa.Array:
    values = (plain(value) for value in column.to_pylist())
    return pa.array(
        [value if value is None or isinstance(value, str) else _json(value) for value in values], pa.string()
    )


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def from_file(path: Path) -> list[dict[str, Any]]:
    """The rows of such a file; everything in a CSV file is text. Raises UserError for one that cannot be read, and for one of
    more than `MAX_ROWS` or `MAX_BYTES`."""
    file_format = format_of(path)
    with reading(path, file_format.upper()):
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(path)
        match file_format:
            case "parquet":
                return _parquet_rows(path)
            case "csv":
                csv.field_size_limit(_MOST)
                with path.open(encoding="utf-8-sig", newline="") as text:
                    return [
                        {str(name): value for name, value in row.items()}
                        for row in _bounded(path, csv.DictReader(text))
                    ]
            case "jsonl":
                # Not by `splitlines`: texts hold other characters that it takes for the end of a line.
                lines = path.read_text(encoding="utf-8-sig").split("\n")
                rows = [json.loads(line) for line in _bounded(path, filter(str.strip, lines))]
                if not all(isinstance(row, dict) for row in rows):
                    raise UserError(f"{path.name!r}: each line must be one JSON object.")
                return rows


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    """A small file can hold a text once for millions of rows: what is unpacked is counted."""
    import pyarrow.parquet

    rows: list[dict[str, Any]] = []
    size = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        if file.metadata.num_rows > MAX_ROWS:
            raise _too_large(path)
        for batch in file.iter_batches(1024):
            columns = [
                column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for column in batch.columns
            ]
            size += sum(column.nbytes for column in columns)
            if size > MAX_BYTES:
                raise _too_large(path)
            rows += pa.table(columns, names=batch.schema.names).to_pylist()
    return rows


def _bounded(path: Path, rows: Iterable[T]) -> Iterator[T]:
    for number, row in enumerate(rows):
        if number >= MAX_ROWS:
            raise _too_large(path)
        yield row


def _too_large(path: Path) -> UserError:
    return UserError(
        f"{path.name!r} is too large to read: at most {MAX_ROWS:,} rows and {MAX_BYTES >> 20} MB are accepted. Split it "
        "into several files."
    )
