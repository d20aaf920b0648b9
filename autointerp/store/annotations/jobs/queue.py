"""The user's side of the job tables: submit, look, cancel, retry. Every change of state is one transaction.

preparing --> queued --> running --> done | failed | cancelled
                ^           |                  |
                +- released +------ retry -----+
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from autointerp.errors import Failure, UnknownName, UserError
from autointerp.records import Record, canonical_json, new_id, now
from autointerp.store.annotations import rows
from autointerp.store.annotations.database import Database
from autointerp.store.annotations.jobs.records import (
    ACTIVE,
    CANCELLED,
    CLAIM_ENDS,
    OWN,
    SELECT,
    SELECT_CLAIM,
    SELECT_ITEM,
    Cause,
    ItemState,
    Job,
    JobItem,
    JobState,
    NewJob,
    is_dead,
    new_owner,
    to_claim,
    to_item,
    to_job,
)

CHUNK = 2000
"""Items per transaction while a long job is submitted."""

SILENT_SECONDS = 30.0
"""An owner on another machine that has not been heard of for this long is taken for dead."""

MAX_CRASHES = 3
"""A job whose process died this often without storing an item, or a part of one, is given up."""


class JobQueue:
    """Jobs of one store, as every process sees them. Raises UnknownName for ids that do not exist."""

    def __init__(self, database: Database):
        self._database = database

    # Submitting ----------------------------------------------------------------------------------

    def submit(
        self,
        kind: str,
        payload: Mapping[str, Any],
        items: Iterable[Any] = (None,),
        *,
        label: str = "",
        priority: int = 0,
        owner: str | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job over `items` (JSON values, streamed: any number fits in memory); the job, and whether it is new.

        While a job with the same kind, payload and items is queued or running, that one is returned instead. Higher
        `priority` runs first. With `owner` the new job is running from the start and belongs to that runner. Raises
        UserError when the job is cancelled before all its items are there.
        """
        iterator = iter(items)
        chunk, following = list(islice(iterator, CHUNK)), list(islice(iterator, CHUNK))
        job = NewJob(kind=kind, payload=payload, items=chunk, label=label, priority=priority)
        if not following:
            with self._database.write(durable=True) as connection:
                return _queue(connection, job, owner)
        # Many items: they arrive in short transactions, so that no other writer waits, and the job stays "preparing".
        with self._database.write() as connection:
            seq, digest = _insert(connection, job, owner)
        try:
            n = 0
            for part in chain([chunk, following], iter(lambda: list(islice(iterator, CHUNK)), [])):
                with self._database.write() as connection:
                    _check_not_cancelled(connection, seq)
                    _insert_items(connection, seq, n, part, digest)
                    connection.execute("UPDATE jobs SET heartbeat = ? WHERE seq = ?", (time.time(), seq))
                n += len(part)
            with self._database.write(durable=True) as connection:
                _check_not_cancelled(connection, seq)
                return _activate(connection, seq, n, digest.hexdigest(), owner)
        except BaseException:
            with self._database.write() as connection:
                connection.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
            raise

    def submit_all(self, jobs: Sequence[NewJob], records: Sequence[Record] = ()) -> list[Job]:
        """Store `records` and queue the jobs that are about them, in one transaction: all of it is there, or nothing. A job
        whose twin is queued or running is that one."""
        with self._database.write(durable=True) as connection:
            rows.write(connection, records)
            return [_queue(connection, job)[0] for job in jobs]

    # Looking -------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        with self._database.read() as connection:
            return to_job(self._row(connection, job_id))

    def recent(
        self, *, states: Sequence[JobState] | None = None, limit: int = 100, offset: int = 0
    ) -> list[Job]:
        """Newest first; all states, or some."""
        wanted = json.dumps(states)
        with self._database.read() as connection:
            rows_ = connection.execute(
                f"{SELECT} WHERE ? = 'null' OR state IN (SELECT value FROM json_each(?))"
                " ORDER BY seq DESC LIMIT ? OFFSET ?",
                (wanted, wanted, limit, offset),
            ).fetchall()
        return [to_job(row) for row in rows_]

    def active(self) -> list[Job]:
        """Jobs that are waiting or running, newest first, without those that wait for this user to resume them."""
        with self._database.read() as connection:
            rows_ = connection.execute(
                f"{SELECT} WHERE state IN ({', '.join('?' * len(ACTIVE))}) AND (state <> 'queued' OR {OWN})"
                " ORDER BY seq DESC LIMIT 1000",
                ACTIVE,
            ).fetchall()
        return [to_job(row) for row in rows_]

    def followers(self, job_id: str) -> list[Job]:
        """The jobs that were queued when items of this one ended, oldest first; see `Outcome.follow`."""
        with self._database.read() as connection:
            rows_ = connection.execute(
                f"{SELECT} WHERE json_extract(payload, '$.after') = ? ORDER BY seq", (job_id,)
            ).fetchall()
        return [to_job(row) for row in rows_]

    def items(
        self, job_id: str, *, state: ItemState | None = None, limit: int = 1000, offset: int = 0
    ) -> list[JobItem]:
        """Items in order; all, or those in one state."""
        return self._items(
            job_id, "AND (? IS NULL OR state = ?) ORDER BY i LIMIT ? OFFSET ?", (state, state, limit, offset)
        )

    def causes(self, job_id: str, *, limit: int = 2000) -> list[Cause]:
        """Why items failed, the most frequent cause first; errors beyond `limit` different ones are left out."""
        with self._database.read() as connection:
            self._row(connection, job_id)
            rows_ = connection.execute(
                "WITH failed AS (SELECT *, row_number() OVER (PARTITION BY error ORDER BY i) AS place FROM job_items"
                " WHERE job = (SELECT seq FROM jobs WHERE id = ?) AND state = 'failed')"
                " SELECT error, error_kind, max(retryable), count(*) AS n, json_group_array(i) FILTER (WHERE place <= 20)"
                " FROM failed"
                " GROUP BY error ORDER BY n DESC, min(i) LIMIT ?",
                (job_id, limit),
            ).fetchall()
        return [
            Cause(Failure(error or "", kind or "error", bool(may)), n, tuple(sorted(json.loads(first))))
            for error, kind, may, n, first in rows_
        ]

    def failure_kinds(self, job_id: str) -> dict[str, bool]:
        """The kinds of errors of its failed items, and whether one of each kind may succeed when tried again."""
        with self._database.read() as connection:
            rows_ = connection.execute(
                "SELECT coalesce(error_kind, 'error'), max(retryable) FROM job_items"
                " WHERE job = (SELECT seq FROM jobs WHERE id = ?) AND state = 'failed' GROUP BY 1",
                (job_id,),
            ).fetchall()
        return {kind: bool(retryable) for kind, retryable in rows_}

    def items_at(self, job_id: str, places: Sequence[int]) -> list[JobItem]:
        """The items at these places, in order."""
        wanted = json.dumps([int(place) for place in places])
        return self._items(job_id, "AND i IN (SELECT value FROM json_each(?)) ORDER BY i", (wanted,))

    def _items(self, job_id: str, where: str, parameters: tuple) -> list[JobItem]:
        with self._database.read() as connection:
            self._row(connection, job_id)
            rows_ = connection.execute(
                f"{SELECT_ITEM} WHERE job = (SELECT seq FROM jobs WHERE id = ?) {where}",
                (job_id, *parameters),
            ).fetchall()
        return [to_item(row) for row in rows_]

    @staticmethod
    def _row(connection: sqlite3.Connection, job_id: str) -> tuple:
        row = connection.execute(f"{SELECT} WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            recent = connection.execute("SELECT id FROM jobs ORDER BY seq DESC LIMIT 5").fetchall()
            raise UnknownName("job", job_id, [id_ for (id_,) in recent])
        return row

    # Steering ------------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop. A waiting job is cancelled at once, a running one by its owner at its next heartbeat;
        one that is over stays as it is."""
        with self._database.write(durable=True) as connection:
            self._row(connection, job_id)
            connection.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, error = ?, error_kind = ?, retryable = ?"
                " WHERE id = ? AND state = 'queued'",
                (now(), *CANCELLED, job_id),
            )
            connection.execute(
                "UPDATE jobs SET cancel = 1 WHERE id = ? AND state IN ('running', 'preparing')", (job_id,)
            )
        recover(self._database)  # nobody hears it when the owner is dead
        return self.get(job_id)

    def retry(self, job_id: str, payload: Mapping[str, Any] | None = None) -> Job:
        """Queue a finished job again, or resume one that was queued elsewhere: its failed items and those never tried, none
        that is done. `payload` replaces the job's own. From then on it is this user's.

        Raises UserError when nothing is left to do, while it still runs, or while its twin does.
        """
        with self._database.write(durable=True) as connection:
            job = to_job(self._row(connection, job_id))
            if job.is_active and not job.is_parked:
                raise UserError(f"job {job_id} is {job.state}: wait for its end, or cancel it first")
            if job.n_done == job.total:
                raise UserError(f"job {job_id} has nothing left to do: all {job.total} items are done")
            try:
                if payload is not None and canonical_json(payload) != canonical_json(job.payload):
                    _replace_payload(connection, job, payload)
                connection.execute(
                    "UPDATE jobs SET state = 'queued', n_failed = 0, cancel = 0, error = NULL, error_kind = NULL,"
                    " retryable = 0, finished = NULL,"
                    " rate = NULL, owner = NULL, crashes = 0, mark = job_mark(id, kind, payload) WHERE id = ?",
                    (job_id,),
                )
            except sqlite3.IntegrityError as error:
                raise UserError(f"the same work as job {job_id} is already queued or running") from error
            connection.execute(
                "UPDATE job_items SET state = 'pending', error = NULL, error_kind = NULL, retryable = 0"
                " WHERE job = (SELECT seq FROM jobs WHERE id = ?) AND state = 'failed'",
                (job_id,),
            )
            return to_job(self._row(connection, job_id))


def _check_not_cancelled(connection: sqlite3.Connection, seq: int) -> None:
    row = connection.execute("SELECT cancel FROM jobs WHERE seq = ?", (seq,)).fetchone()
    if row is None or row[0]:
        raise UserError("the job was cancelled before all its items were there")


def queue_follower(connection: sqlite3.Connection, job: NewJob, after: str) -> None:
    """Queue a job of a few items within a transaction. `after`: the id of the job that it follows."""
    _queue(connection, replace(job, payload={**job.payload, "after": after}))


def _queue(connection: sqlite3.Connection, job: NewJob, owner: str | None = None) -> tuple[Job, bool]:
    seq, digest = _insert(connection, job, owner)
    _insert_items(connection, seq, 0, job.items, digest)
    return _activate(connection, seq, len(job.items), digest.hexdigest(), owner)


def _replace_payload(connection: sqlite3.Connection, job: Job, payload: Mapping[str, Any]) -> None:
    """With the hash that goes with it."""
    text = canonical_json(payload)
    digest = hashlib.sha256(f"{job.kind}\n{text}".encode())
    items = connection.execute(
        "SELECT item FROM job_items WHERE job = (SELECT seq FROM jobs WHERE id = ?) ORDER BY i", (job.id,)
    )
    for (item,) in items:
        digest.update(b"\n" + item.encode())
    connection.execute(
        "UPDATE jobs SET payload = ?, payload_hash = ? WHERE id = ?", (text, digest.hexdigest(), job.id)
    )


def _insert(connection: sqlite3.Connection, job: NewJob, owner: str | None) -> "tuple[int, hashlib._Hash]":
    """The place of the new row, and the digest that its items are still to be added to."""
    text = canonical_json(job.payload)
    row = (
        new_id(),
        job.kind,
        job.label or job.kind,
        text,
        job.priority,
        now(),
        owner or new_owner(),
        time.time(),
    )
    cursor = connection.execute(
        "INSERT INTO jobs (id, kind, label, payload, priority, created, owner, heartbeat, state, ran, mark)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'preparing', 0, job_mark(?1, ?2, ?4))",
        row,
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid, hashlib.sha256(f"{job.kind}\n{text}".encode())


def _activate(
    connection: sqlite3.Connection, seq: int, total: int, digest: str, owner: str | None
) -> tuple[Job, bool]:
    twin = connection.execute(
        f"{SELECT} WHERE payload_hash = ? AND state IN ('queued', 'running')", (digest,)
    ).fetchone()
    if twin is not None and not to_job(twin).is_parked:
        connection.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
        return to_job(twin), False
    # One that was queued elsewhere may not be what it is said to be: this takes its place.
    connection.execute(
        "UPDATE jobs SET state = 'cancelled', finished = ?, error = ?, error_kind = ?, retryable = ?"
        " WHERE payload_hash = ? AND state = 'queued'",
        (now(), *CANCELLED, digest),
    )
    connection.execute(
        "UPDATE jobs SET payload_hash = :digest, total = :total, owner = :owner,"
        " state = CASE WHEN :owner IS NULL THEN 'queued' ELSE 'running' END,"
        " started = CASE WHEN :owner IS NULL THEN NULL ELSE :now END, claims = :owner IS NOT NULL,"
        " claimed = CASE WHEN :owner IS NOT NULL THEN :time END WHERE seq = :seq",
        {"digest": digest, "total": total, "owner": owner, "now": now(), "time": time.time(), "seq": seq},
    )
    return to_job(connection.execute(f"{SELECT} WHERE seq = ?", (seq,)).fetchone()), True


def _insert_items(
    connection: sqlite3.Connection, seq: int, first: int, items: Sequence[Any], digest: "hashlib._Hash"
) -> None:
    texts = [canonical_json(item) for item in items]
    for text in texts:
        digest.update(b"\n" + text.encode())
    connection.executemany(
        "INSERT INTO job_items (job, i, item) VALUES (?, ?, ?)",
        [(seq, i, text) for i, text in enumerate(texts, first)],
    )


def recover(database: Database, *, silent_seconds: float = SILENT_SECONDS) -> list[Job]:
    """Queue again the running jobs of dead owners; cancel those that were asked to stop, give up those that keep
    killing their process, drop those whose submission died halfway. Returns them as they were."""
    with database.read() as connection:
        rows = connection.execute(f"{SELECT_CLAIM} WHERE state IN ('running', 'preparing')").fetchall()
    recovered = []
    for claim in map(to_claim, rows):
        job = claim.job
        if not is_dead(job.owner, job.heartbeat, silent_seconds=silent_seconds):
            continue
        with database.write(durable=True) as connection:
            if job.state == "preparing":
                changed = connection.execute(
                    "DELETE FROM jobs WHERE seq = ? AND state = 'preparing' AND heartbeat = ?",
                    (claim.seq, job.heartbeat),
                )
            else:
                changed = connection.execute(
                    "UPDATE jobs SET owner = NULL, rate = NULL, crashes = crashes + 1, state = CASE WHEN cancel THEN"
                    " 'cancelled' WHEN crashes + 1 >= :max THEN 'failed' ELSE 'queued' END, finished = CASE WHEN"
                    " cancel OR crashes + 1 >= :max THEN :now END, error = CASE WHEN cancel THEN 'cancelled' WHEN"
                    " crashes + 1 >= :max THEN 'the process that ran it died ' || :max || ' times without storing a"
                    " result' END, error_kind = CASE WHEN cancel THEN 'cancelled' WHEN crashes + 1 >= :max THEN 'crashed' END,"
                    f" retryable = cancel, {CLAIM_ENDS}"
                    " WHERE seq = :seq AND claims = :claims AND state = 'running' AND heartbeat = :beat",
                    {
                        "max": MAX_CRASHES,
                        "now": now(),
                        "seq": claim.seq,
                        "claims": claim.number,
                        "beat": job.heartbeat,
                        "end": job.heartbeat,
                    },
                )
            if changed.rowcount:
                recovered.append(job)
    return recovered
