"""Which jobs this user queued.

A store travels, and the jobs that wait in it travel too: whoever opens it must not do, and pay for, what somebody else asked
for. Each job carries a mark that only this user can make, from a secret beside the user's settings. A job with another mark, or
none, waits until the user resumes it.
"""

import hmac
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

from autointerp import settings

_BYTES = 32


def mark(job_id: object, kind: object, payload: object) -> str:
    """The mark of a job, by what SQLite holds of it."""
    return hmac.new(_secret(_file()), repr((job_id, kind, payload)).encode(), "sha256").hexdigest()


def _file() -> Path:
    return settings.config_file().with_name("jobs.key")


@cache
def _secret(path: Path) -> bytes:
    """Made once for all processes of the user. Where it cannot be kept, each process has its own."""
    made = secrets.token_bytes(_BYTES)
    if (kept := _read(path)) or settings.is_read_only():
        return kept or made
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first
            os.link(temporary, path)
        if _read(path) is None:  # damaged
            os.replace(temporary, path)
    except OSError:
        return made
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return _read(path) or made


def _read(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            content = file.read(_BYTES + 1)
    except OSError:
        return None
    return content if len(content) == _BYTES else None
