"""The forms under an explanation: regenerate it, rescore it. Each stands in the left column, so that the
contexts stay in sight, and says what it will ask and cost before it does."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.estimate import Estimate, add_estimates, estimate_explanation, estimate_score
from autointerp.pipeline.explain import MAX_TEXT, checked_text
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import SCORERS
from autointerp.ui.feature import actions
from autointerp.ui.feature.drill import messages
from autointerp.ui.feature.state import TYPED
from autointerp.ui.shared import components, drafts, lengths, options, person, rescoring, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.state import change, choose
from autointerp.ui.shared.text import sentence
from autointerp.ui.shared.versions import Versions

# Regenerate ------------------------------------------------------------------------------------


def regenerate(feature: Feature, versions: Versions) -> None:
    """A new version by an explainer."""
    llm = rescoring.llm_options()
    names = [name for name, entry in EXPLAINERS.items() if llm is not None or "llm" not in entry.needs]
    asking = next((name for name in names if "llm" in EXPLAINERS[name].needs), names[0])
    with st.container(border=True):
        about = f"{versions.coder}_{versions.latent}"
        chosen = options.explain("explain", llm, names, asking, _next_seeds(versions), about)
        if llm is None:
            options.model_line(llm)
        note = "The way the version shown was scored, or else on held-out examples"
        scorers = _scorers("then", "Score it too", feature, llm, note)
        judge = options.judge("then", scorers, llm, "llm")
        then = rescoring.as_before(versions, [options.plain_score(name, judge, llm) for name in scorers])
        _preview_explain(feature, versions, chosen, then)
        shown = versions.current.id if versions.current else None
        run_and_close("Explain", "run_explain", actions.explain, feature, shown, chosen, then)


def _scorers(form: str, label: str, feature: Feature, llm: LLMOptions | None, note: str = "") -> list[str]:
    usual = [score.scorer for score in rescoring.default_scores(feature.store)]
    return options.scorers(form, label, options.usable_scorers(llm), usual, note)


def _next_seeds(versions: Versions) -> dict[str, int]:
    """By explainer, the next seed that it has not drawn with here: asking again means another draw."""
    seeds: dict[str, int] = {}
    for version in versions.explanations:
        if version.seed is not None and version.protocol == "held-out":
            seeds[version.explainer] = max(seeds.get(version.explainer, 0), version.seed + 1)
    return seeds


def _preview_explain(
    feature: Feature, versions: Versions, chosen: ExplainOptions, then: Sequence[ScoreOptions]
) -> None:
    resources, asking = services.resources(feature.store), [score for score in then if score.needs_llm]
    if not chosen.needs_llm:
        st.caption("No prompt and no cost: this explainer uses no language model.")
    try:
        if chosen.needs_llm:
            _preview(
                estimate_explanation(resources, versions.coder, versions.latent, chosen), chosen.explainer
            )
        if asking:
            likely = options.likely_explanation(versions.coder, versions.latent, chosen)
            estimates = [estimate_score(resources, likely, score) for score in asking]
            st.caption(f"Scores: {_amount(add_estimates(estimates))}")
    except UserError as error:
        st.warning(sentence(error, 600))


def _amount(estimate: Estimate) -> str:
    """`12 requests: about 4,100 tokens in, at most 900 out, cost 0.0012`."""
    cost = "unknown (no price in Settings)" if estimate.cost is None else fmt.money(estimate.cost)
    cached = f", {fmt.count(estimate.from_cache)} cached" if estimate.from_cache else ""
    return (
        f"{fmt.plural(estimate.n_requests, 'request')}{cached}: about {fmt.count(estimate.tokens_in)} tokens in, "
        f"at most {fmt.count(estimate.tokens_out)} out, cost {fmt.money(0) if estimate.all_known else cost}"
    )


def _preview(preview: Estimate, about: str) -> None:
    st.caption(_amount(preview) + (f". {preview.note}" if preview.note else ""))
    with st.expander("The exact prompt" + (" of the first request" if preview.n_requests > 1 else "")):
        messages(preview.messages, f"{about} ")


# Rescore ---------------------------------------------------------------------------------------


def rescore(feature: Feature, versions: Versions) -> None:
    """Scores of the version in sight."""
    current = versions.current
    if current is None or current.status != "ok":
        st.info("There is no text to score: explain the feature, or write an explanation.")
        return
    llm = rescoring.llm_options()
    with st.container(border=True):
        names = _scorers("choice", "Scorers", feature, llm)
        options.model_line(llm)
        judge = options.judge("choice", names, llm, "llm")
        chosen = options.scores("choice", names, judge, llm, feature.store)
        _preview_scores(feature, versions, chosen)
        run_and_close("Score", "run_score", actions.score, feature, current.id, [current.id], chosen)


def _preview_scores(feature: Feature, versions: Versions, chosen: Sequence[ScoreOptions]) -> None:
    asking = [score for score in chosen if score.needs_llm]
    if not asking:
        st.caption("No prompt and no cost: nothing here uses a language model.")
        return
    resources, current = services.resources(feature.store), versions.current
    assert current is not None
    try:
        estimates = [estimate_score(resources, current, score) for score in asking]
    except UserError as error:
        st.warning(sentence(error, 600))
        return
    for score, estimate in zip(asking, estimates, strict=True):
        floor = "" if score.entry.explanation_free else ", including the floor's requests"
        st.caption(f"**{SCORERS.label(score.scorer)}**{floor}")
        _preview(estimate, score.scorer)


def run_and_close(
    label: str, key: str, act: Any, *arguments: Any, more: Callable[[], None] | None = None
) -> None:
    with st.container(horizontal=True):
        pressed = components.pressed(label, key, icon=":material/play_arrow:")
        st.button("Close", key=f"{key}_close", type="tertiary", on_click=change, kwargs={"panel": None})
        if more is not None:
            more()
    if pressed:
        actions.attempt(act, *arguments)
        if not actions.has_error() and not person.is_awaited():
            change(panel=None)
        st.rerun()
    actions.show_error()


FOCUS = "explanation_focus"
"""How many times this session has opened the text box: each time it takes the focus, which nothing else gives it."""
EDITOR = "explanation_editor"
_SAVE = "run_write_pressed"


def write(feature: Feature, versions: Versions, *, edit: bool) -> None:
    """A person's own version: from nothing, or from the one in sight."""
    base = versions.current if versions.current and versions.current.status == "ok" else None
    current = base if edit else None
    before = current.text[:MAX_TEXT] if current else ""
    draft = drafts.name(versions.coder, versions.latent, current.id if current else None)
    text = drafts.text(draft)
    with st.container(border=True):
        if base is not None:
            starts = {"edit": f"From version {versions.number(base)}", "write": "From scratch"}
            choose(st.segmented_control, "Start", starts, "panel", "edit" if edit else "write")
        data = {
            "label": f"Edit version {versions.number(current)}" if current else "Your explanation",
            "placeholder": "What does this feature respond to? One or two sentences.",
            "slot": drafts.slot(draft),
            "base": before,
            "value": before if text is None else text,
            "focus": st.session_state.get(FOCUS, 0),
        }
        components.editor(data, key=EDITOR, on_save=partial(st.session_state.__setitem__, _SAVE, True))
        text = before if text is None else text
        with st.container():  # a slot, so that nothing below moves while someone types
            if current is not None and len(current.text) > MAX_TEXT:
                st.warning(
                    f"The version has {len(current.text):,} characters: only the first {MAX_TEXT:,} are here."
                )
            lengths.say("The explanation", text.strip(), MAX_TEXT)
        first, second = st.columns(2, vertical_alignment="bottom")
        with first:
            author = person.field("Author")
        score_it = second.toggle(
            "Score it", help="With every scorer that needs no language model, on held-out examples (which you may have seen)",
            **drafts.kept("choice_score_written", True),
        )  # fmt: skip
        scores = rescoring.as_before(versions, rescoring.default_scores(feature.store)) if score_it else []
        parent = current.id if current else None
        more = partial(drafts.discard_button, draft, "discard_open")
        run_and_close("Save", "run_write", _save, feature, versions, text, author, parent, scores, more=more)


