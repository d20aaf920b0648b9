"""Named lists of latents: tags and lists are one thing, and a star is membership in "Starred".

list (the default) lists them. show NAME lists the latents in one. add NAME CODER LATENTS puts latents in, making the
collection on first use; remove NAME CODER LATENTS takes them out. note NAME TEXT says something of the whole collection,
rename NAME NEW renames it, delete NAME deletes it with its notes.

export FILE [NAME ...] writes collections, all by default; import FILE merges a file, and importing twice changes nothing. The
file's ending says what it is: .csv, .jsonl or .parquet, one row a latent. Where a note in the file differs from the one
here, it is listed and the one here stays, or with --overwrite the file's is taken. `explain` and `score` take --collection
NAME."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument, user_name
from autointerp.cli.shared.batch import open_resources
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import printable, table, write_result
from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.pipeline.resources import Resources
    from autointerp.store.annotations import Annotations
    from autointerp.store.collection_files import Imported

NAME = "collections"
HELP = "list, fill, export and import collections of latents"

ACTIONS = {
    "list": (0, 0, ""),
    "show": (1, 1, "NAME"),
    "add": (3, 3, "NAME CODER LATENTS"),
    "remove": (3, 3, "NAME CODER LATENTS"),
    "note": (2, 2, "NAME TEXT"),
    "rename": (2, 2, "NAME NEW"),
    "delete": (1, 1, "NAME"),
    "export": (1, 1_000, "FILE [NAME ...]"),
    "import": (1, 1, "FILE"),
}
"""Actions: how many words follow, at least and at most, and what they are."""
_OPTIONS = {"note": "add", "author": "add", "into": "import", "overwrite": "import"}
"""Options, and the action that takes each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION", help=", ".join(ACTIONS)
    )
    parser.add_argument("words", nargs="*", metavar="...", help="arguments of the action, see above")
    parser.add_argument("--note", metavar="TEXT", help="add: a note on the latents")
    parser.add_argument("--author", metavar="NAME", help="add: who adds them (default: your user name)")
    parser.add_argument("--into", metavar="NAME", help="import: put everything into this collection")
    parser.add_argument(
        "--overwrite", action="store_true", help="import: where notes differ, take those in the file"
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    least, most, what = ACTIONS[args.action]
    if not least <= len(args.words) <= most:
        raise UserError(
            f"`{args.action}` takes {what or 'nothing more'}; see `autointerp collections --help`."
        )
    for option, action in _OPTIONS.items():
        if getattr(args, option) and args.action != action:
            raise UserError(f"--{option} only goes with `{action}`.")
    if args.action in ("list", "show", "export"):
        store = Store.open(args.store)
        with open_annotations(store.path) as annotations:
            if args.action == "list":
                document, text = _list(annotations)
            elif args.action == "show":
                document, text = _show(annotations, args.words[0])
            else:
                from autointerp.store.collection_files import collections_table
                from autointerp.store.files import file_named
                from autointerp.store.table_files import format_of, to_file

                path = Path(args.words[0])
                file_format = format_of(path)
                exported = collections_table(store, annotations, args.words[1:] or None)
                with file_named(path) as file:
                    file.write(to_file(exported, file_format))
                n = exported["coder"].drop_null().length()
                document = {
                    "file": str(path),
                    "collections": exported["collection"].unique().to_pylist(),
                    "latents": n,
                }
                text = f"Wrote {_latents(n)} of {len(document['collections']):,} collections to {printable(str(path))}."
    else:
        with open_resources(args.store) as resources:
            document, text = _change(resources, args)
    write_result({"store": str(args.store), **document}, text, as_json=args.json)


def _latents(n: int) -> str:
    return f"{n:,} latent{'' if n == 1 else 's'}"


def _list(annotations: "Annotations") -> tuple[dict[str, Any], str]:
    collections = annotations.collections.all()
    rows = [(each.name, f"{each.n:,}", each.author, each.created[:10], each.note) for each in collections]
    text = (
        table(("collection", "latents", "author", "created", "note"), rows)
        if rows
        else "No collections yet. Star a feature in the app, or use `autointerp collections STORE add NAME CODER LATENTS`."
    )
    return {"collections": [asdict(each) for each in collections]}, text


def _show(annotations: "Annotations", name: str) -> tuple[dict[str, Any], str]:
    collection, members = annotations.collections.get(name), annotations.collections.features(name)
    rows = [(m.coder, str(m.latent), m.author, m.created[:10], m.note) for m in members]
    lines = [
        f"{printable(collection.name)}: {_latents(collection.n)}",
        *filter(None, [printable(collection.note)]),
    ]
    if rows:
        lines += ["", table(("coder", "latent", "author", "added", "note"), rows)]
    latents = [{name: value for name, value in asdict(m).items() if name != "collection"} for m in members]
    return {**asdict(collection), "latents": latents}, "\n".join(lines)


def _change(resources: "Resources", args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Raises UserError."""
    collections, name = resources.annotations.collections, args.words[0]
    match args.action:
        case "add" | "remove":
            from autointerp.pipeline.pending import parse_latents

            _, coder, numbers = args.words
            latents = parse_latents(numbers, resources.store.coder(coder))
            places = [(coder, latent) for latent in latents]
            if args.action == "add":
                n = collections.add(name, places, author=args.author or user_name(), note=args.note or "")
                already = f", {len(places) - n:,} were already in it" if n < len(places) else ""
                return {"collection": name, "added": n}, f"Added {_latents(n)} to {printable(name)}{already}."
            n = collections.remove(name, places)
            return {"collection": name, "removed": n}, f"Removed {_latents(n)} from {printable(name)}."
        case "note":
            collections.describe(name, args.words[1])
            return {
                "collection": name,
                "note": collections.get(name).note,
            }, f"Saved the note on {printable(name)}."
        case "rename":
            collections.rename(name, args.words[1])
            return {"collection": args.words[1]}, f"Renamed {printable(name)} to {printable(args.words[1])}."
        case "delete":
            n = collections.delete(name)
            return {"collection": name, "removed": n}, f"Deleted {printable(name)} with {_latents(n)}."
        case _:
            from autointerp.store.collection_files import import_collections

            done = import_collections(
                resources.store, resources.annotations, Path(name), into=args.into, overwrite=args.overwrite
            )
            return asdict(done), _imported(done, overwrite=args.overwrite)


def _imported(done: "Imported", *, overwrite: bool) -> str:
    named = ", ".join(printable(name) for name in done.collections) or "no collection"
    lines = [
        f"{named}: {_latents(done.added)} added, {done.known:,} already there, {done.noted:,} notes filled in."
    ]
    lines += [f"Not imported, {n:,}: {printable(reason)}." for reason, n in done.refused.items()]
    if done.clashes:
        kept = "the file's were taken" if overwrite else "those here were kept; --overwrite takes the file's"
        lines.append(f"Notes that differ ({kept}):")
    for clash in done.clashes:
        about = (
            clash.collection if clash.coder is None else f"{clash.collection}, {clash.coder} {clash.latent}"
        )
        lines.append(
            f"  {printable(about)}: here {printable(clash.here)!r}, in the file {printable(clash.there)!r}"
        )
    return "\n".join(lines)
