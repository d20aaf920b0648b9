"""Every judged example of one score, where the contexts stand otherwise: filters, the element, prompt and reply on request."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from autointerp.errors import UnknownName
from autointerp.models.effect import Effect
from autointerp.records import Explanation, JudgedExample, Score, StoredReply
from autointerp.score.plan import NO_NEGATIVES
from autointerp.score.registry import N_TEXTS, SCORERS, writes_texts
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.feature import judged as judged_record
from autointerp.ui.feature import written as written_texts
from autointerp.ui.feature.state import CLASSES, FILTERS, SOURCES, VERDICTS, ExplanationState, close_right
from autointerp.ui.feature.written import Written
from autointerp.ui.shared import components, keyboard, long_text, payload, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import versions as feature_versions
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.score_text import FREE_METRICS, SAME, metric_label
from autointerp.ui.shared.state import bound, change, choose, current
from autointerp.ui.shared.text import beginning, plain

KEY = "judged"
OVERLAY_HELP = "Colour the texts by the feature's true activations, which the judge did not see"


def draw(feature: Feature, annotations: Annotations, state: ExplanationState) -> None:
    """The drill-down of the score in the address; a message where it is not one of this feature's."""
    score = find(annotations, feature.coder.info.coder, feature.latent, state.score)
    if score is None:
        back()
        st.warning("This score does not exist. Choose one below the explanation.")
        return
    judged = annotations.judged(score.id)
    _title(score)
    written = written_texts.load(feature.store, score, judged)
    if score.status == "failed":
        cause = plain(score.error or "No cause was recorded.", 1000)
        st.error(f"**Failed.** {cause}", icon=":material/error:")
        fails_again = score.error_kind and not score.retryable
        st.caption(
            "A failure is never counted as a score. Retry, below the explanation, runs it again."
            + (f" {feature_versions.FAILS_AGAIN}." if fails_again else "")
        )
    else:
        components.facts(figures(score, judged, written.effect), key="judged_figures")
        if score.metric in FREE_METRICS:
            st.caption(f"{SAME[0].upper()}{SAME[1:]}.")
        if writes_texts(score.scorer, score.metric) and score.floor_explanation_id is not None:
            st.caption(_other(annotations.explanation(score.floor_explanation_id)))
    if judged:
        _filters(score, judged, state)
    explanation = annotations.explanation(score.explanation_id)
    components.judged(
        judged_record.record(feature, score, judged, state, explanation, written), key=KEY, on_act=_acted
    )
    if state.example is not None:
        _reply_dialog(annotations, score, judged, state.example, written)


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


def on(store: Store, coder: str, latent: int) -> dict[str, Any]:
    """Changes of the address that keep the drill-down and its filters open on another feature, which has the same kind of
    score; none where it has not."""
    params, annotations = current(), services.annotations(store)
    try:
        kind = feature_versions.score_kind(annotations.score(params.get("score", "")))
    except UnknownName:
        return {}
    versions = feature_versions.load(annotations, coder, latent, None)
    newest = versions.newest_scores(versions.shown) if versions.shown else []
    same = next((each.score for each in newest if feature_versions.score_kind(each.score) == kind), None)
    if same is None:
        return {}
    return {"score": same.id, **{name: params.get(name) for name in FILTERS if name != "example"}}


def back() -> None:
    """The way to the contexts."""
    help_ = "Back to the feature's contexts"
    keyboard.button(
        "Contexts", "to_contexts", "Escape", help_, _close, icon=":material/arrow_back:", help=help_
    )


def _close() -> None:
    change(**close_right())


def _title(score: Score) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        back()
        st.markdown(f"**{plain(SCORERS.label(score.scorer))}**", width="content")
        parts = [
            feature_versions.judged_by(score),
            f"negatives: {feature_versions.negatives(score)}"
            if score.negatives not in ("", NO_NEGATIVES)
            else "",
            "" if writes_texts(score.scorer, score.metric) else f"{score.protocol} protocol",
            feature_versions.unusual(score),
            f"{fmt.minute(score.created)} UTC",
        ]
        st.caption(plain(" · ".join(part for part in parts if part)), width="stretch")


