"""Work that a click starts: submit it, wait for what is quick, notice what has arrived, ask again what failed.

All that a click asks for is in the store's queue before the click is answered, also what follows from something not made
yet: the tab can be closed, and the server killed, right after. The session only remembers what to show when it arrives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import uuid4

import streamlit as st

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS
from autointerp.jobs import Job
from autointerp.jobs.kinds import explain_job
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.explain import written_explanation
from autointerp.records import Explanation, Record
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import NewJob
from autointerp.ui.feature.state import TYPED, close_right
from autointerp.ui.shared import components, job_strip, rescoring, services
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.session import LAST_FEATURE
from autointerp.ui.shared.state import change, current
from autointerp.ui.shared.text import plain, visible
from autointerp.ui.shared.versions import load

STARTED = "explanation_jobs"
NEW_VERSION = "explanation_new_version"
ERROR = "explanation_error"
NOTICE = "explanation_notice"
QUICK_SECONDS = 0.9
"""How long a click on work without a language model waits for its end: then the result comes with the answer to the click."""


@dataclass(frozen=True)
class NewVersion:
    """A version that this session made: `new` is to be seen against `old`."""

    coder: str
    latent: int
    new: str
    old: str | None


@dataclass(frozen=True)
class StartedJob:
    """A job that was started for one feature. `shown`: the version that was looked at before."""

    coder: str
    latent: int
    shown: str | None
    created: str = ""


# A click and its message -----------------------------------------------------------------------


def attempt(act: Callable[..., None], *arguments: Any, place: str = "form") -> None:
    """Run what a click asks for; what a user can do wrong becomes a message, see `show_error`."""
    st.session_state.pop(ERROR, None)
    try:
        act(*arguments)
    except UserError as error:
        st.session_state[ERROR] = (place, st.session_state.get(LAST_FEATURE), str(error))


def show_error(place: str = "form") -> None:
    """The message of the last `attempt` at this place, until the next one: it must not come and go while someone types,
    for what stands below it would start anew."""
    error = st.session_state.get(ERROR)
    with st.container():  # always there, for the same reason
        if error and error[:2] == (place, st.session_state.get(LAST_FEATURE)):
            st.error(plain(error[2], 600))


def has_error() -> bool:
    """Whether the last `attempt` came to nothing."""
    return ERROR in st.session_state


def clear_error() -> None:
    st.session_state.pop(ERROR, None)


def say(text: str) -> None:
    """What a click came to, for `show_notice`."""
    st.session_state[NOTICE] = (text, uuid4().hex)


def show_notice() -> None:
    """Say once what a click came to, wherever the page has been scrolled to: the form that was filled in may be far below the
    progress, and new scores may be the same as before."""
    components.notice(*st.session_state.get(NOTICE, ("", "")))


# What clicks start -----------------------------------------------------------------------------


def explain(
    feature: Feature, shown: str | None, options: ExplainOptions, then: Sequence[ScoreOptions]
) -> None:
    """A new version, and its scores. What needs time does not keep the text waiting: those scores follow in a job of their
    own. Raises UserError."""
    fast = [option for option in then if options.needs_llm or rescoring.is_quick(feature.store, option)]
    slow = [option for option in then if option not in fast]
    coder = feature.coder.info.coder
    job = explain_job(coder, [feature.latent], options, fast, later=slow)
    started = _queue(feature.store, [job], StartedJob(coder, feature.latent, shown))
    _settle(feature.store, started, quick=not options.needs_llm and "effect" not in options.entry.needs)


def score(feature: Feature, shown: str | None, ids: Sequence[str], options: Sequence[ScoreOptions]) -> None:
    """New scores of these versions, the quick ones at once. Raises UserError."""
    coder = feature.coder.info.coder
    jobs, quick = rescoring.score_jobs(feature.store, coder, ids, options)
    started = _queue(feature.store, jobs, StartedJob(coder, feature.latent, shown))
    _settle(feature.store, started, quick=quick)


def write(
    feature: Feature, text: str, author: str, parent: str | None, scores: Sequence[ScoreOptions]
) -> None:
    """Store what a person wrote, and score it. Raises UserError."""
    store, coder, latent = feature.store, feature.coder.info.coder, feature.latent
    versions = load(services.annotations(store), coder, latent, None)
    written = written_explanation(store, coder, latent, text, author=author, parent=parent)
    before = parent or (versions.shown.id if versions.shown else None)
    jobs, quick = rescoring.score_jobs(store, coder, [written.id], scores) if scores else ([], False)
    started = _queue(store, jobs, StartedJob(coder, latent, before), [written])
    st.session_state[NEW_VERSION] = NewVersion(coder, latent, written.id, before)
    now = load(services.annotations(store), coder, latent, None).shown
    change(**close_right(), version=None if now and now.id == written.id else written.id, panel=None)
    _settle(store, started, quick=quick)


def _queue(
    store: Store, jobs: Sequence[Mapping[str, Any]], started: StartedJob, records: Sequence[Record] = ()
) -> list[Job]:
    """Queue all of `jobs` at once, and store `records` with them. Raises UserError, and then nothing is queued."""
    runner = services.runner(store)
    if runner is None:
        raise UserError("This app is read-only: nothing can be computed here.")
    queued = runner.submit_all([NewJob(**job, priority=1) for job in jobs], records)
    for job in queued:
        _remember(job, started)
    for job in queued[1:]:
        job_strip.remember(job.id)
    return queued


def _settle(store: Store, queued: Sequence[Job], *, quick: bool) -> None:
    """Wait for the first of the jobs if that is `quick`, and show what it brought or how it is doing."""
    if not queued:
        return
    job, runner = queued[0], services.runner(store)
    if quick and runner is not None:
        job = runner.wait(job.id, timeout=QUICK_SECONDS)
    if job.is_active:
        job_strip.remember(job.id)
        say(f"Started: {visible(job.label)}")
    elif job.state != "done" or job.n_failed:
        job_strip.remember(job.id)
        say(f"Failed: {visible(job.label)}. See below the explanation.")
    else:
        arrived(store, job)
        say(f"Done: {visible(job.label)}")


def _remember(job: Job, started: StartedJob) -> None:
    jobs: dict[str, StartedJob] = st.session_state.setdefault(STARTED, {})
    jobs[job.id] = replace(started, created=job.created)
    while len(jobs) > job_strip.MAX_OWN:
        del jobs[next(iter(jobs))]


def arrived(store: Store, job: Job) -> None:
    """Show what a job of this session brought: the new version, unless the reader has gone on to another feature, and how the
    scores that follow are doing."""
    started = st.session_state.get(STARTED, {}).get(job.id)
    if started is None:
        return
    annotations = services.annotations(store)
    for follower in annotations.jobs.followers(job.id):
        if follower.id not in st.session_state[STARTED]:
            _remember(follower, started)
            job_strip.remember(follower.id)
    versions = load(annotations, started.coder, started.latent, None)
    by_machine = (version for version in versions.explanations if version.explainer != "person")
    new = next(by_machine, None)
    if job.kind != "explain" or new is None or new.created < started.created:
        return
    if new.status != "ok":
        return  # the card says so beside the version that is looked at, and the form is still there to be changed
    st.session_state[NEW_VERSION] = NewVersion(started.coder, started.latent, new.id, started.shown)
    is_typing = current().get("panel") in TYPED
    if st.session_state.get(LAST_FEATURE) == (started.coder, started.latent) and not is_typing:
        is_shown = versions.shown is not None and versions.shown.id == new.id
        change(**close_right(), version=None if is_shown else new.id, panel=None)


def strip(feature: Feature) -> None:
    """Progress of this feature's jobs that this session started."""
    here = (feature.coder.info.coder, feature.latent)
    jobs: dict[str, StartedJob] = st.session_state.get(STARTED, {})
    ids = [job_id for job_id, started in jobs.items() if (started.coder, started.latent) == here]
    if ids:
        job_strip.draw(ids, on_done=lambda job: arrived(feature.store, job), key="explanation_strip")


# From what is recorded back to options ---------------------------------------------------------


def explain_options(explanation: Explanation, llm: LLMOptions | None) -> ExplainOptions:
    """The options that an explanation was made with, asking the model that is chosen now. Raises UserError for one that a
    person wrote."""
    if explanation.explainer == "person":
        raise UserError("A person wrote this version: there is nothing to run again.")
    names = {field.name for field in fields(ExplainOptions)}
    names |= {option.name for option in EXPLAINERS.find(explanation.explainer).options}
    recorded = {name: value for name, value in explanation.config.items() if name in names - {"llm", "extra"}}
    options = ExplainOptions.from_dict({**recorded, "explainer": explanation.explainer})
    return replace(options, llm=llm).check()
