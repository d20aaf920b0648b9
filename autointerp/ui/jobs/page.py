"""The Jobs page: everything that runs, waits or ran on this store, in any process, and a form that starts more."""

import streamlit as st

from autointerp.errors import UnknownName
from autointerp.store import Store
from autointerp.store.annotations import Job
from autointerp.ui.jobs import batch_form, details
from autointerp.ui.jobs.state import SHOWS, JobsState
from autointerp.ui.jobs.table import BUSY_SECONDS, IDLE_SECONDS, record
from autointerp.ui.shared import components, job_strip, job_text, keyboard, list_walk, roles, services
from autointerp.ui.shared.session import PAGE_BEFORE, heading, messages, open_store
from autointerp.ui.shared.state import change, choose, current, pager

KEY = "jobs"
_HELD = "jobs_held"
PAGE_SIZE = 25
MAX_ACTIVE = 100


def draw() -> None:
    """The page."""
    with messages(), keyboard.listening():
        store = open_store()
        state = JobsState.parse(current())
        if state.job is not None:
            details.page(store, state)
            return
        if st.session_state.get(PAGE_BEFORE) != "jobs":
            st.session_state.pop(_HELD, None)
        may = job_strip.writable(store)
        with st.container(horizontal=True, vertical_alignment="center"):
            heading("Jobs", width="stretch")
            if may:
                _form_button(state)
        if may and state.new:
            with st.container(border=True):
                batch_form.draw(store)
        elif not may:
            st.caption(
                f"{roles.CANNOT} Jobs are started and stopped by the owner."
                if not roles.is_owner()
                else "This store is read-only: jobs can be viewed, not started or stopped."
            )
        busy = _busy(store)
        st.fragment(_table, run_every=BUSY_SECONDS if busy else IDLE_SECONDS)(store, busy)


def _busy(store: Store) -> bool:
    return bool(services.annotations(store).jobs.recent(states=SHOWS["active"][1], limit=1))


def _form_button(state: JobsState) -> None:
    if state.new:
        st.button(
            "Close form",
            key="close_batch",
            icon=":material/close:",
            on_click=change,
            kwargs={"new": None, **list_walk.RESET},
        )
    else:
        st.button(
            "New batch", key="new_batch", icon=":material/add:", on_click=change, kwargs={"new": 1}
        )  # fmt: skip


def _table(store: Store, busy: bool) -> None:
    with messages():
        state = JobsState.parse(current())
        top, ended, more = _listed(store, state)
        if _busy(store) != busy:
            st.rerun()  # to look more, or less, often
        shows = {name: label for name, (label, _) in SHOWS.items()}
        with st.container(horizontal=True, vertical_alignment="center"):
            choose(st.segmented_control, "Which jobs", shows, "show", state.show, "all", reset=("page",))
            if active := [job for job in top if job.is_active]:
                st.caption(job_text.summary(active))
        rows = top + ended
        if not rows:
            _empty(store, state)
            return
        may = job_strip.writable(store)
        sent = components.jobs(record(rows, writable=may), key=KEY, on_act=lambda: job_strip.act(store, KEY))
        if sent and sent["act"] == "open":
            change(job=str(sent["id"]), new=None)
            st.rerun()
        job_strip.show_message()
        pager("page", state.page, more=more, names=("Newer", "Older"))


def _listed(store: Store, state: JobsState) -> tuple[list[Job], list[Job], bool]:
    """On the first page active jobs (running before waiting) and those that ended while they were looked at; then ended ones,
    and whether older ones follow."""
    table = services.annotations(store).jobs
    states = SHOWS[state.show][1]
    top: list[Job] = []
    if state.page == 1 and state.show in ("all", "active"):
        active = sorted(table.recent(states=SHOWS["active"][1]), key=lambda job: job.state != "running")
        top = _held(store, state.show, active)
    if state.show == "active":
        return top, [], False
    ended = states or ("done", "failed", "cancelled")
    jobs = table.recent(states=ended, limit=PAGE_SIZE + 1, offset=PAGE_SIZE * (state.page - 1))
    known = {job.id for job in top}
    return top, [job for job in jobs[:PAGE_SIZE] if job.id not in known], len(jobs) > PAGE_SIZE


def _held(store: Store, show: str, active: list[Job]) -> list[Job]:
    """The active jobs in an order that stays while they are looked at, an ended one in its place until the page is left: no
    row, and no button, moves under the pointer."""
    shown, held = st.session_state.get(_HELD, (show, []))
    now = {job.id: job for job in active}
    rows = []
    for job_id in held if shown == show else ():
        try:
            rows.append(now.pop(job_id, None) or services.annotations(store).jobs.get(job_id))
        except UnknownName:  # removed meanwhile
            continue
    rows += now.values()
    st.session_state[_HELD] = (show, [job.id for job in rows])
    return rows


def _empty(store: Store, state: JobsState) -> None:
    if state.page > 1:
        st.info("No older jobs.")
        st.button("To the newest", on_click=change, kwargs={"page": None})
        return
    if state.show != "all":
        st.info(f"No jobs: {SHOWS[state.show][0].lower()}.")
        return
    if not job_strip.writable(store):
        st.info("No jobs yet.")
        return
    coders = store.coders()
    name = coders[0].coder if coders else "CODER"
    st.info("No jobs yet. Start one with New batch, from a Feature page, or from the command line:")
    components.commands(
        f"autointerp explain {store.path} {name} --explainer pattern",
        f"autointerp score {store.path} {name} --scorer detection",
    )