def _other(explanation: Explanation) -> str:
    """Which explanation the other texts were written from."""
    return plain(
        f"The other explanation, of feature {explanation.latent}: {beginning(explanation.text, 300)}", 400
    )


def figures(score: Score, judged: Sequence[JudgedExample], effect: Effect | None = None) -> list[list[str]]:
    """The score and what it is made of."""
    metric = f"{metric_label(score.metric)}; bootstrap interval over the examples"
    shown = feature_versions.figures(score)
    n = [f"{score.n_pos} + {score.n_neg}", "Activating + non-activating examples with a usable answer"]
    if writes_texts(score.scorer, score.metric):
        n[1] = "Texts written from the explanation + texts written from another feature's explanation"
    if score.metric == "intruder_accuracy":
        n = [fmt.count(score.n_pos), f"Questions with a usable answer, of {N_TEXTS} texts each"]
    rows = [
        ["Value, 95 % interval", f"{shown['value']} ({shown['ci']})", metric],
        _held_against(score),
        ["n", *n],
    ]
    if score.metric == "triplet_auroc":
        rows += [
            [f"Mean Δ, {name}", fmt.signed(float(np.mean(values)), 3), _DELTA]
            for truth, name in ((True, "activating"), (False, "non-activating"))
            if (values := [each.value for each in judged if each.truth is truth and each.value is not None])
        ]
    if score.metric == "balanced_accuracy":
        answered = [example for example in judged if example.answer is not None]
        yes = [bool(example.answer) for example in answered if example.truth]
        no = [not example.answer for example in answered if example.truth is False]
        rows += [
            ["True positives", f"{sum(yes)} of {len(yes)}", "Activating examples answered yes"],
            ["True negatives", f"{sum(no)} of {len(no)}", "Non-activating examples answered no"],
        ]
        if score.auroc is not None:
            rows.append(["AUROC", fmt.decimal(score.auroc, 2), "From the judge's graded answers"])
    if effect is not None:
        rows += [
            [
                "Strength",
                f"{effect.strength:.3g}",
                "Added to the feature's activation from each prompt's last token on",
            ],
            [
                "KL",
                f"{fmt.decimal(effect.kl, 2)} nats",
                "On the token after a prompt, averaged over the prompts",
            ],
        ]
    if score.unparsed:
        rows.append(_uncounted(score))
    if score.tokens_in:
        free = score.metric in FREE_METRICS
        rows.append(
            ["Tokens", fmt.count(score.tokens_in + score.tokens_out), "" if free else "Floor included"]
        )
        rows.append(["Cost", fmt.money(score.cost), "In the currency of your prices"])
    return rows


def _uncounted(score: Score) -> list[str]:
    if writes_texts(score.scorer, score.metric):
        return [
            "Not counted",
            fmt.count(score.unparsed),
            "Texts that are empty, repeated or copied; left out of every figure",
        ]
    return ["Unparsed", fmt.count(score.unparsed), "Unreadable answers; left out of every figure"]


def _held_against(score: Score) -> list[str]:
    name, _, figure = feature_versions.reference(score).partition(" ")
    free = score.metric in FREE_METRICS
    help_ = (
        "What it would be if the texts had nothing in common"
        if free
        else "The same share of texts written from a random other explanation"
        if writes_texts(score.scorer, score.metric)
        else "A random other explanation, scored on the same examples"
    )
    return [name.capitalize(), figure, help_]


_DELTA = "Mean cosine with the activating examples minus that with the non-activating ones, over the examples of this class"


