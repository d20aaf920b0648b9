"""Jobs as rows of a table."""

from typing import Any

from autointerp.store.annotations import Job
from autointerp.ui.shared import job_strip, job_text
from autointerp.ui.shared.text import visible

BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""How often the page looks: while something runs, and while nothing does (a command may start something at any time)."""

COLUMNS: list[dict[str, Any]] = [
    {"title": "State", "kind": "state"},
    {"title": "Job", "kind": "job", "cls": "what"},
    {"title": "Progress", "kind": "bar"},
    {"title": "Rate", "num": True, "help": "Items, over the last 30 s"},
    {"title": "Left", "num": True, "help": "At the current rate"},
    {"title": "Tokens", "num": True, "help": "Of language models: prompt + answer"},
    {"title": "Cost", "num": True, "help": "So far, in the currency of your prices"},
    {"title": "Started", "num": True},
    {"title": "Took", "num": True, "help": "Since it first started"},
    {"title": "By", "help": "Process that runs it"},
    {"title": "", "kind": "actions", "num": True},
]


def record(jobs: list[Job], *, writable: bool) -> dict[str, Any]:
    """Everything that the table draws."""
    return {"columns": COLUMNS, "head": True, "rows": [row(job, writable=writable) for job in jobs]}


def row(job: Job, *, writable: bool) -> dict[str, Any]:
    """One job."""
    return {
        "id": job.id,
        "state": job.state,
        "cells": [
            job_text.state(job),
            {
                "label": visible(job.label),
                "href": f"jobs?job={job.id}",
                "note": job_strip.error_note(job),
            },
            job_text.progress(job),
            job_text.rate(job),
            job_text.eta(job),
            job_text.tokens(job),
            list(job_text.cost(job)),
            [job_text.ago(job.started), job.started or "not started"],
            job_text.took(job),
            list(job_strip.who(job)),
            job_strip.job_actions(job) if writable else [],
        ],
    }
