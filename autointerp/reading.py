"""Paths that anybody may have typed, and files that anybody may have made: whatever a parser throws becomes an error that
names the file."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import UserError


@contextmanager
def reading(path: str | Path, what: str, error: type[UserError] = UserError) -> Iterator[None]:
    """Around the reading of `path` as `what`. Raises `error` where it is no plain file (a pipe never ends), where memory does
    not hold it, and for whatever else is thrown; errors of ours go their way."""
    if problem := not_a_file(path):
        raise error(f"{path}: {problem}.")
    with parsing(f"{path} cannot be read as {what}", error):
        yield


@contextmanager
def parsing(said: str, error: type[UserError] = UserError) -> Iterator[None]:
    """Turns what a parser throws into `error`, which begins with `said`."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as cause:
        raise error(f"{said}: it does not fit into memory.") from cause
    except Exception as cause:  # parsers throw of every kind
        raise error(f"{said}: {reason(cause)}") from cause


def expanded(path: str | Path) -> Path:
    """With `~` and `~name` as these people's homes; as it stands where there is nobody of that name."""
    return Path(os.path.expanduser(path))


def not_a_file(path: str | Path) -> str | None:
    """Why this is no file to read: a folder, a pipe or a device, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        return "no such file" if isinstance(error, FileNotFoundError) else reason(error)
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    return None if stat.S_ISREG(mode) else "a pipe or a device, not a file"


def reason(error: BaseException, most: int = 300) -> str:
    """The first line of what an error says, or what it is."""
    message = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(message).splitlines()[0][:most]
