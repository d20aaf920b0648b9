"""“New batch”: explain or score many features of one or more coders, with what it will take before it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import streamlit as st

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS
from autointerp.jobs.kinds import explain_job, score_job
from autointerp.llm.options import LLMOptions
from autointerp.models.coders import registry
from autointerp.pipeline.estimate import (
    Estimate,
    add_estimates,
    estimate_explanation,
    estimate_score,
    extrapolate,
)
from autointerp.pipeline.pending import (
    explanations_to_score,
    live_latents,
    parse_latents,
    unexplained,
    unscored,
)
from autointerp.records import Explanation, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import SCORERS
from autointerp.store import Store
from autointerp.ui.shared import components, job_strip, list_walk, llm_settings, options, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.drafts import kept, used
from autointerp.ui.shared.session import LAST_FEATURE
from autointerp.ui.shared.state import change, current
from autointerp.ui.shared.text import plain, sentence

KEY = "batch"
LOST = (
    "The list that you came from is no longer available (a search is lost on a reload), or it is empty. Open it again on the "
    "Features page, or choose features here: the features below are not that list."
)
HELD_OUT_HELP = "On held-out examples, which no explainer has seen; the delphi protocol holds nothing out"
Which = Literal["missing", "all", "some", "list"]
WHICH: dict[Which, str] = {"missing": "Missing", "all": "All live", "some": "Selected"}
WHICH_HELP = (
    "**Missing**: live features without an explanation with this exact configuration; when only scoring, explanations without "
    "such a score.  \n**All live**: all of them, as new versions; cached replies cost nothing.  \n"
    "**Selected**: numbers and ranges, such as 0-99,512."
)


@dataclass(frozen=True)
class Plan:
    """What the form asks for. `items`: coder -> latents to explain, or ids of explanations to score."""

    explain: ExplainOptions | None
    scores: tuple[ScoreOptions, ...]
    items: dict[str, list[int] | list[str]]

    @property
    def n_items(self) -> int:
        return sum(map(len, self.items.values()))

    @property
    def asking(self) -> list[ExplainOptions | ScoreOptions]:
        """The parts that ask a language model."""
        return [part for part in (self.explain, *self.scores) if part is not None and part.needs_llm]


def draw(store: Store) -> None:
    """The form. Starts jobs and closes itself."""
    names = [info.coder for info in store.coders()]
    if not names:
        components.no_coders()
        return
    try:
        llm = llm_settings.current()
    except UserError as error:
        st.warning(sentence(error, 800))
        llm = None
    listed = list_walk.features(store)
    if listed is None and list_walk.LIST in current():
        st.warning(LOST)
    flow = st.container(horizontal=True, gap="medium")  # side by side where there is room
    left, middle, right = flow.container(width=370), flow.container(width=280), flow.container(width=470)
    with left:
        ways: dict[Which, str] = {} if listed is None else {"list": f"These {_n(listed):,} of the list"}
        ways |= WHICH
        chosen_way = kept(f"{KEY}_which{'' if listed is None else '_list'}", next(iter(ways)), list(ways))
        which = cast(Which, st.radio(
            "Features", list(ways), format_func=lambda key: ways.get(key, ""), help=WHICH_HELP, horizontal=True, **chosen_way
        ))  # fmt: skip
        coders = list(listed or ())
        if which != "list":
            coders = st.pills(
                "Coders",
                names,
                selection_mode="multi",
                wrap=True,
                **kept(f"{KEY}_coders", _usual(store), names),
            )
        text = ""
        if which == "some":
            label = "Numbers and ranges"
            field = kept(f"{KEY}_latents", "", typed=str)
            text = st.text_input(label, placeholder="0-99,512", max_chars=10_000, **field) or ""
    with middle:
        wants_explain = st.checkbox("Explain", **kept(f"{KEY}_explain", True))
        names = list(EXPLAINERS)
        explain = options.explain(f"{KEY}_e", llm, names, names[0]) if wants_explain else None
    with right:
        wants_score = st.checkbox("Score", help=HELD_OUT_HELP, **kept(f"{KEY}_score", True))
        scores = tuple(_scores(store, llm)) if wants_score else ()
    if llm is not None and any(part.needs_llm for part in (explain, *scores) if part):
        explain, scores = _with_budget(explain, scores, llm)
    problem, chosen = None, None
    try:
        chosen = plan(store, coders, which, text, explain, scores, listed)
    except UserError as error:
        problem = str(error)
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Start", key=f"{KEY}_start", icon=":material/play_arrow:", disabled=chosen is None)
        if problem:
            st.caption(f"⚠ {plain(problem, 600)}")
        elif chosen:
            st.caption(describe(store, chosen))
    if start and chosen is not None:
        _start(store, chosen)


def _scores(store: Store, llm: LLMOptions | None) -> list[ScoreOptions]:
    form = f"{KEY}_s"
    usual = [name for name, entry in SCORERS.items() if entry.usual]
    names = options.scorers(form, "Scorers", list(SCORERS), usual)
    judge = options.judge(form, names, llm)
    if judge == "llm" or any("llm" in SCORERS[name].needs for name in names):
        options.model_line(llm)
    return options.scores(form, names, judge, llm, store)


def _usual(store: Store) -> list[str]:
    """The coder of the feature seen last, else the first one that was trained."""
    seen, _ = st.session_state.get(LAST_FEATURE, (None, None))
    names = [info.coder for info in registry.trained_first(store.coders())]
    return [seen] if seen in names else names[:1]


def _with_budget(
    explain: ExplainOptions | None, scores: Sequence[ScoreOptions], llm: LLMOptions
) -> tuple[ExplainOptions | None, tuple[ScoreOptions, ...]]:
    flow = st.container(horizontal=True, gap="medium")
    with flow.container(width=370):
        max_tokens = llm_settings.budget_tokens(llm, KEY)
    with flow.container(width=280):
        max_cost = llm_settings.budget_cost(llm, KEY)
    limited = replace(llm, max_tokens=max_tokens, max_cost=max_cost)
    if explain is not None and explain.needs_llm:
        explain = replace(explain, llm=limited)
    return explain, tuple(replace(score, llm=limited) if score.needs_llm else score for score in scores)


def plan(
    store: Store,
    coders: Sequence[str],
    which: Which,
    text: str,
    explain: ExplainOptions | None,
    scores: Sequence[ScoreOptions],
    listed: Mapping[str, list[int]] | None = None,
) -> Plan:
    """What exactly would be done; `listed`: features by coder, for "list". Raises UserError with what to change."""
    if not coders:
        raise UserError("Choose at least one coder.")
    if explain is None and not scores:
        raise UserError("Choose Explain, Score or both; to score, choose at least one scorer.")
    for part in [*([explain] if explain else []), *scores]:
        part.check()
    annotations = services.annotations(store)
    items: dict[str, list[int] | list[str]] = {}
    for coder in coders:
        if which == "some":
            if not text.strip():
                raise UserError("Enter features, such as 0-99,512.")
            latents = parse_latents(text, store.coder(coder))
        elif which == "list":
            latents = (listed or {}).get(coder, [])
        else:
            latents = live_latents(store, coder)
        if explain is not None:
            missing = which == "missing"
            items[coder] = unexplained(annotations, coder, latents, explain) if missing else latents
        else:
            shown = explanations_to_score(annotations, coder, latents)
            items[coder] = unscored(annotations, coder, shown, scores) if which == "missing" else shown
    items = {coder: wanted for coder, wanted in items.items() if wanted}
    if not items:
        raise UserError(_nothing(which, explain is not None))
    return Plan(explain, tuple(scores), items)


def _n(listed: Mapping[str, list[int]]) -> int:
    return sum(map(len, listed.values()))


def _nothing(which: Which, explaining: bool) -> str:
    if explaining:
        if which == "missing":
            return "Every live feature has an explanation with this exact configuration. “All live” makes new versions."
        return "All features of these coders are dead: there is nothing to explain."
    if which == "missing":
        return "Every explanation already has a score with this exact configuration, or nothing is explained yet."
    return "None of these features has an explanation. Tick “Explain” too."


def describe(store: Store, chosen: Plan) -> str:
    """How much work it is, as Markdown."""
    what = "feature" if chosen.explain else "explanation"
    per = ", ".join(f"{plain(coder, 60)} {fmt.count(len(items))}" for coder, items in chosen.items.items())
    work = fmt.plural(chosen.n_items, what) + (f" ({per})" if len(chosen.items) > 1 else "")
    if not chosen.asking:
        return f"{work}; no language model, no cost"
    try:
        return f"{work}: {amount(estimate(store, chosen), what)}"
    except UserError as error:
        return f"{work}; the cost cannot be estimated: {plain(str(error), 300)}"


def amount(total: Estimate, what: str) -> str:
    """Requests, tokens and cost, and how many of the items were sampled for them, as Markdown."""
    requests = f"about {fmt.plural(total.n_requests, 'request')}"
    if not total.exact:
        requests = f"estimated from {total.sampled} of {fmt.plural(total.n_items, what)}: {requests}"
    failing = ""
    if total.unusable:
        failing = (
            f"; {total.unusable} of {total.sampled} sampled would fail: {plain(total.problem or '', 300)}"
        )
    if total.all_known:
        cached = "all cached, no cost"
        if not total.exact:
            cached = f"all cached among the {total.sampled} sampled; the cost of the others is unknown"
        return f"{requests}, {cached}{failing}"
    cost = "cost unknown (set the model's prices in Settings)"
    if total.cost is not None:
        cost = f"cost at most {fmt.money(total.cost)}"
    cached = f", {fmt.count(total.from_cache)} cached" if total.from_cache else ""
    return (
        f"{requests}{cached}; {fmt.short_count(total.tokens_in)} tokens in, at most "
        f"{fmt.short_count(total.tokens_out)} out, {cost}{failing}"
    )


def estimate(store: Store, chosen: Plan) -> Estimate:
    """From some ten items, spread over all coders. Raises UserError when none of them can be done."""
    items = [(coder, item) for coder, wanted in chosen.items.items() for item in wanted]
    path = str(store.path)

    together = frozenset(items)

    def scored_too(other: Explanation) -> bool:
        """Not where explanations are still to be written: a floor may be an old one, which is then a request of its own."""
        return chosen.explain is None and (other.coder, other.id) in together

    def of_all(part: ExplainOptions | ScoreOptions) -> Estimate:
        key = config_hash(part.to_dict())
        run = hash(together) if isinstance(part, ScoreOptions) and part.entry.written else 0
        return extrapolate(
            items,
            lambda item: _preview(path, item[0], item[1], key, run, store, chosen.explain, part, scored_too),
        )

    return add_estimates([of_all(part) for part in chosen.asking])


@st.cache_data(show_spinner=False, max_entries=512, ttl=600)
def _preview(
    path: str,
    coder: str,
    item: int | str,
    key: str,
    run: int,
    _store: Store,
    _explain: ExplainOptions | None,
    _part: ExplainOptions | ScoreOptions,
    _scored_too: Callable[[Explanation], bool],
) -> Estimate:
    resources = services.resources(_store)
    if isinstance(_part, ExplainOptions):
        return estimate_explanation(resources, coder, int(item), _part)
    if _explain is None:
        explanation = resources.annotations.explanation(str(item))
    else:
        explanation = options.likely_explanation(coder, int(item), _explain)
    return estimate_score(resources, explanation, _part, _scored_too)


def _start(store: Store, chosen: Plan) -> None:
    runner = services.runner(store)
    if runner is None:
        st.error("This store is read-only.")
        return
    try:
        for coder, items in chosen.items.items():
            if chosen.explain is not None:
                job = explain_job(coder, [int(item) for item in items], chosen.explain, chosen.scores)
            else:
                job = score_job(coder, [str(item) for item in items], chosen.scores)
            job_strip.remember(runner.submit(**job).id)
    except UserError as error:
        st.error(sentence(error, 800))
        return
    used(f"{KEY}_latents")
    change(new=None, page=None, show=None, **list_walk.RESET)
    st.rerun()
