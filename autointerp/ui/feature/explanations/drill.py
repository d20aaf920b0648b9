"""Every judged example of one score, where the contexts stand otherwise: filters, the element, prompt and reply on request."""

from typing import Any

import streamlit as st

from autointerp.errors import UnknownName
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations, JudgedExample, Score, StoredReply
from autointerp.ui.feature.explanations import data
from autointerp.ui.feature.explanations import judged as explanations_judged
from autointerp.ui.feature.explanations.state import (
    CLASSES,
    FILTERS,
    SOURCES,
    VERDICTS,
    ExplanationState,
    close_right,
)
from autointerp.ui.shared import components
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.payload import QUANTILE_LABELS
from autointerp.ui.shared.state import bound, change
from autointerp.ui.shared.text import plain, visible

KEY = "judged"
OVERLAY_HELP = "Colours the texts by the feature's true activations. The judge did not see them."


def draw(
    store: Store, coder: CoderStore, latent: int, annotations: Annotations, state: ExplanationState
) -> None:
    """The drill-down of the score in the address; a message where it is not one of this feature's."""
    score = find(annotations, coder.info.coder, latent, state.score)
    if score is None:
        back()
        st.warning("This feature has no such score. Choose one beside its explanation, on the left.")
        return
    judged = annotations.judged(score.id)
    _title(score)
    if score.status == "failed":
        st.error(
            f"**Failed.** {plain(score.error or 'No cause was recorded.', 1000)}", icon=":material/error:"
        )
        st.caption("Nothing is scored from a failure. “Retry” under the explanation asks again.")
    else:
        components.facts(figures(score, judged), key="judged_figures")
    if judged:
        _filters(score, judged, state)
    components.judged(
        explanations_judged.record(store, coder, latent, score, judged, state), key=KEY, on_act=_acted
    )
    if state.example is not None:
        _reply_dialog(annotations, score, judged, state.example)


def find(annotations: Annotations, coder: str, latent: int, score_id: str | None) -> Score | None:
    """The score, if it belongs to this feature."""
    if score_id is None:
        return None
    try:
        score = annotations.score(score_id)
        explanation = annotations.explanation(score.explanation_id)
    except UnknownName:
        return None
    return score if (explanation.coder, explanation.latent) == (coder, latent) else None


def back() -> None:
    """The way to the contexts."""
    st.button(
        "Contexts", key="to_contexts", icon=":material/arrow_back:", shortcut="Escape", on_click=_close,
        help="Back to the contexts of this feature",
    )  # fmt: skip


def _close() -> None:
    change(**close_right())


def _title(score: Score) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        back()
        st.markdown(f"**{plain(data.scorer_name(score))}**", width="content")
        judge = data.judged_by(score)
        negatives = f"{score.negatives.replace('+', ' + ')} negatives" if score.negatives else ""
        parts = [
            judge,
            negatives,
            f"protocol {score.protocol}",
            f"{data.when(score.created)} UTC",
        ]
        st.caption(plain(" · ".join(part for part in parts if part)), width="stretch")


def figures(score: Score, judged: list[JudgedExample]) -> list[list[str]]:
    """The score and what it is made of."""
    metric = f"{data.METRICS.get(score.metric, score.metric)}; interval by bootstrap over the examples"
    rows = [
        ["Value, 95 % interval", f"{fmt.decimal(score.value, 2)} ({data.interval(score)})", metric],
        ["Floor", data.floor(score), "The same scorer on the same examples, with a random other explanation"],
        ["n", f"{score.n_pos} + {score.n_neg}", "Activating and non-activating examples with a usable answer"],
    ]  # fmt: skip
    if score.metric == "balanced_accuracy":
        yes = [one for one in judged if one.truth and one.answer is not None]
        no = [one for one in judged if one.truth is False and one.answer is not None]
        rows += [
            ["Recognised", f"{sum(bool(one.answer) for one in yes)} of {len(yes)}", "True positives of activating ones"],
            ["Rejected", f"{sum(not one.answer for one in no)} of {len(no)}", "True negatives of non-activating ones"],
        ]  # fmt: skip
        if score.auroc is not None:
            rows.append(["AUROC", fmt.decimal(score.auroc, 2), "From the judge's graded answers"])
    if score.unparsed:
        rows.append(["Unparsed", fmt.count(score.unparsed), "Answers that could not be read; in no figure"])
    if score.tokens_in:
        rows.append(["Tokens", fmt.count(score.tokens_in + score.tokens_out), "Paid, the floor's included"])
        rows.append(["Cost", fmt.money(score.cost), "In the price table's currency"])
    return rows


