"""What is computed from several coders, as pages show it: read where it is kept, computed at once where that is quick, else
offered as a job."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from autointerp.compare import results
from autointerp.errors import UserError
from autointerp.jobs import Job
from autointerp.jobs.comparing import compare_job
from autointerp.store import Store
from autointerp.ui.shared import components, job_strip, roles, services
from autointerp.ui.shared.session import path_to_type
from autointerp.ui.shared.text import plain

_RECENT = 50
"""Jobs looked through for one that failed."""


def obtain(
    store: Store, what: str, coders: Sequence[str], parameters: results.Parameters | None = None
) -> pa.Table | None:
    """The result; `None` while it is missing: then a button stands here that queues the job, or its progress. A `UserError`
    says what the coders lack."""
    tables = obtain_all(store, what, [coders], parameters)
    return None if tables is None else tables[0]


def obtain_all(
    store: Store, what: str, sets: Sequence[Sequence[str]], parameters: results.Parameters | None = None
) -> list[pa.Table] | None:
    """`obtain` for several sets of coders; a job where more than one is missing."""
    resources = services.resources(store)
    tables = [results.known(resources, what, coders, parameters) for coders in sets]
    missing = [coders for coders, table in zip(sets, tables, strict=True) if table is None]
    if not missing:
        return [table for table in tables if table is not None]
    if len(missing) == 1 and results.is_quick(resources, what, missing[0], parameters):
        with roles.turn(), st.spinner(f"{plain(results.label(what, missing[0]).capitalize(), 200)}…"):
            results.obtain(resources, what, missing[0], parameters)
        return obtain_all(store, what, sets, parameters)
    offer(store, [compare_job(what, *missing, parameters=parameters)])
    return None


def offer(store: Store, works: Sequence[dict[str, Any]]) -> None:
    """A button that queues these jobs of `compare_job`, or the progress of those under way."""
    runner = services.runner(store)
    label = plain(" and ".join(work["label"] for work in works), 200)
    if runner is None or not job_strip.writable(store):
        st.info(
            f"Not computed yet: {label}. This app is read-only; open the store once in an app that can write to it:"
        )
        components.commands(f"autointerp serve {path_to_type(store)}")
        return
    key = f"compute_{works[0]['payload']['what']}"
    jobs = services.annotations(store).jobs
    running = [job.id for job in jobs.active() if any(_does(job, work) for work in works)]
    if not running:
        st.info(f"Not computed yet: {label}. This is done once and the result kept.")
        st.button("Compute", key=key, icon=":material/play_arrow:", on_click=_start, args=(store, works))
    own = st.session_state.get(job_strip.OWN, [])
    ended = [
        job.id
        for job in jobs.recent(limit=_RECENT)
        if job.id in own and any(_does(job, work) for work in works)
    ]
    job_strip.draw(running or ended, key=f"{key}_strip")


def _start(store: Store, works: Sequence[dict[str, Any]]) -> None:
    runner = services.runner(store)
    assert runner is not None
    try:
        for work in works:
            job_strip.remember(runner.submit(**work).id)
    except UserError as error:
        st.session_state[job_strip.MESSAGE] = str(error)


def _does(job: Job, work: dict[str, Any]) -> bool:
    """Whether the job is this one, or was: of several sets, some may be done since."""
    return job.kind == "compare" and job.payload == work["payload"] and job.total >= len(work["items"])
