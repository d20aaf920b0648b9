"""Explanations that search by meaning cannot see yet: a few are embedded at once, many by a job, and the page says which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from autointerp.errors import UserError
from autointerp.jobs import Job
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import components, job_strip, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import path_to_type
from autointerp.ui.shared.text import plain

if TYPE_CHECKING:
    from autointerp.embedding import Coverage, StoreEmbedder

STARTED = "embedding_of_explanations"
FEW_CHARACTERS = 8_000
"""Of explanations that a page embeds while it is waited for: some eighty short ones, in a third of a second on two cores, in a
second on busy ones."""
_CHARACTERS_PER_SECOND = 30_000
"""On two cores, with the default embedder."""
_FIRST = 1024
"""Where nothing could be searched, the page looks again once so many have been embedded."""
_LOOK_SECONDS = 1.0


def look(
    annotations: Annotations, embedder: "StoreEmbedder", coders: Sequence[str]
) -> tuple["Coverage", bool]:
    """How many of the shown explanations of `coders` are embedded, and whether the others are few enough for embedding them at
    once: not while a job is at it, which would have to be waited for."""
    from autointerp.embedding import coverage

    covered = coverage(annotations, embedder, coders)
    few = covered.missing > 0 and covered.characters <= FEW_CHARACTERS
    return covered, few and _active(annotations, embedder.name, coders) is None


def draw(
    store: Store, annotations: Annotations, embedder: "StoreEmbedder", coders: Sequence[str], covered: "Coverage"
) -> None:  # fmt: skip
    """What is searched and what is not, and the job that embeds the rest: the first search of a session starts it, later ones
    offer it."""
    job = _active(annotations, embedder.name, coders)
    if not job_strip.writable(store):
        status = _status(embedder.name, covered, job)
        if job is not None:
            st.info(status)
        else:
            st.info(
                f"{status} This app is read-only: search by meaning in an app that can write to the store, or run the "
                "embedding scorer from the command line:"
            )
            scoring = (
                f"autointerp score {path_to_type(store)} {coder} --scorer embedding" for coder in coders
            )
            components.commands(*scoring)
        return
    key = (str(store.path), embedder.name, *sorted(coders))
    started: dict[tuple[str, ...], str] = st.session_state.setdefault(STARTED, {})
    if job is None and key not in started:
        _start(store, embedder.name, coders, key)
        job = _active(annotations, embedder.name, coders)
    elif job is not None:
        started[key] = job.id
    st.info(_status(embedder.name, covered, job))
    if job is None:
        st.button(
            f"Embed {'all' if not covered.embedded else f'the remaining {fmt.count(covered.missing)}'}",
            key="embed_explanations", icon=":material/hub:", on_click=_start, args=(store, embedder.name, coders, key),
        )  # fmt: skip
    if key in started:
        job_strip.draw([started[key]], key="embed_explanations_strip")
    else:
        job_strip.show_message()
    if job is not None and not covered.embedded:
        st.fragment(_look_again, run_every=_LOOK_SECONDS)(annotations, job.id)


def _status(name: str, covered: "Coverage", job: Job | None) -> str:
    if covered.embedded:
        rest = (
            f"the remaining {fmt.count(covered.missing)} are being embedded."
            if job is not None
            else f"the remaining {fmt.count(covered.missing)} are not embedded with {plain(name, 80)} yet."
        )
        return f"Searching **{fmt.count(covered.embedded)} of {fmt.count(covered.total)}** explanations by meaning; {rest}"
    seconds = covered.characters / _CHARACTERS_PER_SECOND
    takes = f" (about {round(seconds / 60)} min on two cores)" if seconds >= 90 else ""
    return (
        f"None of the {fmt.plural(covered.total, 'explanation')} is embedded with {plain(name, 80)} yet, so search by "
        "meaning finds nothing. "
        + (
            f"They are being embedded now{takes}; "
            if job is not None
            else f"They have to be embedded once{takes}; "
        )
        + "search by words works in the meantime."
    )


def _active(annotations: Annotations, name: str, coders: Sequence[str]) -> Job | None:
    """The job that embeds the explanations of all these coders."""
    for job in annotations.jobs.active():
        if (
            job.kind == "embed_explanations"
            and job.payload.get("embedder") == name
            and set(coders) <= set(job.payload.get("coders", ()))
        ):
            return job
    return None


def _start(store: Store, name: str, coders: Sequence[str], key: tuple[str, ...]) -> None:
    from autointerp.jobs.kinds import embed_explanations_job

    runner = services.runner(store)
    if runner is None:
        return
    try:
        # Not before clicks: it takes minutes, and one lane is for those.
        job = runner.submit(**embed_explanations_job(coders, name))
    except UserError as error:
        st.session_state[job_strip.MESSAGE] = str(error)
        return
    st.session_state[STARTED][key] = job.id
    job_strip.remember(job.id)


def _look_again(annotations: Annotations, job_id: str) -> None:
    """The page runs again when there is something to search."""
    if (annotations.jobs.get(job_id).stage_done or 0) > _FIRST:
        st.rerun()
