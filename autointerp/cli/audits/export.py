"""Write an audit with everything that was answered: to keep, to share, or to merge into another copy of the store. The file's
ending says what it is: .jsonl, .csv or .parquet; `-` is JSON Lines on standard output. docs/audits.md describes the rows."""

import argparse
from pathlib import Path

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.audits import add_audit_argument, find_audit
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import printable, write_result

NAME = "export"
HELP = "write an audit to a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    add_audit_argument(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write; - for standard output")


def run(args: argparse.Namespace) -> None:
    from autointerp.audit.exchange import export_audit
    from autointerp.audit.files import write_audit
    from autointerp.store import Store
    from autointerp.store.files import file_named
    from autointerp.store.table_files import format_of

    to_output = str(args.file) == "-"
    file_format = "jsonl" if to_output else format_of(args.file)
    with open_annotations(Store.open(args.store).path) as annotations:
        audit = annotations.audits.get(find_audit(annotations, args.audit))
        rows = export_audit(annotations, audit.id)
    n_ratings = sum(row["record"] == "rating" for row in rows)
    document = {
        "store": str(args.store),
        "audit": audit.id,
        "n_items": len(audit.items),
        "n_ratings": n_ratings,
    }
    content = write_audit(rows, file_format)
    if to_output:
        write_result({**document, "rows": rows}, content.decode().removesuffix("\n"), as_json=args.json)
        return
    with file_named(args.file) as file:
        file.write(content)
    name, to = printable(audit.name), printable(str(args.file))
    text = f"Wrote {name}, {len(audit.items):,} items and {n_ratings:,} ratings, to {to}."
    write_result({**document, "file": str(args.file)}, text, as_json=args.json)
