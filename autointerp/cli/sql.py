"""Run read-only SQL on a store: its corpus, the latents and activations of every coder, explanations, scores and judged
examples.

For example: "SELECT * FROM latents ORDER BY density DESC LIMIT 5"."""

import argparse
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.output import table, write_result
from autointerp.errors import UserError
from autointerp.reading import expanded

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

NAME = "sql"
HELP = "run read-only SQL on a store"

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10**9
DEFAULT_SECONDS = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument("query", metavar="QUERY", help="one SELECT (or WITH, DESCRIBE, SHOW, EXPLAIN)")
    parser.add_argument(
        "--limit",
        type=int,
        help=f"maximum number of rows to write, 0 for all (default: {DEFAULT_LIMIT}; with --to all)",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="write the rows to this .csv, .jsonl or .parquet file"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=DEFAULT_SECONDS,
        help=f"stop the query after this many seconds, 0 for never (default: {DEFAULT_SECONDS:g})",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.store import Store
    from autointerp.store.sql import unique

    if args.limit is None:
        args.limit = DEFAULT_LIMIT if args.to is None else 0
    if not 0 <= args.limit <= MAX_LIMIT:
        raise UserError(f"--limit {args.limit}: give a number of rows up to {MAX_LIMIT:,}, 0 for all.")
    if not 0 <= args.seconds <= threading.TIMEOUT_MAX:
        raise UserError(f"--seconds {args.seconds:g}: give a number of seconds, 0 for no limit.")
    store = Store.open(args.store)
    if args.to is not None:
        path = expanded(args.to)
        n = store.write_sql(args.query, path, limit=args.limit or None, seconds=args.seconds or None)
        write_result({"path": str(path), "n_rows": n}, f"Wrote {n:,} rows to {path}.", as_json=args.json)
        return
    # One row more than wanted shows whether there are more.
    result = store.sql(args.query, limit=args.limit + 1 if args.limit else None, seconds=args.seconds or None)
    columns = unique(result.column_names)
    rows = list(
        zip(
            *(_values(column, name) for column, name in zip(result.columns, columns, strict=True)),
            strict=True,
        )
    )
    truncated = bool(args.limit) and len(rows) > args.limit
    if truncated:
        rows = rows[: args.limit]
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    document = {"columns": columns, "rows": objects, "n_rows": len(rows), "truncated": truncated}
    text = table(columns, rows)
    if truncated:
        text += f"\n(the first {len(rows):,} rows; --limit 0 for all)"
    write_result(document, text, as_json=args.json)


def _values(column: "ChunkedArray", name: str) -> list[Any]:
    from pyarrow import ArrowNotImplementedError

    try:
        return column.to_pylist()
    except (OverflowError, ValueError):  # times that Python has no type for, infinite ones too
        try:
            return column.cast("string").to_pylist()
        except ArrowNotImplementedError as error:
            raise UserError(
                f"column {name!r} holds times that cannot be written. Cast it in the query: {name}::VARCHAR."
            ) from error
