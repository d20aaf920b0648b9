"""Work that a click starts: submit it, wait for what is quick, notice what has arrived, ask again what failed.

All that a click asks for is in the store's queue before the click is answered, also what follows from something not made
yet: the tab can be closed, and the server killed, right after. The session only remembers what to show when it arrives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.jobs import Job
from autointerp.jobs.kinds import explain_job, score_job
from autointerp.pipeline.explain import written_explanation
from autointerp.pipeline.options import ExplainOptions, LLMOptions, ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Explanation, NewJob, Record, Score
from autointerp.ui.feature.explanations.data import Known, load
from autointerp.ui.feature.explanations.state import close_right
from autointerp.ui.shared import job_strip, llm_settings, work
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import plain

WATCHED = "explanation_jobs"
NEWS = "explanation_news"
TROUBLE = "explanation_trouble"
TOLD = "explanation_told"
QUICK_SECONDS = 0.9
"""How long a click on work without a language model waits for its end: then the result comes with the answer to the click."""


@dataclass(frozen=True)
class News:
    """What a job of this session brought: `new` is to be seen against `old`."""

    coder: str
    latent: int
    new: str
    old: str | None


@dataclass(frozen=True)
class Watched:
    """A job that was started for one feature. `shown`: the version that was looked at before."""

    coder: str
    latent: int
    shown: str | None
    created: str = ""


def llm_options() -> LLMOptions | None:
    """The language model chosen in Settings, with this session's key."""
    try:
        return llm_settings.current()
    except UserError:
        return None


def attempt(act: Callable[..., None], *arguments: Any, place: str = "form") -> None:
    """Run what a click asks for; what a user can do wrong becomes a message, see `trouble`."""
    st.session_state.pop(TROUBLE, None)
    try:
        act(*arguments)
    except UserError as error:
        st.session_state[TROUBLE] = (place, st.session_state.get("feature_last"), str(error))


def pressed(label: str, key: str, **look: Any) -> bool:
    """A button whose click is answered in the run, where what was typed just before it counts too. The click is kept in the
    session: a run that starts over before it comes here (a server's first one) does not lose it."""
    flag = f"{key}_pressed"
    st.button(label, key=key, on_click=st.session_state.__setitem__, args=(flag, True), **look)
    return bool(st.session_state.pop(flag, False))


def trouble(place: str = "form") -> None:
    """The message of the last `attempt` at this place, until the next one: it must not come and go while someone types,
    for what stands below it would start anew."""
    told = st.session_state.get(TROUBLE)
    with st.container():  # always there, for the same reason
        if told and told[:2] == (place, st.session_state.get("feature_last")):
            st.error(plain(told[2], 600))


def forget_trouble() -> None:
    st.session_state.pop(TROUBLE, None)


