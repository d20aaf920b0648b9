"""The filters of the list as chips: each says what it leaves in, a click removes it, and one more clears all."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st

from autointerp.explain.registry import EXPLAINERS
from autointerp.models.coders import registry
from autointerp.ui.shared import score_text, verdict_text
from autointerp.ui.shared.list_query import ListAnnotations
from autointerp.ui.shared.list_state import (
    HUMAN,
    SCORE_FILTERS,
    STATES,
    FeaturesState,
    ScoreFilter,
    statistic_filters,
    write_also,
)
from autointerp.ui.shared.state import change
from autointerp.ui.shared.text import plain


class Chip(NamedTuple):
    """One filter. `without`: the parameters of the address that remove it."""

    text: str
    without: dict[str, Any]


def draw(state: FeaturesState, listed: ListAnnotations) -> None:
    """A line of them, nothing without filters."""
    made = chips(state, listed)
    if not made:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        for place, chip in enumerate(made):  # two of them may say the same
            st.button(
                plain(chip.text, 90), key=f"chip_{place}_{chip.text}", icon=":material/close:", help="Remove this filter",
                on_click=change, kwargs={**chip.without, "page": None},
            )  # fmt: skip
        everything: dict[str, Any] = {name: None for chip in made for name in chip.without}
        st.button(
            "Clear all", key="clear_filters", type="tertiary", on_click=change, kwargs={**everything, "page": None}
        )  # fmt: skip


def chips(state: FeaturesState, listed: ListAnnotations) -> list[Chip]:
    """The filters in force, in words."""
    made: list[Chip] = []
    if state.dead != "hide":
        made.append(Chip(f"Dead features {'only' if state.dead == 'only' else 'too'}", {"dead": None}))
    made += [Chip(registry.kind(kind).label, {"kind": _others(state.kinds, kind)}) for kind in state.kinds]
    made += [Chip(name, {"hookpoint": _others(state.hookpoints, name)}) for name in state.hookpoints]
    made += [
        Chip(each.said(state.filters[each.param]), {each.param: None})
        for each in statistic_filters()
        if each.param in state.filters
    ]
    if state.explained != "any":
        made.append(Chip(STATES[state.explained][0], {"explained": None}))
    if state.explainer:
        made.append(Chip(f"Explainer: {EXPLAINERS.label(state.explainer)}", {"explainer": None}))
    if state.made_by:
        explainer, *rest = state.made_by.split(" · ")
        made.append(Chip(f"Explained by {' · '.join([EXPLAINERS.label(explainer), *rest])}", {"by": None}))
    if state.human != "any":
        made.append(Chip(HUMAN[state.human][0], {"human": None}))
    if state.verdict != "any":
        made.append(Chip(f"Verdict: {verdict_text.FILTERS[state.verdict]}", {"verdict": None}))
    if state.collection is not None:
        made.append(Chip(f"Collection: {state.collection}", {"collection": None}))
    if listed.kind is None:
        return made
    shown = score_text.name(listed.kind, listed.kinds)
    made += [
        Chip(
            f"{shown}: {_short(each.said(state.filters[each.param]))}",
            {each.param: None},
        )
        for each in SCORE_FILTERS
        if each.param in state.filters
    ]
    return made + [_of_score(each, state.also, listed) for each in state.also]


def _short(said: str) -> str:
    """Of a bound on the score that is named beside it: `lower bound at least 0.5`, `at most 0.7`."""
    return said.removeprefix("Score's ").removeprefix("Score ")


def _of_score(each: ScoreFilter, also: Sequence[ScoreFilter], listed: ListAnnotations) -> Chip:
    kind = next((kind for kind in listed.kinds if kind.has_key(each.key)), None)
    name = each.key if kind is None else score_text.name(kind, listed.kinds)
    sides = [
        f"at {word} {value:g}"
        for word, value in (("least", each.least), ("most", each.most))
        if value is not None
    ]
    said = "no such scores" if kind is None else ", ".join(sides) or "no bound yet"
    return Chip(f"{name}: {said}", {"also": write_also(other for other in also if other is not each)})


def _others(chosen: Sequence[str], this: str) -> str | None:
    return ",".join(name for name in chosen if name != this) or None
