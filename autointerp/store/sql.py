"""Read-only SQL over everything in a store.

Tables of the corpus: `vocabulary(token, text, bytes, special)`, `documents(document, name, first_token, n_tokens)`,
`contexts(context, document, text)`. Over all coders, each with a column `coder`: `coders`, `latents`, `activations`,
`quantiles`, `histograms`, `logits`, `neighbours`; the same tables of one coder are in a schema of its name: `sae.latents`.
They are views, and hold every row whether or not the file does (see `autointerp.store.coders.tables`).
What people and jobs wrote, every version and every failure: `explanations`, `scores`, `judged_examples`, `audits`,
`audit_items`, `ratings`, `collections`, see `autointerp.store.annotations.summary`; loaded as they are at that moment, and only
when a query may refer to them.

One statement that only reads is accepted. The connection cannot touch any file but the attached ones, has no temporary
folder, loads no extension and sees no Python variable.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa

from autointerp.errors import UserError
from autointerp.store import table_files
from autointerp.store.annotations import Annotations
from autointerp.store.annotations.database import FILE
from autointerp.store.annotations.summary import TABLES, empty_table
from autointerp.store.catalog import Generation
from autointerp.store.coders import computed
from autointerp.store.coders.definitions import computed_names
from autointerp.store.coders.tables import views
from autointerp.store.database import literal, quote
from autointerp.store.files import check_folder, file_named
from autointerp.waiting import result_of

T = TypeVar("T")

MAX_BYTES = 1 << 30
"""Of a result in memory."""
_ROWS_AT_ONCE = 1 << 16
_DAMAGED = ("orrupt", "checksum", "IO Error", "Serialization Error", "INTERNAL Error", "FATAL Error")
"""In what DuckDB says of a file."""
_ACCEPTED = "one SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN or PIVOT statement"
_EXPLAIN = re.compile(r"\s*explain\b\s*(analyze\b\s*)?(\([^)]*\)\s*)?", re.IGNORECASE)
_COMPUTED_NAME = re.compile(r"\bquery(_table)?\s*\(", re.IGNORECASE)
_LATENTS = re.compile(r"\blatents\b", re.IGNORECASE)
_CATALOGUE = re.compile(r"\b(show|describe|information_schema|duckdb_)", re.IGNORECASE)
_UNIONS = ("latents", "activations", "quantiles", "histograms", "logits", "neighbours")


def run_query(
    generation: Generation, query: str, *, limit: int | None = None, seconds: float | None = None
) -> pa.Table:
    """The result of `query`, at most `limit` rows. Raises UserError for anything that is not one reading statement, for
    mistakes in it, with DuckDB's explanation, for one that has not ended after `seconds`, and for a result of over `MAX_BYTES`.
    """
    return _run(generation, query, limit, seconds, _in_memory)


def write_query(
    generation: Generation,
    query: str,
    path: Path,
    *,
    limit: int | None = None,
    seconds: float | None = None,
) -> int:
    """Writes the result of `query` to `path`, a CSV, JSON Lines or Parquet file by its ending, as it comes, in bounded memory;
    how many rows. The file is replaced whole or not at all. Raises UserError as `run_query` does, and where it cannot be
    written."""
    file_format = table_files.format_of(path)
    check_folder(path)

    def written(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        names = unique(schema.names)
        schema = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
        renamed = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches)
        with file_named(path) as file:
            return table_files.write(renamed, schema, file, file_format)

    try:
        return _run(generation, query, limit, seconds, written)
    except (pa.ArrowException, ValueError, OverflowError) as error:  # a type that the format has no form for
        raise UserError(
            f"the result cannot be written as {file_format.upper()}: {error}. Cast the column in the query, as in x::VARCHAR."
        ) from error


def unique(names: Iterable[str]) -> list[str]:
    """Column names that can be keys: a repeated name gets a number (`a`, `a_2`)."""
    columns: list[str] = []
    for name in names:
        column, n = name, 1
        while column in columns:
            n += 1
            column = f"{name}_{n}"
        columns.append(column)
    return columns


def _run(
    generation: Generation,
    query: str,
    limit: int | None,
    seconds: float | None,
    take: Callable[[pa.Schema, Iterator[pa.RecordBatch]], T],
) -> T:
    cursor = generation.cursor()
    check_query(cursor, query)
    _prepare_views(generation, cursor, query)
    _add_annotations(cursor, generation.layout.root, query)

    def result() -> T:
        rows_at_once = _ROWS_AT_ONCE if limit is None else max(1, min(limit, _ROWS_AT_ONCE))
        reader = cursor.sql(query).to_arrow_reader(rows_at_once)
        return take(reader.schema, _first(reader, limit))

    try:
        return _within(seconds, cursor, result)
    except duckdb.InterruptException as error:  # Ctrl-C, heard by DuckDB before anybody else
        raise KeyboardInterrupt from error
    except duckdb.Error as error:
        said = str(error).strip()
        raise UserError(f"the query failed: {said}{_damage(generation, said)}") from error


def _damage(generation: Generation, said: str) -> str:
    """What a failure may come from that is not the query's: a table lacks because its file is damaged, or a block is."""
    if generation.problems:
        return f" What is wrong with the store: {generation.problems[0]}"
    if any(sign in said for sign in _DAMAGED):
        return f" A file of {generation.layout.root} is damaged: `autointerp info --check` finds which."
    return ""


