"""Explanations and scores on the Overview: coverage, how scores spread, the best and worst explained, where scorers agree and
where they do not, and what was done last. A fragment below the figures of the coders, so that those never wait for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from autointerp.errors import StoreError
from autointerp.explain.registry import EXPLAINERS
from autointerp.models.coders import registry
from autointerp.score.population import spread
from autointerp.store import ScoreKind, Store, current_key, list_latents
from autointerp.types import CoderInfo
from autointerp.ui.overview import again, pairs
from autointerp.ui.shared import charts, components, expected, job_strip, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.feature_rows import features
from autointerp.ui.shared.list_query import query_of_address
from autointerp.ui.shared.list_state import BEST
from autointerp.ui.shared.session import messages, open_store, path_to_type
from autointerp.ui.shared.state import bound, choose, current
from autointerp.ui.shared.text import plain, visible
from autointerp.ui.shared.written import Coverage, Written

ALL = "All coders"
N_BEST = 6
N_RECENT = 6
MAX_KINDS = 6


@st.fragment
def section() -> None:
    """Everything about explanations, below the coders."""
    with messages():
        store = open_store()
        infos = store.coders()
        try:
            written = Written(store, services.annotations(store), infos, current().get("by"))
        except StoreError as error:
            st.warning(f"Cannot read explanations and scores: {plain(str(error))}")
            return
        if not written.n_explained:
            _nothing(store, infos)
        else:
            _explained(store, written)


def _nothing(store: Store, infos: Sequence[CoderInfo]) -> None:
    coder = registry.trained_first(infos)[0].coder
    st.subheader("Explanations", anchor=False)
    st.info(
        "Nothing is explained yet. Open a feature and press Explain, or explain and score all live features from the Jobs page "
        "or the command line. No language model is needed:"
    )
    components.commands(
        f"autointerp explain {path_to_type(store)} {coder} --explainer pattern",
        f"autointerp score {path_to_type(store)} {coder} --scorer detection fuzzing",
    )
    st.page_link("pages/jobs.py", label="Jobs", icon=":material/pending_actions:")


def _explained(store: Store, written: Written) -> None:
    """The best and the worst first, then how far each coder has come."""
    names = list(written.coders)
    params = current()
    asked = [kind for kind in written.kinds if kind.has_key(current_key(params.get("score")))]
    kinds, switch = _shown_kinds(written, params)
    coder = params.get("of") if params.get("of") in names else None
    among = [coder] if coder else names
    if kinds:
        st.subheader("Best and worst explained", anchor=False)
        chosen = asked[0] if asked else max(kinds, key=lambda kind: written.kinds[kind])
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            options = {name: name for name in (ALL, *names)}
            choose(st.selectbox, "Features of", options, "of", coder or ALL, ALL, width=190)
            labels = {kind.key: score_text.name(kind, written.kinds) for kind in kinds}
            choose(st.selectbox, "Score", labels, "score", chosen.key, width=280)
            _ways(written)
        _extremes(store, written, coder, chosen)
    st.subheader("Explanations", anchor=False)
    if not kinds:
        _ways(written)
    switch()
    _coverage(written, kinds)
    if not kinds:
        st.info(
            "None of these explanations is scored yet. Press Score on a Feature page, or use the Jobs page or "
            "`autointerp score`."
        )
        return
    _spreads(written, kinds)
    if len(kinds) > 1:
        pairs.draw(written, among, kinds, params)


def _ways(written: Written) -> None:
    """How the explanations were made, where there are several ways."""
    if len(written.ways) > 1:
        ways = {way: f"Explained by {_way(way)} ({fmt.count(n)})" for way, n in written.ways.items()}
        choose(st.selectbox, "Explanations by", ways, "by", written.made_by, next(iter(ways)), width=380)


def _way(made_by: str) -> str:
    """With the explainer's label in the place of its name."""
    explainer, *rest = made_by.split(" · ")
    return visible(" · ".join([EXPLAINERS.label(explainer), *rest]))


def _shown_kinds(written: Written, params: Mapping[str, str]) -> tuple[list[ScoreKind], Callable[[], None]]:
    """The kinds of scores that most features have, each in its most common configuration, all of them where the address says
    so; and what draws the switch between the two, where there are more."""
    most = max(written.kinds.values(), default=0)
    everything = sorted(written.kinds, key=lambda kind: written.kinds[kind] < pairs.RARE * most)
    usual: list[ScoreKind] = []
    for kind in sorted(everything, key=lambda kind: -written.kinds[kind]):
        if len(usual) < MAX_KINDS and all(other.base != kind.base for other in usual):
            usual.append(kind)
    if len(everything) == len(usual):
        return everything, lambda: None
    asked = [current_key(params.get(name)) for name in ("score", "x", "y")]
    usual += [kind for kind in everything if kind not in usual and kind.key in asked]
    every = params.get("kinds") == "all"

    def switch() -> None:
        left_out = [kind for kind in everything if kind not in usual]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.toggle(
                f"All {len(everything)} kinds and settings of scores",
                **bound("kinds", every, encode=lambda on: "all" if on else None),
            )
            if not every:
                named = [plain(score_text.name(kind, written.kinds), 120) for kind in left_out]
                names = ", ".join(named[:8]) + (" …" if len(named) > 8 else "")
                st.caption(f"Showing the {len(usual)} most common; {len(left_out)} hidden: {names}.")

    return everything if every else [kind for kind in everything if kind in usual], switch


