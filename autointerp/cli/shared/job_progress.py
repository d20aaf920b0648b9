"""Jobs as a terminal shows them: a bar with rate, time left, failures, tokens and cost; else a plain line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from autointerp.cli.shared.output import printable
from autointerp.cli.shared.progress import PLAIN_INTERVAL_S

if TYPE_CHECKING:
    from autointerp.jobs import Job

Watch = Callable[["Job"], None]


@contextmanager
def job_bars() -> Iterator[Watch]:
    """A callback for `JobRunner.run`, showing the job until the block ends."""
    if sys.stderr.isatty():
        with _rich_bars() as watch:
            yield watch
    else:
        yield PlainJobs(sys.stderr)


@contextmanager
def _rich_bars() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[notes]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def watch(job: "Job") -> None:
            if job.id not in tasks:
                tasks[job.id] = bars.add_task(printable(job.label), total=job.total, notes="")
            notes = ", ".join(job_notes(job))
            done, total, _ = place(job)
            bars.update(tasks[job.id], completed=done, total=total, notes=notes)

        yield watch


class PlainJobs:
    """Lines such as `score 100 explanations of sae: fuzzing: 40 of 100, 1 failed, 4.1/s, about 15 s left, 9,120 tokens, cost
    unknown`: one when a job begins, one every `interval_s`, one at its end."""

    def __init__(self, stream: TextIO, interval_s: float = PLAIN_INTERVAL_S):
        self._stream = stream
        self._interval = interval_s
        self._said: dict[str, float] = {}
        self._ended: set[str] = set()

    def __call__(self, job: "Job") -> None:
        now = time.monotonic()
        ended = not job.is_active
        if job.id in self._ended or (not ended and now - self._said.get(job.id, -1e9) < self._interval):
            return
        self._said[job.id] = now
        if ended:
            self._ended.add(job.id)
        done, total, unit = place(job)
        parts = [f"{done:,} of {total:,}{unit}", *job_notes(job)]
        self._stream.write(f"{printable(job.label)}: {', '.join(parts)}\n")
        self._stream.flush()


def place(job: "Job") -> tuple[int, int, str]:
    """How far it is, of how much, in what: items, or the stage of a single long one."""
    if job.total == 1 and job.n_left and job.stage_total:
        return job.stage_done or 0, job.stage_total, f" {job.stage_unit}" if job.stage_unit else ""
    return job.n_done + job.n_failed, job.total, ""


def job_notes(job: "Job") -> list[str]:
    """What a bar cannot show: failures, rate, time left, tokens, cost."""
    notes = [f"{job.n_failed:,} failed"] if job.n_failed else []
    if job.is_active and job.rate:
        notes.append(f"{job.rate:,.0f}/s" if job.rate >= 10 else f"{job.rate:.2g}/s")
        if job.eta_seconds is not None:
            notes.append(f"about {duration(job.eta_seconds)} left")
    if job.tokens_in or job.tokens_out:
        notes.append(f"{job.tokens_in + job.tokens_out:,} tokens")
        notes.append(cost_text(job.cost, unknown=job.n_unpriced > 0))
    return notes


def cost_text(cost: float | None, *, unknown: bool = False) -> str:
    """`unknown`: a part has no price."""
    if cost is None or (unknown and not cost):
        return "cost unknown (no price set)"
    return f"cost at least {cost:.4g}, a part has no price" if unknown else f"cost {cost:.4g}"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def describe_job(job: "Job", *, interrupted: bool = False) -> dict[str, Any]:
    """A job in JSON. `cost` is `None` where any part has no price, and `cost_known` is of what has one; `unpriced` counts items
    with an unknown part."""
    return {
        "id": job.id,
        "kind": job.kind,
        "label": job.label,
        "state": "interrupted" if interrupted else job.state,
        "total": job.total,
        "done": job.n_done,
        "failed": job.n_failed,
        "left": job.n_left,
        "rate": job.rate,
        "eta_seconds": job.eta_seconds,
        "tokens_in": job.tokens_in,
        "tokens_out": job.tokens_out,
        "cost": None if job.n_unpriced else job.cost,
        "cost_known": job.cost,
        "unpriced": job.n_unpriced,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "error": job.error,
        "error_kind": job.error_kind,
        "retryable": job.retryable,
    }
