"""What is computed from several coders, as pages show it: read where it is kept, computed at once where that is quick, else
offered as a job."""

from collections.abc import Sequence

import pyarrow as pa
import streamlit as st

from autointerp.compare import results
from autointerp.errors import UserError
from autointerp.jobs.comparing import compare_job
from autointerp.store import Store
from autointerp.ui.shared import components, job_strip, services
from autointerp.ui.shared.text import plain, sentence


def obtain(
    store: Store, what: str, coders: Sequence[str], parameters: results.Parameters | None = None
) -> pa.Table | None:
    """The result; `None` while it is missing: then a button stands here that queues the job, or its progress. A `UserError`
    says what the coders lack."""
    resources = services.resources(store)
    table = results.known(resources, what, coders, parameters)
    if table is not None:
        return table
    label = results.label(what, coders)
    if results.is_quick(resources, what, coders, parameters):
        with st.spinner(f"{plain(label.capitalize(), 200)}…"):
            return results.obtain(resources, what, coders, parameters)
    _offer(store, what, coders, parameters, label)
    return None


def _offer(
    store: Store, what: str, coders: Sequence[str], parameters: results.Parameters | None, label: str
) -> None:
    runner = services.runner(store)
    if runner is None or not job_strip.writable(store):
        st.info(
            f"To {plain(label, 200)} takes minutes, and this app is read-only. Compute it once where the store can be written:"
        )
        components.commands(f"autointerp compare {store.path} --coders {' '.join(coders)}")
        return
    work = compare_job(what, coders, parameters)
    running = [
        job.id
        for job in services.annotations(store).jobs.active()
        if job.kind == "compare" and job.payload == work["payload"]
    ]
    if not running:
        st.info(f"Not computed yet: {plain(label, 200)}. It is done once and kept.")
        if st.button("Compute", key=f"compute_{what}", icon=":material/play_arrow:"):
            try:
                job_strip.remember(runner.submit(**work).id)
            except UserError as error:
                st.error(sentence(error, 500))
            else:
                st.rerun()
    job_strip.draw(running or None, key=f"compute_{what}_strip")
