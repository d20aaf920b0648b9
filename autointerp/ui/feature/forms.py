"""The forms under an explanation: regenerate it, rescore it. Each stands in the left column, so that the
contexts stay in sight, and says what it will ask and cost before it does."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS, explainer_label
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.estimate import Estimate, estimate_explanation, estimate_score
from autointerp.pipeline.explain import MAX_TEXT
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import SCORERS
from autointerp.store import Store
from autointerp.ui.feature import actions
from autointerp.ui.feature.data import Feature
from autointerp.ui.feature.drill import messages
from autointerp.ui.feature.versions import Versions
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import llm_settings, services
from autointerp.ui.shared.options_form import (
    CENTRE,
    CENTRE_HELP,
    EXPLAINER_HELP,
    NEGATIVE_HELP,
    NEGATIVES,
    PROTOCOL_HELP,
    SAMPLING,
    SCORER_HELP,
)
from autointerp.ui.shared.state import bound, change
from autointerp.ui.shared.text import plain, sentence

JUDGED_SCORERS = {name for name, entry in SCORERS.items() if entry.judged}
WINDOWS = [16, 32, 64, 128]
NO_LLM = (
    "No language model is chosen: `pattern` and the offline judge do the work. Any OpenAI-compatible server will do, also "
    "one on this machine."
)


# Regenerate ------------------------------------------------------------------------------------


def regenerate(feature: Feature, versions: Versions) -> None:
    """A new version by an explainer."""
    llm = actions.llm_options()
    with st.container(border=True):
        options, then = _explain_widgets(feature, versions, llm)
        _preview_explain(feature, versions, options, then)
        shown = versions.current.id if versions.current else None
        run_and_close(
            "Explain",
            "run_explain",
            actions.explain,
            feature,
            shown,
            options,
            then,
        )


def _explain_widgets(
    feature: Feature, versions: Versions, llm: LLMOptions | None
) -> tuple[ExplainOptions, list[ScoreOptions]]:
    names = list(EXPLAINERS) if llm else ["pattern"]
    first, second = st.columns([3, 2])
    explainer = first.selectbox(
        "Explainer", names, format_func=explainer_label, help=EXPLAINER_HELP,
        **kept("explainer", names[min(1, len(names) - 1)], names),
    )  # fmt: skip
    seed = second.number_input(
        "Seed", 0, 2**31, help="Another seed draws other examples", **_kept_seed(versions, explainer)
    )
    _model_line(llm)
    sampling = st.selectbox(
        "Examples shown",
        list(SAMPLING),
        format_func=SAMPLING.__getitem__,
        **kept("sampling", ExplainOptions().sampling),
    )
    left, middle, right = st.columns(3)
    n_examples = left.number_input("Activating", 1, 400, **kept("n_examples", 40))
    contrast = explainer in ("pattern", "contrastive")
    n_contrast = middle.number_input(
        "Non-activating", 1, 400, disabled=not contrast,
        help=None if contrast else "Shown to the pattern and contrastive explainers only", **kept("n_contrast", 40),
    )  # fmt: skip
    window = right.selectbox(
        "Tokens each",
        _windows(feature.store),
        **kept("window", min(32, feature.store.ctx_len), _windows(feature.store)),
    )
    activations, reasoning = True, False
    with st.container(horizontal=True):
        centre = st.toggle(CENTRE, help=CENTRE_HELP, **kept("centre", False))
        if explainer != "pattern":
            activations = st.toggle("Activations", help="List strengths 1 to 10", **kept("activations", True))
            reasoning = st.toggle(
                "Reasoning steps", help="The model thinks first", **kept("reasoning", False)
            )
    options = ExplainOptions(
        explainer=explainer, sampling=sampling, n_examples=int(n_examples), n_contrast=int(n_contrast),
        window=int(window), activations=activations, reasoning=reasoning, centre=centre, seed=int(seed),
        llm=llm if explainer != "pattern" else None,
    )  # fmt: skip
    return options, actions.as_before(versions, _then(feature.store, llm))


def _kept_seed(versions: Versions, explainer: str) -> dict[str, Any]:
    """The next seed that this explainer has not drawn with here: asking again means another draw."""
    used = [one.seed for one in versions.explanations if one.explainer == explainer and one.seed is not None]
    key = f"seed_{versions.coder}_{versions.latent}_{explainer}_{len(used)}"
    st.session_state.setdefault(key, max(used, default=-1) + 1)
    return {"key": key}


def _windows(store: Store) -> list[int]:
    return [width for width in WINDOWS if width <= store.ctx_len] or [store.ctx_len]


def _model_line(llm: LLMOptions | None) -> None:
    if llm is None:
        st.caption(NO_LLM)
        st.page_link("pages/settings.py", label="Choose a language model in Settings")
        return
    st.caption(f"Model: {llm_settings.describe(llm)}")


def _then(store: Store, llm: LLMOptions | None) -> list[ScoreOptions]:
    """“Score it too”."""
    names = _scorers(llm)
    usual = [one.scorer for one in actions.default_scores(store)]
    chosen = st.pills(
        "Score it too", names, format_func=str.capitalize, selection_mode="multi",
        help="As the version in sight was scored; else on held-out examples",
        **kept("then", usual, names),
    )  # fmt: skip
    judge = _judge(llm, "then_judge", chosen)
    return [_plain_score(scorer, judge, llm) for scorer in chosen]


def _scorers(llm: LLMOptions | None) -> list[str]:
    return [name for name in SCORERS if "llm" not in SCORERS[name].needs or llm]


def _judge(llm: LLMOptions | None, name: str, scorers: Sequence[str]) -> str:
    if llm is None or not set(scorers) & JUDGED_SCORERS:
        return "offline"
    names = {"offline": "Offline judge", "llm": plain(llm.model, 40)}
    return st.segmented_control(
        "Judge", list(names), format_func=names.__getitem__, required=True, **kept(name, "llm", list(names))
    )


def _plain_score(scorer: Any, judge: Any, llm: LLMOptions | None, **more: Any) -> ScoreOptions:
    judge = judge if scorer in JUDGED_SCORERS else "offline"
    needs = "llm" in SCORERS[scorer].needs or judge == "llm"
    embedder = llm_settings.embedder_name()
    return ScoreOptions(scorer=scorer, judge=judge, llm=llm if needs else None, embedder=embedder, **more)


def _preview_explain(
    feature: Feature, versions: Versions, options: ExplainOptions, then: Sequence[ScoreOptions]
) -> None:
    asking = [one for one in then if one.needs_llm]
    if not options.needs_llm:
        st.caption("No prompt and no cost: the pattern explainer counts tokens and phrases, in milliseconds.")
    try:
        if options.needs_llm:
            _preview(
                estimate_explanation(
                    services.resources(feature.store), versions.coder, versions.latent, options
                )
            )
        if asking:
            # The text is not there yet: one of usual length stands for it.
            likely = Explanation(
                coder=versions.coder, latent=versions.latent, text=USUAL_TEXT, explainer=options.explainer
            )
            previews = [estimate_score(services.resources(feature.store), likely, one) for one in asking]
            st.caption(f"Scores: {_amount(previews)}")
    except UserError as error:
        st.warning(sentence(error, 600))


USUAL_TEXT = "Words and phrases of one family in texts on a common subject, mostly where a sentence begins."


def _amount(previews: Sequence[Estimate]) -> str:
    """`12 requests: about 4,100 tokens in, at most 900 out, cost 0.0012`."""
    total = sum(one.n_requests for one in previews)
    known = sum(one.from_cache for one in previews)
    costs = [one.cost for one in previews]
    cost = (
        "unknown (no price in Settings)" if None in costs else fmt.money(sum(cost or 0.0 for cost in costs))
    )
    cached = f", {known} answered before and free" if known else ""
    return (
        f"{fmt.plural(total, 'request')}{cached}: about {fmt.count(sum(one.tokens_in for one in previews))} tokens in, at most "
        f"{fmt.count(sum(one.tokens_out for one in previews))} out, cost {cost if total > known else fmt.money(0)}"
    )


def _preview(preview: Estimate) -> None:
    st.caption(_amount([preview]) + (f". {preview.note}" if preview.note else ""))
    with st.expander("The exact prompt" + (" of the first request" if preview.n_requests > 1 else "")):
        messages(preview.messages)


# Rescore ---------------------------------------------------------------------------------------


def rescore(feature: Feature, versions: Versions) -> None:
    """Scores of the version in sight."""
    current = versions.current
    if current is None or current.status != "ok":
        st.info("There is no text to score here: have one made (Explain or Regenerate), or write one.")
        return
    llm = actions.llm_options()
    with st.container(border=True):
        scorers = st.pills(
            "Scorers", _scorers(llm), format_func=str.capitalize, selection_mode="multi", help=SCORER_HELP,
            **kept("scorers", [one.scorer for one in actions.default_scores(feature.store)], _scorers(llm)),
        )  # fmt: skip
        _model_line(llm)
        judge = _judge(llm, "judge", scorers)
        options = [
            _plain_score(one, judge, llm, **_score_widgets(feature.store, scorers)) for one in scorers[:1]
        ]
        if options:
            common = {name: getattr(options[0], name) for name in _COMMON}
            options = [_plain_score(one, judge, llm, **_for(one, common)) for one in scorers]
        _preview_scores(feature, versions, options)
        run_and_close(
            "Score",
            "run_score",
            actions.score,
            feature,
            current.id,
            [current.id],
            options,
        )


_COMMON = ("n_examples", "n_negatives", "negatives", "wrong_marks", "protocol", "centre", "seed")


def _for(scorer: str, common: Mapping[str, Any]) -> dict[str, Any]:
    """Protocol delphi is there for judged scorers only."""
    return dict(common) if scorer in JUDGED_SCORERS else {**common, "protocol": "held-out"}


def _score_widgets(store: Store, scorers: Sequence[str]) -> dict[str, Any]:
    protocol = "held-out"
    if set(scorers) & JUDGED_SCORERS:
        protocol = st.segmented_control(
            "Protocol",
            ["held-out", "delphi"],
            required=True,
            help=PROTOCOL_HELP,
            **kept("protocol", "held-out"),
        )
    left, right, third = st.columns(3)
    n_examples = left.number_input("Activating", 2, 1000, **kept("score_n", 30))
    n_negatives = right.number_input("Non-activating", 2, 1000, **kept("score_n_neg", 30))
    seed = third.number_input(
        "Seed", 0, 2**31, help="The same seed asks about the same examples: keep it to compare versions",
        **kept("score_seed", 0),
    )  # fmt: skip
    sources = ["random", "neighbours", *(["embedding"] if llm_settings.has_embeddings(store) else [])]
    negatives = st.pills(
        "Non-activating examples from", sources, format_func=NEGATIVES.__getitem__, selection_mode="multi",
        disabled=protocol == "delphi", help=NEGATIVE_HELP, **kept("negatives", ["random"], sources),
    )  # fmt: skip
    wrong = "non_activating"
    if "fuzzing" in scorers and protocol == "held-out":
        names = {"non_activating": "In non-activating texts", "activating": "In activating texts"}
        wrong = st.segmented_control(
            "Fuzzing's wrong marks", list(names), format_func=names.__getitem__, required=True,
            help="In activating texts is harder: the text fits, only the marked tokens are wrong",
            **kept("wrong_marks", "non_activating"),
        )  # fmt: skip
    centre = st.toggle(CENTRE, help=CENTRE_HELP, disabled=protocol == "delphi", **kept("score_centre", False))
    return {
        "n_examples": int(n_examples),
        "n_negatives": int(n_negatives),
        "seed": int(seed),
        "centre": centre and protocol == "held-out",
        "protocol": protocol,
        "negatives": ("random",) if protocol == "delphi" else tuple(negatives),
        "wrong_marks": wrong,
    }


def _preview_scores(feature: Feature, versions: Versions, options: Sequence[ScoreOptions]) -> None:
    asking = [one for one in options if one.needs_llm]
    if not asking:
        st.caption("No prompt and no cost: nothing here asks a language model.")
        return
    resources, current = services.resources(feature.store), versions.current
    assert current is not None
    try:
        previews = [estimate_score(resources, current, one) for one in asking]
    except UserError as error:
        st.warning(sentence(error, 600))
        return
    for one, preview in zip(asking, previews, strict=True):
        st.caption(f"**{one.scorer.capitalize()}**, the floor's requests included")
        _preview(preview)


CHOICES = "explanation_choices"


def kept(name: str, default: Any, allowed: Sequence[Any] | None = None) -> dict[str, Any]:
    """`key` and `on_change` of a widget whose choice lasts for the session, also while it is not drawn. `allowed`: what can be
    chosen now, which may be less than when the choice was made."""
    choices: dict[str, Any] = st.session_state.setdefault(CHOICES, {})
    key = f"choice_{name}"
    present = st.session_state.get(key, choices.get(name, default))
    value = _allowed(present, default, allowed)
    if key not in st.session_state or value != present:
        st.session_state[key] = value

    def keep() -> None:
        choices[name] = st.session_state[key]

    return {"key": key, "on_change": keep}


def _allowed(value: Any, default: Any, allowed: Sequence[Any] | None) -> Any:
    if allowed is None:
        return value
    if isinstance(value, list):
        return [one for one in value if one in allowed]
    return value if value in allowed else default


def run_and_close(label: str, key: str, act: Any, *arguments: Any) -> None:
    with st.container(horizontal=True):
        pressed = actions.pressed(label, key, type="primary", icon=":material/play_arrow:")
        st.button("Close", key=f"{key}_close", type="tertiary", on_click=change, kwargs={"panel": None})
    if pressed:
        actions.attempt(act, *arguments)
        st.rerun()
    actions.show_error()


AUTHOR = "explanation_author"
TEXT = "explanation_text"


def write(feature: Feature, versions: Versions, *, edit: bool) -> None:
    """A person's own version: from nothing, or from the one in sight."""
    base = versions.current if versions.current and versions.current.status == "ok" else None
    current = base if edit else None
    key = f"{TEXT}_{versions.coder}_{versions.latent}_{current.id if current else ''}_{len(versions.explanations)}"
    if key not in st.session_state:
        st.session_state[key] = current.text if current else ""
    with st.container(border=True):
        if base is not None:
            starts = {"edit": f"From version {versions.number(base)}", "write": "From nothing"}
            st.segmented_control(
                "Start", list(starts), format_func=starts.__getitem__, required=True, label_visibility="collapsed",
                **bound("panel", "edit" if edit else "write"),
            )  # fmt: skip
        text = st.text_area(
            f"Edit version {versions.number(current)}" if current else "Your explanation", key=key, height=110,
            placeholder="What does this feature respond to? One or two sentences.",
            help="Versions are never overwritten.",
        )  # fmt: skip
        with st.container():  # a slot, so that nothing below moves while someone types
            if len(text) > MAX_TEXT:
                st.warning(f"{len(text):,} characters; the limit is {MAX_TEXT:,}.")
        first, second = st.columns(2, vertical_alignment="bottom")
        author = first.text_input("Author", max_chars=100, placeholder="Your name", **_author())
        score_it = second.toggle(
            "Score it", help="With every scorer that needs no language model, on held-out examples (which you may have seen)",
            **kept("score_written", True),
        )  # fmt: skip
        scores = actions.as_before(versions, actions.default_scores(feature.store)) if score_it else []
        parent = current.id if current else None
        run_and_close("Save", "run_write", _save, feature, versions, text, author, parent, scores)


def _author() -> dict[str, Any]:
    st.session_state.setdefault("choice_author", st.session_state.get(AUTHOR, ""))

    def keep() -> None:
        st.session_state[AUTHOR] = st.session_state["choice_author"]

    return {"key": "choice_author", "on_change": keep}


def _save(
    feature: Feature, versions: Versions, text: str, author: str, parent: str | None, scores: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    before = versions.find(parent)
    if before is not None and text.strip() == before.text.strip():
        raise UserError("The text is unchanged.")
    actions.write(feature, text, author, parent, scores)
