"""Add an exported audit, or what another person answered in it on another copy of this store. Importing twice changes nothing.
Where a file has another answer to the same question by the same rater, both are listed and the one here holds, or with
--overwrite the file's; the other one stays in the history."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.batch import open_resources
from autointerp.cli.shared.output import printable, write_result

if TYPE_CHECKING:
    from autointerp.ratings import Rating

NAME = "import"
HELP = "add an exported audit, or another person's answers"
_ANSWER = ("id", "verdict", "confidence", "note", "tags", "skipped", "created")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="written by `autointerp audit export`")
    parser.add_argument(
        "--overwrite", action="store_true", help="where answers differ, take those in the file"
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.audit.exchange import import_audit
    from autointerp.ratings import says

    with open_resources(args.store) as resources:
        take = "there" if args.overwrite else "here"
        done = import_audit(resources.annotations, args.file, resources.store, take=take)
    document = {
        "store": str(args.store),
        "audit": done.audit.id,
        "name": done.audit.name,
        "is_new": done.is_new,
        "new_ratings": done.new_ratings,
        "known_ratings": done.known_ratings,
        "missing_explanations": done.missing_explanations,
        "conflicts": [
            {
                **{name: getattr(each.here, name) for name in ("item", "task", "round", "rater", "role")},
                "here": _answer(each.here),
                "there": _answer(each.there),
            }
            for each in done.conflicts
        ],
    }
    lines = [
        f"{printable(done.audit.name)} ({done.audit.id}): {'new here, ' if done.is_new else ''}{done.new_ratings:,} ratings "
        f"added, {done.known_ratings:,} already here."
    ]
    if done.missing_explanations:
        lines.append(
            f"{done.missing_explanations:,} items show explanations that this store lacks: their contexts cannot be shown."
        )
    if done.conflicts:
        held = (
            "the file's were taken"
            if args.overwrite
            else "those here were kept; --overwrite takes the file's"
        )
        lines.append(f"Answers that differ ({held}):")
    lines += [
        f"  item {each.here.item + 1}, {printable(each.here.rater)}: here {says(each.here)}, in the file {says(each.there)}"
        for each in done.conflicts
    ]
    write_result(document, "\n".join(lines), as_json=args.json)


def _answer(rating: "Rating") -> dict[str, Any]:
    return {name: getattr(rating, name) for name in _ANSWER}
