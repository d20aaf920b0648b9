"""The owner's side of the job tables: claim, work, report, finish, recover.

A claim carries a number that grows with every claim of the job. Results are committed only under the current number, in the
transaction that also writes their rows: an item is done exactly when its rows are there, and exactly once. Only parts that
were paid for may be there before (`keep`). What follows from an item is queued in its transaction too.
"""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from autointerp.errors import AutointerpError, Failure, UserError
from autointerp.records import now
from autointerp.store.annotations import rows
from autointerp.store.annotations.columns import clean
from autointerp.store.annotations.jobs.queue import SILENT_SECONDS, JobQueue, queue_follower, recover
from autointerp.store.annotations.jobs.records import (
    CLAIM_ENDS,
    COLUMNS,
    OWN,
    SELECT,
    SELECT_CLAIM,
    Claim,
    Job,
    JobState,
    Outcome,
    to_claim,
    to_job,
)

_REFUSALS = (UserError, TypeError, ValueError, OverflowError, sqlite3.IntegrityError)


class ClaimLost(Exception):
    """Another owner has taken the job over, or it was cancelled or removed: stop, and keep nothing."""


class JobTable(JobQueue):
    """Jobs of one store, as every process sees them, and the means to do them."""

    def claim(
        self, owner: str, kinds: Sequence[str], *, min_priority: int | None = None, job_id: str | None = None
    ) -> Claim | None:
        """Take the next waiting job of these kinds that this user queued, highest priority first, then oldest; `None` when
        there is none."""
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE jobs SET state = 'running', owner = :owner, heartbeat = :time, claimed = :time, claims = claims + 1,"
                " started = coalesce(started, :now), stage = NULL, stage_done = NULL, stage_total = NULL WHERE seq ="
                f" (SELECT seq FROM jobs WHERE state = 'queued' AND {OWN} AND kind IN (SELECT value FROM json_each(:kinds))"
                " AND (:priority IS NULL OR priority >= :priority) AND (:id IS NULL OR id = :id)"
                " ORDER BY priority DESC, seq LIMIT 1)"
                f" RETURNING seq, {COLUMNS}",
                {
                    **{"owner": owner, "time": time.time(), "now": now(), "kinds": json.dumps(list(kinds))},
                    **{"priority": min_priority, "id": job_id},
                },
            ).fetchone()
        return None if row is None else to_claim(row)

    def claim_of(self, job_id: str, owner: str) -> Claim | None:
        """The claim that `submit(owner=...)` made."""
        with self._database.read() as connection:
            row = connection.execute(
                f"{SELECT_CLAIM} WHERE id = ? AND owner = ? AND state = 'running'", (job_id, owner)
            ).fetchone()
        return None if row is None else to_claim(row)

    def has_work(self, kinds: Sequence[str]) -> bool:
        """Whether `claim` or `recover` may find something; reads only, so polling costs other writers nothing."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT 1 FROM jobs WHERE (state IN ('running', 'preparing') OR (state = 'queued' AND {OWN}))"
                " AND kind IN (SELECT value FROM json_each(?)) LIMIT 1",
                (json.dumps(list(kinds)),),
            ).fetchone()
        return row is not None

    def pending(self, claim: Claim, *, after: int, limit: int) -> list[tuple[int, Any]]:
        """The next items to work on, as (i, item), with i above `after`."""
        with self._database.read() as connection:
            rows_ = connection.execute(
                "SELECT i, item FROM job_items WHERE job = ? AND i > ? AND state = 'pending' ORDER BY i LIMIT ?",
                (claim.seq, after, limit),
            ).fetchall()
        return [(i, json.loads(item)) for i, item in rows_]

    def complete(self, claim: Claim, outcomes: Sequence[tuple[int, Outcome]]) -> list[tuple[int, Exception]]:
        """Commit finished items by their places, their rows and the jobs that follow, all in one transaction. Raises ClaimLost,
        and then commits nothing.

        Where an item's own rows are refused, the item fails with that error and its neighbours are kept; returns the places
        and errors."""
        refused: list[tuple[int, Exception]] = []
        with self._database.write() as connection:
            stopping = self._check(connection, claim)
            ends = []
            for i, outcome in outcomes:
                connection.execute("SAVEPOINT item")
                # The item first: one that has ended already (a commit repeated after an interrupt) keeps its end.
                if _end_item(connection, claim, i, outcome.failure):
                    failure = outcome.failure
                    try:
                        rows.write(connection, outcome.rows)
                        _follow(connection, claim, outcome, stopping)
                    except _REFUSALS as refusal:
                        connection.execute("ROLLBACK TO item")
                        refused.append((i, refusal))
                        kind = refusal.kind if isinstance(refusal, AutointerpError) else "bug"
                        failure = Failure(f"its result could not be stored: {refusal}", kind)
                        _end_item(connection, claim, i, failure)
                    ends.append((outcome, failure))
                connection.execute("RELEASE item")
            n_failed = sum(failure is not None for _, failure in ends)
            connection.execute(
                "UPDATE jobs SET n_done = n_done + ?, n_failed = n_failed + ?, crashes = 0 WHERE seq = ?",
                (len(ends) - n_failed, n_failed, claim.seq),
            )
            _pay(connection, claim, [outcome for outcome, _ in ends])
        return refused

    def keep(self, claim: Claim, part: Outcome) -> None:
        """Commit rows of an item that goes on, what they cost and the jobs that follow, in one transaction: whatever becomes of
        the rest, that was paid for. The item stays pending, but the job got on: deaths are counted from here. Raises ClaimLost,
        UserError, and then commits nothing."""
        with self._database.write() as connection:
            stopping = self._check(connection, claim)
            rows.write(connection, part.rows)
            _follow(connection, claim, part, stopping)
            _pay(connection, claim, [part])
            connection.execute("UPDATE jobs SET crashes = 0 WHERE seq = ?", (claim.seq,))

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

    def finish(self, claim: Claim, *, state: JobState | None = None, failure: Failure | None = None) -> Job:
        """End the job. Without `state`: done, or failed when every item failed. Raises ClaimLost."""
        with self._database.write(durable=True) as connection:
            self._check(connection, claim)
            job = to_job(connection.execute(f"{SELECT} WHERE seq = ?", (claim.seq,)).fetchone())
            error, kind, retryable = failure or (None, None, False)
            if state is None:
                state = "failed" if job.total and job.n_failed == job.total else "done"
                if job.n_left:
                    state, error = "failed", f"{job.n_left} of {job.total} were not tried"
                elif job.n_failed:
                    first, n_causes = connection.execute(
                        "SELECT error, count(DISTINCT error), min(i) FROM job_items WHERE job = ? AND state = 'failed'",
                        (claim.seq,),
                    ).fetchone()[:2]
                    which = ":" if n_causes == 1 else "; the first:"
                    error = f"{job.n_failed} of {job.total} failed{which} {first}"
            connection.execute(
                "UPDATE jobs SET state = :state, error = :error, error_kind = :kind, retryable = :retryable, finished = :now,"
                f" owner = NULL, stage = NULL, stage_done = NULL, stage_total = NULL, {CLAIM_ENDS} WHERE seq = :seq",
                {
                    **{
                        "state": state,
                        "error": clean(error),
                        "kind": kind,
                        "retryable": retryable,
                        "now": now(),
                    },
                    **{"end": time.time(), "seq": claim.seq},
                },
            )
            return to_job(connection.execute(f"{SELECT} WHERE seq = ?", (claim.seq,)).fetchone())

    def release(self, claim: Claim) -> None:
        """Put a running job back in the queue for anyone, unless the claim is lost already."""
        with self._database.write(durable=True) as connection:
            connection.execute(
                f"UPDATE jobs SET state = 'queued', owner = NULL, rate = NULL, {CLAIM_ENDS}"
                " WHERE seq = :seq AND claims = :number AND state = 'running'",
                {"end": time.time(), "seq": claim.seq, "number": claim.number},
            )

    def recover(self, *, silent_seconds: float = SILENT_SECONDS) -> list[Job]:
        """Queue again the running jobs of dead owners, see `queue.recover`. Returns them as they were."""
        return recover(self._database, silent_seconds=silent_seconds)

    @staticmethod
    def _check(connection: sqlite3.Connection, claim: Claim) -> bool:
        """Whether the job was asked to stop. Raises ClaimLost."""
        held = connection.execute(
            "SELECT cancel FROM jobs WHERE seq = ? AND claims = ? AND state = 'running'",
            (claim.seq, claim.number),
        ).fetchone()
        if held is None:
            raise ClaimLost(claim.job.id)
        return bool(held[0])


def _follow(connection: sqlite3.Connection, claim: Claim, outcome: Outcome, stopping: bool) -> None:
    for job in () if stopping else outcome.follow:
        queue_follower(connection, job, claim.job.id)


def _pay(connection: sqlite3.Connection, claim: Claim, outcomes: Sequence[Outcome]) -> None:
    connection.execute(
        "UPDATE jobs SET tokens_in = tokens_in + ?, tokens_out = tokens_out + ?, cost = cost + ?,"
        " n_unpriced = n_unpriced + ? WHERE seq = ?",
        (
            *(
                sum(outcome.tokens_in for outcome in outcomes),
                sum(outcome.tokens_out for outcome in outcomes),
            ),
            sum(outcome.cost or 0.0 for outcome in outcomes),
            *(sum(outcome.cost is None for outcome in outcomes), claim.seq),
        ),
    )


def _end_item(connection: sqlite3.Connection, claim: Claim, i: int, failure: Failure | None) -> bool:
    """Whether the item was still pending."""
    error, kind, retryable = failure or (None, None, False)
    changed = connection.execute(
        "UPDATE job_items SET state = ?, error = ?, error_kind = ?, retryable = ?, attempts = attempts + 1"
        " WHERE job = ? AND i = ? AND state = 'pending'",
        ("done" if failure is None else "failed", clean(error), kind, retryable, claim.seq, i),
    )
    return changed.rowcount == 1
