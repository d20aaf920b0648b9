"""Scores of shared features against those of the others, and the well-explained features that only one coder has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.compare import ranks, scored
from autointerp.compare.directions import Directions
from autointerp.compare.overlap import alignment, counterpart
from autointerp.compare.sharing import SharedScores, shared_scores
from autointerp.score.population import spread
from autointerp.store import ScoreKind, Store, current_key
from autointerp.types import CoderInfo
from autointerp.ui.compare.coders import pair_of
from autointerp.ui.shared import charts, components, expected, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explanation_cell import explanation_cell
from autointerp.ui.shared.state import change, choose, current, whole
from autointerp.ui.shared.text import plain
from autointerp.ui.shared.written import Written

N_ROWS = 10
MOST = 200


def chosen_kind(store: Store, infos: Sequence[CoderInfo]) -> tuple[Written, ScoreKind] | None:
    """The kind of scores that the address asks for (`score`), else the most common; a box to choose another stands here. `None`
    where nothing is scored."""
    written = Written(store, services.annotations(store), infos, current().get("by"))
    if not written.kinds:
        return None
    asked = current_key(current().get("score"))
    usual = max(written.kinds, key=lambda kind: written.kinds[kind])
    kind = next((kind for kind in written.kinds if kind.has_key(asked)), usual)
    labels = {each.key: score_text.name(each, written.kinds) for each in written.kinds}
    choose(st.selectbox, "Score", labels, "score", kind.key, usual.key, width=320)
    return written, kind


def boxes(
    written: Written, kind: ScoreKind, coder: str, live: NDArray[np.integer], shared: NDArray[np.bool_]
) -> None:
    """Scores of the shared live features of `coder` and of the others, with the test of their difference."""
    scores = written.scores(coder, kind)
    value, floor = scores.value[live], scores.floor[live]
    drawn = []
    for name, here, colour in (
        ("shared", shared, charts.colour(0)),
        (f"only in {coder}", ~shared, charts.colour(6)),
    ):
        box = spread(value[here], floor[here])
        if box is not None:
            drawn.append(charts.ScoreBox(name, colour, box.n, box.percentiles, box.mean, box.floor))
    if not drawn:
        st.caption(f"No feature of {plain(coder)} has a score of this kind.")
        return
    figure = charts.score_boxes(f"Scores: {score_text.name(kind, written.kinds)}", drawn)
    st.plotly_chart(figure, key="shared_boxes", config={"displayModeBar": False})
    of_all = np.zeros(len(scores.value), bool)
    of_all[live] = shared
    table = scored.scores(written.coders[coder], kind, written.made_by, len(of_all))
    st.caption(verdict(shared_scores(table, of_all, live)))


def verdict(scores: SharedScores) -> str:
    """What the scores of shared features and of the others show, in one sentence."""
    counts = f"{fmt.count(scores.n_shared)} shared and {fmt.count(scores.n_others)} other features scored"
    test = scores.test
    if test is None:
        return f"{counts}: a test needs {ranks.MIN_LATENTS} of each."
    each = test.estimate
    what = "cannot be told apart from the others"
    if test.p < 0.05:
        what = f"score {'higher' if each.value > 0.5 else 'lower'} than the others"
    p = "p < 0.001" if test.p < 0.001 else f"p = {fmt.decimal(test.p, 3)}"
    return (
        f"Shared features {what}: a shared one scores above another in {fmt.share(each.value)} of pairs, ties counted half "
        f"(95 % interval {fmt.share(each.low)} to {fmt.share(each.high)}; {p}, Brunner–Munzel; {counts}). The two groups "
        "also differ in density, so this does not prove that being shared makes the difference."
    )


def only_here(
    written: Written,
    kind: ScoreKind,
    matches: Directions,
    live: NDArray[np.integer],
    definition: str,
    threshold: float,
) -> None:
    """Features of the first coder that the second has not, the best explained first, with what comes nearest there."""
    first, second = matches.coders
    table = expected.expected_above_floor(written.coders[first], kind, written.made_by)
    smallest = alignment(matches, definition)
    alone = np.zeros(len(smallest), bool)
    alone[live] = smallest[live] <= threshold
    latents, rank = table["latent"].to_numpy(), table["rank"].to_numpy()
    inside = alone[latents]
    order = np.argsort(-rank[inside], kind="stable")
    latents, rank = latents[inside][order], rank[inside][order]
    st.caption(
        f"**Best explained, and only in {plain(first)}** ({fmt.plural(len(latents), 'feature')} with a score)"
    )
    if not len(latents):
        return
    n = min(max(whole(current().get("rows")) or N_ROWS, 1), MOST)
    near, cosine = counterpart(matches, "nearest")
    shown = written.coders[first].shown(latents[:n].tolist())
    scores = written.coders[first].shown_scores(kind, latents[:n].tolist())
    columns: list[dict[str, Any]] = [
        {"title": "Feature", "kind": "link", "cls": "name"},
        {"title": "Explanation", "kind": "explanation"},
        {"title": score_text.name(kind, written.kinds), "kind": "score", "help": score_text.help_text(kind)},
        {"title": expected.NAME, "num": True, "help": expected.HELP},
        {
            "title": "Nearest",
            "cls": "name",
            "help": f"The nearest feature of {second}, by decoder where both have one",
        },
        {"title": "Cosine", "num": True, "help": "With the nearest"},
    ]
    rows = []
    for latent, above in zip(latents[:n].tolist(), rank[:n].tolist(), strict=True):
        other = int(near[latent])
        score = scores.get(latent)
        go = pair_of((first, latent), (second, other))
        rows.append(
            {
                "go": go,
                "cells": [
                    f"{first} #{latent}", explanation_cell(shown.get(latent)), score_text.cell(score) if score else None,
                    fmt.signed(above), f"{second} #{other}", fmt.decimal(float(cosine[latent]), 2),
                ],
            }
        )  # fmt: skip
    components.links(columns, rows, page="compare", key="only_here")
    if len(latents) > n and n < MOST:
        more = min(3 * n, MOST)
        st.button(f"Show {min(more, len(latents)) - n} more", on_click=change, kwargs={"rows": more})