def _first(batches: Iterable[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """The first `limit` rows."""
    left = limit
    for batch in batches:
        yield batch if left is None else batch.slice(0, left)
        if left is not None:
            left -= min(left, batch.num_rows)
            if not left:
                return


def _in_memory(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.Table:
    kept, size = [], 0
    for batch in batches:
        kept.append(batch)
        size += batch.nbytes
        if size > MAX_BYTES:
            raise UserError(
                f"the result is larger than {MAX_BYTES >> 30} GB: ask for fewer rows or columns, add a LIMIT, or write it to a "
                "file (`autointerp sql --to`)."
            )
    return pa.Table.from_batches(kept, schema=schema)


def _within(seconds: float | None, cursor: duckdb.DuckDBPyConnection, run: Callable[[], T]) -> T:
    """What `run` gives, on a thread of its own: DuckDB itself does not hear Ctrl-C while it computes. Stopped after `seconds`,
    and by any interruption of the caller."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            return result_of(running, seconds)
        except TimeoutError as error:
            raise UserError(
                f"the query was stopped after {seconds:g} s. Ask for less, or allow more time (`--seconds`)."
            ) from error
        finally:
            while not running.done():
                cursor.interrupt()  # it may not have begun yet, and then nothing hears this
                wait([running], timeout=0.05)


def check_query(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raises UserError unless `query` is one statement that only reads."""
    try:
        query.encode()
        statements = cursor.extract_statements(query)
    except (duckdb.Error, UnicodeError) as error:  # a byte that was no character arrives as half of one
        raise UserError(f"the query cannot be parsed: {str(error).strip()}") from error
    if len(statements) != 1:
        raise UserError(f"the query holds {len(statements)} statements. Accepted: {_ACCEPTED}.")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        inner = _EXPLAIN.sub("", _without_comments(query), count=1)
        if _EXPLAIN.match(inner):
            raise UserError("EXPLAIN of EXPLAIN is not accepted.")
        check_query(cursor, inner)
        return
    pivot = kind == duckdb.StatementType.MULTI and re.match(
        r"[\s(]*(pivot|from|with|select)\b", _without_comments(query), re.I
    )
    if kind != duckdb.StatementType.SELECT and not pivot:
        raise UserError(
            f"{kind.name} statements are not accepted: the store is read-only. Accepted: {_ACCEPTED}."
        )


def _without_comments(query: str) -> str:
    return re.sub(r"^(\s|--[^\n]*\n|/\*.*?\*/)*", "", query, flags=re.DOTALL)


def _add_annotations(cursor: duckdb.DuckDBPyConnection, root: Path, query: str) -> None:
    """The tables of annotations.sqlite that the query may refer to, for this cursor alone; empty where nothing was ever
    written, or where only their names and columns can matter."""
    computed = _COMPUTED_NAME.search(query) is not None
    named = [name for name in TABLES if computed or re.search(rf"\b{name}\b", query, re.IGNORECASE)]
    written = named if (root / FILE).exists() else []
    for name in TABLES if _CATALOGUE.search(query) else named:
        cursor.register(name, empty_table(name))
    if written:
        with Annotations(root) as annotations:
            for name in written:
                cursor.register(name, annotations.table(name))


def _prepare_views(generation: Generation, cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    """Computing statistics takes time on a store that lacks them, so only a query that may refer to them triggers it."""
    wanted = _LATENTS.search(query) or _COMPUTED_NAME.search(query) or _CATALOGUE.search(query)
    names = computed_names() if wanted else []
    tables = {name: computed.tables(generation, coder, names) for name, coder in generation.coders.items()}
    with generation.lock:
        if generation.views is None or not set(names) <= generation.views:
            _create_views(generation, cursor, tables)
            generation.views = set(names)


def _create_views(
    generation: Generation,
    cursor: duckdb.DuckDBPyConnection,
    computed_tables: Mapping[str, Mapping[str, str]],
) -> None:
    # float16 bits to a number: subnormal below 1024, else (1024 + mantissa) * 2^(exponent - 25); bit 15 is the sign.
    cursor.execute(
        "CREATE OR REPLACE MACRO half(bits) AS CAST((CASE WHEN bits >= 32768 THEN -1 ELSE 1 END) * (CASE"
        " WHEN bits & 32767 = 31744 THEN 'inf'::DOUBLE WHEN bits & 32767 > 31744 THEN 'nan'::DOUBLE"
        " WHEN bits & 32767 < 1024 THEN (bits & 1023) * pow(2.0, -24)"
        " ELSE (1024 + (bits & 1023)) * pow(2.0, ((bits >> 10) & 31)::INTEGER - 25) END) AS FLOAT)"
    )
    for table in ("vocabulary", "documents", "contexts"):
        cursor.execute(f"CREATE OR REPLACE VIEW {table} AS FROM corpus.{table}")
    for name, coder in generation.coders.items():
        schema = quote(name)
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for table, select in views(coder, computed_tables[name]).items():
            cursor.execute(f"CREATE OR REPLACE VIEW {schema}.{table} AS {select}")
    if not generation.coders:
        return
    for table in _UNIONS:
        parts = [
            f"SELECT {literal(name)} AS coder, * FROM {quote(name)}.{table}" for name in generation.coders
        ]
        cursor.execute(f"CREATE OR REPLACE VIEW {table} AS {' UNION ALL '.join(parts)}")
    rows = [
        f"({literal(name)}, {literal(i.kind)}, {literal(i.hookpoint)}, {i.n_latents}, {i.k if i.k is not None else 'NULL'}, "
        f"{i.d_in}, {i.n_tokens}, {i.n_activations}, {i.n_dead}, {i.fidelity.fvu if i.fidelity else 'NULL'}::DOUBLE, "
        f"{i.bytes_on_disk}, {literal(i.source)})"
        for name, i in ((name, coder.info) for name, coder in generation.coders.items())
    ]
    cursor.execute(
        f"CREATE OR REPLACE VIEW coders AS SELECT * FROM (VALUES {', '.join(rows)}) AS t(coder, kind, hookpoint, n_latents, "
        "k, d_in, n_tokens, n_activations, n_dead, fvu, bytes_on_disk, source)"
    )
