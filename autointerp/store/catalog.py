"""One DuckDB instance per store and process, with every complete file attached read-only.

Files are immutable and replaced by rename, so one look at names, inodes, sizes and times tells whether anything changed;
then a new *generation* is opened. Calls under way keep the old one, whose files stay readable until it is collected.
"""

import hashlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

import duckdb
import numpy as np
from numpy.typing import NDArray

from autointerp.errors import StoreDamaged, StoreError, UnknownName, UserError
from autointerp.reading import reason
from autointerp.store import accepted, checked, migrations
from autointerp.store.database import attach, connect
from autointerp.store.files import check_name, natural_key
from autointerp.store.manifest import REBUILD, Layout
from autointerp.types import CoderInfo, Relation

Columns = Mapping[str, NDArray]
_HEADER_BYTES = 3 * 4096
_THREADS = min(4, os.cpu_count() or 1)
_MEMORY_LIMIT = "4GB"


@dataclass(frozen=True)
class AttachedCoder:
    """A complete coder file: `alias` is its database name in the generation. `derived_up_to`: histograms and quantiles of
    latents with more activations are stored. `relations`: the columns that hold each relation's neighbours; two relations
    that agree in everything share theirs. `identity`: a hash that no other coder file has, and that a copy of it keeps."""

    alias: str
    info: CoderInfo
    logit_scale: float
    derived_up_to: int
    relations: dict[Relation, Relation]
    identity: str


