"""What the database files of a store may hold. Stores are published and downloaded: nobody knows who made one.

A file's tables are those that this program makes, by name, column and type, and nothing else is in it: no view (it would be run
as we read it), no macro (it could stand in for a function that we call), no computed column. Connections that read such files
have no access to other files from before the first query on.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import get_args

import duckdb

from autointerp.errors import StoreDamaged
from autointerp.store.coders.schema import schema
from autointerp.store.database import connect
from autointerp.types import Relation

Columns = Mapping[tuple[str, str], frozenset[str]]
"""Accepted types by table and column."""

MAX_META_ROWS = 100
MAX_META_BYTES = 16 << 20
"""DuckDB packs what repeats: a file of half a megabyte can hold gigabytes of it."""
_OTHERS = {
    "view": "SELECT database_name, view_name FROM duckdb_views()",
    "macro": "SELECT database_name, function_name FROM duckdb_functions() WHERE NOT internal",
    "trigger": "SELECT database_name, trigger_name FROM duckdb_triggers()",
    "type": "SELECT database_name, type_name FROM duckdb_types() WHERE NOT internal",
    "sequence": "SELECT database_name, sequence_name FROM duckdb_sequences()",
    "index": "SELECT database_name, index_name FROM duckdb_indexes()",
    "schema": "SELECT database_name, schema_name FROM duckdb_schemas() WHERE NOT internal AND schema_name <> 'main'",
    "computed column": "SELECT database_name, concat(table_name, '.', column_name) FROM duckdb_columns()"
    " WHERE column_default IS NOT NULL",
}
_CORPUS = """
CREATE TABLE vocabulary(token UINTEGER, text VARCHAR, bytes BLOB, special BOOLEAN);
CREATE TABLE documents(document UINTEGER, name VARCHAR, first_token UBIGINT, n_tokens UBIGINT);
CREATE TABLE contexts(context UINTEGER, document UINTEGER, text VARCHAR)
"""


def corpus_schema() -> list[str]:
    """Statements that make the tables of `corpus.duckdb`."""
    return [*_CORPUS.strip().split(";")]


def others(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What attached databases hold that is no plain table, one thing of each that does, in words. One look for all of them:
    DuckDB goes through its thousands of functions each time."""
    return {
        file: f"a {kind}, {str(name)[:60]!r}"
        for kind, query in _OTHERS.items()
        for file, name in connection.execute(query).fetchall()
    }


def refuse_others(others: Mapping[str, str], file: str) -> None:
    """Raises StoreDamaged where the attached database `file` holds anything but plain tables; see `others`."""
    if file in others:
        raise StoreDamaged(f"it holds {others[file]}, which this program's files never do")


def check_meta(connection: duckdb.DuckDBPyConnection, file: str) -> None:
    """Raises StoreDamaged where the table `meta` of the attached database `file` is too large to be read into memory."""
    row = connection.execute(f"SELECT sum(strlen(value)) FROM {file}.meta").fetchone()
    if row is not None and (row[0] or 0) > MAX_META_BYTES:
        raise StoreDamaged(
            f"its table meta holds {int(row[0]):,} bytes, and at most {MAX_META_BYTES:,} are read"
        )


def check_columns(connection: duckdb.DuckDBPyConnection, file: str, accepted: Columns) -> None:
    """Raises StoreDamaged where a table or a column is missing, or of another type. Columns of neighbours may be missing, and
    the table of what is stated of selected contexts; other tables and columns may not be there."""
    query = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = ?"
    present = {(table, column): kind for table, column, kind in connection.execute(query, [file]).fetchall()}
    for (table, column), kind in present.items():
        if kind not in accepted.get((table, column), ()):
            raise StoreDamaged(
                f"its column {table[:60]}.{column[:60]} of type {kind[:60]} is not one of this program's"
            )
    for table, column in accepted:
        missing = (table, column) not in present
        optional = (table == "neighbours" and column != "latent") or (
            table == "stated" and ("stated", "latent") not in present
        )
        if missing and not optional:
            raise StoreDamaged(f"it has no column {table}.{column}")


def rows_of(connection: duckdb.DuckDBPyConnection, file: str) -> dict[str, int]:
    """How many rows each table has, without reading it."""
    query = "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = ?"
    return dict(connection.execute(query, [file]).fetchall())


@cache
def coder_columns() -> Columns:
    """Of a coder file. Latents are of either type: a file with few has the narrower one."""
    relations = get_args(Relation)
    return _columns(schema(1, relations, selected=True), schema(1 << 17, relations))


@cache
def corpus_columns() -> Columns:
    """Of `corpus.duckdb`."""
    return _columns(corpus_schema())


def _columns(*variants: Iterable[str]) -> Columns:
    """As DuckDB names what these statements make."""
    types: dict[tuple[str, str], set[str]] = {}
    for statements in variants:
        with connect(threads=1) as connection:
            for statement in statements:
                connection.execute(statement)
            query = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
            for table, column, kind in connection.execute(query).fetchall():
                types.setdefault((table, column), set()).add(kind)
    return {place: frozenset(kinds) for place, kinds in types.items()}
