"""Build a demo store: real activations of a language model and of shipped coders over the docstrings of the installed
libraries, then what `autointerp explain` and `autointerp score --scorer detection fuzzing embedding` do, for every coder. No
language model is asked. The app can be opened before the second part is done. A complete store is left as it is; an interrupted
build goes on."""

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from autointerp import settings
from autointerp.cli.shared.output import write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.demo.subjects import DOCSTRINGS, SUBJECTS
from autointerp.reading import expanded

NAME = "demo"
HELP = "build the demo store"

NICENESS = 5  # the app on the same machine goes first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--subject",
        choices=sorted(SUBJECTS),
        default=DOCSTRINGS.name,
        help="the language model: docstrings, our own small one (default), or smollm2, SmolLM2-135M-Instruct (4-bit weights)",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="the store's folder (default: data/stores/demo of the checkout, or data/stores/smollm2)",
    )
    parser.add_argument(
        "--force", action="store_true", help="rebuild it; the old one stays until the new one is complete"
    )
    rest = parser.add_mutually_exclusive_group()
    rest.add_argument("--no-scores", action="store_true", help="without explanations and scores")
    rest.add_argument(
        "--background",
        action="store_true",
        help="return as soon as the app can be opened; explanations and scores are written in the background",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.cli.shared import complete
    from autointerp.demo.build import build_demo

    path = expanded(args.store or settings.demo_store(args.subject))
    is_default = path == settings.demo_store()
    rest = complete.Completion()
    with progress_bars() as progress:
        built = build_demo(path, subject=SUBJECTS[args.subject], force=args.force, progress=progress)
        if not args.no_scores and not args.background:
            rest = complete.complete(path, progress)
    left = bool(complete.missing_in(path))
    in_background = left and args.background
    if in_background:
        leave_to_background(path, args.subject)
    worked = built.built or rest.explained or rest.scored
    text = f"The demo store at {path} is {'built' if worked else 'already complete'}."
    if in_background:
        text += " Explanations and scores follow in the background; the Jobs page shows progress."
    elif left:
        text += " Explanations and scores are missing; to add them: autointerp demo"
        text += "" if args.subject == DOCSTRINGS.name else f" --subject {args.subject}"
        text += "" if args.store is None else f" --store {path}"
        text += "."
    text += f" Open it with: autointerp serve{'' if is_default else f' {path}'}"
    document = {
        "store": str(path),
        "built": built.built,
        "seconds": built.seconds + rest.seconds,
        "coders": built.coders,
        "complete": not left,
        "in_background": in_background,
        "explained": rest.explained,
        "scored": rest.scored,
    }
    write_result(document, text, as_json=args.json)


def leave_to_background(path: Path, subject: str) -> None:
    """A process of its own, so that the app's pages do not share an interpreter with it. It ends with the work, or on Ctrl-C
    in the terminal; the app or the next run goes on with what is left."""
    child = subprocess.Popen(
        [sys.executable, "-m", "autointerp", "demo", "--subject", subject, "--store", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