class Generation:
    """The files of a store as they were at one moment."""

    def __init__(self, layout: Layout, meta: Mapping[str, Any], files: tuple[Any, ...]):
        self.layout = layout
        self.files = files
        self.tokens = _map_tokens(layout, meta["corpus"])
        self.coders: dict[str, AttachedCoder] = {}
        self.problems: list[str] = []
        self.computing = threading.Lock()
        """Held while statistics of latents are worked out, which takes seconds."""
        self.lock = threading.Lock()
        """Held while views or tables are made in the instance."""
        self.views: set[str] | None = None
        """The computed statistics in the views of `Store.sql`; `None` before these are made."""
        self.memo: dict[Any, Any] = {}
        """Small derived things that live as long as the generation."""
        self._connection = connect(threads=_THREADS)
        self._connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        self._connection.execute("SET temp_directory = ''")
        self._attach(
            layout.corpus_database, "_corpus_file" if meta["format"] < migrations.FORMAT else "corpus"
        )
        paths = sorted(layout.coders.glob("[!.]*.duckdb"), key=lambda path: natural_key(path.stem))
        attached = [
            (path, f"_coder_{number}")
            for number, path in enumerate(paths)
            if self._attach_coder(path, f"_coder_{number}_file")
        ]
        # From here on, before anything in the files is looked at, no statement can open a file, or undo this. The first
        # setting alone would leave the attached files open to read_blob; what is attached is open and needs no file system.
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
        self._connection.execute("SET lock_configuration = true")
        try:
            self._others = accepted.others(self._connection)
        except duckdb.Error as error:
            raise damaged(layout.root, error) from error
        self._connection.execute("CREATE SCHEMA _computed")
        self._open_corpus(meta)
        for path, alias in attached:
            self._open_coder(path, alias, meta["corpus"])

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for the calling thread (6 microseconds)."""
        return self._connection.cursor()

    def coder(self, name: str) -> AttachedCoder:
        """Raises UnknownName with the nearest coders."""
        if name not in self.coders:
            raise UnknownName("coder", name, list(self.coders))
        return self.coders[name]

    @cached_property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return int(self.columns("SELECT count(*) AS n FROM corpus.vocabulary")["n"][0])

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for queries of this package: damage met on the way becomes StoreDamaged."""
        try:
            yield self.cursor()
        except (
            duckdb.Error
        ) as error:  # the tables are as expected, so a query that fails is about what is in them
            raise damaged(self.layout.root, error) from error

    def columns(self, query: str, parameters: list[Any] | None = None) -> Columns:
        """Runs a query of this package. Raises StoreDamaged."""
        with self.reading() as cursor:  # no ENUM columns here, so no pandas Categorical
            return cast(Columns, cursor.execute(query, parameters).fetchnumpy())

    def _attach(self, path: Path, file: str) -> None:
        if not path.exists():
            raise StoreDamaged(f"{path} is missing. {REBUILD}")
        try:
            attach(self._connection, path, file)
        except duckdb.Error as error:
            raise damaged(path, error) from error

    def _open_corpus(self, meta: Mapping[str, Any]) -> None:
        path = self.layout.corpus_database
        try:
            steps = migrations.steps_from(meta["format"], "the corpus", REBUILD)
            file = "_corpus_file" if steps else "corpus"
            self._check_length(path, file)
            accepted.refuse_others(self._others, file)
            if not steps:
                accepted.check_columns(self._connection, file, accepted.corpus_columns())
            migrations.translate(self._connection, file, "corpus", [step.corpus for step in steps])
            self._connection.execute("SELECT token, text, bytes, special FROM corpus.vocabulary LIMIT 0")
            self._connection.execute("SELECT context, document, text FROM corpus.contexts LIMIT 0")
        except (duckdb.Error, StoreDamaged) as error:
            raise damaged(path, error) from error

    def _attach_coder(self, path: Path, file: str) -> bool:
        """`file` begins as no coder's name does, and so no schema of `Store.sql`."""
        try:
            check_name(path.stem)
            attach(self._connection, path, file)
        except (duckdb.Error, UserError) as error:
            self.problems.append(f"{path}: cannot be opened as a coder ({_first_line(error)}). {_AGAIN}")
            return False
        return True

    def _open_coder(self, path: Path, alias: str, corpus: Mapping[str, Any]) -> None:
        file = f"{alias}_file"
        try:
            self._check_length(path, file)
            self.coders[path.stem] = self._read_coder(path, file, alias, corpus)
        except StoreError as error:
            self._leave_out(path, file, str(error))
        except (
            Exception
        ) as error:  # whatever a file from anyone holds: it is left out and named, the others can be read
            self._leave_out(
                path, file, f"is damaged or not a coder file of this program ({_first_line(error)}). {_AGAIN}"
            )

    def _leave_out(self, path: Path, file: str, why: str) -> None:
        self._connection.execute(f"DETACH {file}")
        self.problems.append(f"{path}: {why}")

    def _check_length(self, path: Path, alias: str) -> None:
        """A truncated file can still open: its header says how many blocks there should be."""
        size = self._connection.execute(
            "SELECT block_size * total_blocks FROM pragma_database_size() WHERE database_name = ?", [alias]
        ).fetchone()
        expected = _HEADER_BYTES + int(size[0]) if size else 0
        if path.stat().st_size < expected:
            raise StoreDamaged(f"{path} is truncated: {path.stat().st_size} of {expected} bytes. {_AGAIN}")

    def _read_coder(self, path: Path, file: str, alias: str, corpus: Mapping[str, Any]) -> AttachedCoder:
        """Raises StoreError, or whatever a foreign file leads to."""
        accepted.refuse_others(self._others, file)
        accepted.check_meta(self._connection, file)
        rows = self._connection.execute(
            f"SELECT key, value FROM {file}.meta ORDER BY key LIMIT {accepted.MAX_META_ROWS}"
        ).fetchall()
        meta = {key: json.loads(value) for key, value in rows}
        if "complete" not in meta:
            raise StoreDamaged(f"the file was never completed. {_AGAIN}")
        steps = migrations.steps_from(meta["format"], "the file", _AGAIN)
        for step in steps:
            meta = step.meta(meta)
        if steps:
            migrations.translate(self._connection, file, alias, [step.coder for step in steps])
        else:
            accepted.check_columns(self._connection, file, accepted.coder_columns())
        if meta["corpus_sha256"] != corpus["sha256"]:
            raise StoreDamaged(f"the coder was cached on another corpus. {_AGAIN}")
        described = {
            **meta["info"], "coder": path.stem, "fidelity": meta["fidelity"] or None, "bytes_on_disk": path.stat().st_size,
            "cofiring_share": meta.get("cofiring_share"),
        }  # fmt: skip
        info = CoderInfo(**checked.arguments(CoderInfo, described))
        scales = {"scale": info.scale, "logit_scale": float(meta["logit_scale"])}
        relations = checked.value(meta["relations"], dict, "relations")
        checked.entries(relations, Relation, Relation, "relations")
        rows_of = accepted.rows_of(self._connection, file)
        self._check_size(info, corpus, rows_of, scales)
        if ("stated" in rows_of) != info.selected or rows_of.get("stated", info.n_latents) != info.n_latents:
            raise StoreDamaged(
                f"it holds selected contexts, but not the figures stated for them, or the reverse. {_AGAIN}"
            )
        return AttachedCoder(
            alias if steps else file,
            info,
            scales["logit_scale"],
            checked.value(meta["statistics"]["derived_up_to"], int, "derived_up_to"),
            relations,
            hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16],  # with the moment it was completed
        )

    @staticmethod
    def _check_size(
        info: CoderInfo, corpus: Mapping[str, Any], rows: Mapping[str, int], scales: Mapping[str, float]
    ) -> None:
        """What arrays are made as large as the file says they are."""
        wanted = {
            "latents": info.n_latents, "activations": info.n_activations,
        }  # fmt: skip
        for table, n in wanted.items():
            if rows.get(table) != n:
                raise StoreDamaged(
                    f"its table {table} has {rows.get(table)} rows, and its description says {n}. {_AGAIN}"
                )
        for name in ("n_contexts", "ctx_len"):
            if getattr(info, name) != corpus[name]:
                raise StoreDamaged(
                    f"its {name} is {getattr(info, name)}, the corpus has {corpus[name]}. {_AGAIN}"
                )
        for name, scale in scales.items():
            if not 0 < scale < math.inf:
                raise StoreDamaged(f"its {name} is {scale}, not a number above 0. {_AGAIN}")