def _coverage(written: Written, kinds: Sequence[ScoreKind]) -> None:
    columns: list[dict[str, Any]] = [
        {"title": "Coder", "kind": "link", "cls": "name"},
        {"title": "Explained", "num": True, "help": "Live features with an explanation"},
        {"title": "Failed", "num": True, "help": "Features whose only attempts at an explanation failed"},
        *(
            {
                "title": score_text.name(kind, written.kinds),
                "num": True,
                "help": f"{score_text.help_text(kind)}: {_SCORED}",
            }
            for kind in kinds
        ),
    ]
    rows = []
    for coder in written.coders:
        cover = written.coverage(coder)
        if cover.explained or cover.failed:
            cells = [coder, _part(cover.explained, cover.live), fmt.count(cover.failed)]
            rows.append(
                {"go": {"coder": coder}, "cells": [*cells, *(_median(written, cover, k) for k in kinds)]}
            )
    components.links(columns, rows, page="features", key="coverage")


_SCORED = "median · how many of the explained features are scored"


def _part(n: int, of: int) -> str:
    return f"all {fmt.count(of)}" if n == of else f"{fmt.count(n)} of {fmt.count(of)}"


def _median(written: Written, cover: Coverage, kind: ScoreKind) -> str:
    n = cover.scored.get(kind, 0)
    if not n:
        return fmt.NONE
    median = float(np.nanmedian(written.scores(cover.coder, kind).value))
    return f"{fmt.decimal(median, 2)} · {'all' if n == cover.explained else _part(n, cover.explained)}"


def _spreads(written: Written, kinds: Sequence[ScoreKind]) -> None:
    for start in range(0, len(kinds), 3):
        row = kinds[start : start + 3]
        for place, kind in zip(st.columns(max(2, min(3, len(kinds)))), row, strict=False):
            boxes = []
            for index, coder in enumerate(written.coders):
                scores = written.scores(coder, kind)
                box = spread(scores.value, scores.floor)
                if box is not None:
                    colour = charts.colour(index)
                    chance = score_text.chance(kind)
                    boxes.append(
                        charts.ScoreBox(
                            coder,
                            colour,
                            box.n,
                            box.percentiles,
                            box.mean,
                            box.floor if chance is None else chance,
                            chance is not None,
                        )
                    )
            with place:
                figure = charts.score_boxes(
                    score_text.name(kind, written.kinds), boxes, bounded=score_text.is_bounded(kind)
                )
                st.plotly_chart(figure, key=f"spread_{kind.key}", config={"displayModeBar": False})
    st.caption(
        "Box: quartiles and median; whiskers: 5th to 95th percentile. Grey mark: median floor, the score of a random other "
        "explanation; chance for scores that need no explanation."
    )


def _extremes(store: Store, written: Written, coder: str | None, kind: ScoreKind) -> None:
    """Both ends of the Features page's list in its own order. Each opens whole as that list."""
    n = sum(written.scores(each, kind).n for each in ([coder] if coder else written.coders))
    for column, (word, order) in zip(
        st.columns(2, gap="medium"), (("Best", None), ("Worst", "asc")), strict=True
    ):
        wanted = {"coder": coder, "order": order, "score": kind.key}
        params = {name: value for name, value in wanted.items() if value is not None}
        if len(written.ways) > 1 and written.made_by is not None:
            params["by"] = written.made_by
        above = _first(store, params)
        with column:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(
                    f"**{word} explained**, by {score_text.SORTS[BEST]}", width="stretch", help=expected.HELP
                )
                st.page_link(
                    "pages/features.py", label=f"See all {fmt.count(n)}", query_params=params, icon=":material/arrow_forward:"
                )  # fmt: skip
            walk = urlencode(params)
            places = list(above)
            features(written, places, [kind], word.lower(), list(above.values()), walk)
            again.button(written, places, kind, f"again_{word.lower()}")
    job_strip.draw()


def _first(store: Store, params: Mapping[str, str]) -> dict[tuple[str, int], float]:
    """The first features of the list at this address that have a score, with how far above its floor to expect it."""
    listed = query_of_address(store, params)
    if listed is None:
        return {}
    coders, query = listed
    page = list_latents(store, coders, replace(query, limit=N_BEST), annotations=services.annotations(store))
    return expected.of_page(query, page)
