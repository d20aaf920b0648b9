"""Vectors of texts that are no windows (explanations, queries), kept so that each is embedded once: a small SQLite file per
embedder, safe for any number of processes. Only a cache: where it cannot be read or written, it is empty."""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autointerp import settings
from autointerp.store.embeddings.reader import file_stem, folder_of

_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
_MANY = 500


class TextVectors:
    """The texts of one embedder in one store. `fingerprint`: of its weights; other weights see none of these vectors."""

    def __init__(self, root: Path, embedder: str, fingerprint: str, dim: int):
        self.path = folder_of(root) / f"{file_stem(embedder)}.texts.sqlite"
        self._fingerprint = fingerprint
        self._dim = dim
        self._local = threading.local()

    def get(self, texts: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """The known ones of `texts`, Float16[ndarray, " d"] each."""
        return {texts[i]: vector for i, vector in self.find(texts)}

    def find(self, texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """(place, Float16[ndarray, " d"]) of the known ones, in no order; of texts that are there twice, the last place."""
        if not texts:
            return
        keys = {self._key(text): i for i, text in enumerate(texts)}
        wanted = list(keys)
        try:
            connection = self._reader()
            for at in range(0, len(wanted) if connection else 0, _MANY):
                part = wanted[at : at + _MANY]
                query = f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(part))})"
                assert connection is not None
                for key, blob in connection.execute(query, part).fetchall():
                    if len(blob) == 2 * self._dim:
                        yield keys[key], np.frombuffer(blob, dtype=np.float16)
        except sqlite3.Error:
            return

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The unknown ones of `texts`, every text once, in order."""
        distinct = list(dict.fromkeys(texts))
        known = {i for i, _ in self.find(distinct)}
        return [text for i, text in enumerate(distinct) if i not in known]

    def state(self) -> tuple[tuple[int, int], ...]:
        """Differs once something has been added, by whichever process; two looks at the file system."""
        state = []
        for end in ("", "-wal"):
            try:
                stat = self.path.with_name(self.path.name + end).stat()
                state.append((stat.st_mtime_ns, stat.st_size))
            except OSError:
                state.append((0, 0))
        return tuple(state)

    def put(self, vectors: Mapping[str, NDArray[np.float16]]) -> bool:
        """Keep these; returns whether that worked."""
        if not vectors:
            return True
        if settings.is_read_only():
            return False
        rows = [(self._key(text), vector.astype(np.float16).tobytes()) for text, vector in vectors.items()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect("rwc")) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(_SCHEMA)
                with connection:
                    connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
            return True
        except (sqlite3.Error, OSError):
            return False

    def _reader(self) -> sqlite3.Connection | None:
        """This thread's connection for reading, kept as long as the file is the same one: opening it would cost several times
        what a look at one text does. `None` where there is no file."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        if getattr(self._local, "file", None) != (status.st_dev, status.st_ino):
            self._local.connection = self._connect("ro")
            self._local.file = (status.st_dev, status.st_ino)
        return self._local.connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10.0)

    def _key(self, text: str) -> bytes:
        data = f"{self._fingerprint}\0{text}".encode("utf-8", errors="surrogatepass")
        return hashlib.sha256(data).digest()[:16]
