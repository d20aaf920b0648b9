"""Computed results of a store, in its folder `derived/`: immutable Arrow files named after what went into them.

    derived/<what>-<version>.<coder>[.<coder>...].<key>.arrow

`key` is a hash of the whole `Derivation`: what was computed, by which version, with which parameters, from which coder files.
Nothing is ever changed: another version or another coder file makes another name. Whoever finds a result missing computes it,
writes it under a temporary name and renames it; where two processes do so at once, both write the same. A file that cannot be
read counts as missing. When a coder has been replaced, the result of its old file goes as the new one is written.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from autointerp import settings
from autointerp.store.arrow_files import content_of, table_of
from autointerp.store.files import write_atomically

_METADATA = b"autointerp"
MAX_NAMES = 150


@dataclass(frozen=True)
class Derivation:
    """What determines a result. `coders`: the identity of each coder file, by the coder's name."""

    what: str
    version: int
    coders: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @cached_property  # asked for again and again while a page is drawn
    def _text(self) -> str:
        described = {
            "what": self.what,
            "version": self.version,
            "coders": dict(self.coders),
            "parameters": dict(self.parameters),
        }
        return json.dumps(described, sort_keys=True)

    @property
    def _stem(self) -> str:
        names = ".".join(self.coders)
        if len(names) > MAX_NAMES:  # file systems take 255 bytes
            names = f"{len(self.coders)}-coders-{hashlib.sha256(names.encode()).hexdigest()[:16]}"
        return f"{self.what}-{self.version}.{names}"

    def path(self, root: Path) -> Path:
        """Where the result is kept in the store at `root`."""
        key = hashlib.sha256(self._text.encode()).hexdigest()[:16]
        return root / "derived" / f"{self._stem}.{key}.arrow"

    def load(self, root: Path) -> pa.Table | None:
        """The kept result, `None` where there is none that can be read."""
        table = _read(self.path(root))
        return table if table is not None and _described(table) == self._text else None

    def save(self, root: Path, table: pa.Table) -> bool:
        """Keeps the result; returns whether that was possible: a store may be read-only, and a disk full."""
        if settings.is_read_only():
            return False
        path = self.path(root)
        sink = pa.BufferOutputStream()
        marked = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), _METADATA: self._text.encode()}
        )
        with pa.ipc.new_file(sink, marked.schema) as writer:
            writer.write_table(marked)
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, sink.getvalue().to_pybytes())
            for other in path.parent.glob(f"{self._stem}.*.arrow"):
                if other != path and self._succeeds(other):
                    other.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _succeeds(self, other: Path) -> bool:
        """Whether `other` is the same result of coder files that were there before."""
        table = _read(other)
        if table is None:
            return False
        return {**json.loads(_described(table)), "coders": None} == {**asdict(self), "coders": None}


def _read(path: Path) -> pa.Table | None:
    try:
        return table_of(content_of(path))
    except (OSError, pa.ArrowException):
        return None


def _described(table: pa.Table) -> str:
    return (table.schema.metadata or {}).get(_METADATA, b"{}").decode()
