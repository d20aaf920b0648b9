"""Untrusted JSON, whole files or a value a line, also compressed by gzip: whatever is wrong with it becomes a clear error, and
no more of it is in memory than a line, or a file within a limit."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NoReturn

from autointerp.errors import UserError

MAX_LINE = 1 << 26
"""Bytes of one line, decompressed: a latent with a vector of its own has some hundred thousand."""
MAX_FILE = 1 << 31


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one a line, of `.jsonl` or `.jsonl.gz`; empty lines are passed over. Raises UserError."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_opened(path))
            number = 0
            while True:
                line = file.readline(MAX_LINE + 1)
                number += 1
                if not line:
                    return
                if len(line) > MAX_LINE:
                    raise UserError(
                        f"line {number} of {str(path)!r} has more than {MAX_LINE:,} bytes when it is decompressed: it is "
                        "damaged, or made to exhaust memory."
                    )
                if line.strip():
                    yield _object(line, f"line {number} of {str(path)!r}")
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f"{str(path)!r} cannot be read in full: {_why(error)}. Fetch it again."
            ) from error


def json_file(path: Path) -> dict[str, Any]:
    """The object that the file is. Raises UserError."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise UserError(f"{str(path)!r} has {size:,} bytes; at most {MAX_FILE:,} are read at once.")
        return _object(path.read_bytes(), repr(str(path)))
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def inside(folder: Path, path: Path) -> Path:
    """`path`, where it is in `folder` and no link leads out. Raises UserError."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{str(path)!r} points outside {str(folder)!r}. Copy the file itself there.")
    return path


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data, parse_constant=_refuse)
    except RecursionError as error:
        raise UserError(f"{where} is nested too deeply.") from error
    except ValueError as error:
        raise UserError(f"{where} is not JSON: {str(error)[:200]}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{where} is {type(value).__name__}, not an object.")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is not a JSON number")


def _why(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it is truncated"
    return getattr(error, "strerror", None) or str(error)[:200]
