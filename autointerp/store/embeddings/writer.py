"""Writing window embeddings block by block, so that a killed writer loses one block and the next one goes on.

Work in progress lies in a hidden folder: `vectors.npy` at full size, and `blocks`, a line for each block that has reached the
disk, appended after it. At the end the file is renamed into place and the manifest written. One writer at a time, by `flock`;
others wait and then find the work done.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import BadActivations
from autointerp.store.embeddings.reader import FORMAT, Places, folder_of, prefix_of
from autointerp.store.files import fsync_path, write_atomically, writing

_WAIT_SECONDS = 0.2
_DTYPE = np.dtype(np.float16)


class EmbeddingWriter:
    """Use in a `with`: holds the lock, and leaves what was done so far for the next writer.

    `fingerprint`: of the model's weights. `waiting` is called while another process writes; it may raise. Raises StoreReadOnly.
    """

    def __init__(
        self,
        root: Path,
        *,
        embedder: str,
        fingerprint: str,
        precision: str,
        dim: int,
        places: Places,
        corpus_sha256: str,
        block: int = 4096,
        waiting: Callable[[], None] = lambda: None,
    ):
        self.folder = folder_of(root)
        self.prefix = prefix_of(embedder, places.window, places.stride)
        self.partial = self.folder / f".{self.prefix}.partial"
        self.places = places
        self.dim = dim
        self.block = block
        self._waiting = waiting
        self._manifest = {
            "format": FORMAT,
            "embedder": embedder,
            "fingerprint": fingerprint,
            "precision": precision,
            "corpus_sha256": corpus_sha256,
            **asdict(places),
            "n_windows": places.n_windows,
            "dim": dim,
        }
        self._id = hashlib.sha256(json.dumps([self._manifest, block], sort_keys=True).encode()).hexdigest()
        self._header = 0
        """Bytes before the first vector."""
        self._lock: IO[bytes] | None = None
        self._blocks: IO[str] | None = None
        self._vectors: IO[bytes] | None = None
        self.done: set[int] = set()

    def __enter__(self) -> Self:
        with writing(self.folder):
            self.partial.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            try:
                self._resume()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def todo(self) -> list[tuple[int, int, int]]:
        """(number, first row, end) of the blocks still to be written."""
        n = self.places.n_windows
        starts = range(0, n, self.block)
        return [
            (i, start, min(start + self.block, n)) for i, start in enumerate(starts) if i not in self.done
        ]

    def put(self, number: int, vectors: NDArray[np.float32]) -> None:
        """Store the vectors of block `number`. Raises BadActivations for NaN or infinity."""
        assert self._vectors is not None
        assert self._blocks is not None
        if not np.isfinite(vectors).all():
            raise BadActivations("the embedder gave NaN or infinity for some windows; these were not stored.")
        at = self._header + number * self.block * self.dim * _DTYPE.itemsize
        with writing(self.folder):
            self._vectors.seek(at)
            self._vectors.write(np.ascontiguousarray(vectors, dtype=_DTYPE).data.cast("B"))
            self._vectors.flush()
            os.fsync(self._vectors.fileno())
            self._blocks.write(f"{number}\n")
            self._blocks.flush()
            os.fsync(self._blocks.fileno())
        self.done.add(number)

    def finish(self) -> None:
        """Publish: vectors first, the manifest last; then older files of the same name go."""
        if self.todo():
            raise RuntimeError("finish() before every block was put")
        final = self.folder / f"{self.prefix}.{self._id[:12]}.npy"
        with writing(self.folder):
            self._close_vectors()
            source = self.partial / "vectors.npy"
            fsync_path(source)
            os.replace(source, final)
            fsync_path(self.folder)
            manifest = {
                **self._manifest,
                "file": final.name,
                "bytes": final.stat().st_size,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            write_atomically(self.folder / f"{self.prefix}.json", json.dumps(manifest, indent=2) + "\n")
        for other in self.folder.glob(f"{self.prefix}.*.npy"):
            if other != final:
                other.unlink(missing_ok=True)
        shutil.rmtree(self.partial, ignore_errors=True)

    def discard(self) -> None:
        """Drop the work in progress: it has been done elsewhere."""
        self._close_vectors()
        shutil.rmtree(self.partial, ignore_errors=True)

    def _take_lock(self) -> None:
        while True:
            self.partial.mkdir(parents=True, exist_ok=True)
            lock = open(self.partial / "lock", "wb")  # noqa: SIM115 - held until _close()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                self._waiting()
                time.sleep(_WAIT_SECONDS)
                continue
            # The folder may have been finished and removed between open and lock.
            try:
                same = os.fstat(lock.fileno()).st_ino == os.stat(self.partial / "lock").st_ino
            except FileNotFoundError:
                same = False
            if same:
                self._lock = lock
                return
            lock.close()

    def _resume(self) -> None:
        vectors, blocks, plan = (self.partial / name for name in ("vectors.npy", "blocks", "plan"))
        shape = (self.places.n_windows, self.dim)
        if _read(plan) != self._id or not _is_whole(vectors, shape):
            for path in (plan, blocks, vectors):
                path.unlink(missing_ok=True)
            _make(vectors, shape)
            write_atomically(plan, self._id)
        self._header = vectors.stat().st_size - shape[0] * shape[1] * _DTYPE.itemsize
        self._vectors = open(vectors, "r+b")  # noqa: SIM115 - open until _close()
        lines = (_read(blocks) or "").split("\n")[:-1]  # a torn last line has no end and does not count
        self.done = {int(line) for line in lines if line.isdigit()}
        # A torn line must not grow into another number.
        self._blocks = open(blocks, "w", encoding="utf-8")  # noqa: SIM115 - open until _close()
        self._blocks.writelines(f"{number}\n" for number in sorted(self.done))
        self._blocks.flush()

    def _close_vectors(self) -> None:
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None

    def _close(self) -> None:
        self._close_vectors()
        for file in (self._blocks, self._lock):
            if file is not None:
                file.close()
        self._blocks = self._lock = None


def _make(path: Path, shape: tuple[int, int]) -> None:
    """A file for so many vectors, with all of its room taken at once: a full disk is met now, and not after an hour's work; and
    written to by calls that fail, never through a memory map, where it would be the death of the process."""
    with open(path, "wb") as file:
        described = {"descr": np.lib.format.dtype_to_descr(_DTYPE), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)
        file.flush()
        size = file.tell() + shape[0] * shape[1] * _DTYPE.itemsize
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (
                errno.EOPNOTSUPP,
                errno.EINVAL,
            ):  # what some file systems say to any such wish
                raise
            file.truncate(size)
        os.fsync(file.fileno())


def _is_whole(path: Path, shape: tuple[int, int]) -> bool:
    """Whether an earlier writer left a file for these vectors."""
    try:
        opened = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return False
    return opened.shape == shape and opened.dtype == _DTYPE


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
