"""Jobs as rows of a table."""

from dataclasses import replace
from typing import Any

from autointerp.store.annotations import Job
from autointerp.ui.shared import job_strip, job_text
from autointerp.ui.shared.components import Column

BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""How often the page looks: while something runs, and while nothing does (a command may start something at any time)."""

COLUMNS = (
    Column("State", job_text.state, kind="state"),
    Column("Job", job_strip.name, kind="job", cls="what"),
    Column("Progress", job_text.progress, kind="bar"),
    Column("Rate", job_text.rate, num=True, help="Items, over the last 30 s"),
    Column("Left", job_text.eta, num=True, help="At the current rate"),
    Column("Tokens", job_text.tokens, num=True, help="Of language models: prompt + answer"),
    Column("Cost", job_text.cost, num=True, help="So far, in the currency of your prices"),
    Column("Started", lambda job: (job_text.ago(job.started), job.started or "not started"), num=True),
    Column("Took", job_text.took, num=True, help="Since it first started"),
    Column("By", job_strip.who, help="Process that runs it"),
    Column("", job_strip.job_actions, kind="actions", num=True),
)


def record(jobs: list[Job], *, writable: bool, named: bool = True) -> dict[str, Any]:
    """Everything that the table draws. Not `named`: without the column of what the jobs are, which the page's title says."""
    columns = [column for column in COLUMNS if (named or column.kind != "job")]
    if not writable:
        columns[-1] = replace(columns[-1], cell=lambda job: [])
    rows = [
        {"id": job.id, "state": job.state, "cells": [column.cell(job) for column in columns]} for job in jobs
    ]
    return {"columns": [column.head for column in columns], "head": True, "rows": rows}