def offer_drafts(versions: Versions, panel: str | None) -> None:
    """What was begun on this feature and neither saved nor discarded, where its text box is not open."""
    current = versions.current
    editing = current.id if current and panel == "edit" and current.status == "ok" else None
    with st.container():  # a slot: what stands below must not move when a draft begins
        for parent in drafts.parents(versions.coder, versions.latent):
            version = versions.find(parent)
            if parent is not None and version is None:
                continue
            draft = drafts.name(versions.coder, versions.latent, parent)
            if panel in TYPED and parent == editing:
                continue
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                of = f"your edit of version {versions.number(version)}" if version else "your explanation"
                st.caption(f"Draft of {of}, not saved")
                st.button(
                    "Continue", key=f"continue_{parent}", type="tertiary", on_click=open_box,
                    args=("edit" if parent else "write", parent),
                )  # fmt: skip
                drafts.discard_button(draft, f"discard_{parent}")


def open_box(panel: str, version: str | None = None) -> None:
    """Open the text box, with the focus, on an edit of this version or of the one in sight."""
    st.session_state[FOCUS] = st.session_state.get(FOCUS, 0) + 1
    change(panel=panel, **({} if version is None else {"version": version}))


def _save(
    feature: Feature, versions: Versions, text: str, author: str, parent: str | None, scores: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    before = versions.find(parent)
    if checked_text(text) == (before and before.text.strip()):
        raise UserError("The text is unchanged.")
    if author:
        _save_as(feature, versions, text, parent, scores, author)
    else:
        person.named(partial(actions.attempt, _save_as, feature, versions, text, parent, scores))


def _save_as(
    feature: Feature, versions: Versions, text: str, parent: str | None, scores: Sequence[ScoreOptions], author: str
) -> None:  # fmt: skip
    actions.write(feature, text, author, parent, scores)
    drafts.discard(drafts.name(versions.coder, versions.latent, parent))
