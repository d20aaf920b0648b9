"""Copies in columns of the tables of `summary`, so that a process maps at its start what it would read from SQLite row by row
(10^6 latents with three scores each: half a minute).

    derived/annotations-1.<coder>.<kind>.arrow

SQLite has the only truth. A copy says which query it answers and which rows were the last when it was made (`Mark`); `summary`
adds what came since, and does without a copy that it cannot build on. Whoever reads a table writes its copy, under a temporary
name that is then renamed: readers keep the file they have mapped, and of two writers each leaves a whole one. A copy that lacks
a byte, has another one changed, or is none of this program's counts as missing. Small tables have none.
"""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autointerp.errors import UserError
from autointerp.store.files import check_name, replacing

if TYPE_CHECKING:
    import pyarrow

MIN_ROWS = 20_000
"""Of tables worth a copy: fewer are read in half a second."""
_METADATA = b"autointerp"
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Mark:
    """How far a table has read: number and id of the last rows it knows of (of any coder), and what was pinned and set then."""

    explanation: tuple[int, str]
    score: tuple[int, str]
    pins: frozenset[tuple[int, int]]
    rule: str

    def to_json(self) -> dict[str, Any]:
        return {
            "explanation": self.explanation,
            "score": self.score,
            "pins": sorted(self.pins),
            "rule": self.rule,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Mark":
        (explanation, explanation_id), (score, score_id) = value["explanation"], value["score"]
        return Mark(
            (int(explanation), str(explanation_id)),
            (int(score), str(score_id)),
            frozenset((int(latent), int(seq)) for latent, seq in value["pins"]),
            str(value["rule"]),
        )


def path_of(store: Path, coder: str, kind: str) -> Path | None:
    """Where a copy is kept; `None` for names that are none of a file."""
    try:
        return store / "derived" / f"annotations-1.{check_name(coder)}.{kind}.arrow"
    except UserError:
        return None


def load(path: Path, query: str, schema: "pyarrow.Schema") -> tuple[Mark, "pyarrow.Table"] | None:
    """A copy of what `query` gives, mapped, not read into memory; `None` where there is none that can be used."""
    import pyarrow as pa

    with suppress(OSError, pa.ArrowException, ValueError, TypeError, LookupError):
        content = pa.memory_map(str(path)).read_buffer()
        ends = content.size - _CHECKSUM_BYTES
        if ends < 0 or zlib.crc32(content[:ends]) != int.from_bytes(content[ends:].to_pybytes(), "little"):
            return None
        table = pa.ipc.open_file(content[:ends]).read_all()
        told = json.loads((table.schema.metadata or {})[_METADATA])
        if told["query"] != query or not table.schema.equals(schema):
            return None
        table.validate(full=True)  # a store may come from anybody
        return Mark.from_json(told["mark"]), table.replace_schema_metadata(None)
    return None


def save(path: Path, query: str, mark: Mark, table: "pyarrow.Table") -> bool:
    """Keeps a copy; returns whether that was possible: a store may be read-only, and a disk full."""
    import pyarrow as pa

    told = json.dumps({"query": query, "mark": mark.to_json()})
    schema = table.schema.with_metadata({_METADATA: told.encode()})
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
