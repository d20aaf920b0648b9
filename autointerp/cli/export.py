"""Write coders, explanations and scores of a store in another tool's format.

Without --coder, --latents and --collection everything is written. docs/formats.md says what each format holds, and what of a
store it cannot."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.cli.shared.batch import chosen_latents
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.formats import given_options, summary_text
from autointerp.cli.shared.options import add_options, entries_help
from autointerp.cli.shared.output import write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.errors import UserError
from autointerp.formats.registry import EXPORTS
from autointerp.reading import expanded

if TYPE_CHECKING:
    from autointerp.formats.summary import Summary
    from autointerp.pipeline.resources import Resources

NAME = "export"
HELP = "write coders, explanations and scores in another tool's format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", metavar="FORMAT", help=f"one of {entries_help(EXPORTS)}")
    parser.add_argument("--store", required=True, type=Path, metavar="STORE", help="folder of the store")
    parser.add_argument("--to", required=True, type=Path, metavar="PATH", help=_targets())
    parser.add_argument(
        "--coder", nargs="+", action="extend", metavar="CODER", help="only of these coders (default: all)"
    )
    parser.add_argument(
        "--latents", metavar="LIST", help="only these latents, of a single coder, such as 0-99,512"
    )
    parser.add_argument("--collection", metavar="NAME", help="only the latents in this collection that fire")
    group = parser.add_argument_group("format options")
    add_options(group, EXPORTS, unset=[option.name for option in EXPORTS.options()])


def _targets() -> str:
    return "; ".join(f"{name}: {form.target}" for name, form in EXPORTS.items()) or "what to write"


def run(args: argparse.Namespace) -> None:
    from autointerp.formats.requests import ExportRequest
    from autointerp.pipeline.resources import Resources
    from autointerp.store import Store

    form = EXPORTS.find(args.format)
    store = Store.open(expanded(args.store))
    with open_annotations(store.path) as annotations:
        resources = Resources(store, annotations)
        request = ExportRequest(
            store=store,
            annotations=annotations,
            selection=_selection(args, resources),
            to=expanded(args.to),
            options=given_options(args, EXPORTS, form),
        )
        with progress_bars() as progress:
            summary: Summary = form.make(request, progress)
    write_result(summary.as_dict(), summary_text(summary, "Wrote"), as_json=args.json)


def _selection(args: argparse.Namespace, resources: "Resources") -> dict[str, Sequence[int] | None]:
    """Raises UserError."""
    store = resources.store
    names = [store.coder(name).info.coder for name in dict.fromkeys(args.coder or [])]
    if args.collection is not None and not names:
        resources.annotations.collections.get(args.collection)
        names = sorted(resources.annotations.collections.latents(args.collection))
        names = [info.coder for info in store.coders() if info.coder in names]
        if not names:
            raise UserError(f"The collection {args.collection!r} has no latents of this store's coders.")
    names = names or [info.coder for info in store.coders()]
    if not names:
        raise UserError(f"{store.path} has no coders yet: there is nothing to export.")
    if args.latents is not None and len(names) > 1:
        raise UserError(
            "--latents needs exactly one --coder: the same number is a different latent in each coder."
        )
    return {name: chosen_latents(resources, name, args.latents, args.collection) for name in names}
