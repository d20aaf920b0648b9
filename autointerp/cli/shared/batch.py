"""What `explain` and `score` have in common: do what is not done yet, as jobs, and report the outcome.

The same command again continues: first the work that a killed process left behind, then whatever has no good result with this
exact configuration. Results are stored as they come; memory holds the ids of the items, a page of items and the results of one
commit.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.jobs import cost_text, describe_job, job_report
from autointerp.cli.shared.output import printable, say
from autointerp.cli.shared.progress import reports
from autointerp.errors import AutointerpError, StoreReadOnly, UserError

if TYPE_CHECKING:
    from autointerp.explain.options import ExplainOptions
    from autointerp.jobs import Job, JobItem, JobRunner
    from autointerp.jobs.on_ray.workers import Spread
    from autointerp.pipeline.resources import Resources
    from autointerp.score.options import ScoreOptions
    from autointerp.store.annotations import Annotations

Item = int | str
Watch = Callable[["Job"], None]
POLL_SECONDS = 1.0
PAGE = 5000
_CAUSES, _NAMED = 10, 10


@dataclass
class Done:
    """The outcome for a list of items: `already` had a good result before, `left` were not tried. `failures`: causes, each with
    the number of items it stopped and the first of these; causes that differ only in numbers are one."""

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
        """Why the work ended early, if it did."""
        return next((job.error or job.state for job in self.jobs if job.state != "done" and job.n_left), None)

    @property
    def cost(self) -> float | None:
        """`None` where part of it has no price; see `cost_known`."""
        return None if any(job.n_unpriced for job in self.jobs) else self.cost_known

    @property
    def cost_known(self) -> float:
        """The sum of what has a price."""
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
                f"{str(annotations.path)!r} cannot be written. Check permissions and free disk space."
            )
        yield Resources(store, annotations)


def chosen_latents(
    resources: "Resources", coder: str, listed: str | None, collection: str | None
) -> list[int] | None:
    """Those `listed` as numbers and ranges, or the live ones of a collection; `None` without either. Raises UserError."""
    from autointerp.pipeline.pending import live_latents, parse_latents

    known = resources.store.coder(coder)
    if listed is not None and collection is not None:
        raise UserError("--latents and --collection both choose latents: give only one of them.")
    if collection is None:
        return None if listed is None else parse_latents(listed, known)
    resources.annotations.collections.get(collection)
    members = set(resources.annotations.collections.latents(collection).get(coder, []))
    latents = [latent for latent in live_latents(resources.store, coder) if latent in members]
    if not latents:
        raise UserError(f"The collection {collection!r} has no latents of {coder!r} that fire.")
    return latents


def job_runner(resources: "Resources", spread: "Spread | None" = None) -> "JobRunner":
    """Runs jobs in this process, one at a time; with `spread`, explaining and scoring on a cluster."""
    from autointerp.jobs import JobRunner
    from autointerp.jobs.kinds import job_kinds

    if spread is None:
        return JobRunner(resources.annotations, job_kinds(resources))
    from autointerp.jobs.on_ray.workers import spread_kinds

    return JobRunner(resources.annotations, spread_kinds(resources, spread))


def _work_through(
    resources: "Resources",
    items: Sequence[Item],
    make_job: Callable[[Sequence[Any]], Mapping[str, Any]],
    undone: Callable[[Sequence[Any]], Sequence[Any]],
    *,
    redo: bool = False,
    quiet: bool = False,
    spread: "Spread | None" = None,
) -> Done:
    """Do from this process, as one job, those of `items` that have no good result according to `undone` (with `redo`: all).
    `quiet`: without a bar. Raises KeyboardInterrupt with how to continue, and whatever the set-up of the job raises."""
    before = len(undone(items))
    done = Done(len(items), already=0 if redo else len(items) - before)
    wanted = set(items)
    runner = job_runner(resources, spread)
    with watching(resources.annotations, quiet=quiet) as watch:
        resources.annotations.jobs.recover()
        covered: set[Item] = set()
        for job_id in _unfinished(resources.annotations, make_job(items), wanted):
            if not quiet:
                say(f"Continuing unfinished job {job_id}.")
            covered.update(item.item for item in job_items(resources.annotations, job_id))
            done.jobs.append(runner.run_job(job_id, watch=watch))
        todo = [item for item in (items if redo else undone(items)) if item not in covered]
        if todo:
            done.jobs.append(runner.run(**make_job(todo), watch=watch))
    done.failed, done.failures = causes(resources.annotations, done.jobs, wanted)
    done.succeeded = sum(job.n_done for job in done.jobs) if redo else before - len(undone(items))
    return done


def explain_latents(
    resources: "Resources",
    coder: str,
    latents: Sequence[int],
    options: "ExplainOptions",
    *,
    redo: bool = False,
    quiet: bool = False,
    spread: "Spread | None" = None,
) -> Done:
    """Explain, as one job, the latents without a good explanation of this configuration; see `_work_through`."""
    from autointerp.jobs.kinds import explain_job
    from autointerp.pipeline.pending import unexplained

    return _work_through(
        resources,
        latents,
        lambda items: explain_job(coder, items, options),
        lambda items: unexplained(resources.annotations, coder, items, options),
        redo=redo,
        quiet=quiet,
        spread=spread,
    )


def score_explanations(
    resources: "Resources",
    coder: str,
    ids: Sequence[str],
    scorers: "Sequence[ScoreOptions]",
    *,
    redo: bool = False,
    quiet: bool = False,
    spread: "Spread | None" = None,
) -> Done:
    """Score, as one job, the explanations without a good score by one of `scorers`; see `_work_through`."""
    from autointerp.jobs.kinds import score_job
    from autointerp.pipeline.pending import unscored

    return _work_through(
        resources,
        ids,
        lambda items: score_job(coder, items, scorers),
        lambda items: unscored(resources.annotations, coder, items, scorers),
        redo=redo,
        quiet=quiet,
        spread=spread,
    )


def embed_windows(resources: "Resources", options: "ScoreOptions", *, quiet: bool = False) -> None:
    """Raises UserError when it fails."""
    from autointerp.jobs.kinds import embed_job

    with watching(resources.annotations, quiet=quiet) as watch:
        job = job_runner(resources).run(**embed_job(options.embedder, options.window), watch=watch)
    if job.state != "done":
        raise UserError(f"the windows could not be embedded: {job.error or job.state}")


def run_again(resources: "Resources", job_id: str, payload: Mapping[str, Any] | None = None) -> Done:
    """Continue a job in this process: what it has not tried, and what failed. `payload`: its new settings, if they change."""
    from autointerp.jobs.llm import asked
    from autointerp.preferences import name_server

    table = resources.annotations.jobs
    table.recover()
    before = table.get(job_id)
    with suppress(UserError):
        if (llm := asked(payload or before.payload)) is not None:
            name_server(llm.base_url)  # who retries a job by its id means whom it asks
    if not before.is_active or before.is_parked:
        table.retry(job_id, payload)
    runner = job_runner(resources)
    with watching(resources.annotations) as watch:
        job = runner.run_job(job_id, watch=watch)
    done = Done(job.total, already=before.n_done, succeeded=job.n_done - before.n_done, jobs=[job])
    done.failed, done.failures = causes(resources.annotations, [job])
    return done


def cause_lines(failures: "Sequence[Mapping[str, Any]]") -> list[str]:
    """Causes of failures, as `causes` gives them, each with its number of items."""
    from autointerp.jobs.labels import once

    return [f"  {failure['n']:,} x {printable(once(failure['error']))}" for failure in failures]


def report(done: Done, what: str) -> str:
    """The counts in a sentence, with the commonest causes of failures under it."""
    if done.wanted and done.already == done.wanted:
        return f"nothing to do: all {done.wanted:,} {what} are done with this exact configuration."
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
    return "\n".join([*lines, *cause_lines(done.failures)])


def check_end(done: Done, store: Path, *, retried: bool = False) -> None:
    """Raises UserError when the work stopped early, or when nothing succeeded: now or before, or, when `retried`, now."""
    unfinished = [job.id for job in done.jobs if job.n_failed or job.n_left]
    again = (
        f" To continue, run the same command again, or: autointerp jobs {store} retry {unfinished[-1]}"
        if unfinished
        else ""
    )
    if done.stopped:
        raise UserError(f"stopped with {done.left:,} left: {done.stopped}{again}")
    if done.failed and not done.succeeded and (retried or not done.already):
        raise UserError(f"all {done.failed:,} failed, the first with: {done.failures[0]['error']}{again}")
    if done.failed:
        say(f"Failures are recorded with their cause.{again}")


def causes(
    annotations: "Annotations", jobs: "Sequence[Job]", wanted: "set[Item] | None" = None
) -> tuple[int, list[dict[str, Any]]]:
    """How many items failed, and why: causes that differ only in numbers and ids are one, the commonest first."""
    from autointerp.jobs.labels import cause_of

    n, by_text = 0, dict[str, dict[str, Any]]()
    failed = (item for job in jobs if job.n_failed for item in job_items(annotations, job.id, state="failed"))
    for item in failed:
        if wanted is not None and item.item not in wanted:
            continue
        n += 1
        error = item.error or "unknown"
        first = {
            "error": error,
            "error_kind": item.error_kind,
            "retryable": item.retryable,
            "n": 0,
            "items": [],
        }
        cause = by_text.setdefault(cause_of(error), first)
        cause["n"] += 1
        if len(cause["items"]) < _NAMED:
            cause["items"].append(item.item)
    return n, sorted(by_text.values(), key=lambda cause: -cause["n"])[:_CAUSES]


def job_items(annotations: "Annotations", job_id: str, **filters: Any) -> "Iterator[JobItem]":
    """All items of a job, a page at a time."""
    offset = 0
    while page := annotations.jobs.items(job_id, limit=PAGE, offset=offset, **filters):
        yield from page
        offset += len(page)


@contextmanager
def watching(annotations: "Annotations", *, quiet: bool = False) -> Iterator[Watch]:
    """Shows jobs, also while they commit nothing, and says after Ctrl-C what became of the last one. `quiet`: does neither."""
    if quiet:
        yield lambda job: None
        return
    last: list[str] = []
    over = threading.Event()
    lock = threading.Lock()

    with reports() as show:

        def watch(job: "Job") -> None:
            with lock:
                last[:] = [job.id]
                show(job_report(job))

        def poll() -> None:
            while not over.wait(POLL_SECONDS):
                with suppress(AutointerpError):  # a busy file is no reason to stop
                    if last and (job := annotations.jobs.get(last[0])).is_active:
                        watch(job)

        poller = threading.Thread(target=poll, name="watch-jobs", daemon=True)
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
    failed = f", {job.n_failed:,} failed" if job.n_failed else ""
    return (
        f"\nStopped. {job.n_done:,} of {job.total:,} are done and kept{failed}. To continue, run the same command again, or:\n"
        f"  autointerp jobs {annotations.path.parent} retry {job.id}"
    )


def _unfinished(annotations: "Annotations", job: Mapping[str, Any], wanted: set[Item]) -> list[str]:
    """Waiting or running jobs that do the same to some of the same items, oldest first."""
    from autointerp.records import canonical_json

    payload = canonical_json(job["payload"])
    return [
        active.id
        for active in reversed(annotations.jobs.active())
        if active.kind == job["kind"]
        and active.state != "preparing"
        and canonical_json(active.payload) == payload
        and any(item.item in wanted for item in job_items(annotations, active.id, state="pending"))
    ]
