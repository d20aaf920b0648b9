"""What `explain` and `score` have in common: do what is not done yet, as jobs, and say how it went.

The same command again goes on: work that a killed process left behind is continued first, then what has no good result of
this very configuration is done. Results are in the store as they come; memory holds ids of items, a page of them at work, and
the results of one commit.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.job_progress import Watch, cost_text, describe_job, job_bars
from autointerp.cli.shared.output import printable, say
from autointerp.errors import AutointerpError, StoreReadOnly, UserError

if TYPE_CHECKING:
    from autointerp.jobs import Job, JobItem
    from autointerp.pipeline.resources import Resources
    from autointerp.store.annotations import Annotations

Item = int | str
POLL_SECONDS = 1.0
_PAGE = 5000
_CAUSES, _NAMED = 10, 10


@dataclass
class Done:
    """What came of a list of items: `already` had a good result before, `left` were not tried. `failures`: causes with how
    many items met them and the first of these; numbers in a cause are left out of the comparison."""

    wanted: int
    already: int = 0
    succeeded: int = 0
    failed: int = 0
    jobs: "list[Job]" = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return max(0, self.wanted - self.already - self.succeeded - self.failed)

    @property
    def stopped(self) -> str | None:
        """Why the work ended before its end, if it did."""
        return next((job.error or job.state for job in self.jobs if job.state != "done" and job.n_left), None)

    @property
    def cost(self) -> float | None:
        """`None` where any part has no price; see `cost_known`."""
        return None if any(job.n_unpriced for job in self.jobs) else self.cost_known

    @property
    def cost_known(self) -> float:
        """Of what has a price."""
        return sum(job.cost for job in self.jobs)

    def as_dict(self) -> dict[str, Any]:
        return {
            "wanted": self.wanted,
            "already": self.already,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "left": self.left,
            "stopped": self.stopped,
            "failures": self.failures,
            "tokens_in": sum(job.tokens_in for job in self.jobs),
            "tokens_out": sum(job.tokens_out for job in self.jobs),
            "cost": self.cost,
            "cost_known": self.cost_known,
            "jobs": [describe_job(job) for job in self.jobs],
        }


@contextmanager
def open_resources(path: Path) -> "Iterator[Resources]":
    """The store and its annotations, opened for writing. Raises StoreError."""
    from autointerp.pipeline.resources import Resources
    from autointerp.store import Store
    from autointerp.store.annotations import Annotations

    store = Store.open(path)
    with Annotations(store.path) as annotations:
        if annotations.read_only:
            raise StoreReadOnly(
                f"nothing can be written to {str(annotations.path)!r}. Check permissions and free disk space."
            )
        yield Resources(store, annotations)


def work_through(
    resources: "Resources",
    items: Sequence[Item],
    make_job: Callable[[Sequence[Any]], Mapping[str, Any]],
    undone: Callable[[Sequence[Any]], Sequence[Any]],
    *,
    redo: bool = False,
) -> Done:
    """Do here, as one job, what `undone` says has no good result of `items` (with `redo`: all of them). Raises
    KeyboardInterrupt with what to do next, and whatever the job's set-up raises."""
    from autointerp.jobs import JobRunner
    from autointerp.jobs.kinds import job_kinds

    before = len(undone(items))
    done = Done(len(items), already=0 if redo else len(items) - before)
    wanted = set(items)
    runner = JobRunner(resources.annotations, job_kinds(resources))
    with watching(resources.annotations) as watch:
        resources.annotations.jobs.recover()
        covered: set[Item] = set()
        for job_id in _unfinished(resources.annotations, make_job(items), wanted):
            say(f"Continuing what an earlier run left unfinished: job {job_id}.")
            covered.update(one.item for one in job_items(resources.annotations, job_id))
            done.jobs.append(runner.run_job(job_id, watch=watch))
        todo = [item for item in (items if redo else undone(items)) if item not in covered]
        if todo:
            done.jobs.append(runner.run(**make_job(todo), watch=watch))
    failed, done.failures = causes(resources.annotations, done.jobs, wanted)
    done.failed = failed
    done.succeeded = sum(job.n_done for job in done.jobs) if redo else before - len(undone(items))
    return done


def run_again(resources: "Resources", job_id: str, payload: Mapping[str, Any] | None = None) -> Done:
    """Continue one job here: what it has not tried, and what failed. `payload`: what it is told from now on."""
    from autointerp.jobs import JobRunner
    from autointerp.jobs.kinds import job_kinds

    table = resources.annotations.jobs
    table.recover()
    before = table.get(job_id)
    if not before.is_active:
        table.retry(job_id, payload)
    runner = JobRunner(resources.annotations, job_kinds(resources))
    with watching(resources.annotations) as watch:
        job = runner.run_job(job_id, watch=watch)
    done = Done(job.total, already=before.n_done, succeeded=job.n_done - before.n_done, jobs=[job])
    done.failed, done.failures = causes(resources.annotations, [job])
    return done


