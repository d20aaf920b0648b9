"""The controls of the Features page: which coder, what to search, what to sort by, what to leave out. Each one's state is in
the address."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from autointerp.explain.registry import EXPLAINERS
from autointerp.models.coders import registry
from autointerp.store import STATISTICS, ScoreKind
from autointerp.types import CoderInfo
from autointerp.ui.features import collection
from autointerp.ui.shared import expected, score_text, verdict_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.list_query import ListAnnotations, shown_sort
from autointerp.ui.shared.list_state import (
    BEST,
    DEAD,
    HUMAN,
    MAX_SCORE,
    MODES,
    SCORE_FILTERS,
    STATES,
    UNSCORED,
    FeaturesState,
    NumberFilter,
    ScoreFilter,
    statistic_filters,
    write_also,
)
from autointerp.ui.shared.state import bound, change, choose, current
from autointerp.ui.shared.text import visible

ALL = "All coders"
_ANY = "any"
_PLACEHOLDERS = {
    "text": "Words in a context",
    "regex": "Regular expression",
    "near": "Topic of a context",
    "words": "Words in an explanation",
    "meaning": "Topic of an explanation",
    "both": "Topic or words of an explanation",
}


def which(names: list[str], state: FeaturesState) -> None:
    """The coder, or all."""
    options = {name: name for name in (ALL, *names)}
    choose(
        st.selectbox,
        "Coder",
        options,
        "coder",
        state.coder or ALL,
        ALL,
        reset=("page", "kind", "hookpoint"),
        width=145,
    )


def search_box(state: FeaturesState) -> None:
    """One box, and what it searches. A new search brings its own order."""
    reset = ("page", "context", "sort", "order")
    choose(st.selectbox, "Search in", MODES, "mode", state.mode, "text", reset=(*reset, "regex"), width=232)
    st.text_input(
        "Search", width="stretch", label_visibility="collapsed", icon=":material/search:",
        placeholder=_PLACEHOLDERS[state.mode], max_chars=500,
        **bound("search", state.search, "", reset=reset, encode=str.strip),
    )  # fmt: skip


def order(state: FeaturesState, kinds: Mapping[ScoreKind, int], kind: ScoreKind | None) -> None:
    """The score shown, and what the list is sorted by."""
    if kind is not None:
        names = {offered.key: score_text.name(offered, kinds) for offered in kinds}
        choose(st.selectbox, "Score shown", names, "score", kind.key, reset=("page",), width=205)
    offered = _orders(searching=state.searching, scored=kind is not None)
    shown = shown_sort(state, kind)
    shown = shown if shown in offered else UNSCORED
    key = "url_sort"
    if st.session_state.get(key) != shown:
        st.session_state[key] = shown
    st.selectbox(
        "Sort by", list(offered), format_func=lambda name: offered.get(name, ""), width=160, label_visibility="collapsed",
        key=key, on_change=lambda: sort_by(st.session_state[key]),
    )  # fmt: skip


def _orders(*, searching: bool, scored: bool) -> dict[str, str]:
    """Names of the orders on offer, by what the address says."""
    scores = {
        "above": expected.NAME,
        "low": "Score, lower bound",
        "score": "Score",
    }
    statistics = {statistic.key: statistic.label for statistic in STATISTICS.values() if statistic.sortable}
    return {
        **({"match": "Best match"} if searching else {}),
        **(scores if scored else {}),
        **statistics,
        "latent": "Number",
    }


def sort_by(name: str, *, descending: bool | None = None) -> None:
    """Put an order into the address; by default the natural one, largest first but for numbers."""
    state = FeaturesState.parse(current())
    natural = name != "latent"
    down = natural if descending is None else descending
    change(
        sort=None if name == ("match" if state.searching else BEST) else name,
        order=None if down == natural else "desc" if down else "asc",
        page=None,
    )


def filters(infos: Sequence[CoderInfo], state: FeaturesState, listed: ListAnnotations) -> None:
    """Everything that narrows the list, in a popover."""
    left, right = st.columns(2, gap="medium")
    with left:
        first, second = st.columns(2, gap="xsmall")
        with first:
            _narrow(st.segmented_control, "Features", DEAD, "dead", state.dead, "hide")
        with second:
            hookpoints = {info.hookpoint: info.hookpoint for info in infos}
            _coders("Hookpoint", "hookpoint", state.hookpoints, hookpoints)
        kinds = {info.kind: registry.kind(info.kind).label for info in infos}
        _coders("Kind of coder", "kind", state.kinds, kinds)
        _numbers(statistic_filters(), state)
    with right:
        states = {key: label for key, (label, _) in STATES.items()}
        offered = [*listed.explainers, *([state.explainer] if state.explainer else [])]
        names = {_ANY: "Any"} | {name: _explainer(name, listed.explainers) for name in offered}
        people = {key: label for key, (label, _) in HUMAN.items()}
        collections = collection.names(listed.annotations, state)
        first, second = st.columns(2, gap="xsmall")
        with first:
            _narrow(st.selectbox, "Explanation", states, "explained", state.explained)
            _narrow(st.selectbox, "Human input", people, "human", state.human)
        with second:
            _narrow(st.selectbox, "Explainer", names, "explainer", state.explainer or _ANY)
            if listed.judged or state.verdict != "any":
                _narrow(st.selectbox, "Human verdict", verdict_text.FILTERS, "verdict", state.verdict)
        if collections:
            chosen = state.collection or ""  # any name may be one, "any" too
            _narrow(st.selectbox, "Collection", {"": "Any"} | collections, "collection", chosen, "")
        if listed.kind is None:
            st.caption("Filters by score appear once something is scored.")
            return
        most = _most(listed.kind)
        _numbers([replace(each, low=-most, high=most) for each in SCORE_FILTERS], state)
    if len(listed.kinds) > 1:
        _also(state, listed)


def _coders(label: str, name: str, chosen: Sequence[str], options: Mapping[str, str]) -> None:
    """Several kinds or hookpoints at once; none means all. Leaves the choice of a single coder."""
    if len(options) < 2:
        return
    known = [each for each in chosen if each in options]
    st.pills(
        label, list(options), selection_mode="multi", wrap=True, format_func=lambda key: options.get(str(key), ""),
        **bound(name, known, reset=("page", "coder"), encode=lambda keys: ",".join(keys) or None, firm=True),
    )  # fmt: skip


def _also(state: FeaturesState, listed: ListAnnotations) -> None:
    """Bounds on the values of several scores at once."""
    names = {kind.key: score_text.name(kind, listed.kinds) for kind in listed.kinds}
    of: dict[str, ScoreFilter] = {}
    for each in state.also:
        kind = next((kind for kind in listed.kinds if kind.has_key(each.key)), None)
        if kind is not None:
            of[kind.key] = replace(each, key=kind.key)

    def choose_scores(keys: list[str]) -> str | None:
        return write_also(of.get(key) or ScoreFilter(key) for key in keys)

    st.pills(
        "Several scores at once", list(names), selection_mode="multi", wrap=True,
        format_func=lambda key: names.get(str(key), ""),
        **bound("also", list(of), encode=choose_scores, firm=True, reset=("page",)),
    )  # fmt: skip
    most = {kind.key: _most(kind) for kind in listed.kinds}
    for key in of:
        left, right = st.columns(2, gap="medium")
        for column, side, word in ((left, "least", "least"), (right, "most", "most")):
            with column:
                _also_number(f"{names[key]} at {word}", key, side, of, most[key])


def _most(kind: ScoreKind) -> float:
    """How far scores of this kind go, either way."""
    return 1.0 if score_text.is_bounded(kind) else MAX_SCORE


def _also_number(label: str, kind: str, side: str, of: Mapping[str, ScoreFilter], most: float) -> None:
    given = getattr(of[kind], side)
    value = None if given is None else min(max(given, -most), most)
    key = f"also_{side}_{kind}"
    if st.session_state.get(key, _UNSET) != value:
        st.session_state[key] = value

    def write() -> None:
        changed = replace(of[kind], **{side: st.session_state[key]})
        change(also=write_also(changed if name == kind else each for name, each in of.items()), page=None)

    st.number_input(
        label, min_value=-most, max_value=most, step=None, format="%g", placeholder="any", key=key,
        on_change=write,
    )  # fmt: skip


_UNSET = object()


def _numbers(filters: Sequence[NumberFilter], state: FeaturesState) -> None:
    """Two on a line: first both bounds on one quantity, then those on quantities that have one each."""
    of = [
        [each for each in filters if each.bounds == bounds] for bounds in {each.bounds: 0 for each in filters}
    ]
    ordered = [each for both in sorted(of, key=len, reverse=True) for each in both]
    for start in range(0, len(ordered), 2):
        for column, each in zip(st.columns(2, gap="xsmall"), ordered[start : start + 2], strict=False):
            with column:
                _number(each, state)


def _number(bounds: NumberFilter, state: FeaturesState) -> None:
    typed = state.filters.get(bounds.param)
    clipped = None if typed is None else min(max(typed, bounds.low), bounds.high)
    st.number_input(
        bounds.label, min_value=bounds.low, max_value=bounds.high, step=None, format="%g", placeholder="any",
        **bound(bounds.param, clipped, reset=("page",), late=True),
    )  # fmt: skip


def _narrow(
    widget: Any, label: str, options: Mapping[str, str], name: str, value: str, all_: str = _ANY
) -> None:
    """One filter; `all_` leaves nothing out."""
    look = {"label_visibility": "visible", "firm": True}
    choose(widget, label, options, name, value, all_, reset=("page",), **look)


def _explainer(name: str, counts: Mapping[str, int]) -> str:
    return f"{visible(EXPLAINERS.label(name))[:60]} ({fmt.count(counts.get(name, 0))})"
