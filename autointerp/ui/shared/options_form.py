"""Widgets of the batch form that choose how to explain and how to score. The words are those of the Feature page's forms.

`key` names the place: two forms on a page need two. What needs a language model says so where none is chosen.
"""

from dataclasses import replace

import streamlit as st

from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS, explainer_label
from autointerp.llm.options import LLMOptions
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import SCORERS
from autointerp.store import Store
from autointerp.ui.shared import llm_settings

SAMPLING = {
    "mix": "Mix: a quarter the strongest, others from all tenths",
    "quantiles": "Evenly over the tenths",
    "top": "Strongest",
    "random": "Random positives",
}
NEGATIVES = {"random": "Random", "neighbours": "Neighbours", "embedding": "Similar in meaning"}
EXPLAINER_HELP = (
    "pattern: token and phrase statistics, no language model. LLM: sees activating examples with their strengths; contrastive: "
    "non-activating ones too; top logits: the promoted tokens too."
)


SCORER_HELP = (
    "Detection: does it fire anywhere in the text? Fuzzing: are the right tokens marked? Embedding: are activating texts "
    "nearer in meaning? Surprisal: does the explanation make them likelier? Simulation: a strength predicted for every token."
)


CENTRE = "Centred"
CENTRE_HELP = (
    "Activating examples are moved until their strongest token stands at three quarters of them, as far as the row allows. "
    "Else it stands anywhere, as in the reference."
)
PROTOCOL_HELP = (
    "held-out: split into held-in and held-out contexts first, fresh wrong marks for every example. delphi: the reference's "
    "sampling and marks, for comparison with published figures; it does not keep out what the explainer has seen."
)
NEGATIVE_HELP = (
    "Random contexts are easy to tell apart. Neighbours: a similar feature fires there. Similar in meaning: the texts nearest "
    "to the activating ones (needs the windows' embeddings)."
)


HELD_OUT_HELP = (
    "On held-out examples, which no explainer has seen. The delphi protocol keeps nothing out, and an explanation's author may "
    "have seen any."
)
OFFLINE_SCORERS: tuple[str, ...] = ("detection", "fuzzing", "embedding")


def explain(key: str, llm: LLMOptions | None) -> ExplainOptions:
    """How to explain; not yet checked."""
    defaults = ExplainOptions()
    explainer = st.selectbox(
            "Explainer", list(EXPLAINERS), key=f"{key}_explainer", format_func=explainer_label,
            help=EXPLAINER_HELP,
        )  # fmt: skip
    asks = explainer != "pattern"
    if asks:
        _says_who(llm)
    with st.popover("Examples and options", icon=":material/tune:"):
        sampling = st.selectbox(
                "Examples shown", list(SAMPLING), index=list(SAMPLING).index(defaults.sampling), key=f"{key}_sampling",
                format_func=SAMPLING.__getitem__,
            )  # fmt: skip
        left, right = st.columns(2)
        with left:
            n_examples = st.number_input("Activating", 1, 1000, defaults.n_examples, key=f"{key}_n_examples")
            window = st.number_input("Tokens each", 4, 1024, defaults.window, key=f"{key}_window")
        with right:
            n_contrast = st.number_input(
                "Non-activating", 1, 1000, defaults.n_contrast, key=f"{key}_n_contrast",
                disabled=explainer not in ("pattern", "contrastive"),
                help="Shown to the pattern and contrastive explainers only",
            )  # fmt: skip
            seed = st.number_input(
                "Seed", 0, 2**31 - 1, 0, key=f"{key}_seed", help="Another seed draws other examples"
            )
        centre = st.toggle(CENTRE, False, key=f"{key}_centre", help=CENTRE_HELP)
        activations, reasoning = defaults.activations, defaults.reasoning
        if asks:
            activations = st.toggle(
                "Activations", True, key=f"{key}_activations", help="List strengths 1 to 10"
            )
            reasoning = st.toggle(
                "Reasoning steps", False, key=f"{key}_reasoning", help="The model thinks first"
            )
    return replace(
        defaults,
        explainer=explainer,
        sampling=sampling,
        n_examples=int(n_examples),
        n_contrast=int(n_contrast),
        window=int(window),
        seed=int(seed),
        activations=activations,
        reasoning=reasoning,
        centre=centre,
        llm=llm if asks else None,
    )


