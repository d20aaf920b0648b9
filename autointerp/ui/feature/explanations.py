"""The explanation side of the page: what stands above the statistics, and what takes the place of the contexts."""

import json
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from autointerp.errors import UserError
from autointerp.records import Explanation, Score
from autointerp.score.options import options_of
from autointerp.ui.feature import actions, card, collected, compare, drill, forms, verdicts
from autointerp.ui.feature.state import COLLECTIONS, PANELS, TYPED, ExplanationState
from autointerp.ui.shared import components, job_strip, keyboard, long_text, person, rescoring, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import versions as feature_versions
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.state import change, current
from autointerp.ui.shared.text import sentence
from autointerp.ui.shared.versions import Versions

PIN_HELP = "Show this version for the feature on every page, until another one is pinned"
UNPIN_HELP = "Go back to the version that Settings choose: the best score, or the newest"
SHORTCUTS = {"edit": "e", "write": "w", "regenerate": "g", "rescore": "s", "versions": "v"}
"""Streamlit keeps R and C for itself; Left, Right, X and B step through features."""
HELP = {
    "edit": "Edit this text into a new version of your own",
    "write": "Write your own explanation",
    "regenerate": "Run an explainer for a new version; prompt and cost are shown first",
    "rescore": "Score this version: choose scorers, judge and examples",
    "versions": "All versions: open, compare or pin one",
}


def read(feature: Feature) -> Versions:
    """The feature's versions, with the one in the address. Raises StoreError."""
    state = ExplanationState.parse(current())
    annotations = services.annotations(feature.store)
    coder, version = feature.coder.info.coder, state.version
    if version is None and state.score is not None:
        # A link to a score is a link to the version that it measures.
        score = drill.find(annotations, coder, feature.latent, state.score)
        version = score.explanation_id if score else None
    return feature_versions.load(annotations, coder, feature.latent, version)


def left(feature: Feature, versions: Versions) -> None:
    """The explanation, its scores, and what can be done about them."""
    state = ExplanationState.parse(current())
    writable = job_strip.writable(feature.store)
    silent = feature.stats.is_dead and not versions.explanations
    if not silent:
        card.draw(versions, state, compare.new_version(feature.store, versions))
    with st.container(gap=None):
        if not silent:
            verdicts.draw(services.annotations(feature.store), versions)
            _buttons(feature, versions, state, writable=writable)
        collected.draw(feature.store, (versions.coder, versions.latent), is_open=state.panel == COLLECTIONS)
        if silent:
            return
        # A slot that is there also when it is empty: what stands below must not move, or half-typed text would be lost.
        with components.room():
            if writable:
                forms.offer_drafts(versions, state.panel)
                actions.strip(feature)
    if state.panel and state.panel != COLLECTIONS:
        with components.room():
            if state.panel == "versions" and versions.current:
                card.draw_versions(versions, state)
                _provenance(feature, versions)
            if writable:
                _panel(feature, versions, state)


def right(feature: Feature, versions: Versions) -> bool:
    """Judged examples or a comparison, if the address asks for one."""
    state = ExplanationState.parse(current())
    if state.score is not None:
        drill.draw(feature, services.annotations(feature.store), state)
    elif state.against is not None:
        compare.draw(feature, versions, state, writable=job_strip.writable(feature.store))
    return state.takes_right_side


def _buttons(feature: Feature, versions: Versions, state: ExplanationState, *, writable: bool) -> None:
    has_text = versions.current is not None and versions.current.status == "ok"
    names = []
    if writable:
        names = ["edit" if has_text else "write", "regenerate", *(["rescore"] if has_text else [])]
    if versions.explanations:
        names.append("versions")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for name in names:
            label = _label(name, versions)
            keyboard.button(
                f"**{label}**" if state.panel == name else label, f"open_{name}", SHORTCUTS[name], HELP[name], _toggle,
                (name, versions), types=name in TYPED, type="tertiary", help=HELP[name],
            )  # fmt: skip
        if writable and has_text:
            _pin(feature, versions)
        if writable:
            _retry(feature, versions)
    actions.show_error("row")


def is_typing() -> bool:
    """Whether the address opens a text box."""
    return ExplanationState.parse(current()).panel in TYPED


def _label(name: str, versions: Versions) -> str:
    """What a button says: nothing is done again that was never done."""
    if name == "regenerate" and not versions.explanations:
        return "Explain"
    if name == "rescore" and versions.current is not None and not versions.scores_of(versions.current):
        return "Score"
    return PANELS[name] + (f" {len(versions.explanations)}" if name == "versions" else "")


