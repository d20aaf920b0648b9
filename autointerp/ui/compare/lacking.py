"""Scores that a comparison lacks, and the jobs and commands that supply them."""

import streamlit as st

from autointerp.compare.price import Price
from autointerp.compare.supply import Supply, supplies
from autointerp.errors import UserError
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job, score_job
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.ui.shared import components, job_strip, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import path_to_type
from autointerp.ui.shared.text import plain


def draw(store: Store, resources: Resources, answer: Price) -> None:
    """One line and one button a coder; nothing where nothing is missing."""
    if answer.kind is None:
        st.info(
            "Explain and score some features of each coder first, on the Jobs page or from a terminal. No language model is "
            "needed:"
        )
        components.commands(
            *(
                line
                for side in answer.sides
                for line in (
                    f"autointerp explain {path_to_type(store)} {side.coder} --explainer pattern",
                    f"autointerp score {path_to_type(store)} {side.coder} --scorer detection fuzzing",
                )
            )
        )
        st.page_link("pages/jobs.py", label="Jobs", icon=":material/pending_actions:")
    for supply in supplies(resources, answer):
        _one(store, supply)
    job_strip.draw(key="price_strip")
    job_strip.show_message()


def _one(store: Store, supply: Supply) -> None:
    named = plain(supply.coder)
    if not supply.explain and not supply.score:
        st.caption(f"{named} has {fmt.count(supply.n_scored)} such scores and no feature left to explain.")
        return
    st.info(
        f"{named} has {fmt.count(supply.n_scored)} scores in this configuration; {fmt.count(supply.wanted)} are wanted."
    )
    runner = services.runner(store)
    known = supply.explaining is not None and supply.scoring is not None
    if runner is None or not job_strip.writable(store) or not known or supply.asks_llm:
        # What a language model is asked costs something: the Jobs page says how much before.
        if commands := supply.commands(path_to_type(store)):
            components.commands(*commands)
        st.page_link("pages/jobs.py", label="Jobs", icon=":material/pending_actions:")
        return
    n = len(supply.explain) + len(supply.score)
    st.button(
        f"Explain and score {fmt.count(n)} features of {named}", key=f"supply_{supply.coder}", icon=":material/play_arrow:",
        on_click=_start, args=(runner, supply),
    )  # fmt: skip


def _start(runner: JobRunner, supply: Supply) -> None:
    try:
        for work in _jobs(supply):
            job_strip.remember(runner.submit(**work).id)
    except UserError as error:
        st.session_state[job_strip.MESSAGE] = str(error)


def _jobs(supply: Supply) -> list[dict]:
    assert supply.explaining is not None
    assert supply.scoring is not None
    jobs = []
    if supply.explain:
        jobs.append(explain_job(supply.coder, supply.explain, supply.explaining, [supply.scoring]))
    if supply.score:
        jobs.append(score_job(supply.coder, supply.score, [supply.scoring]))
    return jobs