def _filters(score: Score, judged: Sequence[JudgedExample], state: ExplanationState) -> None:
    sources = {example.source for example in judged if not example.truth}
    if score.metric == "intruder_accuracy":
        sources = {example.source for example in judged if example.truth}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if score.metric not in judged_record.UNSPLIT:
            _narrow(st.segmented_control, "Answers", VERDICTS, "verdict", state.verdict)
        if writes_texts(score.scorer, score.metric):
            return
        if score.negatives != NO_NEGATIVES:
            _narrow(st.selectbox, "Class", CLASSES, "class", state.examples, width=150)
        deciles = {"all": "Any decile", **{str(q): payload.decile(q).capitalize() for q in range(10)}}
        quantile = "all" if state.quantile is None else str(state.quantile)
        help_ = "Activation decile of the activating examples, 1 = strongest"
        _narrow(st.selectbox, "Decile", deciles, "quantile", quantile, width=150, help=help_)
        if len(sources) > 1 or state.source != "all":
            names = {key: name for key, name in SOURCES.items() if key in {"all", state.source, *sources}}
            help_ = "Source of the non-activating examples"
            _narrow(st.selectbox, "Source", names, "source", state.source, width=140, help=help_)
        st.toggle("True activations", help=OVERLAY_HELP, **bound("overlay", state.overlay))


def _narrow(widget: Any, label: str, options: Mapping[str, str], name: str, value: str, **look: Any) -> None:
    choose(widget, label, options, name, value, "all", reset=("example",), **look)


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


def _reply_dialog(
    annotations: Annotations,
    score: Score,
    judged: Sequence[JudgedExample],
    number: int,
    written: Written,
) -> None:
    example = next((example for example in judged if example.i == number), None)
    if example is None or example.reply_ref is None:
        st.info(_why_no_prompt(score, example))
        return
    where = f"example {number}: context {example.context}, token {example.start}"
    reply_ref = example.reply_ref
    if example.context < 0:
        where = f"text {example.start + 1}"
        reply_ref = written.texts[reply_ref].written_by if reply_ref in written.texts else reply_ref

    @st.dialog("Prompt and reply", width="large", on_dismiss=lambda: change(example=None))
    def show() -> None:
        st.caption(plain(f"{feature_versions.judged_by(score)}, {where}"))
        prompt_and_reply(annotations.replies.get(reply_ref))

    show()


def _why_no_prompt(score: Score, example: JudgedExample | None) -> str:
    if example is None:
        return "This example does not exist."
    if score.judge == "llm":
        cause = plain(example.error or score.error or "no cause was recorded", 600)
        return f"No prompt and reply for this example: {cause}"
    if score.metric in FREE_METRICS:
        return "No prompt: no language model was used."
    return "No prompt: this judge reads the explanation and the text, and uses no language model."


def prompt_and_reply(stored: StoredReply | None) -> None:
    """A stored request and its reply, as text."""
    if stored is None:
        st.info("The reply is no longer in this store.")
        return
    st.caption(
        f"{fmt.count(stored.tokens_in)} tokens in, {fmt.count(stored.tokens_out)} out, cost {fmt.money(stored.cost)}, "
        f"{fmt.minute(stored.created)} UTC"
    )
    unusable = stored.reply.get("finish_reason") == "unusable"
    _reply("Reply (unusable)" if unusable else "Reply", stored.reply.get("text", stored.reply))
    for number, text in enumerate(stored.reply.get("discarded") or (), 1):
        _reply("Earlier reply (unusable)", text, f"earlier reply {number}")
    messages(stored.request.get("messages", []))


def _reply(title: str, text: object, name: str = "reply") -> None:
    st.markdown(f"**{title}**")
    if str(text).strip():
        long_text.code(str(text), name)
    else:
        st.caption("Empty.")


def messages(prompt: Any, about: str = "") -> None:
    """A prompt's messages, each as it is sent. `about`: what tells it from other prompts on the page."""
    for number, message in enumerate(prompt, 1):
        parts = message if isinstance(message, dict) else vars(message)
        role, content = str(parts.get("role", "")), str(parts.get("content", ""))
        st.caption(plain(role))
        long_text.code(content, f"{about}message {number}", height=None if len(content) < 1500 else 320)