def scores(key: str, llm: LLMOptions | None, store: Store) -> list[ScoreOptions]:
    """How to score: one record for each chosen scorer, in the order of `SCORERS`; empty when none is chosen. Not yet
    checked."""
    defaults = ScoreOptions()
    chosen = st.pills(
        "Scorers", list(SCORERS), selection_mode="multi", default=OFFLINE_SCORERS, key=f"{key}_scorers",
        format_func=str.capitalize, help=SCORER_HELP,
    )  # fmt: skip
    judge = st.segmented_control(
        "Judge of detection and fuzzing", ("offline", "llm"), default="offline", required=True, key=f"{key}_judge",
        format_func=lambda name: "Offline judge" if name == "offline" else "Language model",
        help="Both see the explanation and the example, nothing else",
    )  # fmt: skip
    judged = any(name in ("detection", "fuzzing") for name in chosen)
    if any("llm" in SCORERS[name].needs for name in chosen) or (judged and judge == "llm"):
        _says_who(llm)
    with st.popover("Examples and options", icon=":material/tune:"):
        left, right = st.columns(2)
        with left:
            n_examples = st.number_input(
                "Activating", 1, 1000, defaults.n_examples, key=f"{key}_n_examples",
                help=HELD_OUT_HELP,
            )  # fmt: skip
            window = st.number_input("Tokens each", 4, 1024, defaults.window, key=f"{key}_window")
        with right:
            n_negatives = st.number_input(
                "Non-activating", 1, 1000, defaults.n_negatives, key=f"{key}_n_negatives"
            )
            seed = st.number_input("Seed", 0, 2**31 - 1, 0, key=f"{key}_seed")
        sources = ["random", "neighbours", *(["embedding"] if llm_settings.has_embeddings(store) else [])]
        negatives = st.pills(
            "Non-activating examples from", sources, selection_mode="multi", default=["random"],
            key=f"{key}_negatives", format_func=NEGATIVES.__getitem__, help=NEGATIVE_HELP,
        )  # fmt: skip
        protocol = st.segmented_control(
            "Protocol", ("held-out", "delphi"), default="held-out", required=True, key=f"{key}_protocol", help=PROTOCOL_HELP
        )  # fmt: skip
        centre = st.toggle(CENTRE, False, key=f"{key}_centre", help=CENTRE_HELP)
        activating_marks = st.toggle(
            "Fuzzing's wrong marks in activating texts", False, key=f"{key}_marks",
            help="Harder: the text fits, only the marked tokens are wrong",
        )  # fmt: skip
    shared = replace(
        defaults,
        judge=judge,
        n_examples=int(n_examples),
        n_negatives=int(n_negatives),
        window=int(window),
        seed=int(seed),
        negatives=tuple(name for name in sources if name in negatives),
        wrong_marks="activating" if activating_marks else "non_activating",
        centre=centre,
        embedder=llm_settings.embedder_name(),
    )
    found = []
    for name in SCORERS:
        if name in chosen:
            one = replace(shared, scorer=name)
            if one.judged:  # the reference has no others
                one = replace(one, protocol=protocol, centre=centre and protocol == "held-out")
            found.append(replace(one, llm=llm if one.needs_llm else None))
    return found


def _says_who(llm: LLMOptions | None) -> None:
    if llm is None:
        st.warning("This asks a language model, and none is chosen.", icon=":material/cloud_off:")
        st.page_link("pages/settings.py", label="Choose one in Settings", icon=":material/settings:")
    else:
        st.caption(f"Model: {llm_settings.describe(llm)}")
