"""Jobs as rows of a table."""

from typing import Any

from autointerp.store.annotations import Job
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import job_strip, job_text
from autointerp.ui.shared.components import Column

BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""How often the page looks: while something runs, and while nothing does (a command may start something at any time)."""

COLUMNS = (
    Column("State", job_text.state, kind="state"),
    Column("Job", job_strip.name, kind="job", cls="what"),
    Column("Progress", job_text.progress, kind="bar"),
    Column("Rate", job_text.rate, num=True, help="Over the last 30 s or 10 items, whichever is longer"),
    Column("Left", job_text.eta, num=True, help="At the current rate"),
    Column("Tokens", job_text.tokens, num=True, help="Of language models: prompt + answer"),
    Column("Cost", job_text.cost, num=True, help="So far, in the currency of your prices"),
    Column("Started", lambda job: (job_text.ago(job.started), job.started or "not started"), num=True),
    Column("Took", job_text.took, num=True, help="Total running time over all attempts"),
    Column("By", job_strip.who, help="Process that runs it"),
    Column("", lambda job: job_strip.job_actions(job, job_strip.failures(job)), kind="actions", num=True),
)


def record(jobs: list[Job], *, writable: bool, named: bool = True) -> dict[str, Any]:
    """Everything that the table draws. Not `named`: without the column of what the jobs are, which the page's title says."""
    columns = [column for column in COLUMNS if (named or column.kind != "job")]
    if not writable:
        columns.pop()
    cells = [[column.cell(job) for job in jobs] for column in columns]
    # What no job has is left out.
    kept = [place for place, column in enumerate(columns) if not all(map(_blank, cells[place]))]
    rows = [
        {"id": job.id, "state": job.state, "cells": [cells[place][row] for place in kept]}
        for row, job in enumerate(jobs)
    ]
    return {"columns": [columns[place].head for place in kept], "head": True, "rows": rows}


def _blank(cell: Any) -> bool:
    return cell == [] or (cell[0] if isinstance(cell, tuple) else cell) == fmt.NONE
