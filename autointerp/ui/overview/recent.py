"""What was done last on the store: jobs, and explanations."""

import streamlit as st

from autointerp.errors import StoreError
from autointerp.store import Store
from autointerp.ui.shared import components, job_strip, job_text, services
from autointerp.ui.shared.explanation_cell import written_by
from autointerp.ui.shared.session import messages, open_store
from autointerp.ui.shared.text import beginning, visible

N_RECENT = 6
TALL = 37
"""Pixels of a row, about."""


@st.fragment
def section() -> None:
    """Nothing where annotations cannot be read: the section of scores says so."""
    with messages():
        try:
            _recent(open_store())
        except StoreError:
            return


def _recent(store: Store) -> None:
    """The last jobs and the last explanations."""
    annotations = services.annotations(store)
    jobs, latest = annotations.jobs.recent(limit=N_RECENT), annotations.latest(N_RECENT)
    if not jobs and not latest:
        return
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption("**Recent jobs**")
        if jobs:
            # Without the strip's buttons: here a job is looked at, on its own page it is acted on.
            rows = [job_strip.row(job, writable=False) for job in jobs]
            data = {
                "columns": job_strip.COLUMNS[:-1],
                "head": False,
                "rows": [{**row, "cells": row["cells"][:-1]} for row in rows],
            }
            with components.room(TALL * len(rows)):
                sent = components.jobs(data, key="recent_jobs", on_act=lambda: None)
            if sent and sent["act"] == "open":
                components.go("jobs", {"job": str(sent["id"])})
        else:
            st.caption("None yet.")
    with right:
        st.caption("**Latest explanations**")
        columns = [
            {"title": "Feature", "kind": "link", "cls": "name"},
            {"title": "Explanation", "kind": "explanation"},
            {"title": "Created", "num": True, "cls": "name"},
        ]
        rows = []
        for explanation in latest:
            feature = {"coder": explanation.coder, "latent": explanation.latent}
            cell = {
                "text": beginning(explanation.text, 300) or "(empty)",
                "marks": [visible(written_by(explanation.explainer, explanation.author))],
                "help": explanation.created,
            }
            name = f"{explanation.coder} #{explanation.latent}"
            rows.append({"go": feature, "cells": [name, cell, job_text.ago(explanation.created)]})
        components.links(columns, rows, page="feature", key="latest", tall=TALL)
