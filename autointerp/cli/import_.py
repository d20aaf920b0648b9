"""Read another tool's files into a store: a new one, or one of the same text.

SOURCE is a file or a folder, or several. The format is named, or `auto` tells it by looking and says which it is. Importing
twice changes nothing, and what fails leaves the store as it was. docs/formats.md says what each format holds, and what of it
cannot be taken."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.formats import given_options, summary_text
from autointerp.cli.shared.options import add_options, entries_help
from autointerp.cli.shared.output import printable, say, write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.formats.registry import AUTO, IMPORTS, ImportFormat, recognise
from autointerp.reading import expanded

if TYPE_CHECKING:
    from autointerp.formats.summary import Summary

NAME = "import"
HELP = "read another tool's activations, explanations and scores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "format",
        metavar="FORMAT",
        help=f"one of {entries_help(IMPORTS)}; or {AUTO}, which detects the format",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help=_sources())
    parser.add_argument(
        "--store",
        required=True,
        type=Path,
        metavar="STORE",
        help="folder of the store, created if it does not exist",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the coder in the store")
    group = parser.add_argument_group("format options")
    add_options(group, IMPORTS, unset=[option.name for option in IMPORTS.options()])


def _sources() -> str:
    return "; ".join(f"{name}: {form.source}" for name, form in IMPORTS.items())


def run(args: argparse.Namespace) -> None:
    from autointerp.formats.requests import ImportRequest

    sources = tuple(expanded(path) for path in args.sources)
    form: ImportFormat
    if args.format == AUTO:
        form = recognise(sources)
        say(f"{', '.join(printable(str(path)) for path in sources)}: {form.label}")
    else:
        form = IMPORTS.find(args.format)
    request = ImportRequest(
        sources=sources,
        store=expanded(args.store),
        name=args.name,
        options=given_options(args, IMPORTS, form),
    )
    with progress_bars() as progress:
        summary: Summary = form.make(request, progress)
    document: dict[str, Any] = summary.as_dict()
    write_result(document, summary_text(summary, "Imported into"), as_json=args.json)
