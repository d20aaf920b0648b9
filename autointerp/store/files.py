"""Names, locks and renames: how files of a store appear complete or not at all.

A writer works in a hidden folder `.<what>.tmp-<pid>-<random>` beside its target and holds an exclusive `flock` on a file
in it. The finished file is synced and renamed into place. The lock dies with the process, so whatever a killed writer
left is recognised by its free lock (process ids are reused, locks are not) and removed by the next writer.
"""

import errno
import fcntl
import glob
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import duckdb

from autointerp.errors import StoreReadOnly, UserError
from autointerp.reading import reason

_READ_ONLY_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER_ERRNOS = {errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BROKEN_ERRNOS = {errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN}
# DuckDB has no numbers for them.
_READ_ONLY_SIGNS = ("permission denied", "read-only file system")
_FULL_SIGNS = ("no space left", "disk quota", "file too large")
_BROKEN_SIGNS = (
    "input/output error",
    "stale file handle",
    "fsync failed",
    "failed to sync",
    "could not write",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
# Schema names of DuckDB and of this package; a coder's name becomes a schema in `Store.sql`.
_RESERVED = {"main", "temp", "system", "memory", "corpus", "information_schema", "pg_catalog"}


def check_name(name: str) -> str:
    """`name` when it can be a file name and an SQL schema, else `UserError`."""
    if not _NAME.fullmatch(name) or name.casefold() in _RESERVED:
        reserved = ", ".join(sorted(_RESERVED))
        raise UserError(
            f"coder name {name!r} cannot be used. Accepted: 1 to 100 of A-Z a-z 0-9 . _ + -, starting with a letter or "
            f"digit, and none of: {reserved}."
        )
    return name


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts `layers.2` before `layers.10`."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns "no permission", "no space" and "broken" of the system and of DuckDB into `StoreReadOnly`, naming `path`."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        number, text = getattr(error, "errno", None), str(error).lower()
        if number in _FULL_ERRNOS or any(sign in text for sign in _FULL_SIGNS):
            raise StoreReadOnly(
                f"the disk is full: cannot write {path} ({error}). Free some space or choose another store folder, then run "
                "again."
            ) from error
        if (
            number in _BROKEN_ERRNOS
            or isinstance(error, duckdb.FatalException)
            or any(sign in text for sign in _BROKEN_SIGNS)
        ):
            raise StoreReadOnly(
                f"the disk fails: cannot write {path} ({error}). Check the disk, or choose another store folder; then run "
                "again."
            ) from error
        if number in _NO_FOLDER_ERRNOS:
            raise StoreReadOnly(
                f"{str(path)[:200]} cannot be created as a folder ({reason(error)}). Choose another."
            ) from error
        if number in _READ_ONLY_ERRNOS or any(sign in text for sign in _READ_ONLY_SIGNS):
            raise StoreReadOnly(
                f"cannot write {path} ({error}). Make the folder writable, or choose another store folder."
            ) from error
        raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of what is done to an open file say which: the system does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def fsync_path(path: Path) -> None:
    """Forces a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces `path` by `content`: readers see the old file or the whole new one."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` at the end of the `with`; after an error `path` is as it was."""
    _remove_stale_files(path)
    temporary, file = _locked_file(path)
    try:
        with named(path), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)


def check_folder(path: Path) -> None:
    """Raises UserError where there is no folder for this file."""
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {str(path.parent)!r} to write {path.name!r} into.")


@contextmanager
def file_named(path: Path) -> Iterator[IO[bytes]]:
    """A new file at the place that a person named, replaced whole or not at all. Raises UserError where that cannot be."""
    check_folder(path)
    try:
        with writing(path), replacing(path) as file:
            yield file
    except (
        FileNotFoundError,
        IsADirectoryError,
    ) as error:  # a folder of the kernel's, such as /proc; or a folder of this name
        raise UserError(f"{path} cannot be written: {reason(error)}. Choose another file.") from error


def _locked_file(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside `path`, locked while it is open, so that no other writer takes it for one that was left."""
    while True:
        temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(3)}")
        file = open(temporary, "xb")  # noqa: SIM115 - closed by the caller
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # it was taken for one before it was locked


def _remove_stale_files(path: Path) -> None:
    """Removes what killed writers of `path` left."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.tmp-*"):
        if not temporary.is_file():
            continue  # a pipe would never open
        with suppress(OSError), open(temporary, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()


class Workspace:
    """A hidden, locked folder for one writer; `publish` moves a finished file or folder out of it."""

    def __init__(self, parent: Path, what: str):
        self.path = parent / f".{what}.tmp-{os.getpid()}-{secrets.token_hex(3)}"
        with writing(parent):
            self._made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
            parent.mkdir(parents=True, exist_ok=True)
            _remove_stale_workspaces(parent)
            self.path.mkdir()
            self._lock: IO[bytes] | None = open(self.path / "lock", "wb")  # noqa: SIM115 - held until close()
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def publish(self, name: str, target: Path) -> None:
        """Syncs `name` and renames it to `target`, replacing a file there."""
        source = self.path / name
        with writing(target):
            fsync_path(source)
            os.replace(source, target)
            fsync_path(target.parent)

    def close(self) -> None:
        """Removes the folder with whatever is left in it, and what was made around it and is empty. May be called twice."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self._lock.close()
            self._lock = None
            with suppress(OSError):  # not empty: something was published
                for folder in self._made:
                    folder.rmdir()


def _remove_stale_workspaces(parent: Path) -> None:
    """Removes the workspaces whose writer is dead."""
    for path in parent.glob(".*.tmp-*"):
        if path.is_dir() and _is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(workspace: Path) -> bool:
    try:
        with open(workspace / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        # Between mkdir and the creation of the lock, or a removal under way: only an old one is abandoned.
        try:
            return time.time() - workspace.stat().st_mtime > 60
        except FileNotFoundError:
            return False
    except OSError:
        return False
    return True