def explain(
    store: Store, coder: str, latent: int, shown: str | None, options: ExplainOptions, then: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    """A new version, and its scores. What needs time does not keep the text waiting: those scores follow in a job of their
    own. Raises UserError."""
    fast = list(then) if options.needs_llm else [one for one in then if is_quick(store, one)]
    slow = [one for one in then if one not in fast]
    job = explain_job(coder, [latent], options, fast, later=slow)
    _settle(store, _queue(store, [job], Watched(coder, latent, shown)), quick=not options.needs_llm)


def score(
    store: Store, coder: str, latent: int, shown: str | None, ids: Sequence[str], options: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    """New scores of these versions, the quick ones at once. Raises UserError."""
    jobs, quick = _score_jobs(store, coder, ids, options)
    _settle(store, _queue(store, jobs, Watched(coder, latent, shown)), quick=quick)


def _score_jobs(
    store: Store, coder: str, ids: Sequence[str], options: Sequence[ScoreOptions]
) -> tuple[list[dict[str, Any]], bool]:
    """One job for what is quick, before one for what is not; whether the first is quick."""
    fast = [one for one in options if is_quick(store, one)]
    slow = [one for one in options if one not in fast]
    parts = [part for part in (fast, slow) if part] or [fast]
    return [score_job(coder, ids, part) for part in parts], bool(fast)


def is_quick(store: Store, options: ScoreOptions) -> bool:
    """Whether a score takes no more than moments: no language model, and no model that has to be loaded first."""
    if options.scorer == "embedding":
        return work.resources(store).has_embedder(options.embedder) and has_embeddings(
            store, options.embedder
        )
    return options.judged and options.judge == "offline"


def _queue(
    store: Store, jobs: Sequence[Mapping[str, Any]], watched: Watched, records: Sequence[Record] = ()
) -> list[Job]:
    """Queue all of `jobs` at once, and store `records` with them. Raises UserError, and then nothing is queued."""
    runner = work.runner(store)
    if runner is None:
        raise UserError("This app is read-only: nothing can be computed here.")
    queued = runner.submit_all([NewJob(**job, priority=1) for job in jobs], records)
    for job in queued:
        _watch(job, watched)
    for job in queued[1:]:
        job_strip.remember(job.id)
    return queued


def _settle(store: Store, queued: Sequence[Job], *, quick: bool) -> None:
    """Wait for the first of the jobs if that is `quick`, and show what it brought or how it is doing."""
    if not queued:
        return
    job, runner = queued[0], work.runner(store)
    if quick and runner is not None:
        job = runner.wait(job.id, timeout=QUICK_SECONDS)
    if job.is_active or job.state != "done" or job.n_failed:
        job_strip.remember(job.id)
        said = "Started" if job.is_active else "Not done"
        st.session_state[TOLD] = f"{said}: {plain(job.label)}. More under the explanation."
    else:
        arrived(store, job)
        st.session_state[TOLD] = f"Done: {plain(job.label)}."


def tell() -> None:
    """Say once what a click came to, wherever the page has been scrolled to: the form that was filled in may be far below the
    progress, and new scores may be the same as before."""
    said = st.session_state.pop(TOLD, None)
    if said:
        st.toast(said)


def _watch(job: Job, watched: Watched) -> None:
    table: dict[str, Watched] = st.session_state.setdefault(WATCHED, {})
    table[job.id] = replace(watched, created=job.created)
    while len(table) > job_strip.MAX_OWN:
        del table[next(iter(table))]


def arrived(store: Store, job: Job) -> None:
    """Show what a job of this session brought: the new version, unless the reader has gone on to another feature, and how the
    scores that follow are doing."""
    watched = st.session_state.get(WATCHED, {}).get(job.id)
    if watched is None:
        return
    for follower in work.annotations(store).jobs.followers(job.id):
        if follower.id not in st.session_state[WATCHED]:
            _watch(follower, watched)
            job_strip.remember(follower.id)
    known = load(work.annotations(store), watched.coder, watched.latent, None)
    made = [one for one in known.versions if one.created >= watched.created and one.explainer != "person"]
    if job.kind != "explain" or not made:
        return
    new = made[0]
    if new.status == "ok":
        st.session_state[NEWS] = News(watched.coder, watched.latent, new.id, watched.shown)
    if st.session_state.get("feature_last") == (watched.coder, watched.latent):
        shown = known.shown is not None and known.shown.id == new.id
        change(**close_right(), version=None if shown else new.id, panel=None)


def strip(store: Store, coder: str, latent: int) -> None:
    """Progress of this feature's jobs that this session started."""
    table: dict[str, Watched] = st.session_state.get(WATCHED, {})
    ids = [job_id for job_id, one in table.items() if (one.coder, one.latent) == (coder, latent)]
    if ids:
        job_strip.draw(ids, on_done=lambda job: arrived(store, job), key="explanation_strip")


def write(
    store: Store, coder: str, latent: int, text: str, author: str, parent: str | None, scores: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    """Store what a person wrote, and score it. Raises UserError."""
    known = load(work.annotations(store), coder, latent, None)
    written = written_explanation(store, coder, latent, text, author=author, parent=parent)
    before = parent or (known.shown.id if known.shown else None)
    jobs, quick = _score_jobs(store, coder, [written.id], scores) if scores else ([], False)
    queued = _queue(store, jobs, Watched(coder, latent, before), [written])
    st.session_state[NEWS] = News(coder, latent, written.id, before)
    change(**close_right(), version=written.id if known.pin else None, panel=None)
    _settle(store, queued, quick=quick)


# From what is recorded back to options -------------------------------------------------------------


def explain_options(explanation: Explanation, llm: LLMOptions | None) -> ExplainOptions:
    """The options that an explanation was made with, asking the model that is chosen now. Raises UserError for one that a
    person wrote."""
    if explanation.explainer == "person":
        raise UserError("A person wrote this version: there is nothing to ask again.")
    known = _fields(ExplainOptions, explanation.config)
    return ExplainOptions(**{**known, "explainer": explanation.explainer, "llm": llm}).check()


def score_options(score: Score, llm: LLMOptions | None) -> ScoreOptions:
    """The options that a score was made with, asking the model that is chosen now. Raises UserError."""
    known = _fields(ScoreOptions, score.config)
    known |= {"scorer": score.scorer, "judge": "llm" if score.judge == "llm" else "offline"}
    known["negatives"] = tuple(known.get("negatives", ("random",)))
    options = ScoreOptions(**known)
    return replace(options, llm=llm if options.needs_llm else None).check()


def _fields(kind: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)} - {"llm", "judge"}
    return {name: value for name, value in config.items() if name in names}


def alike(known: Known, options: Sequence[ScoreOptions]) -> list[ScoreOptions]:
    """`options`, each as the version in sight was scored by that scorer and judge, if it was: so that the new version and the
    old one are judged on the same examples."""
    before = [] if known.current is None else [score for score, _ in known.newest(known.current)]
    found = []
    for one in options:
        same = [
            score
            for score in before
            if (score.scorer, score.judge, score.status) == (one.scorer, one.judge_name, "ok")
        ]
        try:
            found.append(score_options(max(same, key=lambda score: score.created), one.llm) if same else one)
        except UserError:  # made with options that no longer exist
            found.append(one)
    return found


def defaults(store: Store, llm: LLMOptions | None = None) -> list[ScoreOptions]:
    """What “score it too” means unless someone chooses: everything that works without a language model here."""
    found = [ScoreOptions(scorer="detection"), ScoreOptions(scorer="fuzzing")]
    if has_embeddings(store):
        found.append(ScoreOptions(scorer="embedding", embedder=llm_settings.embedder_name()))
    return found


def has_embeddings(store: Store, embedder: str | None = None) -> bool:
    """Whether every window of this store has been embedded, with the one chosen in Settings or this one, so that embedding
    scores take no time."""
    try:
        return store.embeddings(embedder or llm_settings.embedder_name()) is not None
    except UserError:
        return False
