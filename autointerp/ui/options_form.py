"""Widgets that choose how to explain and how to score, for one feature or for thousands.

    llm = llm_settings.current()
    explain = options_form.explain("regenerate", llm)      # ExplainOptions, not yet checked
    scores = options_form.scores("rescore", llm)           # list[ScoreOptions], one per chosen scorer

`key` names the place: two forms on a page need two. What needs a language model says so where none is chosen.
"""

from dataclasses import replace
from typing import cast

import streamlit as st

from autointerp.runs import (
    EXPLAINERS,
    NEGATIVES,
    SAMPLINGS,
    SCORERS,
    ExplainOptions,
    LLMOptions,
    ScoreOptions,
)
from autointerp.runs.options import ExplainerName, NegativeSource, SamplingName, ScorerName
from autointerp.ui import labels, llm_settings

OFFLINE_SCORERS: tuple[ScorerName, ...] = ("detection", "fuzzing", "embedding")
SCORER_HELP: dict[ScorerName, str] = {
    "detection": "Told the explanation: does the feature fire in this text?",
    "fuzzing": "Told the explanation: are these the tokens that it fires on?",
    "embedding": "Are the texts it fires in nearer in meaning to the explanation than others?",
    "surprisal": "Does the explanation make those texts less surprising to a language model?",
    "simulation": "Told the explanation: how strongly does it fire on every token?",
}
SAMPLING_NAMES: dict[SamplingName, str] = {
    "mix": "a quarter strongest, the others from all quantiles",
    "quantiles": "evenly from all quantiles",
    "top": "the strongest",
    "random": "at random",
}
NEGATIVE_NAMES: dict[NegativeSource, str] = {
    "random": "random",
    "neighbours": "where similar features fire",
    "embedding": "near in meaning",
}


def explain(key: str, llm: LLMOptions | None) -> ExplainOptions:
    """How to explain."""
    defaults = ExplainOptions()
    explainer = cast(
        ExplainerName,
        st.selectbox(
            "Explainer", EXPLAINERS, key=f"{key}_explainer", format_func=labels.EXPLAINERS.__getitem__,
            help="“pattern” reads token and phrase statistics and asks nobody; the others ask the language model",
        ),
    )  # fmt: skip
    asks = explainer != "pattern"
    if asks:
        _says_who(llm)
    with st.popover("Examples and options", icon=":material/tune:"):
        sampling = cast(
            SamplingName,
            st.selectbox("Activating examples", SAMPLINGS, key=f"{key}_sampling", format_func=SAMPLING_NAMES.__getitem__),
        )  # fmt: skip
        left, right = st.columns(2)
        with left:
            n_examples = st.number_input("How many", 1, 1000, defaults.n_examples, key=f"{key}_n_examples")
            window = st.number_input("Tokens in each", 4, 1024, defaults.window, key=f"{key}_window")
        with right:
            n_contrast = st.number_input(
                "Non-activating ones", 1, 1000, defaults.n_contrast, key=f"{key}_n_contrast",
                help="For the contrastive explainer and for pattern",
            )  # fmt: skip
            seed = st.number_input("Seed", 0, 2**31 - 1, 0, key=f"{key}_seed")
        activations = st.checkbox(
            "Show how strongly it fires (0 to 10)", True, key=f"{key}_activations", disabled=not asks
        )
        reasoning = st.checkbox(
            "Ask for steps of reasoning first", False, key=f"{key}_reasoning", disabled=not asks
        )
    return replace(
        defaults,
        explainer=explainer,
        sampling=sampling,
        n_examples=int(n_examples),
        n_contrast=int(n_contrast),
        window=int(window),
        seed=int(seed),
        activations=activations if asks else defaults.activations,
        reasoning=reasoning if asks else defaults.reasoning,
        llm=llm if asks else None,
    )


def scores(
    key: str, llm: LLMOptions | None, *, default: tuple[ScorerName, ...] = OFFLINE_SCORERS
) -> list[ScoreOptions]:
    """How to score: one record for each chosen scorer, in the order of `SCORERS`; empty when none is chosen."""
    defaults = ScoreOptions()
    chosen = st.pills(
        "Scorers", SCORERS, selection_mode="multi", default=default, key=f"{key}_scorers",
        help="  \n".join(f"**{name}**: {text}" for name, text in SCORER_HELP.items()),
    )  # fmt: skip
    judge = st.segmented_control(
        "Judge of detection and fuzzing", ("offline", "llm"), default="offline", required=True, key=f"{key}_judge",
        format_func=lambda name: "offline judge" if name == "offline" else "language model",
        help="Both see the explanation and the example, nothing else",
    )  # fmt: skip
    judged = any(name in ("detection", "fuzzing") for name in chosen)
    if "simulation" in chosen or (judged and judge == "llm"):
        _says_who(llm)
    with st.popover("Examples and options", icon=":material/tune:"):
        left, right = st.columns(2)
        with left:
            n_examples = st.number_input(
                "Activating examples", 1, 1000, defaults.n_examples, key=f"{key}_n_examples",
                help="Held out: no explainer has seen them",
            )  # fmt: skip
            window = st.number_input("Tokens in each", 4, 1024, defaults.window, key=f"{key}_window")
        with right:
            n_negatives = st.number_input(
                "Non-activating examples", 1, 1000, defaults.n_negatives, key=f"{key}_n_negatives"
            )
            seed = st.number_input("Seed", 0, 2**31 - 1, 0, key=f"{key}_seed")
        negatives = st.pills(
            "Non-activating examples are", NEGATIVES, selection_mode="multi", default=("random",),
            key=f"{key}_negatives", format_func=NEGATIVE_NAMES.__getitem__,
        )  # fmt: skip
        protocol = st.segmented_control(
            "Protocol", ("ours", "delphi"), default="ours", required=True, key=f"{key}_protocol",
            help="“delphi” repeats the reference pipeline's choices, for comparison with published numbers",
        )  # fmt: skip
        activating_marks = st.checkbox(
            "Fuzzing: wrong marks in activating examples", False, key=f"{key}_marks",
            help="Harder: the right text, the wrong tokens. Otherwise wrong marks stand in non-activating examples.",
        )  # fmt: skip
    shared = replace(
        defaults,
        judge=judge or "offline",
        n_examples=int(n_examples),
        n_negatives=int(n_negatives),
        window=int(window),
        seed=int(seed),
        negatives=tuple(name for name in NEGATIVES if name in negatives) or ("random",),
        wrong_marks="activating" if activating_marks else "non_activating",
        embedder=llm_settings.embedder_name(),
    )
    found = []
    for name in SCORERS:
        if name in chosen:
            one = replace(shared, scorer=name)
            if one.judged:
                one = replace(one, protocol=protocol or "ours")
            found.append(replace(one, llm=llm if one.needs_llm else None))
    return found


def _says_who(llm: LLMOptions | None) -> None:
    if llm is None:
        st.warning("This asks a language model, and none is chosen.", icon=":material/cloud_off:")
        st.page_link("pages/settings.py", label="Choose one in Settings", icon=":material/settings:")
    else:
        st.caption(f"Asks {llm_settings.describe(llm)}.")
