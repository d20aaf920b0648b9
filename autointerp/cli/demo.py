"""Build the demo store: real activations of the shipped model and coders over the docstrings of the installed libraries, then
an explanation of every live latent and its scores, without any language model. The app can be opened on it before the second
part is done. A complete store is left as it is; an interrupted build goes on."""

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp import settings
from autointerp.cli.shared.output import write_result
from autointerp.cli.shared.progress import progress_bars

if TYPE_CHECKING:
    from autointerp.demo.complete import Completion

NAME = "demo"
HELP = "build the demo store"

_NICENESS = 5  # the app on the same machine goes first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="where it goes (default: data/stores/demo of the checkout)"
    )
    parser.add_argument(
        "--force", action="store_true", help="build it again, and replace the old one at the end"
    )
    rest = parser.add_mutually_exclusive_group()
    rest.add_argument("--no-scores", action="store_true", help="leave explanations and scores out")
    rest.add_argument(
        "--background",
        action="store_true",
        help="come back when the app can be opened, and leave explanations and scores to a process in the background",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.demo import complete
    from autointerp.demo.build import build_demo

    path = (args.store or settings.demo_store()).expanduser()
    done: Completion | None = None
    with progress_bars() as progress:
        built = build_demo(path, force=args.force, progress=progress)
        if not args.no_scores and not args.background:
            done = complete.complete_demo(path, progress=progress)
    left = bool(complete.missing_in(path))
    in_background = left and args.background
    if in_background:
        _leave_to_background(path)
    worked = built.built or (done is not None and done.worked)
    text = f"The demo store at {path} is {'built' if worked else 'already complete'}."
    if in_background:
        text += " Explanations and scores are being written meanwhile: a few minutes, see the Jobs page."
    elif left:
        text += " It has no explanations and scores yet: autointerp demo writes them."
    text += f" Open it with: autointerp serve{'' if args.store is None else f' {path}'}"
    document = {
        "store": str(path),
        "built": built.built,
        "seconds": built.seconds + (done.seconds if done else 0.0),
        "coders": built.coders,
        "complete": not left,
        "in_background": in_background,
        "explained": done.explained if done else 0,
        "scored": done.scored if done else 0,
    }
    write_result(document, text, as_json=args.json)


def _leave_to_background(path: Path) -> None:
    """A process of its own, so that the app's pages do not share an interpreter with it. It ends when the work does, or with
    Ctrl-C in the terminal; what it leaves, the app or the next run goes on with."""
    child = subprocess.Popen(
        [sys.executable, "-m", "autointerp", "demo", "--store", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
