"""A line to cite an audit, or a feature and its explanation: with the fingerprints of model, text and coders, so that a reader
can tell whether they have the same."""

import argparse

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.audits import find_audit
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import printable, write_result
from autointerp.errors import UserError

NAME = "cite"
HELP = "a line to cite an audit or a feature"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "what", nargs="*", metavar="AUDIT | CODER LATENT",
        help="an audit by its id or name (default: the only one in the store), or a feature by its coder and number",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    from autointerp.audit.cite import cite_audit, cite_feature
    from autointerp.store import Store

    store = Store.open(args.store)
    with open_annotations(store.path) as annotations:
        match args.what:
            case [coder, latent]:
                if not latent.isdecimal():
                    raise UserError(
                        f"{latent!r} is not the number of a latent. Give CODER LATENT, or an audit."
                    )
                line = cite_feature(store, annotations, coder, int(latent))
            case [] | [_]:
                audit = find_audit(annotations, args.what[0] if args.what else None)
                line = cite_audit(annotations.audits.get(audit))
            case _:
                raise UserError("Give an audit, or a coder and the number of a latent.")
    write_result({"store": str(args.store), "citation": line}, printable(line), as_json=args.json)
