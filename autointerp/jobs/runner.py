"""`JobRunner`: works on a store's queue, in the background of an app or in the foreground of a command."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from autointerp.errors import Failure, StoreError, UnknownName, UserError
from autointerp.jobs.execution import Execution
from autointerp.jobs.handlers import JobKind
from autointerp.records import Record
from autointerp.store.annotations import SILENT_SECONDS, Annotations, Claim, Job, NewJob, new_owner

logger = logging.getLogger(__name__)


def _ignore(_: Job) -> None:
    """For callers that need not watch."""


class JobRunner:
    """Does the jobs of the kinds it knows.

    `lanes` jobs at a time. With more than one lane, the last takes only jobs of priority 1 or more: a click on a page need
    not wait for a batch. `poll_seconds`: how soon jobs of other processes are noticed; own ones start at once.
    `beat_seconds`: how soon cancelling is heard. `silent_seconds`: see `JobTable.recover`. `grace_seconds`: how long work
    in flight may go on after a stop before it is abandoned. `ended` is called after each job that was worked on here.
    """

    def __init__(
        self,
        annotations: Annotations,
        kinds: Iterable[JobKind],
        *,
        lanes: int = 2,
        poll_seconds: float = 0.5,
        beat_seconds: float = 1.0,
        silent_seconds: float = SILENT_SECONDS,
        grace_seconds: float = 5.0,
        ended: Callable[[], None] = lambda: None,
    ):
        self.annotations = annotations
        self._ended = ended
        self.owner = new_owner()
        self._kinds = {kind.name: kind for kind in kinds}
        self._lanes = lanes
        self._poll_seconds = poll_seconds
        self._beat_seconds = beat_seconds
        self._silent_seconds = silent_seconds
        self._grace_seconds = grace_seconds
        self._closing = threading.Event()
        self._wake = threading.Condition()
        self._n_submitted = 0
        self._threads: list[threading.Thread] = []
        self._recovered_at = 0.0

    # In the background ---------------------------------------------------------------------------

    def start(self) -> "JobRunner":
        """Recover the jobs of dead processes and begin to work. Returns at once."""
        if not self._threads and not self.annotations.read_only:
            for lane in range(self._lanes):
                name = f"jobs-lane-{lane}"
                self._threads.append(
                    threading.Thread(target=self._lane, args=(lane,), name=name, daemon=True)
                )
            for thread in self._threads:
                thread.start()
        return self

    def close(self) -> None:
        """Stop working. What is running goes back to the queue, for the next runner to continue."""
        self._closing.set()
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def __enter__(self) -> "JobRunner":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(
        self,
        kind: str,
        payload: Mapping[str, Any],
        items: Iterable[Any] = (None,),
        *,
        label: str = "",
        priority: int = 0,
    ) -> Job:
        """Queue a job and wake a lane. Returns the same work's job when that is queued or running already.

        Raises UnknownName for a kind that this runner does not know, StoreReadOnly.
        """
        self._check(kind)
        job, _ = self.annotations.jobs.submit(kind, payload, items, label=label, priority=priority)
        self.wake()
        return job

    def submit_all(self, jobs: Sequence[NewJob], records: Sequence[Record] = ()) -> list[Job]:
        """`JobTable.submit_all`, and wake a lane. Raises as `submit` does, and then stores nothing."""
        for job in jobs:
            self._check(job.kind)
        queued = self.annotations.jobs.submit_all(jobs, records)
        self.wake()
        return queued

    def retry(self, job_id: str, payload: Mapping[str, Any] | None = None) -> Job:
        """`JobTable.retry`, and wake a lane."""
        job = self.annotations.jobs.retry(job_id, payload)
        self.wake()
        return job

    def wake(self) -> None:
        """Look into the queue now."""
        with self._wake:
            self._n_submitted += 1
            self._wake.notify_all()

    def _lane(self, lane: int) -> None:
        reserved = lane > 0 and lane == self._lanes - 1
        while not self._closing.is_set():
            with self._wake:
                seen = self._n_submitted
            try:
                claim = self._next(min_priority=1 if reserved else None, recover=lane == 0)
                if claim is not None:
                    self._execute(claim)
                    continue
            except StoreError as error:
                logger.warning("jobs: %s", error)
            except Exception:
                logger.exception("jobs: a lane goes on after a bug")
            with self._wake:
                if seen == self._n_submitted and not self._closing.is_set():
                    self._wake.wait(self._poll_seconds)

    def _next(self, *, min_priority: int | None, recover: bool) -> Claim | None:
        jobs, kinds = self.annotations.jobs, list(self._kinds)
        if not jobs.has_work(kinds):
            return None
        if recover and time.monotonic() - self._recovered_at > min(5.0, self._silent_seconds):
            self._recovered_at = time.monotonic()
            self._recover()
        return jobs.claim(self.owner, kinds, min_priority=min_priority)

    def _recover(self) -> None:
        for job in self.annotations.jobs.recover(silent_seconds=self._silent_seconds):
            logger.warning("job %s (%s) was left by a process that died", job.id, job.label)

    def _execute(self, claim: Claim, watch: Callable[[Job], None] = _ignore) -> Job | None:
        execution = Execution(
            self.annotations.jobs,
            claim,
            self._kinds[claim.job.kind],
            closing=self._closing,
            beat_seconds=self._beat_seconds,
            grace_seconds=self._grace_seconds,
            on_progress=None if watch is _ignore else watch,
        )
        try:
            return execution.run()
        except StoreError as error:
            # Nothing can be written now. Keep the claim alive for others to see, and end it when writing works again.
            logger.error("job %s stopped: %s", claim.job.id, error)
            self._end_later(claim, Failure.of(error))
            raise
        finally:
            self._ended()

    def _end_later(self, claim: Claim, failure: Failure) -> None:
        for _ in range(3):
            try:
                self.annotations.jobs.finish(claim, state="failed", failure=failure)
                return
            except StoreError:
                self._closing.wait(self._poll_seconds)
            except Exception:
                logger.exception("job %s could not be ended", claim.job.id)
                return

    # In the foreground ---------------------------------------------------------------------------

    def run(
        self,
        kind: str,
        payload: Mapping[str, Any],
        items: Iterable[Any] = (None,),
        *,
        label: str = "",
        priority: int = 0,
        watch: Callable[[Job], None] = _ignore,
    ) -> Job:
        """Submit a job and do it here, in the calling thread; the job at its end. `watch` is told of the job whenever it has
        moved on.

        No other process can take it while this one lives. If the same work is queued or running elsewhere, it is followed to
        its end, and taken over if that process dies. KeyboardInterrupt cancels the job; `retry` continues it.
        """
        self._check(kind)
        jobs = self.annotations.jobs
        job, new = jobs.submit(kind, payload, items, label=label, priority=priority, owner=self.owner)
        if new and (claim := jobs.claim_of(job.id, self.owner)) is not None:
            watch(job)
            self._execute(claim, watch)
        return self.run_job(job.id, watch=watch)

    def run_job(self, job_id: str, *, watch: Callable[[Job], None] = _ignore) -> Job:
        """Do a queued job here, or follow it where it runs; the job at its end."""
        jobs = self.annotations.jobs
        while (job := jobs.get(job_id)).is_active:
            if (claim := jobs.claim(self.owner, list(self._kinds), job_id=job_id)) is not None:
                watch(claim.job)
                self._execute(claim, watch)
                continue
            if job.is_parked:
                raise UserError(
                    f"job {job.id} was queued elsewhere and is waiting for your go-ahead: resume it to run it here."
                )
            if job.state == "queued":
                self._check(job.kind)
            watch(job)
            self._recover()
            time.sleep(self._poll_seconds)
        watch(job)
        return job

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Follow a job that is done elsewhere, to its end or for `timeout` seconds; the job as it is then."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (job := self.annotations.jobs.get(job_id)).is_active:
            if deadline is not None and time.monotonic() >= deadline:
                break
            time.sleep(min(0.02, self._poll_seconds))
        return job

    def _check(self, kind: str) -> None:
        if kind not in self._kinds:
            raise UnknownName("kind of job", kind, list(self._kinds))
