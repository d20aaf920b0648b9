"""More than two coders: what each shares with each, and what is found in one only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from autointerp.compare import directions, ranks
from autointerp.compare.sharing import Sharing, all_pairs, overlaps, sharing
from autointerp.score.intervals import mean
from autointerp.store import Store
from autointerp.types import CoderInfo
from autointerp.ui.compare import shared_charts, shared_scores
from autointerp.ui.compare.coders import several
from autointerp.ui.compare.shared import CHART, controls
from autointerp.ui.shared import charts, components, computed, score_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import plain


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    coders = several(infos)
    if coders is None:
        return
    wanted = all_pairs(coders)
    tables = computed.obtain_all(store, "directions", wanted)
    if tables is None:
        return
    pairs = {pair: directions.read(table, pair) for pair, table in zip(wanted, tables, strict=True)}
    definition, threshold = controls()
    same = {"definition": definition, "threshold": threshold}
    shares = overlaps(store, pairs, coders, **same)
    if not shares:
        st.info(
            "No two of these coders have directions in the same space. Compare them by where they activate."
        )
        return
    n = len(coders)
    fractions, texts = np.full((n, n), np.nan), [[""] * n for _ in range(n)]
    for (first, second), share in shares.items():
        at = coders.index(first), coders.index(second)
        if share.fraction is not None:
            fractions[at] = share.fraction
            texts[at[0]][at[1]] = fmt.share(share.fraction)
    left, right = st.columns([6, 5], gap="medium")
    with left:
        st.caption(
            "Share of each coder's live features (row) that are in each other (column). Click a cell for the pair."
        )
        event: Any = st.plotly_chart(
            shared_charts.matrix(coders, fractions, texts), key="matrix", on_select="rerun", selection_mode="points",
            config=CHART,
        )  # fmt: skip
        picked = event.selection.points if event else []
        if picked and picked[0].get("y") != picked[0].get("x"):
            components.go("compare", {"view": "shared", "a": picked[0]["y"], "b": picked[0]["x"]})
    among = [sharing(store, pairs, coder, coders, **same) for coder in coders]
    with right:
        colours = {info.coder: charts.colour(index) for index, info in enumerate(infos)}
        curves = [
            (each.coder, colours[each.coder], each.only) for each in among if each.n_live and each.others
        ]
        st.plotly_chart(shared_charts.only(curves), key="only", config=CHART)
    _counts(among)
    _scores(store, infos, among, colours)
    unmatched = [f"{plain(' and '.join(pair))}" for pair, matched in pairs.items() if not matched.parts]
    if unmatched:
        st.caption(f"No directions in the same space: {'; '.join(unmatched)}.")


def _scores(
    store: Store, infos: Sequence[CoderInfo], among: Sequence[Sharing], colours: Mapping[str, str]
) -> None:
    """Mean scores by how many of the others have a feature; without means of few features."""
    chosen = shared_scores.chosen_kind(store, infos)
    if chosen is None:
        return
    written, kind = chosen
    curves = []
    for each in among:
        value = written.scores(each.coder, kind).value[store.coder(each.coder).table().live]
        points = []
        for count in range(len(each.n_in)):
            sample = value[(each.counts == count) & ~np.isnan(value)]
            if len(sample) >= ranks.MIN_LATENTS:
                points.append((count, mean(sample), len(sample)))
        if points:
            curves.append((each.coder, colours[each.coder], points))
    if not curves:
        st.caption(f"No coder has {ranks.MIN_LATENTS} features with a score of this kind.")
        return
    name = score_text.name(kind, written.kinds)
    figure = shared_charts.scores(curves, f"Mean score, by how many others have the feature: {name}")
    st.plotly_chart(figure, key="scores_by_count", config=CHART)
    st.caption(f"95 % intervals over features; means of fewer than {ranks.MIN_LATENTS} are left out.")


def _counts(among: Sequence[Sharing]) -> None:
    """In how many others the features of each coder are."""
    most = max(len(each.others) for each in among)
    columns: list[dict[str, Any]] = [
        {"title": "Coder", "kind": "link", "cls": "name"},
        {"title": "Live", "num": True, "help": "Features that fire on this corpus"},
        {"title": "in none", "num": True, "help": "Found in this coder only"},
        *(
            {"title": f"in {count}", "num": True, "help": f"Found in exactly {count} of the others"}
            for count in range(1, most + 1)
        ),
    ]
    rows = []
    for each in among:
        figures = [
            f"{fmt.count(n)} ({fmt.share(n / each.n_live)})" if each.n_live else fmt.NONE for n in each.n_in
        ]
        figures += [fmt.NONE] * (most + 1 - len(figures))
        rows.append({"go": {"coder": each.coder}, "cells": [each.coder, fmt.count(each.n_live), *figures]})
    st.caption("Features by how many of the other coders they are found in:")
    components.links(columns, rows, page="features", key="counts", single=True)
