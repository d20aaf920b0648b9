"""A job in words and figures, the same in the strip and on the Jobs page. Pure: a job in, plain records out."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from autointerp.errors import UserError
from autointerp.jobs.llm import asked
from autointerp.store.annotations import Job, JobState
from autointerp.ui.shared import format as fmt

Tone = Literal["quiet", "busy", "good", "bad"]

STATES: dict[JobState, tuple[str, str, Tone]] = {
    "preparing": ("○", "preparing", "quiet"),
    "queued": ("○", "waiting", "quiet"),
    "running": ("▶", "running", "busy"),
    "done": ("✓", "done", "good"),
    "failed": ("✕", "failed", "bad"),
    "cancelled": ("–", "cancelled", "quiet"),
}
NO_PRICE = "{n} requests have no price. Set the model's prices in Settings to see the cost of later runs."


def state(job: Job) -> dict[str, str]:
    """Sign, word and tone; a job that was queued elsewhere, was asked to stop, or ended with failures, says so."""
    sign, word, tone = STATES[job.state]
    if job.is_parked:
        sign, word = "‖", "paused"
    elif job.is_active and job.cancel:
        word = "stopping"
    elif job.state == "done" and job.n_failed:
        sign, word, tone = "!", "done, some failed", "bad"
    return {"sign": sign, "word": word, "tone": tone}


def progress(job: Job) -> dict[str, Any]:
    """Shares done and failed (0 to 1) for the bar, and the figures beside it."""
    total = max(job.total, 1)
    over = job.n_done + job.n_failed
    note = stage(job)
    text = f"{fmt.count(over)} of {fmt.count(job.total)}" if job.total else "counting"
    if job.total == 1 and job.state == "running":
        text, note = note or "working", ""
    elif job.n_failed:
        text += f", {fmt.count(job.n_failed)} failed"
    failed = job.n_failed / total
    return {
        "done": max(0.0, job.fraction - failed) if job.total else 0.0,
        "failed": failed,
        "text": text,
        "busy": job.state == "running",
        "note": note,
    }


def stage(job: Job) -> str:
    """What a long item is at: `write corpus 12,000 of 40,000 tokens`; empty where nothing is reported."""
    if job.state != "running" or not job.stage:
        return ""
    amount = (
        f" {fmt.count(job.stage_done)} of {fmt.count(job.stage_total)} {job.stage_unit or ''}"
        if job.stage_total
        else ""
    )
    return f"{job.stage}{amount}".rstrip()


def rate(job: Job) -> str:
    """Items per second, or per minute when slower than one in two seconds."""
    if job.rate is None or not job.rate > 0 or job.state != "running":
        return fmt.NONE
    if job.rate >= 0.5:
        return f"{job.rate:,.1f} / s" if job.rate < 100 else f"{job.rate:,.0f} / s"
    return f"{60 * job.rate:.1f} / min"


def eta(job: Job) -> str:
    """Time left at the present rate."""
    seconds = job.eta_seconds
    return fmt.NONE if seconds is None or not job.n_left else duration(seconds)


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if seconds is None:
        return fmt.NONE
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def cost(job: Job) -> tuple[str, str]:
    """What the job has cost so far and what to know about the figure; unknown prices are shown as unknown, never as 0."""
    if not job.tokens_in and not job.tokens_out and not job.cost:
        return fmt.NONE, "No language model was used"
    if job.n_unpriced:
        note = NO_PRICE.format(n=fmt.count(job.n_unpriced))
        return (f"{fmt.money(job.cost)} + unknown", note) if job.cost else ("unknown", note)
    return fmt.money(job.cost), "In the currency of your prices"


def tokens(job: Job) -> str:
    """Tokens in and out."""
    if not job.tokens_in and not job.tokens_out:
        return fmt.NONE
    return f"{fmt.short_count(job.tokens_in)} + {fmt.short_count(job.tokens_out)}"


def when(stamp: str | None) -> datetime | None:
    """The moment of a stored time (`2026-11-21T14:30:00.123Z`)."""
    try:
        return datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None


def ago(stamp: str | None, now: datetime | None = None) -> str:
    """`just now`, `12 s ago`, `3 min ago`, `2 h ago`, then the date."""
    moment = when(stamp)
    if moment is None:
        return fmt.NONE
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    return moment.strftime("%Y-%m-%d")


def took(job: Job, now: datetime | None = None) -> str:
    """How long it ran, in all its attempts, until now; not what it waited before and between them."""
    if job.ran is None or (not job.ran and job.claimed is None):
        return fmt.NONE
    here = 0.0 if job.claimed is None else (now or datetime.now(UTC)).timestamp() - job.claimed
    return duration(job.ran + max(0.0, here))


_FIXED = {"no_examples", "no_negatives", "no_logits", "no_text", "no_pattern", "repeats_prompt", "undefined"}
"""Kinds of failures that come again whatever is chosen in Settings."""


def retry_helps(job: Job, kinds: Mapping[str, bool]) -> bool:
    """Whether a retry may do something that was not done: items that were not tried, or of which not every failure would come
    again. `kinds`: of its failed items, as `JobQueue.failure_kinds` gives them."""
    if job.n_left or not kinds:
        return bool(job.n_left + job.n_failed)
    try:
        asks = asked(job.payload) is not None  # somebody else can be asked, with other settings
    except UserError:  # of another version
        asks = True
    return any(may or asks or kind != "several" for kind, may in kinds.items() if may or kind not in _FIXED)


def runner(job: Job, machine: str) -> tuple[str, str]:
    """Who runs it, and more about that process. `machine`: this one's name in owners (`job_records.machine`)."""
    if job.is_parked:
        return (
            "nobody",
            "Queued by another user, on another machine or in an earlier version: it waits until you resume it",
        )
    if job.state == "queued":
        return "waiting", "Starts when an app or command is free"
    parts = (job.owner or "").split(" ")
    if not job.is_active or len(parts) != 4:
        return fmt.NONE, ""
    if parts[0] != machine:
        return "another machine", f"process {parts[1]}"
    if parts[1] == str(os.getpid()):
        return "this app", f"process {parts[1]}"
    return "another process", f"process {parts[1]}, such as a command in a terminal"


def first_line(text: str | None, limit: int = 200) -> str:
    """An error on one line."""
    line = " ".join((text or "").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def summary(jobs: Sequence[Job]) -> str:
    """`2 running, 1 waiting, 1 paused`: what is active, for a caption."""
    running, paused = sum(job.state == "running" for job in jobs), sum(job.is_parked for job in jobs)
    waiting = sum(job.is_active for job in jobs) - running - paused
    counts = ((running, "running"), (waiting, "waiting"), (paused, "paused"))
    parts = [f"{n} {word}" for n, word in counts if n]
    return ", ".join(parts) or "idle"
