"""How a store that an older program wrote is read: every step of the format, from n to n + 1, as a translation.

Nothing is rewritten. Coder files and the corpus are immutable and may lie where nobody can write, and an older program may be
reading them at this moment; so a step describes its two formats to the reader instead: `store.json` and a coder's `meta` pass
through functions, and a table that changed is replaced by a SELECT over the older ones. DuckDB puts such a view's text into the
query, so that a step costs nothing that the SELECT does not. New files are always written in today's format; a store may hold
coder files of several.

Whoever raises `FORMAT` adds the step from the format before it. A store older than the oldest step is refused, as is a newer
one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from autointerp.errors import StoreTooNew, StoreTooOld
from autointerp.store.database import quote

FORMAT = 2
"""2: statistics of rare latents are derived, neighbours and logits are lists (see `autointerp.store.coders.tables`)."""


def _same(meta: dict[str, Any]) -> dict[str, Any]:
    return meta


@dataclass(frozen=True)
class Step:
    """Format n in the terms of n + 1. `manifest`: `store.json`; `meta`: of a coder file; neither need set `format`. `corpus`
    and `coder`: a SELECT for each table that is new or different, over `{old}.<table>`; the others are taken as they are."""

    manifest: Callable[[dict[str, Any]], dict[str, Any]] = _same
    meta: Callable[[dict[str, Any]], dict[str, Any]] = _same
    corpus: Mapping[str, str] = field(default_factory=dict)
    coder: Mapping[str, str] = field(default_factory=dict)


STEPS: dict[int, Step] = {}
"""By the format that each starts from. Format 1 was never released and has none."""


def steps_from(written: int, what: str, instead: str) -> list[Step]:
    """The steps from the format that `what` was written in to today's, none for today's own. Raises StoreTooNew, and
    StoreTooOld, which tells what to do `instead`."""
    if written > FORMAT:
        raise StoreTooNew(
            f"{what} has format {written}; this version of autointerp reads up to {FORMAT}. Upgrade autointerp to open it."
        )
    if any(number not in STEPS for number in range(written, FORMAT)):
        raise StoreTooOld(
            f"{what} has format {written}, which this version of autointerp no longer reads. {instead}"
        )
    return [STEPS[number] for number in range(written, FORMAT)]


def translate(
    connection: duckdb.DuckDBPyConnection, file: str, alias: str, changes: Sequence[Mapping[str, str]]
) -> None:
    """Makes `alias`, a schema with today's tables, of the attached database `file`; one of `changes` for each step."""
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = ?"
    tables = [row[0] for row in connection.execute(query, [file]).fetchall()]
    for number, change in enumerate(changes, 1):
        schema = alias if number == len(changes) else f"{file}_{number}"
        connection.execute(f"CREATE SCHEMA {quote(schema)}")
        selects = {table: f"FROM {quote(file)}.{quote(table)}" for table in tables}
        selects |= {table: select.format(old=quote(file)) for table, select in change.items()}
        for table, select in selects.items():
            connection.execute(f"CREATE VIEW {quote(schema)}.{quote(table)} AS {select}")
        file, tables = schema, list(selects)
