"""One DuckDB instance per store and process, with every complete file attached read-only.

Files are immutable and replaced by rename, so one look at names, inodes, sizes and times tells whether anything changed;
then a new *generation* is opened. Calls under way keep the old one, whose files stay readable until it is collected.
"""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

import duckdb
from numpy.typing import NDArray

from autointerp.errors import StoreDamaged, StoreTooNew, StoreTooOld, UnknownName
from autointerp.store.coders.tables import AttachedCoder
from autointerp.store.database import attach, connect, quote
from autointerp.store.files import check_name, natural_key
from autointerp.store.manifest import FORMAT, REBUILD, Layout
from autointerp.types import CoderInfo, Fidelity

Columns = Mapping[str, NDArray]
_HEADER_BYTES = 3 * 4096
_THREADS = min(4, os.cpu_count() or 1)
_MEMORY_LIMIT = "4GB"


class Generation:
    """The files of a store as they were at one moment."""

    def __init__(self, layout: Layout, corpus_sha256: str, files: tuple[Any, ...]):
        self.layout = layout
        self.files = files
        self.coders: dict[str, AttachedCoder] = {}
        self.problems: list[str] = []
        self.lock = threading.Lock()
        self.views_ready = False
        self.memo: dict[Any, Any] = {}
        """Small derived things that live as long as the generation."""
        self._connection = connect(threads=_THREADS)
        self._connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        self._connection.execute("SET temp_directory = ''")
        self._attach_corpus()
        for path in sorted(layout.coders.glob("[!.]*.duckdb"), key=lambda path: natural_key(path.stem)):
            self._attach_coder(path, corpus_sha256)
        # From here on no statement can open a file, or undo this. The first setting alone would leave the attached
        # files open to read_blob; what is attached is open already and needs no file system.
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
        self._connection.execute("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for the calling thread (6 microseconds)."""
        return self._connection.cursor()

    def coder(self, name: str) -> AttachedCoder:
        """Raises UnknownName with the nearest coders."""
        if name not in self.coders:
            raise UnknownName("coder", name, list(self.coders))
        return self.coders[name]

    def columns(self, query: str, parameters: list[Any] | None = None) -> Columns:
        """Runs a query of this package; damage met on the way becomes StoreDamaged."""
        try:
            found = self.cursor().execute(query, parameters).fetchnumpy()
            return cast(Columns, found)  # no ENUM columns here, so no pandas Categorical
        except (
            duckdb.IOException,
            duckdb.InternalException,
            duckdb.FatalException,
            duckdb.SerializationException,
        ) as error:
            raise damaged(self.layout.root, error) from error

    def _attach_corpus(self) -> None:
        path = self.layout.corpus_database
        if not path.exists():
            raise StoreDamaged(f"{path} is missing. {REBUILD}")
        try:
            attach(self._connection, path, "corpus")
            self._check_length(path, "corpus")
            self._connection.execute("SELECT token, text, bytes, special FROM corpus.vocabulary LIMIT 0")
            self._connection.execute("SELECT context, document, text FROM corpus.contexts LIMIT 0")
        except duckdb.Error as error:
            raise damaged(path, error) from error

    def _attach_coder(self, path: Path, corpus_sha256: str) -> None:
        alias = f"coder_{len(self.coders)}"
        try:
            check_name(path.stem)
            attach(self._connection, path, alias)
        except Exception as error:
            self.problems.append(f"{path}: cannot be opened as a coder ({_first_line(error)}). {_AGAIN}")
            return
        try:
            self._check_length(path, alias)
            self.coders[path.stem] = self._read_coder(path, alias, corpus_sha256)
        except Exception as error:
            self._connection.execute(f"DETACH {quote(alias)}")
            self.problems.append(f"{path}: {_first_line(error)}")

    def _check_length(self, path: Path, alias: str) -> None:
        """A truncated file can still open: its header says how many blocks there should be."""
        size = self._connection.execute(
            "SELECT block_size * total_blocks FROM pragma_database_size() WHERE database_name = ?", [alias]
        ).fetchone()
        expected = _HEADER_BYTES + int(size[0]) if size else 0
        if path.stat().st_size < expected:
            raise StoreDamaged(f"{path} is truncated: {path.stat().st_size} of {expected} bytes. {_AGAIN}")

    def _read_coder(self, path: Path, alias: str, corpus_sha256: str) -> AttachedCoder:
        try:
            rows = self._connection.execute(f"SELECT key, value FROM {quote(alias)}.meta").fetchall()
        except duckdb.Error as error:
            raise StoreDamaged(
                f"not a coder file of this program ({_first_line(error)}). {_AGAIN}"
            ) from error
        meta = {key: json.loads(value) for key, value in rows}
        if "complete" not in meta:
            raise StoreDamaged(f"the file was never completed. {_AGAIN}")
        if meta["format"] > FORMAT:
            raise StoreTooNew(
                f"format {meta['format']} is newer than this program's {FORMAT}. Upgrade autointerp."
            )
        if meta["format"] < FORMAT:
            raise StoreTooOld(
                f"format {meta['format']} is older than this program's {FORMAT} and no longer read. {_AGAIN}"
            )
        if meta["corpus_sha256"] != corpus_sha256:
            raise StoreDamaged(f"the coder was cached on another corpus. {_AGAIN}")
        described, fidelity = meta["info"], meta["fidelity"]
        info = CoderInfo(
            **{**described, "coder": path.stem},
            fidelity=Fidelity(**fidelity) if fidelity else None,
            bytes_on_disk=path.stat().st_size,
        )
        return AttachedCoder(
            alias,
            info,
            float(meta["logit_scale"]),
            int(meta["statistics"]["derived_up_to"]),
            meta["relations"],
        )


class Catalog:
    """The current generation of a store's files; shared by all `Store` objects of one folder in this process."""

    def __init__(self, layout: Layout, corpus_sha256: str):
        self._layout = layout
        self._corpus_sha256 = corpus_sha256
        self._lock = threading.Lock()
        self._generation: Generation | None = None

    def current(self) -> Generation:
        """The generation that matches the files as they are now."""
        files = _fingerprint(self._layout)
        generation = self._generation
        if generation is None or generation.files != files:
            with self._lock:
                generation = self._generation
                if generation is None or generation.files != files:
                    generation = Generation(self._layout, self._corpus_sha256, files)
                    self._generation = generation
        return generation


_catalogs: WeakValueDictionary[tuple[int, str, str], Catalog] = WeakValueDictionary()
_catalogs_lock = threading.Lock()


def catalog_of(layout: Layout, corpus_sha256: str) -> Catalog:
    """The shared catalog. A forked process gets its own: DuckDB's threads do not survive a fork."""
    key = (os.getpid(), os.path.realpath(layout.root), corpus_sha256)
    with _catalogs_lock:
        catalog = _catalogs.get(key)
        if catalog is None:
            catalog = _catalogs[key] = Catalog(layout, corpus_sha256)
        return catalog


def damaged(path: Path, error: Exception) -> StoreDamaged:
    """`error` of DuckDB, said for people."""
    return StoreDamaged(
        f"{path} cannot be read: {_first_line(error)}. The file is damaged or foreign. {REBUILD}"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _fingerprint(layout: Layout) -> tuple[Any, ...]:
    """Identity of every database file: name, inode, size, modification time. Some 20 microseconds."""
    found = []
    try:
        with os.scandir(layout.coders) as entries:
            for entry in entries:
                if entry.name.endswith(".duckdb") and not entry.name.startswith("."):
                    status = entry.stat()
                    found.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError:
        pass
    try:
        status = os.stat(layout.corpus_database)
        found.append(("", status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError:
        pass
    return tuple(sorted(found))


_AGAIN = "Remove the file and cache this coder again."
