"""The forms that choose how to explain and how to score, drawn from the options of the registries.

`form` names the place: two forms need two names. Choices last, also while the form is not drawn (`drafts`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS
from autointerp.llm.options import LLMOptions
from autointerp.records import Explanation
from autointerp.registry import Option
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import JUDGE, SCORERS, TEXT_MODEL
from autointerp.store import Store
from autointerp.ui.shared import llm_settings
from autointerp.ui.shared.drafts import kept
from autointerp.ui.shared.text import plain

MOST = 1000
"""Of anything counted in a form; the command line takes more."""
USUAL_TEXT = "Words and phrases of one family in texts on a common subject, mostly where a sentence begins."
NO_LLM = "No language model is chosen. Any OpenAI-compatible server will do, including a local one."


def explain(
    form: str, llm: LLMOptions | None, names: Sequence[str], default: str,
    seeds: Mapping[str, int] | None = None, about: str = "",
) -> ExplainOptions:  # fmt: skip
    """How to explain; not yet checked. `seeds`: the first ones to offer about the feature named `about`, by explainer."""
    name = st.selectbox(
        "Explainer", list(names), format_func=EXPLAINERS.label, **kept(f"{form}_explainer", default, names),
    )  # fmt: skip
    entry = EXPLAINERS[name]
    st.caption(entry.help)
    if "llm" in entry.needs:
        model_line(llm)
    seed = None if seeds is None else (f"{form}_{about}_{name}_{seeds.get(name, 0)}", seeds.get(name, 0))
    with st.popover("Examples and options", icon=":material/tune:"):
        values = _widgets(form, entry.options, seed=seed)
    asked = llm if "llm" in entry.needs else None
    return ExplainOptions(explainer=name, llm=asked, **_arguments(ExplainOptions, values))


def scorers(
    form: str, label: str, offered: Sequence[str], default: Sequence[str], note: str = ""
) -> list[str]:
    """Which of the scorers on offer, in the order of the registry."""
    chosen = st.pills(
        label, list(offered), selection_mode="multi", wrap=True, format_func=SCORERS.label, help=note or _scorer_help(offered),
        **kept(f"{form}_scorers", [name for name in default if name in offered], offered),
    )  # fmt: skip
    return [name for name in offered if name in chosen]


def usable_scorers(llm: LLMOptions | None) -> list[str]:
    """All, or all that need no language model where none is chosen."""
    return [name for name, entry in SCORERS.items() if llm is not None or "llm" not in entry.needs]


def _scorer_help(names: Sequence[str]) -> str:
    return "  \n".join(f"**{SCORERS[name].label}**: {SCORERS[name].help}" for name in names)


def judge(form: str, names: Sequence[str], llm: LLMOptions | None, default: str = JUDGE.default) -> str:
    """Who answers, where any of these scorers asks a judge."""
    if llm is None or not any(SCORERS[name].judged for name in names):
        return JUDGE.default
    labels = {**JUDGE.choices, "llm": plain(llm.model, 40)}
    return st.segmented_control(
        JUDGE.label, list(labels), format_func=labels.__getitem__, required=True, help=JUDGE.help,
        **kept(f"{form}_judge", default, list(labels)),
    )  # fmt: skip


def scores(
    form: str, names: Sequence[str], judge_name: str, llm: LLMOptions | None, store: Store
) -> list[ScoreOptions]:
    """How to score with each of these scorers; not yet checked. An option is drawn once for all that take it."""
    if not names:
        return []
    elsewhere = (
        (JUDGE,) if llm is not None else (JUDGE, TEXT_MODEL)
    )  # nothing to choose where there is one model only
    taken = {
        option.name: option for name in names for option in SCORERS[name].options if option not in elsewhere
    }
    with st.popover("Examples and options", icon=":material/tune:"):
        sources = _missing_sources(store)
        values = _widgets(form, list(taken.values()), left_out=sources, chosen={"judge": judge_name})
    options = []
    for name in names:
        own = {option.name for option in SCORERS[name].options}
        mine = {key: value for key, value in values.items() if key in own}
        if mine.get("protocol") == "delphi":  # which knows no others
            mine |= {"negatives": ["random"], "centre": False, "wrong_marks": "non_activating"}
            mine = {key: value for key, value in mine.items() if key in own}
        options.append(plain_score(name, judge_name, llm, **_arguments(ScoreOptions, mine)))
    return options


def plain_score(scorer: str, judge_name: str, llm: LLMOptions | None, **values: Any) -> ScoreOptions:
    """With the embedder chosen in Settings, and the language model where this scorer or its judge needs one."""
    judge_name = judge_name if SCORERS[scorer].judged else JUDGE.default
    embedder = llm_settings.embedder_name()
    options = ScoreOptions(scorer=scorer, judge=judge_name, embedder=embedder, **values)
    return replace(options, llm=llm) if options.needs_llm else options


def likely_explanation(coder: str, latent: int, options: ExplainOptions) -> Explanation:
    """Stands for one that is not made yet, in estimates of what scoring it costs: its text is of the usual length."""
    return Explanation(coder=coder, latent=latent, text=USUAL_TEXT, explainer=options.explainer)


def model_line(llm: LLMOptions | None) -> None:
    """Which language model is asked; where none is chosen, how to choose one."""
    if llm is None:
        st.caption(NO_LLM)
        st.page_link("pages/settings.py", label="Choose one in Settings", icon=":material/settings:")
    else:
        st.caption(f"Model: {llm_settings.describe(llm)}")


def _missing_sources(store: Store) -> dict[str, set[str]]:
    return {} if llm_settings.has_embeddings(store) else {"negatives": {"embedding"}}


def _arguments(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the record, and what belongs into its `extra`."""
    fields = {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
    extra = {name: value for name, value in values.items() if name not in fields}
    return fields | ({"extra": extra} if extra else {})


def _widgets(
    form: str,
    options: Sequence[Option],
    *,
    seed: tuple[str, int] | None = None,
    left_out: Mapping[str, set[str]] | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws the options that the app shows and that change anything, and returns their values by name. `seed`: place and
    default of the seed; `chosen`: what is chosen elsewhere."""
    values = {} if chosen is None else dict(chosen)
    shown = [option for option in options if option.in_app]
    for some in (
        [option for option in shown if not option.when],
        [option for option in shown if option.when],
    ):
        known = {option.name: option.default for option in options} | values
        values |= _draw(form, [option for option in some if option.matters(known)], seed, left_out or {})
    return {name: value for name, value in values.items() if name not in (chosen or ())}


def _draw(
    form: str, options: Sequence[Option], seed: tuple[str, int] | None, left_out: Mapping[str, set[str]]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    numbers = [option for option in options if option.kind in (int, float) and not option.choices]
    for start in range(0, len(numbers), 2):
        for column, option in zip(st.columns(2), numbers[start : start + 2], strict=False):
            place, default = seed if seed and option.name == "seed" else (form, option.default)
            with column:
                values[option.name] = _number(place, option, default)
    for option in options:
        if option not in numbers:
            values[option.name] = _choice(form, option, left_out.get(option.name, set()))
    return values


def _number(form: str, option: Option, default: Any) -> Any:
    low = option.kind(option.minimum or 0)
    high = option.kind(option.maximum if option.maximum is not None else MOST)
    high = max(min(high, 2**31), low)

    def within(value: Any) -> Any:
        return max(low, min(high, option.kind(float(value)))) if value or value == 0 else None

    value = st.number_input(
        option.label, low, high, help=option.help, **kept(f"{form}_{option.name}", default, typed=within)
    )
    return None if value is None else option.kind(value)


def _choice(form: str, option: Option, left_out: set[str]) -> Any:
    names = [name for name in option.choices if name not in left_out]
    default = list(option.default) if option.several else option.default
    widget = kept(f"{form}_{option.name}", default, names or None)
    if option.several:
        chosen = st.pills(
            option.label, names, selection_mode="multi", wrap=True, format_func=option.choices.__getitem__,
            help=option.help, **widget
        )  # fmt: skip
        return tuple(name for name in names if name in chosen)
    if option.kind is bool:
        return st.toggle(option.label, help=option.help, **widget)
    if not names:
        return st.text_input(option.label, help=option.help, **widget)
    draw: Any = st.segmented_control if len(names) < 3 else st.selectbox
    more = {"required": True} if len(names) < 3 else {}
    return draw(
        option.label, names, format_func=option.choices.__getitem__, help=option.help, **more, **widget
    )