def _filters(score: Score, judged: list[JudgedExample], state: ExplanationState) -> None:
    sources = {one.source for one in judged if not one.truth}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if score.metric != "correlation":
            st.segmented_control(
                "Answers", list(VERDICTS), format_func=VERDICTS.__getitem__, required=True, label_visibility="collapsed",
                **_bound("verdict", state.verdict),
            )  # fmt: skip
        st.selectbox(
            "Class", list(CLASSES), format_func=CLASSES.__getitem__, label_visibility="collapsed", width=150,
            **_bound("class", state.examples),
        )  # fmt: skip
        quantiles = {"any": "Any quantile", **{str(q): name for q, name in enumerate(QUANTILE_LABELS)}}
        chosen = "any" if state.quantile is None else str(state.quantile)
        st.selectbox(
            "Quantile", list(quantiles), format_func=quantiles.__getitem__, label_visibility="collapsed", width=150,
            **bound("quantile", chosen, reset=("example",), encode=lambda v: None if v == "any" else v),
        )  # fmt: skip
        if len(sources) > 1 or state.source != "all":
            names = {key: name for key, name in SOURCES.items() if key in {"all", state.source, *sources}}
            st.selectbox(
                "Source", list(names), format_func=names.__getitem__, label_visibility="collapsed", width=140,
                help="Where the non-activating examples come from", **_bound("source", state.source),
            )  # fmt: skip
        st.toggle(
            "True activations", help=OVERLAY_HELP, **bound("overlay", state.overlay, encode=lambda v: 1 if v else None)
        )  # fmt: skip


def _bound(name: str, value: str) -> dict[str, Any]:
    return bound(name, value, reset=("example",), encode=lambda v: None if v == "all" else v)


def _acted() -> None:
    sent = components.triggered(KEY, "act")
    if not isinstance(sent, dict):
        return
    if "quantile" in sent:
        chosen = int(sent["quantile"])
        change(quantile=None if st.query_params.get("quantile") == str(chosen) else chosen, example=None)
    elif "example" in sent:
        change(example=int(sent["example"]))
    elif "context" in sent:
        change(**close_right(), context=int(sent["context"]), start=int(sent["start"]))


def _reply_dialog(annotations: Annotations, score: Score, judged: list[JudgedExample], number: int) -> None:
    one = next((one for one in judged if one.i == number), None)
    if one is None or one.reply_ref is None:
        st.info(_why_no_prompt(score, one))
        return
    reply_ref = one.reply_ref

    @st.dialog("Prompt and reply", width="large", on_dismiss=lambda: change(example=None))
    def show() -> None:
        st.caption(
            plain(f"{data.judged_by(score)}, example {number}: context {one.context}, token {one.start}")
        )
        prompt_and_reply(annotations.replies.get(reply_ref))

    show()


def _why_no_prompt(score: Score, one: JudgedExample | None) -> str:
    if one is None:
        return "This score has no such example."
    if score.judge == "llm":
        cause = plain(one.error or score.error or "no cause was recorded", 600)
        return f"No prompt and reply were kept for this example: {cause}"
    return "There is no prompt to show for this example: its judge reads the explanation and the text, nothing else."


def prompt_and_reply(stored: StoredReply | None) -> None:
    """A stored request and its reply, as text."""
    if stored is None:
        st.info("The reply is no longer in this store.")
        return
    cost = fmt.money(stored.cost)
    st.caption(
        f"{fmt.count(stored.tokens_in)} tokens in, {fmt.count(stored.tokens_out)} out, cost {cost}, asked "
        f"{data.when(stored.created)} UTC"
    )
    unusable = stored.reply.get("finish_reason") == "unusable"
    _said("Reply, which could not be used" if unusable else "Reply", stored.reply.get("text", stored.reply))
    for text in stored.reply.get("discarded") or ():
        _said("The reply before it, which could not be used", text)
    messages(stored.request.get("messages", []))


def _said(title: str, text: object) -> None:
    st.markdown(f"**{title}**")
    if str(text).strip():
        st.code(visible(str(text)), language=None, wrap_lines=True)
    else:
        st.caption("It was empty.")


def messages(found: Any) -> None:
    """A prompt's messages, each as it is sent."""
    for message in found:
        role, content = (
            (message.get("role", ""), message.get("content", ""))
            if isinstance(message, dict)
            else (message.role, message.content)
        )
        st.caption(plain(str(role)))
        st.code(
            visible(str(content)), language=None, wrap_lines=True, height=None if len(content) < 1500 else 320
        )


__all__ = ["FILTERS", "back", "draw", "figures", "find", "messages", "prompt_and_reply"]
