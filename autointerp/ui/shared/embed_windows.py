"""The button that embeds every window of a store, for search by meaning and scores that need the vectors."""

import streamlit as st

from autointerp.errors import UserError
from autointerp.store import Store
from autointerp.ui.shared import job_strip, services
from autointerp.ui.shared.text import sentence


def embed_windows(store: Store, name: str) -> None:
    """The button, or the progress of a job that is at it; nothing where the app cannot write."""
    runner = services.runner(store)
    if runner is None or not job_strip.writable(store):
        return
    running = [job.id for job in services.annotations(store).jobs.active() if job.kind == "embed"]
    if not running and st.button(
        "Embed all windows",
        key="embed_windows",
        icon=":material/hub:",
    ):
        from autointerp.jobs.kinds import embed_job

        try:
            # Not before clicks: it takes minutes, and one lane is for those.
            job_strip.remember(runner.submit(**embed_job(name)).id)
        except UserError as error:
            st.error(sentence(error, 500))
        else:
            st.rerun()
    job_strip.draw(running or None, key="embed_strip")
