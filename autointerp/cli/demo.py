"""Build the demo store: real activations of the shipped model and coders, over the docstrings of the installed libraries.
A complete store is left as it is; an interrupted build goes on."""

import argparse
from pathlib import Path

from autointerp import settings
from autointerp.cli.output import write_result
from autointerp.cli.progress import progress_bars

NAME = "demo"
HELP = "build the demo store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="where it goes (default: data/stores/demo of the checkout)"
    )
    parser.add_argument(
        "--force", action="store_true", help="build it again, and replace the old one at the end"
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.demo.build import build_demo

    path = (args.store or settings.demo_store()).expanduser()
    with progress_bars() as progress:
        built = build_demo(path, force=args.force, progress=progress)
    state = "built" if built.built else "already complete"
    text = f"The demo store at {path} is {state}. Open it with: autointerp serve"
    if args.store is not None:
        text += f" {path}"
    document = {"store": str(path), "built": built.built, "seconds": built.seconds, "coders": built.coders}
    write_result(document, text, as_json=args.json)
