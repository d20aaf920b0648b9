"""Where two scorers agree on the Overview, and where they do not."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import streamlit as st

from autointerp.score.population import Agreement, agreement, disagreement
from autointerp.score.registry import SCORERS
from autointerp.store import ScoreKind
from autointerp.ui.shared import charts, components, score_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.feature_rows import features
from autointerp.ui.shared.state import bound, change, flag
from autointerp.ui.shared.text import plain
from autointerp.ui.shared.written import Written

N_APART = 4
MAX_POINTS = 4000
RARE = 0.05
"""Pairs of scorers that share fewer features than this part of what the most common pair shares are listed last."""


def draw(written: Written, coders: Sequence[str], kinds: Sequence[ScoreKind], params: dict[str, str]) -> None:
    """Agreement of every two kinds; one pair looked at more closely."""
    key = written.key(coders)
    agreed = {
        (a, b): _agreement(key, a.key, b.key, written, coders, (a, b)) for a, b in combinations(kinds, 2)
    }
    most = max((agreed[pair].n for pair in agreed), default=0)
    pairs = [pair for pair in agreed if agreed[pair].n >= 3]
    # What stands on a handful of features comes last.
    pairs.sort(key=lambda pair: agreed[pair].n < RARE * most)
    if not pairs:
        st.caption("No two kinds of scores have three features in common, so there is nothing to compare.")
        return
    asked = (params.get("x"), params.get("y"))
    pair = next((pair for pair in pairs if all(map(ScoreKind.has_key, pair, asked))), None)
    shown = pair or max(pairs, key=lambda pair: (pair[0].scorer != pair[1].scorer, agreed[pair].n))
    left, right = st.columns([5, 7], gap="medium")
    with left:
        st.caption(
            "**Do the scorers agree?** Correlation over the features that have both scores"
            + (", within coders: how coders differ does not count" if len(coders) > 1 else "")
            + "; click a row for details"
        )
        columns = [
            {"title": "Scores", "kind": "link"},
            {"title": "Spearman", "num": True},
            {"title": "Pearson", "num": True},
            {"title": "n", "num": True},
        ]
        names = {kind: score_text.name(kind, written.kinds) for kind in kinds}
        rows = [
            {
                "go": {**({"of": params["of"]} if "of" in params else {}), "x": a.key, "y": b.key},
                "cells": [
                    f"{'▸ ' if (a, b) == shown else ''}{names[a]} / {names[b]}",
                    fmt.decimal(agreed[a, b].spearman, 2),
                    fmt.decimal(agreed[a, b].pearson, 2),
                    fmt.count(agreed[a, b].n),
                ],
            }
            for a, b in pairs
        ]
        with components.room(components.HEAD + components.LINE * len(rows)):
            clicked = components.table({"columns": columns, "rows": rows, "page": ""}, key="pairs")
        if clicked:
            change(x=str(clicked["x"]), y=str(clicked["y"]))
            st.rerun(scope="fragment")
        if st.toggle("Plot every feature", **bound("plot", flag(params.get("plot")))):
            _scatter(written, coders, shown)
    with right:
        _apart(written, coders, shown)


def _scatter(written: Written, coders: Sequence[str], pair: tuple[ScoreKind, ScoreKind]) -> None:
    x, y = (written.pooled(coders, kind) for kind in pair)
    both = np.flatnonzero(~(np.isnan(x.value) | np.isnan(y.value)))
    if len(both) > MAX_POINTS:
        both = np.sort(np.random.default_rng(0).choice(both, MAX_POINTS, replace=False))
        st.caption(f"Random sample of {fmt.count(MAX_POINTS)}. Click a point to open its feature.")
    else:
        st.caption("Click a point to open its feature.")
    points = [(*written.place(coders, int(at)), float(x.value[at]), float(y.value[at])) for at in both]
    names = (score_text.name(pair[0], written.kinds), score_text.name(pair[1], written.kinds))
    floors = [
        float(np.nanmedian(scores.floor)) if not np.isnan(scores.floor).all() else score_text.chance(kind)
        for scores, kind in zip((x, y), pair, strict=True)
    ]
    event: Any = st.plotly_chart(
        charts.score_scatter(names, points, (floors[0], floors[1])), key="scatter", on_select="rerun",
        selection_mode="points", config={"displayModeBar": False},
    )  # fmt: skip
    picked = event.selection.points if event else []
    if picked and len(picked[0].get("customdata", ())) == 2:
        coder, latent = picked[0]["customdata"]
        components.go("feature", {"coder": str(coder), "latent": str(latent)})


def _apart(written: Written, coders: Sequence[str], pair: tuple[ScoreKind, ScoreKind]) -> None:
    """Features that the two kinds rank most differently among those of their coder, both ways: of those that clear the floor of
    the first."""
    furthest = _furthest(written.key(coders), pair[0].key, pair[1].key, written, coders, pair)
    for (high, low), sign, chosen in zip((pair, pair[::-1]), (1, -1), furthest, strict=True):
        names = [plain(score_text.name(kind, written.kinds)) for kind in (high, low)]
        st.caption(f"**High on {names[0]}, low on {names[1]}.** {_meaning(high.scorer, low.scorer)}")
        if chosen:
            places = [written.place(coders, at) for at in chosen]
            features(written, places, [high, low], f"apart_{sign}")
        else:
            st.caption(
                f"No feature ranks higher on {names[0]} and is clearly above its floor, or chance, on it."
            )


@st.cache_data(show_spinner=False, max_entries=256)
def _agreement(
    key: tuple[object, ...],
    first: str,
    second: str,
    _written: Written,
    _coders: Sequence[str],
    _pair: tuple[ScoreKind, ScoreKind],
) -> Agreement:
    x, y = (_written.pooled(_coders, kind).value for kind in _pair)
    return agreement(x, y, _written.owners(_coders))


@st.cache_data(show_spinner=False, max_entries=64)
def _furthest(
    key: tuple[object, ...],
    first: str,
    second: str,
    _written: Written,
    _coders: Sequence[str],
    _pair: tuple[ScoreKind, ScoreKind],
) -> tuple[list[int], list[int]]:
    """Places in `Written.pooled` of the features that the first kind ranks highest against the second, and the reverse.
    Those not clearly above the floor of the higher kind are left out: of many, some always rank high by chance."""
    x, y = (_written.pooled(_coders, kind) for kind in _pair)
    gap = disagreement(x.value, y.value, _written.owners(_coders))
    places = []
    for sign, high, kind in ((1, x, _pair[0]), (-1, y, _pair[1])):
        wider = np.where(high.clearly_above(score_text.metric_chance(kind)), sign * gap, np.nan)
        order = np.argsort(np.nan_to_num(-wider, nan=9), kind="stable")
        places.append([int(i) for i in order[:N_APART] if wider[i] > 0])
    return places[0], places[1]


def _meaning(high: str, low: str) -> str:
    """What a high score by one scorer and a low one by the other usually says of an explanation."""
    does = SCORERS[high].high if high in SCORERS else ""
    does_not = SCORERS[low].low if low in SCORERS else ""
    if high == low or not does or not does_not:
        return "They ask different questions: compare their judged examples."
    subjects = ["feature" if SCORERS[name].explanation_free else "explanation" for name in (high, low)]
    if subjects[0] == subjects[1]:
        return f"Usually the {subjects[0]} {does}, but {does_not}."
    return f"Usually the {subjects[0]} {does}, but the {subjects[1]} {does_not}."
