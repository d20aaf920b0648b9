"""The explanation side of the Feature page: what stands above the statistics, and what takes the place of the contexts.

    known = explanations.read(store, coder, latent)
    explanations.left(store, coder, known)
    if not explanations.right(store, coder, known):
        ...                                    # the contexts, as otherwise

`explanations_state` is its part of the address, `explanations_data` what is read, `explanations_card` the element with text,
scores and versions, `explanations_drill` and `explanations_judged` the judged examples, `explanations_compare` two versions,
`explanations_forms` and `explanations_write` what is asked before work starts (`explanations_choices` what they share),
`explanations_work` the work.
"""

from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from autointerp import settings
from autointerp.errors import UserError
from autointerp.store import CoderStore, Store
from autointerp.ui.feature.explanations import card, data, drill, forms
from autointerp.ui.feature.explanations import compare as explanations_compare
from autointerp.ui.feature.explanations import work as working
from autointerp.ui.feature.explanations import write as explanations_write
from autointerp.ui.feature.explanations.data import Known
from autointerp.ui.feature.explanations.state import PANELS, ExplanationState
from autointerp.ui.shared import components, work
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import change, current
from autointerp.ui.shared.text import sentence

PIN_HELP = "Show this version for the feature, on every page, until another is pinned"
UNPIN_HELP = "Show the newest version again"
KEYS = {"edit": "E", "write": "W", "regenerate": "G", "rescore": "S", "versions": "V"}
"""Streamlit keeps R and C for itself; Left, Right, X and B step through features."""

HELP = {
    "edit": "A new version from this text, with you as its author",
    "write": "Your own explanation",
    "regenerate": "A new version by an explainer: prompt and cost are shown before",
    "rescore": "Score this version: scorers, judge, examples",
    "versions": "All versions: look at one, compare two, pin one",
}


def read(store: Store, coder: CoderStore, latent: int) -> Known:
    """What is known about the feature in the address. Raises StoreError."""
    state = ExplanationState.parse(current())
    annotations = work.annotations(store)
    version = state.version
    if version is None and state.score is not None:
        # A link to a score is a link to the version that it measures.
        score = drill.find(annotations, coder.info.coder, latent, state.score)
        version = score.explanation_id if score else None
    return data.load(annotations, coder.info.coder, latent, version)


def left(store: Store, known: Known, *, dead: bool) -> None:
    """The explanation, its scores, and what can be done about them."""
    state = ExplanationState.parse(current())
    working.tell()
    may_write = _may_write(store)
    if dead and not known.versions:
        return
    card.draw(known, state, explanations_compare.news(store, known))
    _buttons(store, known, state, may_write=may_write)
    # A slot that is there also when it is empty: what stands below must not move, or half-typed text would be lost.
    with st.container():
        if may_write:
            working.strip(store, known.coder, known.latent)
    if state.panel == "versions" and known.current:
        card.draw_versions(known, state)
        _about(store, known)
    if may_write:
        _panel(store, known, state)


def right(store: Store, coder: CoderStore, latent: int, known: Known) -> bool:
    """Judged examples or a comparison, if the address asks for one."""
    state = ExplanationState.parse(current())
    if state.score is not None:
        drill.draw(store, coder, latent, work.annotations(store), state)
    elif state.against is not None:
        explanations_compare.draw(store, known, state, may_write=_may_write(store))
    return state.takes_right_side


def _may_write(store: Store) -> bool:
    return not settings.is_read_only() and not work.annotations(store).read_only


def _buttons(store: Store, known: Known, state: ExplanationState, *, may_write: bool) -> None:
    good = known.current is not None and known.current.status == "ok"
    names = []
    if may_write:
        names = ["edit" if good else "write", "regenerate", *(["rescore"] if good else [])]
    if known.versions:
        names.append("versions")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for name in names:
            label = _label(name, known)
            opened = state.panel == name
            st.button(
                f"**{label}**" if opened else label, key=f"open_{name}", type="tertiary", shortcut=KEYS[name],
                on_click=_toggle, args=(name,), help=f"{HELP[name]} ({KEYS[name]})",
            )  # fmt: skip
        if may_write and good:
            _pin(store, known)
        if may_write:
            _retry(store, known)
    working.trouble("row")


