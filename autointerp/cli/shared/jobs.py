"""Jobs as commands show them."""

from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.progress import Report, speed

if TYPE_CHECKING:
    from autointerp.jobs import Job

_FIELDS = ("id", "kind", "state", "total", "rate", "eta_seconds", "tokens_in", "tokens_out")
_FIELDS += ("created", "started", "finished", "error", "error_kind", "retryable")


def job_report(job: "Job") -> Report:
    """Items done, or within a single long item the stage it is in."""
    from autointerp.jobs.labels import title

    notes, ended, name = job_notes(job), not job.is_active, title(job)
    if job.total == 1 and job.n_left and job.stage_total:
        unit = job.stage_unit or ""
        return Report(job.id, name, job.stage_done or 0, job.stage_total, unit, notes, ended)
    return Report(job.id, name, job.n_done + job.n_failed, job.total, "", notes, ended)


def job_notes(job: "Job") -> list[str]:
    """Failures, rate, time left, tokens, cost."""
    notes = [f"{job.n_failed:,} failed"] if job.n_failed else []
    if job.is_active:
        notes += speed(job.rate, job.eta_seconds)
    if job.tokens_in or job.tokens_out:
        notes.append(f"{job.tokens_in + job.tokens_out:,} tokens")
        notes.append(cost_text(job.cost, unknown=job.n_unpriced > 0))
    return notes


def cost_text(cost: float | None, *, unknown: bool = False) -> str:
    """`unknown`: part of it has no price."""
    if cost is None or (unknown and not cost):
        return "cost unknown (no price set)"
    return f"cost at least {cost:.4g} (part of it has no price)" if unknown else f"cost {cost:.4g}"


def describe_job(job: "Job", *, interrupted: bool = False) -> dict[str, Any]:
    """A job in JSON. `cost` is `None` where part of it has no price, `cost_known` the sum of what has one; `unpriced` counts
    items with an unknown part."""
    from autointerp.jobs.labels import title

    document = {name: getattr(job, name) for name in _FIELDS} | {"label": title(job)}
    if interrupted:
        document["state"] = "interrupted"
    if job.is_parked:
        document["state"] = "paused"
    return {
        **document,
        "done": job.n_done,
        "failed": job.n_failed,
        "left": job.n_left,
        "cost": None if job.n_unpriced else job.cost,
        "cost_known": job.cost,
        "unpriced": job.n_unpriced,
    }
