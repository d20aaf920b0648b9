"""Work that a click starts: submit it, wait for what is quick, notice what has arrived, ask again what failed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.jobs import Job
from autointerp.runs import ExplainOptions, LLMOptions, ScoreOptions, explain_job, score_job
from autointerp.store import Store
from autointerp.store.annotations import Explanation, Score
from autointerp.ui import job_strip, work
from autointerp.ui.explanations_data import Known, load
from autointerp.ui.explanations_state import close_right
from autointerp.ui.state import change
from autointerp.ui.text import plain

WATCHED = "explanation_jobs"
NEWS = "explanation_news"
TROUBLE = "explanation_trouble"
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
    """A job that was started for one feature. `shown`: the version that was looked at before; `then`: scores to ask for when
    it brings a new version."""

    coder: str
    latent: int
    shown: str | None
    created: str
    then: tuple[ScoreOptions, ...] = ()


def llm_options() -> LLMOptions | None:
    """The language model chosen in Settings, with this session's key."""
    from autointerp.ui import llm_settings

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
    slow = tuple(one for one in then if one not in fast)
    watched = Watched(coder, latent, shown, "", slow)
    _start(store, explain_job(coder, [latent], options, fast), watched, quick=not options.needs_llm)


def score(
    store: Store, coder: str, latent: int, shown: str | None, ids: Sequence[str], options: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    """New scores of these versions, the quick ones at once. Raises UserError."""
    for one in options:
        one.check()
    fast = [one for one in options if is_quick(store, one)]
    slow = [one for one in options if one not in fast]
    watched = Watched(coder, latent, shown, "")
    if fast or not slow:
        _start(store, score_job(coder, ids, fast), watched, quick=True)
    if slow:
        _start(store, score_job(coder, ids, slow), watched, quick=False)


def is_quick(store: Store, options: ScoreOptions) -> bool:
    """Whether a score takes no more than moments: no language model, and no model that has to be loaded first."""
    if options.scorer == "embedding":
        return work.bench(store).has_embedder(options.embedder) and has_embeddings(store)
    return options.judged and options.judge == "offline"


def _start(store: Store, arguments: Mapping[str, Any], watched: Watched, *, quick: bool) -> None:
    runner = work.runner(store)
    if runner is None:
        raise UserError("This app is read-only: nothing can be computed here.")
    job = runner.submit(**arguments, priority=1)
    table: dict[str, Watched] = st.session_state.setdefault(WATCHED, {})
    table[job.id] = replace(watched, created=job.created)
    while len(table) > job_strip.MAX_OWN:
        del table[next(iter(table))]
    if quick:
        job = runner.wait(job.id, timeout=QUICK_SECONDS)
    if job.is_active or job.state != "done" or job.n_failed:
        job_strip.remember(job.id)
    else:
        arrived(store, job)


def arrived(store: Store, job: Job) -> None:
    """Show what a job of this session brought: the new version, unless the reader has gone on to another feature."""
    watched = st.session_state.get(WATCHED, {}).get(job.id)
    if watched is None:
        return
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
    if new.status == "ok" and watched.then:
        st.session_state[WATCHED][job.id] = replace(watched, then=())
        score(store, watched.coder, watched.latent, watched.shown, [new.id], watched.then)


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
    written = work.bench(store).write(coder, latent, text, author=author, parent=parent)
    before = parent or (known.shown.id if known.shown else None)
    st.session_state[NEWS] = News(coder, latent, written.id, before)
    change(**close_right(), version=written.id if known.pin else None, panel=None)
    if scores:
        score(store, coder, latent, before, [written.id], scores)


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
        found.append(ScoreOptions(scorer="embedding"))
    return found


def has_embeddings(store: Store) -> bool:
    """Whether every window of this store has been embedded, so that embedding scores take no time."""
    find = getattr(store, "embeddings", None)
    try:
        found = find(ScoreOptions().embedder) if find else None
    except UserError:
        return False
    return found is not None and bool(getattr(found, "complete", True))
