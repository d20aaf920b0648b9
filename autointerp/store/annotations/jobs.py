"""The job tables: submit, claim, report, finish, cancel, retry, recover. Every change of state is one transaction.

    preparing --> queued --> running --> done | failed | cancelled
                    ^           |                  |
                    +- released +------ retry -----+

A claim carries a number that grows with every claim of the job. Results are committed only under the current number, in the
transaction that also writes their rows: an item is done exactly when its rows are there, and exactly once.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain, islice
from typing import Any

from autointerp.errors import UnknownName, UserError
from autointerp.store.annotations import rows
from autointerp.store.annotations.database import Database
from autointerp.store.annotations.job_records import (
    ACTIVE,
    Claim,
    ItemResult,
    ItemState,
    Job,
    JobItem,
    JobState,
    is_dead,
)
from autointerp.store.annotations.records import Record, canonical_json, new_id, now

SILENT_SECONDS = 30.0
"""An owner on another machine that has not been heard of for this long is taken for dead."""

_CHUNK = 2000
_COLUMNS = [field.name for field in fields(Job)]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM jobs"


class ClaimLost(Exception):
    """Another owner has taken the job over, or it was cancelled or removed: stop, and keep nothing."""


class JobTable:
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
        """Queue a job over `items` (JSON values, streamed: any number fits in memory) and whether it is a new one.

        While a job with the same kind, payload and items is queued or running, that one is returned instead. Higher
        `priority` runs first. With `owner` the new job is running from the start and belongs to that runner.
        """
        id_, iterator = new_id(), iter(items)
        text = canonical_json(payload)
        digest = hashlib.sha256(f"{kind}\n{text}".encode())
        row = (id_, kind, label or kind, text, priority, now(), owner, time.time())
        chunk = list(islice(iterator, _CHUNK))
        following = list(islice(iterator, _CHUNK))
        if following:
            # Many items: they arrive in short transactions, so that no other writer waits, and the job stays "preparing".
            with self._database.write() as connection:
                seq = self._insert(connection, row)
            try:
                n = 0
                for part in chain([chunk, following], _chunks(iterator)):
                    with self._database.write() as connection:
                        _insert_items(connection, seq, n, part, digest)
                        connection.execute("UPDATE jobs SET heartbeat = ? WHERE seq = ?", (time.time(), seq))
                    n += len(part)
                with self._database.write(durable=True) as connection:
                    return self._activate(connection, seq, n, digest.hexdigest(), owner)
            except BaseException:
                with self._database.write() as connection:
                    connection.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
                raise
        with self._database.write(durable=True) as connection:
            seq = self._insert(connection, row)
            _insert_items(connection, seq, 0, chunk, digest)
            return self._activate(connection, seq, len(chunk), digest.hexdigest(), owner)

    @staticmethod
    def _insert(connection: sqlite3.Connection, row: tuple) -> int:
        cursor = connection.execute(
            "INSERT INTO jobs (id, kind, label, payload, priority, created, owner, heartbeat, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'preparing')",
            row,
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _activate(
        self, connection: sqlite3.Connection, seq: int, total: int, digest: str, owner: str | None
    ) -> tuple[Job, bool]:
        twin = connection.execute(
            f"{_SELECT} WHERE payload_hash = ? AND state IN ('queued', 'running')", (digest,)
        ).fetchone()
        if twin is not None:
            connection.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
            return _to_job(twin), False
        connection.execute(
            "UPDATE jobs SET payload_hash = :digest, total = :total, owner = :owner,"
            " state = CASE WHEN :owner IS NULL THEN 'queued' ELSE 'running' END,"
            " started = CASE WHEN :owner IS NULL THEN NULL ELSE :now END, claims = :owner IS NOT NULL WHERE seq = :seq",
            {"digest": digest, "total": total, "owner": owner, "now": now(), "seq": seq},
        )
        return _to_job(connection.execute(f"{_SELECT} WHERE seq = ?", (seq,)).fetchone()), True

    # Looking -------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        with self._database.read() as connection:
            return _to_job(self._row(connection, job_id))

    def recent(
        self, *, states: Sequence[JobState] | None = None, limit: int = 100, offset: int = 0
    ) -> list[Job]:
        """Newest first; all states, or some."""
        wanted = json.dumps(states)
        with self._database.read() as connection:
            found = connection.execute(
                f"{_SELECT} WHERE ? = 'null' OR state IN (SELECT value FROM json_each(?))"
                " ORDER BY seq DESC LIMIT ? OFFSET ?",
                (wanted, wanted, limit, offset),
            ).fetchall()
        return [_to_job(row) for row in found]

    def active(self) -> list[Job]:
        """Jobs that are waiting or running, newest first."""
        return self.recent(states=ACTIVE, limit=1000)

    def items(
        self, job_id: str, *, state: ItemState | None = None, limit: int = 1000, offset: int = 0
    ) -> list[JobItem]:
        """Items in order; all, or those in one state."""
        with self._database.read() as connection:
            self._row(connection, job_id)
            found = connection.execute(
                "SELECT i, item, state, attempts, error FROM job_items WHERE job = (SELECT seq FROM jobs WHERE id = ?)"
                " AND (? IS NULL OR state = ?) ORDER BY i LIMIT ? OFFSET ?",
                (job_id, state, state, limit, offset),
            ).fetchall()
        return [
            JobItem(i=i, item=json.loads(item), state=at, attempts=n, error=e) for i, item, at, n, e in found
        ]

    @staticmethod
    def _row(connection: sqlite3.Connection, job_id: str) -> tuple:
        row = connection.execute(f"{_SELECT} WHERE id = ?", (job_id,)).fetchone()
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
                "UPDATE jobs SET state = 'cancelled', finished = ?, error = 'cancelled'"
                " WHERE id = ? AND state = 'queued'",
                (now(), job_id),
            )
            connection.execute(
                "UPDATE jobs SET cancel = 1 WHERE id = ? AND state IN ('running', 'preparing')", (job_id,)
            )
            return _to_job(self._row(connection, job_id))

    def retry(self, job_id: str) -> Job:
        """Queue a job that is over again: its failed items and those never tried, none that is done.

        Raises UserError when nothing is left to do, while it still runs, or while its twin does.
        """
        with self._database.write(durable=True) as connection:
            job = _to_job(self._row(connection, job_id))
            if job.is_active:
                raise UserError(f"job {job_id} is {job.state}: wait for its end, or cancel it first")
            if job.n_done == job.total:
                raise UserError(f"job {job_id} has nothing left to do: all {job.total} items are done")
            try:
                connection.execute(
                    "UPDATE jobs SET state = 'queued', n_failed = 0, cancel = 0, error = NULL, finished = NULL,"
                    " rate = NULL, owner = NULL WHERE id = ?",
                    (job_id,),
                )
            except sqlite3.IntegrityError as error:
                raise UserError(f"the same work as job {job_id} is already queued or running") from error
            connection.execute(
                "UPDATE job_items SET state = 'pending', error = NULL"
                " WHERE job = (SELECT seq FROM jobs WHERE id = ?) AND state = 'failed'",
                (job_id,),
            )
            return _to_job(self._row(connection, job_id))

    def delete(self, job_id: str) -> None:
        """Forget a job that is over. What it wrote stays. Raises UserError while it is active."""
        with self._database.write() as connection:
            if _to_job(self._row(connection, job_id)).is_active:
                raise UserError(f"job {job_id} is not over: cancel it first")
            connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    # Owning --------------------------------------------------------------------------------------

    def claim(
        self, owner: str, kinds: Sequence[str], *, min_priority: int | None = None, job_id: str | None = None
    ) -> Claim | None:
        """Take the next waiting job of these kinds, highest priority first, then oldest; `None` when there is none."""
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE jobs SET state = 'running', owner = :owner, heartbeat = :time, claims = claims + 1,"
                " started = coalesce(started, :now), stage = NULL, stage_done = NULL, stage_total = NULL WHERE seq ="
                " (SELECT seq FROM jobs WHERE state = 'queued' AND kind IN (SELECT value FROM json_each(:kinds))"
                " AND (:priority IS NULL OR priority >= :priority) AND (:id IS NULL OR id = :id)"
                " ORDER BY priority DESC, seq LIMIT 1)"
                f" RETURNING seq, {', '.join(_COLUMNS)}",
                {
                    **{"owner": owner, "time": time.time(), "now": now(), "kinds": json.dumps(list(kinds))},
                    **{"priority": min_priority, "id": job_id},
                },
            ).fetchone()
        return None if row is None else _to_claim(row)

    def claim_of(self, job_id: str, owner: str) -> Claim | None:
        """The claim that `submit(owner=...)` made."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT seq, {', '.join(_COLUMNS)} FROM jobs WHERE id = ? AND owner = ? AND state = 'running'",
                (job_id, owner),
            ).fetchone()
        return None if row is None else _to_claim(row)

    def has_work(self, kinds: Sequence[str]) -> bool:
        """Whether `claim` or `recover` may find something; reads only, so polling costs other writers nothing."""
        with self._database.read() as connection:
            return (
                connection.execute(
                    "SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'preparing')"
                    " AND kind IN (SELECT value FROM json_each(?)) LIMIT 1",
                    (json.dumps(list(kinds)),),
                ).fetchone()
                is not None
            )

    def pending(self, claim: Claim, *, after: int, limit: int) -> list[tuple[int, Any]]:
        """The next items to work on, as (i, item), with i above `after`."""
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT i, item FROM job_items WHERE job = ? AND i > ? AND state = 'pending' ORDER BY i LIMIT ?",
                (claim.seq, after, limit),
            ).fetchall()
        return [(i, json.loads(item)) for i, item in found]

    def complete(
        self, claim: Claim, results: Sequence[tuple[ItemResult, Sequence[Record]]]
    ) -> list[tuple[ItemResult, Exception]]:
        """Commit finished items and their rows, all in one transaction. Raises ClaimLost, and then commits nothing.

        Where an item's own rows are refused, the item fails with that error, its neighbours are kept, and both are
        returned.
        """
        refused: list[tuple[ItemResult, Exception]] = []
        with self._database.write() as connection:
            self._check(connection, claim)
            ends = []
            for result, records in results:
                connection.execute("SAVEPOINT item")
                try:
                    rows.write(connection, records)
                except (UserError, TypeError, ValueError, OverflowError, sqlite3.IntegrityError) as error:
                    connection.execute("ROLLBACK TO item")
                    refused.append((result, error))
                    ends.append((result, f"its result could not be stored: {error}"))
                else:
                    ends.append((result, result.error))
                connection.execute("RELEASE item")
            connection.executemany(
                "UPDATE job_items SET state = ?, error = ?, attempts = attempts + 1 WHERE job = ? AND i = ?",
                [("failed" if e else "done", rows.clean(e), claim.seq, r.i) for r, e in ends],
            )
            n_failed = sum(error is not None for _, error in ends)
            connection.execute(
                "UPDATE jobs SET n_done = n_done + ?, n_failed = n_failed + ?, tokens_in = tokens_in + ?,"
                " tokens_out = tokens_out + ?, cost = cost + ?, n_unpriced = n_unpriced + ? WHERE seq = ?",
                (
                    *(len(ends) - n_failed, n_failed, sum(r.tokens_in for r, _ in ends)),
                    *(sum(r.tokens_out for r, _ in ends), sum(r.cost for r, _ in ends)),
                    *(sum(r.unpriced for r, _ in ends), claim.seq),
                ),
            )
        return refused

    def beat(
        self, claim: Claim, *, rate: float | None, stage: tuple[str, int, int, str] | None = None
    ) -> bool:
        """Report life, recent rate and stage; whether cancelling was asked for. Raises ClaimLost.

        Durable: all that was committed before survives a power cut from here on.
        """
        with self._database.write(durable=True) as connection:
            self._check(connection, claim)
            connection.execute(
                "UPDATE jobs SET heartbeat = ?, rate = coalesce(?, rate), stage = ?, stage_done = ?, stage_total = ?,"
                " stage_unit = ? WHERE seq = ?",
                (time.time(), rate, *(stage or (None, None, None, None)), claim.seq),
            )
            return bool(
                connection.execute("SELECT cancel FROM jobs WHERE seq = ?", (claim.seq,)).fetchone()[0]
            )

    def finish(self, claim: Claim, *, state: JobState | None = None, error: str | None = None) -> Job:
        """End the job. Without `state`: done, or failed when every item failed. Raises ClaimLost."""
        with self._database.write(durable=True) as connection:
            self._check(connection, claim)
            job = _to_job(connection.execute(f"{_SELECT} WHERE seq = ?", (claim.seq,)).fetchone())
            if state is None:
                state = "failed" if job.total and job.n_failed == job.total else "done"
                if job.n_failed:
                    (first,) = connection.execute(
                        "SELECT error FROM job_items WHERE job = ? AND state = 'failed' ORDER BY i LIMIT 1",
                        (claim.seq,),
                    ).fetchone()
                    error = f"{job.n_failed} of {job.total} failed; the first: {first}"
            connection.execute(
                "UPDATE jobs SET state = ?, error = ?, finished = ?, owner = NULL, stage = NULL, stage_done = NULL,"
                " stage_total = NULL WHERE seq = ?",
                (state, rows.clean(error), now(), claim.seq),
            )
            return _to_job(connection.execute(f"{_SELECT} WHERE seq = ?", (claim.seq,)).fetchone())

    def release(self, claim: Claim) -> None:
        """Put a running job back in the queue for anyone, unless the claim is lost already."""
        with self._database.write(durable=True) as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', owner = NULL, rate = NULL"
                " WHERE seq = ? AND claims = ? AND state = 'running'",
                (claim.seq, claim.number),
            )

    def recover(self, *, silent_seconds: float = SILENT_SECONDS) -> list[Job]:
        """Queue again the running jobs of dead owners (cancel those that were asked to stop), and drop jobs whose
        submission died halfway. Returns them as they were."""
        with self._database.read() as connection:
            suspects = [
                (seq, claims, job)
                for seq, claims, job in _claims(connection, "state IN ('running', 'preparing')")
                if is_dead(job.owner, job.heartbeat, silent_seconds=silent_seconds)
                and (job.state == "running" or time.time() - (job.heartbeat or 0) > silent_seconds)
            ]
        recovered = []
        for seq, claims, job in suspects:
            with self._database.write(durable=True) as connection:
                if job.state == "preparing":
                    changed = connection.execute(
                        "DELETE FROM jobs WHERE seq = ? AND state = 'preparing' AND heartbeat = ?",
                        (seq, job.heartbeat),
                    )
                else:
                    changed = connection.execute(
                        "UPDATE jobs SET state = CASE WHEN cancel THEN 'cancelled' ELSE 'queued' END, owner = NULL,"
                        " finished = CASE WHEN cancel THEN ? END, error = CASE WHEN cancel THEN 'cancelled' END,"
                        " rate = NULL WHERE seq = ? AND claims = ? AND state = 'running' AND heartbeat = ?",
                        (now(), seq, claims, job.heartbeat),
                    )
                if changed.rowcount:
                    recovered.append(job)
        return recovered

    @staticmethod
    def _check(connection: sqlite3.Connection, claim: Claim) -> None:
        held = connection.execute(
            "SELECT 1 FROM jobs WHERE seq = ? AND claims = ? AND state = 'running'", (claim.seq, claim.number)
        )
        if held.fetchone() is None:
            raise ClaimLost(claim.job.id)


def _chunks(iterator: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


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


def _claims(connection: sqlite3.Connection, where: str) -> list[tuple[int, int, Job]]:
    found = connection.execute(f"SELECT seq, {', '.join(_COLUMNS)} FROM jobs WHERE {where}").fetchall()
    return [(claim.seq, claim.number, claim.job) for claim in map(_to_claim, found)]


def _to_claim(row: tuple) -> Claim:
    job = _to_job(row[1:])
    return Claim(seq=row[0], number=job.claims, job=job)


def _to_job(row: tuple) -> Job:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["payload"] = json.loads(values["payload"])
    values["cancel"] = bool(values["cancel"])
    return Job(**values)
