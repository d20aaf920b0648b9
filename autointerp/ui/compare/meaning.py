"""How alike the explanations of coders are: every two of them in a matrix beside its floor, one pair feature by feature."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.compare import meaning
from autointerp.compare.meaning import Estimate, Meaning, Side
from autointerp.compare.sharing import all_pairs
from autointerp.store import Store, annotated_store
from autointerp.types import CoderInfo
from autointerp.ui.compare import meaning_charts
from autointerp.ui.compare.coders import pair_of, several
from autointerp.ui.shared import components, computed, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explanation_cell import explanation_cell
from autointerp.ui.shared.session import path_to_type
from autointerp.ui.shared.state import change, choice, choose, current, pager, whole
from autointerp.ui.shared.text import plain

CHART = {"displayModeBar": False}
ROWS = 15
MAX_TEXTS = 14
"""Of more coders the matrix has no room for figures: they stand in the tooltips."""
SHOWN = {"cosine": "Mean cosine", "above": "Above floor"}
ENDS = {"closest": "Closest", "farthest": "Without a close counterpart"}
_FLOOR = (
    "The same assignment within one coder, over as many explanations, none matched to itself; the larger of the two coders' "
    "values. What two coders with the same kinds of features, but none in common, would give, or a little more; coders with "
    "different kinds of features can lie below it"
)
Pair = tuple[str, str]


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    annotations = services.annotations(store)
    ordered = in_layers(infos)
    n_explained = {info.coder: annotations.summary(info.coder).num_rows for info in infos}
    usual = [info.coder for info in ordered if n_explained[info.coder] > 1]
    if len(infos) > 1 and len(usual) < 2:
        nothing(store, infos, n_explained, at_least=2)
        return
    chosen = several(ordered, usual=usual)
    if chosen is None:
        return
    without = [name for name in chosen if n_explained[name] < 2]
    coders = [name for name in chosen if name not in without]
    if without:
        st.caption(f"Left out, for want of explanations: {plain(', '.join(without))}.")
    if len(coders) < 2:
        return
    wanted = all_pairs(coders)
    tables = computed.obtain_all(store, "meaning", wanted)
    if tables is None:
        return
    pairs = {pair: meaning.read(table, pair) for pair, table in zip(wanted, tables, strict=True)}
    params = current()
    left, right = st.columns([7, 6], gap="medium")
    with left:
        shown = choice(params.get("show"), SHOWN, "cosine")
        choose(st.segmented_control, "Show", SHOWN, "show", shown, "cosine")
        picked = _matrix(coders, pairs, shown)
        if picked is not None and set(picked) != {params.get("a"), params.get("b")}:
            change(a=picked[0], b=picked[1], page=None, of=None)
            st.rerun(scope="fragment")
    pair = _pair(coders, pairs, params)
    with right:
        st.markdown(f"**{plain(pair.coders[0])}** and **{plain(pair.coders[1])}**")
        components.facts(facts(pair), key="meaning_facts")
        st.caption(sentence_of(pair))
        for warning in unequal(pair):
            st.caption(warning)
    _features(store, pair, params)


def in_layers(infos: Sequence[CoderInfo]) -> list[CoderInfo]:
    """By hookpoint, layer 2 before layer 10, then by name."""

    def natural(text: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]

    return sorted(infos, key=lambda info: (natural(info.hookpoint), natural(info.coder)))


def nothing(store: Store, infos: Sequence[CoderInfo], n_explained: Mapping[str, int], at_least: int) -> None:
    """What to do where too little is explained."""
    said = "Nothing is explained yet" if not any(n_explained.values()) else "Too few features are explained"
    needs = "Explanations of two coders are needed" if at_least > 1 else "Explanations are needed"
    st.info(
        f"{said}. {needs}: write them from the Jobs page or the command line, for instance without a language model:"
    )
    lacking = [info.coder for info in infos if n_explained[info.coder] < 2][:at_least]
    components.commands(
        *(f"autointerp explain {path_to_type(store)} {name} --explainer pattern" for name in lacking)
    )
    st.page_link("pages/jobs.py", label="Jobs", icon=":material/pending_actions:")


def _matrix(coders: Sequence[str], pairs: Mapping[Pair, Meaning], shown: str) -> Pair | None:
    """The heat map; returns the pair of the cell just clicked."""
    n = len(coders)
    values, texts, hovers = np.full((n, n), np.nan), [[""] * n for _ in coders], [[""] * n for _ in coders]
    for pair, similarity in pairs.items():
        value = similarity.matched.value if shown == "cosine" else similarity.above.value
        text = (
            f"{fmt.decimal(value, 2)}<br>({fmt.decimal(similarity.floor.value, 2)})"
            if shown == "cosine"
            else fmt.signed(value, 3)
        )
        text = text if n <= MAX_TEXTS else ""
        for i, j in (pair, pair[::-1]):
            at = coders.index(i), coders.index(j)
            values[at], texts[at[0]][at[1]] = value, text
            hovers[at[0]][at[1]] = "<br>".join(f"{name}: {said}" for name, said, *_ in facts(similarity))
    st.caption(
        "Mean cosine of explanations matched one to one, floor in brackets. Click a cell for the pair."
        if shown == "cosine"
        else "Mean cosine minus floor. Click a cell for the pair."
    )
    figure = meaning_charts.matrix(coders, values, texts, hovers, signed=shown == "above")
    event: Any = st.plotly_chart(
        figure, key=f"meaning_{shown}", on_select="rerun", selection_mode="points", config=CHART
    )
    picked = event.selection.points if event else []
    if not picked or picked[0].get("x") == picked[0].get("y"):
        return None
    return str(picked[0]["y"]), str(picked[0]["x"])


def _pair(coders: Sequence[str], pairs: Mapping[Pair, Meaning], params: Mapping[str, str]) -> Meaning:
    """That of the address, else the one furthest above its floor."""
    asked = (params.get("a"), params.get("b"))
    for pair in (asked, asked[::-1]):
        if pair in pairs:
            return pairs[pair]  # type: ignore[index]
    return max(pairs.values(), key=lambda similarity: similarity.above.value)


def _interval(estimate: Estimate, write: Any = fmt.decimal) -> str:
    """`0.836 ± 0.004`: bootstrap intervals of a mean are as wide on both sides."""
    return f"{write(estimate.value, 3)} ± {fmt.decimal((estimate.high - estimate.low) / 2, 3)}"


def facts(pair: Meaning) -> list[list[str]]:
    """The figures of two coders, each `[name, value, help]`."""
    first, second = pair.coders
    by = "assignment" if pair.method == "exact" else "mutual nearest neighbours"
    within = " and ".join(fmt.decimal(each.value, 3) for each in pair.within)
    nearest, own = (
        ", ".join(fmt.decimal(value, 3) for value in means) for means in (pair.nearest, pair.nearest_within)
    )
    return [
        ["Pairs", fmt.count(pair.n_matched), f"Of {fmt.count(pair.n[0])} and {fmt.count(pair.n[1])} explanations"],
        ["Mean cosine", _interval(pair.matched), "Of explanations matched one to one; ±: half of the 95 % interval"],
        ["Floor", _interval(pair.floor), f"{_FLOOR} (within {within})"],
        ["Above floor", _interval(pair.above, fmt.signed), "Mean cosine minus floor"],
        ["Paired at random", _interval(pair.shuffled), "Explanations shuffled, no assignment; the range of 95 % of shuffles"],
        ["Nearest", nearest, f"Mean largest cosine of {first}'s explanations with {second}'s, and vice versa"],
        ["Nearest within", own, f"The same with the other explanations of {first}, and of {second}"],
        ["Matched by", by, "The largest sum of cosines; for many explanations, pairs that are each other's nearest"],
    ]  # fmt: skip


def sentence_of(pair: Meaning) -> str:
    """What the figures say, whichever way they fall."""
    first, second = (plain(name) for name in pair.coders)
    if pair.above.low > 0:
        return (
            f"Explanations of {first} and {second} match better than those of different features within one coder: they share "
            "features, or at least explanations."
        )
    if pair.above.high < 0:
        return (
            f"Explanations of {first} and {second} match worse than those of different features within one coder: the two are "
            "about different things, or repeat themselves."
        )
    return (
        f"Explanations of {first} and {second} match no better than those of different features within one coder: by their "
        "explanations alone, no feature of one is known to be in the other."
    )


def unequal(pair: Meaning) -> list[str]:
    """What else than the features may make the explanations differ."""
    ways = [set(each) for each in pair.made_by]
    if ways[0] == ways[1]:
        return []
    said = "; ".join(f"{name}: {', '.join(sorted(way))}" for name, way in zip(pair.coders, ways, strict=True))
    return [f"Explained in different ways, which also affects the cosines ({plain(said)})."]


def _features(store: Store, pair: Meaning, params: Mapping[str, str]) -> None:
    """The features of one of the two with their counterparts, closest or farthest first."""
    names = {name: f"Features of {name}" for name in pair.coders}
    of = choice(params.get("of"), names, pair.coders[0])
    end = choice(params.get("end"), ENDS, "closest")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        choose(st.segmented_control, "Features of", names, "of", of, pair.coders[0], reset=("page",))
        choose(st.segmented_control, "Order", ENDS, "end", end, "closest", reset=("page",))
    place = pair.coders.index(of)
    side, other = pair.sides[place], pair.coders[1 - place]
    order, counterpart, cosine = ranked(side, end)
    n_pages = max(1, -(-len(order) // ROWS))
    page = min(max(whole(params.get("page")) or 1, 1), n_pages)
    at = order[(page - 1) * ROWS : page * ROWS]
    kept = annotated_store(services.annotations(store))
    shown = [
        kept.coder(name).shown(latents.tolist())
        for name, latents in ((of, side.latents[at]), (other, counterpart[at]))
    ]
    rows = [
        {
            "go": pair_of((of, latent), (other, partner)),
            "cells": [
                f"{of} #{latent}", explanation_cell(shown[0].get(latent)), f"#{partner}",
                explanation_cell(shown[1].get(partner)), fmt.decimal(value, 3),
            ],
        }
        for latent, partner, value in zip(
            side.latents[at].tolist(), counterpart[at].tolist(), cosine[at].tolist(), strict=True
        )
    ]  # fmt: skip
    st.caption(
        f"{fmt.plural(len(order), 'feature')} with its matched partner, most alike first."
        if end == "closest"
        else f"{fmt.plural(len(order), 'feature')} with its nearest in {plain(other)}, least alike first."
    )
    columns = [
        {"title": "Feature", "kind": "link", "cls": "name"},
        {"title": "Explanation", "kind": "explanation"},
        {"title": f"In {other}", "cls": "name"},
        {"title": "Explanation", "kind": "explanation"},
        {"title": "Cosine", "num": True, "help": "Of the two explanations' embeddings"},
    ]
    components.links(columns, rows, page="compare", key="meaning_features")
    pager("page", page, more=page < n_pages, names=("Previous", "Next"))


def ranked(side: Side, end: str) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float32]]:
    """Places in `side` in the order of the list, and every feature's counterpart with its cosine: the partner, the most alike
    first, or the nearest, the least alike first."""
    if end == "closest":
        has = np.flatnonzero(side.partner >= 0)
        return has[np.argsort(-side.cosine[has], kind="stable")], side.partner, side.cosine
    return np.argsort(side.nearest_cosine, kind="stable"), side.nearest, side.nearest_cosine