def report(done: Done, what: str) -> str:
    """The counts in a sentence or two, with the commonest causes of failures under them."""
    if done.wanted and done.already == done.wanted:
        return f"nothing to do, all {done.wanted:,} {what} were done before."
    parts = [f"{done.succeeded:,} of {done.wanted:,} {what} done"]
    if done.already:
        parts.append(f"{done.already:,} were done before")
    if done.failed:
        parts.append(f"{done.failed:,} failed")
    if done.left:
        parts.append(f"{done.left:,} not tried")
    tokens = sum(job.tokens_in + job.tokens_out for job in done.jobs)
    if tokens:
        parts += [f"{tokens:,} tokens", cost_text(done.cost_known, unknown=done.cost is None)]
    lines = [", ".join(parts) + "."]
    lines += [f"  {failure['n']:,} x {printable(failure['error'])}" for failure in done.failures]
    return "\n".join(lines)


def check_end(done: Done, store: Path, *, retried: bool = False) -> None:
    """Raises UserError when the work stopped before its end, or when nothing succeeded: now or before, or now of what was
    `retried`."""
    unfinished = [job.id for job in done.jobs if job.n_failed or job.n_left]
    again = (
        f" To go on: the same command again, or autointerp jobs {store} retry {unfinished[-1]}"
        if unfinished
        else ""
    )
    if done.stopped:
        raise UserError(f"stopped with {done.left:,} left: {done.stopped}{again}")
    if done.failed and not done.succeeded and (retried or not done.already):
        raise UserError(f"all {done.failed:,} failed, the first with: {done.failures[0]['error']}{again}")
    if done.failed:
        say(f"The failed ones are recorded with their cause.{again}")


def causes(
    annotations: "Annotations", jobs: "Sequence[Job]", wanted: "set[Item] | None" = None
) -> tuple[int, list[dict[str, Any]]]:
    """How many items failed, and why: alike but for numbers counts as one cause, the commonest first."""
    n, found = 0, dict[str, dict[str, Any]]()
    for job in jobs:
        if not job.n_failed:
            continue
        for one in job_items(annotations, job.id, state="failed"):
            if wanted is not None and one.item not in wanted:
                continue
            n += 1
            error = one.error or "unknown"
            cause = found.setdefault(
                re.sub(r"\d+", "#", error)[:200],
                {
                    "error": error,
                    "error_kind": one.error_kind,
                    "retryable": one.retryable,
                    "n": 0,
                    "items": [],
                },
            )
            cause["n"] += 1
            if len(cause["items"]) < _NAMED:
                cause["items"].append(one.item)
    ranked = sorted(found.values(), key=lambda cause: -cause["n"])
    return n, ranked[:_CAUSES]


def job_items(annotations: "Annotations", job_id: str, **filters: Any) -> "Iterator[JobItem]":
    """All items of a job, a page at a time."""
    offset = 0
    while page := annotations.jobs.items(job_id, limit=_PAGE, offset=offset, **filters):
        yield from page
        offset += len(page)


@contextmanager
def watching(annotations: "Annotations") -> Iterator[Watch]:
    """Shows jobs, also while nothing of them is committed, and says after Ctrl-C what became of the last one."""
    last: list[str] = []
    over = threading.Event()
    lock = threading.Lock()

    with job_bars() as show:

        def watch(job: "Job") -> None:
            with lock:
                last[:] = [job.id]
                show(job)

        def look() -> None:
            while not over.wait(POLL_SECONDS):
                with suppress(AutointerpError):  # a busy file is no reason to stop looking
                    if last and (job := annotations.jobs.get(last[0])).is_active:
                        watch(job)

        poller = threading.Thread(target=look, name="watch-jobs", daemon=True)
        poller.start()
        try:
            yield watch
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(annotations, last)) from None
        finally:
            over.set()
            poller.join()


def _interrupted(annotations: "Annotations", last: Sequence[str]) -> str:
    if not last:
        return ""
    job = annotations.jobs.get(last[0])
    kept = f"Stopped. {job.n_done:,} of {job.total:,} are done and kept"
    failed = f", {job.n_failed:,} failed" if job.n_failed else ""
    return (
        f"\n{kept}{failed}. The same command again goes on from there; so does\n"
        f"  autointerp jobs {annotations.path.parent} retry {job.id}"
    )


def _unfinished(annotations: "Annotations", job: Mapping[str, Any], wanted: set[Item]) -> list[str]:
    """Waiting or running jobs that do the same to some of the same items, oldest first."""
    from autointerp.records import canonical_json

    payload = canonical_json(job["payload"])
    same = [
        one.id
        for one in annotations.jobs.active()
        if one.kind == job["kind"] and one.state != "preparing" and canonical_json(one.payload) == payload
    ]
    return [
        id_
        for id_ in reversed(same)
        if any(one.item in wanted for one in job_items(annotations, id_, state="pending"))
    ]
