"""A slim live strip: how the jobs that this session started are doing, on the page that started them.

    job = services.runner(store).submit(**explain_job(...), priority=1)
    job_strip.remember(job.id)
    ...
    job_strip.draw()             # anywhere on the page, in every run

While something is active the strip looks again by itself; when a watched job ends, the whole page runs once more, to show
what came of it. Then a job that went well is gone from the strip; one that did not stays, with its cause, until dismissed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from autointerp.errors import UnknownName, UserError
from autointerp.jobs import labels
from autointerp.store import Store
from autointerp.store.annotations import Job
from autointerp.store.annotations.jobs.records import machine
from autointerp.ui.shared import components, job_retry, job_text, roles, services
from autointerp.ui.shared.session import open_store, store_path
from autointerp.ui.shared.text import beginning, plain, visible

OWN = "own_jobs"
SEEN_ACTIVE = "seen_active_jobs"
GONE = "dismissed_jobs"
MESSAGE = "jobs_message"
MAX_OWN = 50
MAX_NAME = 200
"""Characters of what a job does."""
FEW_ITEMS = 8
OFTEN_SECONDS = 0.3
SELDOM_SECONDS = 1.0
"""A click's job is over within a second, a batch's in minutes: the page looks as often as that is worth."""

COLUMNS: list[dict[str, Any]] = [
    {"kind": "state"},
    {"kind": "job", "cls": "what"},
    {"kind": "bar"},
    {"kind": "text", "num": True},
    {"kind": "text", "num": True},
    {"kind": "text", "num": True, "title": "Cost"},
    {"kind": "actions", "num": True},
]

OnDone = Callable[[Job], None]


def remember(job_id: str) -> None:
    """This session started that job: `draw` shows it, and the page runs again when it ends."""
    own: list[str] = st.session_state.setdefault(OWN, [])
    if job_id in own:
        own.remove(job_id)
    own.append(job_id)
    del own[:-MAX_OWN]
    _ids(SEEN_ACTIVE).add(job_id)
    _ids(GONE).discard(job_id)


def _ids(name: str) -> set[str]:
    return st.session_state.setdefault(name, set())


def draw(job_ids: Sequence[str] | None = None, *, on_done: OnDone | None = None, key: str = "strip") -> None:
    """The strip of these jobs, or of the session's own; nothing where none is active and none has an outcome to tell.

    `on_done(job)` is called once for each job that ended since the last look, before the page runs again; once, also for
    a job that ended before the first look. `key`: one per strip on a page. Raises `StoreError` where there is no store.
    """
    store = open_store()
    jobs = _watched(store, job_ids)
    if not jobs:
        return
    interval = None
    if any(job.is_active for job in jobs):
        few = all(job.total <= FEW_ITEMS for job in jobs if job.is_active)
        interval = OFTEN_SECONDS if few else SELDOM_SECONDS
    st.fragment(_strip, run_every=interval)(store, job_ids, on_done, key, interval is not None)


def _watched(store: Store, job_ids: Sequence[str] | None) -> list[Job]:
    """The jobs to show: active ones, those whose end is news, and those that did not go well."""
    gone, seen = _ids(GONE), _ids(SEEN_ACTIVE)
    table = services.annotations(store).jobs
    watched = []
    for job_id in st.session_state.get(OWN, []) if job_ids is None else job_ids:
        if job_id in gone:
            continue
        try:
            job = table.get(job_id)
        except UnknownName:  # of another store, or removed
            continue
        if job.is_active or job_id in seen or not _went_well(job):
            watched.append(job)
    return watched


def _went_well(job: Job) -> bool:
    return job.state == "done" and not job.n_failed


def _strip(
    store: Store, job_ids: Sequence[str] | None, on_done: OnDone | None, key: str, polled: bool
) -> None:
    seen = _ids(SEEN_ACTIVE)
    jobs = _watched(store, job_ids)
    ended = False
    for job in jobs:
        if job.is_active:
            seen.add(job.id)
        elif job.id in seen:
            seen.discard(job.id)
            ended = True
            if on_done is not None:
                on_done(job)
    if ended or (not polled and any(job.is_active for job in jobs)):
        st.rerun()
    if jobs:
        sent = components.jobs(record(jobs), key=key, on_act=lambda: act(store, key))
        if sent and sent["act"] == "open":
            components.go("jobs", {"job": str(sent["id"])})
    show_message()


def show_message() -> None:
    """Why what was last asked for could not be done, once."""
    if message := st.session_state.pop(MESSAGE, None):
        st.warning(plain(message, 500))


def act(store: Store, key: str) -> None:
    """What a button of the element asks for, in its callback: cancel, retry or dismiss."""
    sent = components.triggered(key, "act")
    if not isinstance(sent, dict):
        return
    job_id = str(sent.get("id"))
    try:
        if sent.get("act") == "dismiss":
            _ids(GONE).add(job_id)
        elif sent.get("act") == "cancel" and writable(store):
            services.annotations(store).jobs.cancel(job_id)
            services.resources(store).keys.drop_unused()
        elif sent.get("act") == "retry" and writable(store):
            runner = services.runner(store)
            if runner is not None:
                runner.retry(job_id, job_retry.payload(store, services.annotations(store).jobs.get(job_id)))
                remember(job_id)
    except UserError as error:
        st.session_state[MESSAGE] = str(error)


def writable(store: Store) -> bool:
    """Whether this app may start, stop and retry jobs of the store."""
    return roles.is_owner() and not services.annotations(store).read_only


def record(jobs: Sequence[Job]) -> dict[str, Any]:
    """Everything that the strip draws."""
    may = writable(open_store())
    return {"columns": COLUMNS, "head": False, "rows": [row(job, writable=may) for job in jobs]}


def row(job: Job, *, writable: bool) -> dict[str, Any]:
    """One job of the strip."""
    cost, cost_help = job_text.cost(job)
    eta = job_text.eta(job)
    actions = job_actions(job, failures(job)) if writable else []
    if not job.is_active:
        actions.append(("dismiss", "Dismiss", "Hide it here; it stays on the Jobs page"))
    priced = [cost, cost_help] if job.tokens_in or job.tokens_out or job.cost else None
    return {
        "id": job.id,
        "state": job.state,
        "cells": [
            job_text.state(job),
            name(job),
            job_text.progress(job),
            job_text.rate(job) if job.rate and job.state == "running" else None,
            f"{eta} left" if job.eta_seconds and job.n_left else None,
            priced,
            actions,
        ],
    }


def name(job: Job) -> dict[str, str]:
    """What it does, its page, and on one line why it did not go well; nothing for a job that was merely cancelled."""
    failed = not job.is_active and job.error and job.error != job.state
    note = visible(job_text.first_line(labels.once(job.error or ""))) if failed else ""
    return {"label": beginning(labels.title(job), MAX_NAME), "href": f"jobs?job={job.id}", "note": note}


def job_actions(job: Job, failed: Mapping[str, bool]) -> list[tuple[str, ...]]:
    """What can be done with a job in its state (`failed`: its `failures`): (act, label, meaning), and where it has one
    a note beside the button."""
    if job.is_parked:
        whom, note = (visible(text) for text in job_retry.resumed(job))
        return [("retry", "Resume", whom, note), ("cancel", "Cancel", "It will never run")]
    if job.is_active:
        if job.cancel:
            return []
        return [("cancel", "Cancel", "Stop within seconds; finished items are kept")]
    left = job.n_left + job.n_failed
    if not job_text.retry_helps(job, failed):
        return []
    only = job.n_done and job.n_failed
    label = f"Retry {left:,} failed" if only and not job.n_left else "Retry" if not job.n_done else "Continue"
    help_text = f"Runs the {left:,} that failed or were not tried"
    whom, note = (visible(text) for text in job_retry.whom(job.payload, further=job_retry.used_up(job)))
    return [("retry", label, f"{help_text}. {whom}" if whom else help_text, *([note] if note else []))]


def failures(job: Job) -> dict[str, bool]:
    """The kinds of failures of a job that has ended, see `JobQueue.failure_kinds`; asked once for each of its ends."""
    if job.n_left or not job.n_failed:
        return {}
    return _asked_once(str(store_path()), job.id, job.finished, job.n_failed)


@st.cache_data(show_spinner=False, max_entries=1024)
def _asked_once(path: str, job_id: str, finished: str | None, n_failed: int) -> dict[str, bool]:
    return services.annotations(open_store()).jobs.failure_kinds(job_id)


def who(job: Job) -> tuple[str, str]:
    """Who runs it, seen from this process."""
    return job_text.runner(job, machine())
