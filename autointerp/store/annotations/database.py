"""The SQLite file behind annotations: connections, transactions, migrations, and errors a person can act on.

WAL mode: readers never wait and never block; writers, of any number of processes, take turns. In one process they take turns
on a lock, which is fair and wakes at once; SQLite's own waiting sleeps. Connections are pooled, never tied to a thread
(pages run on short-lived threads) and never carried over a fork.

A commit survives the death of the process at once. It survives a power cut at once when `durable` (one fsync, about 4 ms),
else with the next durable commit.
"""

import os
import shutil
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

from autointerp.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreReadOnly,
    StoreTooNew,
)
from autointerp.store.annotations.jobs.marks import mark
from autointerp.store.annotations.schema import APPLICATION_ID, MIGRATIONS, VERSION, Migration, statements

FILE = "annotations.sqlite"
BUSY_SECONDS = 30.0
_POOL = 8

_CANNOT_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_CANNOT_WRITE_EXTENDED = {
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class Database:
    """One `annotations.sqlite`. Thread-safe. Where nothing may be written it reads; where nothing exists it is empty.

    Raises StoreMissing without the store's folder, StoreTooNew, StoreDamaged; writes raise StoreReadOnly or StoreBusy.
    """

    def __init__(self, store: str | Path, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS):
        self.path = Path(store) / FILE
        self.busy_seconds = busy_seconds
        if not Path(store).is_dir():
            raise StoreMissing(f"no store at {str(store)!r}: the folder does not exist. Check the path.")
        self._reset()
        self._source = self.path
        self.read_only = read_only
        if not read_only:
            try:
                self._create_or_migrate()
            except StoreReadOnly:
                self.read_only = True
        self._check_version()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._empty: bool = False

    # Connections ---------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        if self.read_only and not self._exists():
            self._empty = True
            connection = self._open(":memory:")
            migrate(connection, MIGRATIONS)
            connection.execute("PRAGMA query_only = ON")
            return connection
        if not self.read_only:
            connection = self._open(f"{self.path.absolute().as_uri()}?mode=rwc")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA recursive_triggers = ON")
            return connection
        connection = self._open(f"{self._source.absolute().as_uri()}?mode=ro")
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError:
            # WAL needs to make its index file next to the database. Without a log there is nothing to index.
            connection.close()
            wal = self._source.with_name(self._source.name + "-wal")
            if wal.exists() and wal.stat().st_size:
                self._copy_with_log()
                return self._open(f"{self._source.absolute().as_uri()}?mode=ro")
            return self._open(f"{self._source.absolute().as_uri()}?mode=ro&immutable=1")

    def _open(self, target: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            target,
            uri=target.startswith("file:"),
            timeout=self.busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.create_function("job_mark", 3, mark)
        return connection

    @contextmanager
    def _borrow(self) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._pid:
            self._reset()  # forked: the parent's connections are the parent's
        if self._empty and self._exists():
            self.close()  # someone else has created the file since
            self._empty = False
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        with self._translated():
            connection = connection or self._connect()
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.close()
                raise
        with self._idle_lock:
            if len(self._idle) < _POOL:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close idle connections. The object stays usable."""
        with self._idle_lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        if getattr(self, "_pid", None) == os.getpid():
            self.close()

    def _exists(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    # Transactions --------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection in a read transaction: every statement sees the same moment."""
        with self._borrow() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection in a write transaction, committed at the end, rolled back whole on any exception."""
        if self.read_only:
            raise StoreReadOnly(self._read_only_text("it was opened for reading only, or is not writable"))
        if os.getpid() != self._pid:
            self._reset()
        with self._write_lock, self._borrow() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._begin(connection)
            yield connection
            connection.execute("COMMIT")

    def _begin(self, connection: sqlite3.Connection) -> None:
        """BEGIN IMMEDIATE, looking again every millisecond or so: SQLite's own waiting sleeps for up to 100 ms at a time,
        and what has been paid for should not lie in memory that long."""
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            _insist(connection, "BEGIN IMMEDIATE", self.busy_seconds)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * self.busy_seconds)}")

    # Files ---------------------------------------------------------------------------------------

    def _create_or_migrate(self) -> None:
        with self._translated(), closing(self._connect()) as connection:
            self._identify(connection)
            # The mode stays with the file; where WAL is impossible (some network disks) it stays as it is. SQLite does not wait
            # for this lock, so we do: several processes may create the file at once.
            _insist(connection, "PRAGMA journal_mode = WAL", self.busy_seconds)
            migrate(connection, MIGRATIONS)

    def _check_version(self) -> None:
        with self._borrow() as connection:
            version = self._identify(connection)
        if version < VERSION:
            self._read_a_copy()

    def _read_a_copy(self) -> None:
        """An older file that may not be written is read as it is now, from a copy in today's format, which goes with this."""
        folder = mkdtemp(prefix="autointerp-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copy = Path(folder) / FILE
        with (
            self._translated(),
            closing(self._connect()) as source,
            closing(sqlite3.connect(copy, isolation_level=None)) as target,
        ):
            source.backup(target)
            migrate(target, MIGRATIONS)
        self.close()
        self._source = copy

    def _copy_with_log(self) -> None:
        """A file with a log that its writer left, in a folder where SQLite cannot make the log's index: read as it is now, from
        a copy, which goes with this. What is written to it elsewhere afterwards is not seen."""
        folder = mkdtemp(prefix="autointerp-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copy = Path(folder) / FILE
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self._source}{suffix}", f"{copy}{suffix}")
        with closing(self._open(f"{copy.as_uri()}?mode=rw")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
        self._source = copy

    def _identify(self, connection: sqlite3.Connection) -> int:
        """The file's format; raises when it is not ours or too new."""
        connection.execute("BEGIN")  # another process may be migrating the file
        try:
            return self._identified(connection)
        finally:
            if connection.in_transaction:  # a full disk ends it, and says so itself
                connection.execute("COMMIT")

    def _identified(self, connection: sqlite3.Connection) -> int:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != APPLICATION_ID and (application or version or tables):
            raise StoreDamaged(f"{str(self.path)!r} is a SQLite file from another program. Move it away.")
        if version > VERSION:
            raise StoreTooNew(
                f"{str(self.path)!r} has format {version}; this program reads formats up to {VERSION}."
                " Update autointerp."
            )
        self._refuse_others(connection, version)
        return version

    def _refuse_others(self, connection: sqlite3.Connection, version: int) -> None:
        """Stores are downloaded: a view in the place of a table, or a trigger, would run what its maker wrote. Tables and
        indexes beside ours are left alone."""
        ours, present = objects_of(version), _objects(connection)
        for place, text in present.items():
            kind, name = place
            if (kind in ("view", "trigger") or place in ours) and text != ours.get(place):
                raise StoreDamaged(
                    f"{str(self.path)!r} is damaged or foreign: its {kind} {name[:60]!r} is not one of this program's. "
                    "Restore the file from a copy or move it away."
                )
        missing = [name for kind, name in ours if (kind, name) not in present]
        if missing:
            raise StoreDamaged(
                f"{str(self.path)!r} is damaged or foreign: it lacks {missing[0]!r}. Restore the file from a copy or move it "
                "away."
            )

    def _read_only_text(self, why: str) -> str:
        return f"nothing can be written to {str(self.path)!r}: {why}. Check permissions and free disk space."

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours. Programming errors stay what they are."""
        try:
            yield
        except sqlite3.Error as error:
            translated = self._translate(error)
            if translated is None:
                raise
            raise translated from error

    def _translate(self, error: sqlite3.Error) -> StoreError | None:
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & 0xFF
        if code in _CANNOT_WRITE or extended in _CANNOT_WRITE_EXTENDED:
            return StoreReadOnly(self._read_only_text(str(error)))
        if code in _DAMAGED:
            return StoreDamaged(
                f"{str(self.path)!r} is damaged ({error}). Restore it from a copy or move it away."
            )
        if code in _BUSY:
            return StoreBusy(
                f"another program has kept {str(self.path)!r} locked for {self.busy_seconds:g} s. Try again."
            )
        if code == sqlite3.SQLITE_IOERR:
            return StoreDamaged(f"{str(self.path)!r} cannot be read ({error}). Check the disk.")
        return None


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """The text of each object by kind and name, spaces aside."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return {(kind, name): " ".join((sql or "").split()) for kind, name, sql in connection.execute(query)}


@cache
def objects_of(version: int) -> dict[tuple[str, str], str]:
    """What a file of this format holds, as the migrations make it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:version])
        return _objects(connection)


def _insist(connection: sqlite3.Connection, statement: str, seconds: float) -> None:
    """Runs it again and again for that long, until nobody else holds the lock."""
    deadline = time.monotonic() + seconds
    for attempt in count():
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(min(0.0005 * (1 + attempt), 0.01))


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...]) -> None:
    """Bring a file to `len(migrations)`, one transaction each. Any number of processes may do so at once."""
    while connection.execute("PRAGMA user_version").fetchone()[0] < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version < len(migrations):
                migration = migrations[version]
                if callable(migration):
                    migration(connection)
                else:
                    for statement in statements(migration):
                        connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