def _toggle(name: str, versions: Versions) -> None:
    actions.clear_error()
    if st.query_params.get("panel") == name:
        change(panel=None)
    elif name in TYPED:
        # The version in the address, for a newer one may arrive while this one is edited.
        edited = versions.current if name == "edit" else None
        is_here = current().get("latent") == str(versions.latent)
        forms.open_box(name, edited.id if edited and is_here else None)
    else:
        change(panel=name)


def _pin(feature: Feature, versions: Versions) -> None:
    version = versions.current
    assert version is not None
    pinned = versions.pin is not None and versions.pin.explanation_id == version.id
    if not pinned and len(versions.explanations) < 2:
        return  # the only version is shown anyway
    st.button(
        "Unpin" if pinned else "Pin", key="pin", type="tertiary", on_click=actions.attempt,
        args=(_set_pin, feature, version.id, not pinned), kwargs={"place": "row"}, help=UNPIN_HELP if pinned else PIN_HELP,
    )  # fmt: skip


def _set_pin(feature: Feature, version_id: str, pin: bool) -> None:
    if pin:
        person.named(partial(actions.attempt, _pin_as, feature, version_id, place="row"))
    else:
        services.annotations(feature.store).unpin(feature.coder.info.coder, feature.latent)
        change(version=version_id)  # what is in sight stays in sight


def _pin_as(feature: Feature, version_id: str, author: str) -> None:
    services.annotations(feature.store).pin(version_id, author=author)
    change(version=None)


def _retry(feature: Feature, versions: Versions) -> None:
    """Asks again what failed: the version in sight or a newer one, and the newest scores of the one in sight."""
    version = versions.current
    if version is None:
        return
    failed = version if version.status == "failed" else versions.failure
    if failed is not None:
        label = "Retry" if failed is version else f"Retry version {versions.number(failed)}"
        _retry_button(label, "retry", [failed], _retry_version, feature, versions, failed)
    scores = versions.failed_scores(version)
    if scores:
        label = f"Retry {fmt.plural(len(scores), 'score')}"
        _retry_button(label, "retry_scores", scores, _retry_scores, feature, versions)


def _retry_button(
    label: str,
    key: str,
    failures: Sequence[Explanation | Score],
    act: Callable[..., None],
    *arguments: object,
) -> None:
    hopeless = all(failure.error_kind and not failure.retryable for failure in failures)
    st.button(
        label, key=key, type="tertiary", on_click=actions.attempt, args=(act, *arguments), kwargs={"place": "row"},
        help="Runs again with the same options; any language model is the one now chosen in Settings"
        + (f". {feature_versions.FAILS_AGAIN}" if hopeless else ""),
    )  # fmt: skip


def _retry_version(feature: Feature, versions: Versions, failed: Explanation) -> None:
    options = actions.explain_options(failed, rescoring.llm_options())
    shown = versions.shown.id if versions.shown else None
    actions.explain(feature, shown, options, rescoring.default_scores(feature.store))


def _retry_scores(feature: Feature, versions: Versions) -> None:
    version, llm = versions.current, rescoring.llm_options()
    assert version is not None
    options = [options_of(score, llm) for score in versions.failed_scores(version)]
    actions.score(feature, version.id, [version.id], options)


def _panel(feature: Feature, versions: Versions, state: ExplanationState) -> None:
    try:
        match state.panel:
            case "regenerate":
                forms.regenerate(feature, versions)
            case "rescore":
                forms.rescore(feature, versions)
            case "edit" | "write":
                forms.write(feature, versions, edit=state.panel == "edit")
            case _:
                pass
    except UserError as error:
        st.error(sentence(error, 600))


def _provenance(feature: Feature, versions: Versions) -> None:
    """How the version in sight came about, with its exact prompt and raw reply."""
    version = versions.current
    assert version is not None
    with st.expander(f"How version {versions.number(version)} was made"):
        components.facts(feature_versions.provenance(version), key="explanation_provenance")
        if version.config:
            config = json.dumps(dict(version.config), indent=2, sort_keys=True, default=str)
            long_text.code(config, "configuration", height=160)
        if version.reasoning:
            st.caption("Reasoning")
            long_text.code(version.reasoning, "reasoning", height=240)
        if version.reply_ref:
            drill.prompt_and_reply(services.annotations(feature.store).replies.get(version.reply_ref))
        else:
            st.caption(feature_versions.why_no_prompt(version))