class Catalog:
    """The current generation of a store's files; shared by all `Store` objects of one folder in this process."""

    def __init__(self, layout: Layout, meta: Mapping[str, Any]):
        self._layout = layout
        self._meta = meta
        self._lock = threading.Lock()
        self._generation: Generation | None = None

    def current(self) -> Generation:
        """The generation that matches the files as they are now, or as they were first seen within `one_look`."""
        seen: dict[Catalog, Generation] | None = getattr(_looks, "seen", None)
        if seen is None:
            return self._look()
        if self not in seen:
            seen[self] = self._look()
        return seen[self]

    def _look(self) -> Generation:
        files = _fingerprint(self._layout)
        generation = self._generation
        if generation is None or generation.files != files:
            with self._lock:
                generation = self._generation
                if generation is None or generation.files != files:
                    generation = Generation(self._layout, self._meta, files)
                    self._generation = generation
        return generation


_looks = threading.local()


@contextmanager
def one_look() -> Iterator[None]:
    """Within it, on this thread, the files of each store are looked at once: what is drawn together belongs together, and does
    not pay for hundreds of looks."""
    outer = getattr(_looks, "seen", None)
    _looks.seen = {} if outer is None else outer
    try:
        yield
    finally:
        _looks.seen = outer


_catalogs: WeakValueDictionary[tuple[int, str, str], Catalog] = WeakValueDictionary()
_catalogs_lock = threading.Lock()


def catalog_of(layout: Layout, meta: Mapping[str, Any]) -> Catalog:
    """The shared catalog of the store with this `store.json`. A forked process gets its own: DuckDB's threads do not survive a
    fork."""
    key = (os.getpid(), os.path.realpath(layout.root), json.dumps(meta, sort_keys=True))
    with _catalogs_lock:
        catalog = _catalogs.get(key)
        if catalog is None:
            catalog = _catalogs[key] = Catalog(layout, meta)
        return catalog


def damaged(path: Path, error: Exception) -> StoreDamaged:
    """DuckDB's `error` with a way out."""
    return StoreDamaged(
        f"{path} cannot be read: {_first_line(error).rstrip('.')}. The file is damaged or foreign. {REBUILD}"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _fingerprint(layout: Layout) -> tuple[Any, ...]:
    """Identity of every file: name, inode, size, modification time. Some 20 microseconds."""
    files = []
    try:
        with os.scandir(layout.coders) as entries:
            for entry in entries:
                if entry.name.endswith(".duckdb") and not entry.name.startswith("."):
                    status = entry.stat()
                    files.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreDamaged(
            f"{layout.coders} cannot be read as a folder: {reason(error)}. {REBUILD}"
        ) from error
    for path in (layout.corpus_database, layout.tokens):
        try:
            status = os.stat(path)
            files.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            pass
    return tuple(sorted(files))


def _map_tokens(layout: Layout, corpus: dict[str, Any]) -> NDArray[np.unsignedinteger]:
    expected = (corpus["n_contexts"], corpus["ctx_len"])
    try:
        tokens = np.load(layout.tokens, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise StoreDamaged(f"{layout.tokens} is missing. {REBUILD}") from error
    except Exception as error:  # numpy's reader of headers throws what Python's parser does, and more
        raise StoreDamaged(
            f"{layout.tokens} is truncated or foreign ({_first_line(error)}). {REBUILD}"
        ) from error
    if tokens.shape != expected or tokens.dtype.kind != "u":
        raise StoreDamaged(
            f"{layout.tokens} holds {tokens.dtype} of shape {tokens.shape}; store.json says {expected}. {REBUILD}"
        )
    return tokens


_AGAIN = "Remove the file and cache this coder again."
