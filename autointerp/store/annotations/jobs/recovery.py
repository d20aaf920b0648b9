"""What to do about the jobs of processes that died."""

from autointerp.records import now
from autointerp.store.annotations.database import Database
from autointerp.store.annotations.jobs.records import Job, is_dead
from autointerp.store.annotations.jobs.rows import SELECT_CLAIM, to_claim

SILENT_SECONDS = 30.0
"""An owner on another machine that has not been heard of for this long is taken for dead."""

MAX_CRASHES = 3
"""A job whose process died this often without storing an item, or a part of one, is given up."""


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
                    " retryable = cancel WHERE seq = :seq AND claims = :claims AND state = 'running' AND heartbeat = :beat",
                    {
                        "max": MAX_CRASHES,
                        "now": now(),
                        "seq": claim.seq,
                        "claims": claim.number,
                        "beat": job.heartbeat,
                    },
                )
            if changed.rowcount:
                recovered.append(job)
    return recovered
