"""Audit explanations by hand: people judge them in the app, and what they said is measured here.

`autointerp audit ACTION --help` says more of each."""

import argparse

from autointerp.cli.audits import report

NAME = "audit"
HELP = "audits of explanations by hand"

ACTIONS = (report,)
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
