"""Audit explanations by hand. create draws an audit; people judge it in the app, on the page Audit, each in an order of their
own; list says how far they are; export and import carry it to other copies of the store and back; report measures what they
said; cite gives a line for a paper.

`autointerp audit ACTION --help` says more of each."""

import argparse

from autointerp.cli.audits import cite, create, export, import_, listing, report

NAME = "audit"
HELP = "draw, list, export, import and report audits of explanations by hand"

ACTIONS = (create, listing, export, import_, report, cite)
"""Modules with NAME, HELP, add_arguments(parser), run(args)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    for module in ACTIONS:
        action = actions.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
        )
        module.add_arguments(action)
        action.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="write one JSON document to standard output",
        )
        action.set_defaults(act=module.run)


def run(args: argparse.Namespace) -> None:
    args.act(args)
