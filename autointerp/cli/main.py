"""The `autointerp` program: finds the command, runs it, turns errors into exit codes.

0: done. 2: wrong input, with a plain message on standard error. 1: a bug, with its traceback. 130: Ctrl-C. 141: the reader of
the output went away (`autointerp sql ... | head`).
"""

import argparse
import errno
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from autointerp import __version__
from autointerp.cli import (
    audit,
    cache,
    collections,
    compare,
    demo,
    explain,
    export,
    import_,
    info,
    jobs,
    latent,
    match,
    score,
    serve,
    sql,
    steer,
)
from autointerp.cli.shared.output import say
from autointerp.errors import UserError

COMMANDS = (
    demo,
    serve,
    cache,
    info,
    latent,
    explain,
    score,
    compare,
    match,
    steer,
    audit,
    collections,
    import_,
    export,
    jobs,
    sql,
)
"""Modules with NAME, HELP, add_arguments(parser), run(args)."""

OK, BUG, USER_ERROR, INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT
PIPE_CLOSED = 128 + 13

USER_ERRNOS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG),
    *(errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN, errno.ELOOP),
}
"""Failures of the disk, not bugs."""


class Help(argparse.HelpFormatter):
    """Keeps the paragraphs of a description apart."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(Help, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar; each command's part comes from its own file."""
    parser = argparse.ArgumentParser(
        prog="autointerp",
        description="A feature browser for sparse autoencoders and transcoders.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"autointerp {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=Help,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="write one JSON document to standard output")
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse itself exits with 0 (help) or 2 (wrong usage)."""
    given = sys.argv[1:] if argv is None else argv
    if not all(map(_is_text, given)):
        return _fail(
            "an argument is not valid UTF-8, or contains a NUL. Names of files and stores must be UTF-8 too."
        )
    for word in given:
        if word.startswith("--") and word.endswith("=--"):  # argparse would take it for no value at all
            return _fail(f"{word}: -- is not a value.")
    args = build_parser().parse_args(given)
    with _noticing_interrupts() as interrupts:
        return _run(args, interrupts)


def _run(args: argparse.Namespace, interrupts: Sequence[int]) -> int:
    """`interrupts`: a library that was interrupted may say so by an error of its own (DuckDB: "Query interrupted")."""
    try:
        _check_numbers(args)
        args.run(args)
        sys.stdout.flush()
    except UserError as error:
        return _interrupted("") if interrupts else _fail(str(error))
    except KeyboardInterrupt as error:
        return _interrupted(str(error))
    except BrokenPipeError:
        # Python flushes standard output once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        if error.errno in USER_ERRNOS:
            return _fail(f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror))
        return _bug()
    except Exception:
        return _interrupted("") if interrupts else _bug()
    return OK


def _is_text(argument: str) -> bool:
    try:
        return b"\0" not in argument.encode()
    except UnicodeEncodeError:  # a byte that was no character arrives as half of one
        return False


def _check_numbers(args: argparse.Namespace) -> None:
    """Raises UserError for a number that is none: argparse takes `nan` and `inf`."""
    for name, value in vars(args).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{name.replace('_', '-')} {value}: give a number.")


@contextmanager
def _noticing_interrupts() -> Iterator[list[int]]:
    """A list that grows with every Ctrl-C; each then does what it would have done."""
    noticed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return

    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored: by whoever started this process
        yield noticed
        return

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(message: str) -> int:
    say(message or "\nInterrupted. Nothing is left half-written; run the same command again to continue.")
    return INTERRUPTED


def _fail(message: str) -> int:
    say(f"autointerp: {message}")
    return USER_ERROR


def _bug() -> int:
    traceback.print_exc()
    say("autointerp: this is a bug in autointerp, not a mistake of yours; please report the lines above.")
    return BUG


if __name__ == "__main__":
    sys.exit(main())
