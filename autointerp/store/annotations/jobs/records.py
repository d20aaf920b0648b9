"""What the queue knows about a job, its rows and back, and the identity of the process that runs it."""

import functools
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from autointerp.errors import Failure
from autointerp.records import Record, new_id

JobState = Literal["preparing", "queued", "running", "done", "failed", "cancelled"]
ItemState = Literal["pending", "done", "failed"]

CANCELLED = Failure("cancelled", "cancelled", retryable=True)
ACTIVE: tuple[JobState, ...] = ("preparing", "queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job at one moment. Counts are of items; `rate` is recent items per second; `heartbeat` in epoch seconds.

    `done` means that every item was tried; `n_failed` of them may have failed. `failed` means that the job itself could
    not go on (`error` says why, `error_kind` in a word, `retryable` whether a retry can help) or that every item failed.

    `ran`: seconds that it ran before the process that holds it took it at `claimed` (epoch seconds), without what it waited;
    `None` where that is unknown, in jobs of earlier releases that were taken more than once or unfinished.

    `own`: whether this user queued it, or resumed it; see `marks`.
    """

    id: str
    kind: str
    label: str
    payload: Mapping[str, Any]
    state: JobState
    priority: int
    total: int
    n_done: int
    n_failed: int
    rate: float | None
    stage: str | None
    stage_done: int | None
    stage_total: int | None
    stage_unit: str | None
    tokens_in: int
    tokens_out: int
    cost: float
    n_unpriced: int
    cancel: bool
    created: str
    started: str | None
    finished: str | None
    owner: str | None
    heartbeat: float | None
    claims: int
    error: str | None
    error_kind: str | None = None
    retryable: bool = False
    ran: float | None = None
    claimed: float | None = None
    own: bool = True

    @property
    def is_parked(self) -> bool:
        """Whether it waits until this user resumes it, for it was queued elsewhere."""
        return self.state == "queued" and not self.own

    @property
    def after(self) -> str | None:
        """The id of the job that this one follows, see `Outcome.follow`."""
        return self.payload.get("after")

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def n_left(self) -> int:
        return self.total - self.n_done - self.n_failed

    @property
    def fraction(self) -> float:
        """Share of the work that is over, 0 to 1; within a single item, of its stage."""
        if not self.total:
            return float(not self.is_active)
        inside = self.stage_done / self.stage_total if self.stage_total and self.stage_done else 0.0
        return (
            self.n_done + self.n_failed + (min(inside, 1.0) if self.total == 1 and self.n_left else 0)
        ) / self.total

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the end at the present rate; `None` when unknown."""
        return self.n_left / self.rate if self.state == "running" and self.rate else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job of a few items, to be queued together with something else; see `JobQueue.submit` for the fields."""

    kind: str
    payload: Mapping[str, Any]
    items: Sequence[Any] = (None,)
    label: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobItem:
    """One item of a job: `item` is what the handler gets, `i` its place from 0."""

    i: int
    item: Any
    state: ItemState
    attempts: int
    error: str | None = None
    error_kind: str | None = None
    retryable: bool = False


class Cause(NamedTuple):
    """Why `n` items failed; `first`: the places `i` of the first ones, at most 20."""

    failure: Failure
    n: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job. It ends when another owner takes the job over: then `number` is behind `jobs.claims`."""

    seq: int
    number: int
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an item came to, or with `JobTable.keep` a part of it. `rows` are stored in the transaction that marks the item as
    done, so they exist exactly once.

    With `failure` the item counts as failed, and its rows (failed explanations, tokens spent) are stored all the same.
    `cost` is `None` when tokens were used at an unknown price. `stop`: why the whole job cannot go on, as `jobs.StopJob` says
    it where there is nothing to keep. `follow`: jobs that are queued in that transaction too, with this job's id as `after` in
    their payload; none when this job was asked to stop.
    """

    rows: Sequence[Record] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    failure: Failure | None = None
    stop: Failure | None = None
    follow: Sequence[NewJob] = ()


_FIELDS = [field.name for field in fields(Job)]
OWN = "mark IS job_mark(id, kind, payload)"
COLUMNS = ", ".join(OWN if name == "own" else name for name in _FIELDS)
SELECT = f"SELECT {COLUMNS} FROM jobs"
_ITEM_COLUMNS = [field.name for field in fields(JobItem)]
SELECT_ITEM = f"SELECT {', '.join(_ITEM_COLUMNS)} FROM job_items"
CLAIM_ENDS = "ran = ran + max(0, coalesce(:end - claimed, 0)), claimed = NULL"
"""In SQL, what the end of a claim sets; `:end` in epoch seconds."""
SELECT_CLAIM = f"SELECT seq, {COLUMNS} FROM jobs"


def to_claim(row: tuple) -> Claim:
    job = to_job(row[1:])
    return Claim(seq=row[0], number=job.claims, job=job)


def to_job(row: tuple) -> Job:
    values = dict(zip(_FIELDS, row, strict=True))
    flags = {name: bool(values[name]) for name in ("cancel", "retryable", "own")}
    return Job(**{**values, **flags, "payload": json.loads(values["payload"])})


def to_item(row: tuple) -> JobItem:
    values = dict(zip(_ITEM_COLUMNS, row, strict=True))
    return JobItem(**{**values, "item": json.loads(values["item"]), "retryable": bool(values["retryable"])})


@functools.cache
def machine() -> str:
    """This machine's name; on Linux with its process namespace, because containers can share a name but not ids."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}{namespace}".replace(" ", "_")


def process_start(pid: int) -> str:
    """When a process started, in a form that tells it from a later one of the same id; "" when the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def new_owner() -> str:
    """A name for one runner in this process."""
    pid = os.getpid()
    return f"{machine()} {pid} {process_start(pid) or '-'} {new_id()}"


def is_dead(owner: str | None, heartbeat: float | None, *, silent_seconds: float) -> bool:
    """Whether an owner will never come back.

    On this machine a process that is gone is dead at once, and one that lives is trusted for ten times longer than usual (the
    machine may have slept). Elsewhere, `silent_seconds` without a heartbeat decide. A mistake costs work done twice, never
    a wrong row: what an owner commits after losing its claim is refused.
    """
    silent = time.time() - (heartbeat or 0.0)
    if silent < -10 * silent_seconds:
        return True  # no clock is that wrong: nobody wrote it
    parts = (owner or "").split(" ")
    if len(parts) != 4:
        return True
    if parts[0] != machine() or not parts[1].isdigit():
        return silent > silent_seconds
    pid = int(parts[1])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it exists and belongs to someone else
    start = process_start(pid)
    if parts[2] != "-" and start and start != parts[2]:
        return True
    return silent > 10 * silent_seconds