def _label(name: str, known: Known) -> str:
    """What a button says: nothing is done again that was never done."""
    if name == "regenerate" and not known.versions:
        return "Explain"
    if name == "rescore" and known.current is not None and not known.of(known.current):
        return "Score"
    return PANELS[name] + (f" {len(known.versions)}" if name == "versions" else "")


def _toggle(name: str) -> None:
    working.forget_trouble()
    change(panel=None if st.query_params.get("panel") == name else name)


def _pin(store: Store, known: Known) -> None:
    now = known.current
    assert now is not None
    pinned = known.pin is not None and known.pin.explanation_id == now.id
    if not pinned and len(known.versions) < 2:
        return  # the only version is shown anyway
    st.button(
        "Unpin" if pinned else "Pin", key="pin",
        type="tertiary", on_click=working.attempt, args=(_set_pin, store, known, not pinned), kwargs={"place": "row"},
        help=UNPIN_HELP if pinned else PIN_HELP,
    )  # fmt: skip


def _set_pin(store: Store, known: Known, pin: bool) -> None:
    now = known.current
    assert now is not None
    if pin:
        author = str(st.session_state.get(explanations_write.AUTHOR) or "someone")
        work.annotations(store).pin(now.id, author=author)
        change(version=None)
    else:
        work.annotations(store).unpin(known.coder, known.latent)
        change(version=now.id)  # what is in sight stays in sight


def _retry(store: Store, known: Known) -> None:
    """Asks again what failed: the version in sight, else its newest scores."""
    now = known.current
    if now is None:
        return
    broken = data.failed(known.newest(now))
    if now.status == "failed":
        what, act = "Retry", _retry_version
    elif broken:
        what, act = f"Retry {fmt.plural(len(broken), 'score')}", _retry_scores
    else:
        return
    st.button(
        what, key="retry", type="tertiary", on_click=working.attempt, args=(act, store, known), kwargs={"place": "row"},
        help="Asks again with the same choices; with a language model, the one that is chosen in Settings now",
    )  # fmt: skip


def _retry_version(store: Store, known: Known) -> None:
    now = known.current
    assert now is not None
    options = working.explain_options(now, working.llm_options())
    shown = known.shown.id if known.shown else None
    working.explain(store, known.coder, known.latent, shown, options, working.defaults(store))


def _retry_scores(store: Store, known: Known) -> None:
    now = known.current
    assert now is not None
    llm = working.llm_options()
    options = [working.score_options(score, llm) for score in data.failed(known.newest(now))]
    working.score(store, known.coder, known.latent, now.id, [now.id], options)


def _panel(store: Store, known: Known, state: ExplanationState) -> None:
    try:
        match state.panel:
            case "regenerate":
                forms.regenerate(store, known)
            case "rescore":
                forms.rescore(store, known)
            case "edit":
                explanations_write.write(store, known, edit=True)
            case "write":
                explanations_write.write(store, known, edit=False)
            case _:
                pass
    except UserError as error:
        st.error(sentence(error, 600))


def _about(store: Store, known: Known) -> None:
    """How the version in sight came about, with its exact prompt and raw reply."""
    now = known.current
    assert now is not None
    with st.expander(f"How version {known.number(now)} was made"):
        components.facts(data.provenance(now), key="explanation_provenance")
        if now.config:
            st.code(data.options_text(dict(now.config)), language=None, height=160)
        if now.reply_ref:
            drill.prompt_and_reply(work.annotations(store).replies.get(now.reply_ref))
        else:
            st.caption(data.why_no_prompt(now))


def try_text(store: Store, coder: CoderStore, latent: int) -> None:
    """“Test your own text”, where it is installed."""
    if find_spec(_TRY_TEXT) is not None:
        import_module(_TRY_TEXT).draw(store, coder, latent)


_TRY_TEXT = "autointerp.ui.feature.try_text"
