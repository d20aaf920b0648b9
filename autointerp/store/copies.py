"""Copies in columns of what a store keeps row by row, so that a process maps at its start what it would read for a minute.

    derived/<what>-<version>.<coder>.<which>.arrow

The rows have the only truth. A copy says what it is of (`identity`) and what its maker wants to know again (`content`), such as
how far it had read; who maps it adds what came since. Whoever reads the rows writes the copy, under a temporary name that is
then renamed: readers keep the file they have mapped, and of two writers each leaves a whole one. A copy that lacks a byte, has
another one changed, or is none of this program's counts as missing. Small tables have none.

The bytes of a mapped file must stay: whoever writes into one in place, as `cp` does over a file that is there, ends the
processes that have it open (SIGBUS). So it is with `corpus/tokens.npy`.
"""

import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autointerp.errors import UserError
from autointerp.store.files import check_name, replacing

if TYPE_CHECKING:
    import pyarrow

MIN_ROWS = 20_000
"""Of tables worth a copy: fewer are read in half a second."""
MANY_NEW = 0.02
"""A copy is written anew when more than this share of what it holds has changed or come since: reading that takes as long as
mapping the rest."""
_METADATA = b"autointerp"
_CHECKSUM_BYTES = 4


def path_of(store: Path, what: str, coder: str, which: str) -> Path | None:
    """Where a copy is kept; `None` for names that are none of a file."""
    try:
        return store / "derived" / f"{what}.{check_name(coder)}.{which}.arrow"
    except UserError:
        return None


def is_due(n_rows: int, n_new: int) -> bool:
    """Whether a copy of so many rows should be written, with so many that the one before lacks."""
    return n_rows >= MIN_ROWS and n_new > MANY_NEW * n_rows


def load(path: Path, identity: str, schema: "pyarrow.Schema") -> "tuple[Any, pyarrow.Table] | None":
    """What was told and the table, mapped, not read into memory; `None` where there is none that can be used."""
    import pyarrow as pa

    from autointerp.store.arrow_files import content_of, table_of

    with suppress(OSError, pa.ArrowException, ValueError, TypeError, LookupError, RecursionError):
        content = content_of(path, map_it=True)
        ends = content.size - _CHECKSUM_BYTES
        if ends < 0 or zlib.crc32(content[:ends]) != int.from_bytes(content[ends:].to_pybytes(), "little"):
            return None
        table = table_of(content[:ends])
        stored = json.loads((table.schema.metadata or {})[_METADATA])
        if stored["identity"] != identity or not table.schema.equals(schema):
            return None
        return stored["told"], table.replace_schema_metadata(None)
    return None


def save(path: Path, identity: str, content: Any, table: "pyarrow.Table") -> bool:
    """Keeps a copy, with what is told as JSON; whether that was possible: a store may be read-only, and a disk full."""
    import pyarrow as pa

    metadata = json.dumps({"identity": identity, "told": content})
    schema = table.schema.with_metadata({_METADATA: metadata.encode()})
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            summed = _Summed(file)
            with pa.PythonFile(summed, "w") as sink, pa.ipc.new_file(sink, schema) as writer:
                writer.write_table(table)
            file.write(summed.crc.to_bytes(_CHECKSUM_BYTES, "little"))
    except OSError:
        return False
    return True


class _Summed:
    """A file that sums up what is written to it."""

    closed = False

    def __init__(self, file: IO[bytes]):
        self._file, self.crc = file, 0

    def write(self, data: bytes) -> int:
        self.crc = zlib.crc32(data, self.crc)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The file is not ours to close."""
