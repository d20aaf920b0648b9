"""Finding a coder's folder (or file) at or below the path that a person gave."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from autointerp.errors import CoderLoadError, UserError
from autointerp.models.coders.coder import CoderSpec
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded

DEPTH = 4
"""Folders below the given one that are looked into."""
MOST = 20_000
"""Entries looked at: a whole disk is not searched."""


def below(path: Path, is_coder: Callable[[Path, frozenset[str]], Sequence[Path]]) -> list[Path]:
    """What `is_coder` finds in `path` and in the folders below it, from a folder and the names of the files in it; in the order
    of names, numbers by value."""
    if not path.is_dir():
        return []
    chosen: list[Path] = []
    seen = 0
    for folder, folders, files in os.walk(path, followlinks=False):
        at = Path(folder)
        chosen += is_coder(at, frozenset(files))
        seen += len(folders) + len(files)
        if len(at.relative_to(path).parts) >= DEPTH or seen > MOST:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(chosen, key=lambda each: _by_number(str(each)))


def _by_number(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", text)]


def pick(
    spec: CoderSpec, subject: SubjectModel, coders: Sequence[Path], hookpoint_of: Callable[[Path], str]
) -> Path:
    """The one of `coders`, or of several that whose hookpoint is `spec`'s. `hookpoint_of` raises UserError where it is unknown.

    Raises CoderLoadError that lists them, where it is not one.
    """
    path = expanded(spec.source)
    if len(coders) == 1:
        return coders[0]
    fitting = list(coders)
    if spec.hookpoint is not None and coders:
        wanted = subject.resolve(spec.hookpoint)
        fitting = [coder for coder in coders if _is_at(coder, wanted, hookpoint_of)]
        if len(fitting) == 1:
            return fitting[0]
    names = [str(coder.relative_to(path)) for coder in fitting or coders]
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12:,} more" if len(names) > 12 else "")
    if not fitting:
        raise CoderLoadError(
            f"{path} holds no coder for hookpoint {spec.hookpoint}; it holds {listed or 'none'}"
        )
    raise CoderLoadError(f"{path} holds several coders: {listed}. Give one of them.")


def _is_at(coder: Path, wanted: str, hookpoint_of: Callable[[Path], str]) -> bool:
    try:
        return hookpoint_of(coder) == wanted
    except UserError:
        return False
