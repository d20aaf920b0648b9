"""Read-only SQL over everything in a store: corpus tables, and latents and activations of every coder. Try
"SELECT * FROM latents ORDER BY density DESC LIMIT 5"."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from autointerp.cli.shared.output import table, write_result
from autointerp.errors import UserError

NAME = "sql"
HELP = "read-only SQL over everything in the store"

DEFAULT_LIMIT = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder")
    parser.add_argument("query", metavar="QUERY", help="one SELECT (or WITH, DESCRIBE, SHOW, EXPLAIN)")
    parser.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_LIMIT,
        help=f"rows written at most; 0 writes all (default: {DEFAULT_LIMIT})",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    if args.limit < 0:
        raise UserError(f"--limit {args.limit}: a number of rows, 0 for all.")
    # One row more than wanted tells whether there was more.
    result = Store.open(args.store).sql(args.query, limit=args.limit + 1 if args.limit else None)
    columns = unique(result.column_names)
    rows = list(zip(*(column.to_pylist() for column in result.columns), strict=True))
    truncated = bool(args.limit) and len(rows) > args.limit
    if truncated:
        rows = rows[: args.limit]
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    document = {"columns": columns, "rows": objects, "n_rows": len(rows), "truncated": truncated}
    text = table(columns, rows)
    if truncated:
        text += f"\n(the first {len(rows):,} rows; --limit 0 writes all)"
    write_result(document, text, as_json=args.json)


def unique(names: Iterable[str]) -> list[str]:
    """Column names that can be keys: a repeated name gets a number (`a`, `a_2`)."""
    found: list[str] = []
    for name in names:
        candidate, n = name, 1
        while candidate in found:
            n += 1
            candidate = f"{name}_{n}"
        found.append(candidate)
    return found
