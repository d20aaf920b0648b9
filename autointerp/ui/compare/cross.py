"""The scores of two features' explanations, each on its own feature's examples and on the other's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from autointerp.compare import cross_score
from autointerp.compare.beside import Latent
from autointerp.errors import UserError
from autointerp.jobs.crossing import Crossing, cross_score_job
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation, Score
from autointerp.score.options import ScoreOptions, options_of
from autointerp.store import ShownScore, Store, annotated_store, kind_of
from autointerp.ui.shared import components, job_strip, score_text, services
from autointerp.ui.shared.text import sentence, visible

KEY = "cross"


@dataclass(frozen=True)
class Row:
    """One way of scoring. `own`, `crossed`: by side, of that side's explanation, on its own latent and on the other;
    `options`: `None` where it asks a language model."""

    score: Score
    options: ScoreOptions | None
    own: tuple[Score | None, Score | None]
    crossed: tuple[Score | None, Score | None]


def draw(store: Store, first: Latent, second: Latent) -> None:
    """A table of what there is, and a button for what is missing."""
    resources = services.resources(store)
    sides = (first, second)
    written = [resources.annotations.shown(*side) for side in sides]
    st.markdown("**Does the explanation of one hold for the other?**")
    if not any(written):
        st.caption("Neither feature is explained: explain one of them on its page.")
        return
    rows = read(resources, written, sides)
    if not rows:
        st.caption(
            "Neither explanation is scored: score one of them on its page; the other's examples are used the same way."
        )
        return
    _table(store, resources, rows, sides)
    _button(store, rows, written, sides)


def read(resources: Resources, written: Sequence[Explanation | None], sides: Sequence[Latent]) -> list[Row]:
    """One row for each configuration by which either explanation was scored, the newest score of each."""
    own: dict[str, list[Score | None]] = {}
    samples: dict[str, Score] = {}
    for side, explanation in enumerate(written):
        if explanation is None:
            continue
        for score in resources.annotations.scores_of_latent(*sides[side]):  # newest first
            free = score.metric in score_text.FREE_METRICS  # the other explanation would not be read
            if score.explanation_id == explanation.id and score.status == "ok" and not free:
                samples.setdefault(score.config_hash, score)
                pair = own.setdefault(score.config_hash, [None, None])
                pair[side] = pair[side] or score
    rows = []
    for key, score in samples.items():
        options = _options(score)
        crossed: list[Score | None] = [None, None]
        for side, explanation in enumerate(written):
            if explanation is not None and options is not None:
                scores = cross_score.known(resources, explanation, *sides[1 - side], [options])
                crossed[side] = next(iter(scores.values()), None)
        rows.append(Row(score, options, (own[key][0], own[key][1]), (crossed[0], crossed[1])))
    return sorted(rows, key=lambda row: score_text.order(kind_of(row.score)))


def _options(score: Score) -> ScoreOptions | None:
    """Those of a score that no language model judged."""
    try:
        options = options_of(score, None)
    except UserError:
        return None
    return None if options.needs_llm else options


def _table(store: Store, resources: Resources, rows: Sequence[Row], sides: Sequence[Latent]) -> None:
    names = [visible(f"{coder} #{latent}") for coder, latent in sides]
    columns: list[dict[str, Any]] = [
        {"title": "Scorer"},
        *(
            {
                "title": f"{names[of]} explained, on {names[on]}",
                "kind": "score",
                "help": f"The explanation of {names[of]}, judged on held-out examples of {names[on]}"
                + ("" if of == on else ": no score of either feature"),
            }
            for of, on in ((0, 0), (0, 1), (1, 1), (1, 0))
        ),
    ]
    drawn = []
    for row in rows:
        name = score_text.name(kind_of(row.score), [kind_of(other.score) for other in rows])
        cells = [
            _cell(resources, score, sides[on][0])
            for score, on in ((row.own[0], 0), (row.crossed[0], 1), (row.own[1], 1), (row.crossed[1], 0))
        ]
        drawn.append({"cells": [visible(name), *cells]})
    components.table({"columns": columns, "rows": drawn, "page": "feature"}, key=f"{KEY}_table")


def _cell(resources: Resources, score: Score | None, coder: str) -> dict[str, Any] | None:
    """`coder`: whose examples were judged; its floors say what is clearly above them."""
    if score is None:
        return None
    bar = annotated_store(resources.annotations).coder(coder).floor_bar(kind_of(score))
    names = ("id", "value", "ci_low", "ci_high", "n_pos", "n_neg", "unparsed", "floor", "above_low", "metric")
    return score_text.cell(ShownScore(*(getattr(score, name) for name in names), floor_bar=bar))


def _button(
    store: Store, rows: Sequence[Row], written: Sequence[Explanation | None], sides: Sequence[Latent]
) -> None:
    resources = services.resources(store)
    live = [not resources.store.coder(coder).stats(latent).is_dead for coder, latent in sides]
    missing = [
        Crossing(explanation, *sides[1 - side], options)
        for side, explanation in enumerate(written)
        if explanation is not None
        and live[1 - side]
        and (
            options := [row.options for row in rows if row.options is not None and row.crossed[side] is None]
        )
    ]
    if any(row.options is None for row in rows):
        st.caption(
            "Scores judged by a language model are not crossed here, as that would cost money: use the library."
        )
    runner = services.runner(store)
    if missing and runner is not None:
        st.button(
            "Cross-score", key=KEY, icon=":material/swap_calls:", on_click=_start, args=(store, missing),
            help="Score each explanation on held-out examples of the other feature, the same way. None of these examples was "
            "shown to its explainer. The results are kept apart from the store's scores.",
        )  # fmt: skip
    job_strip.draw(key=f"{KEY}_strip")


def _start(store: Store, missing: Sequence[Crossing]) -> None:
    runner = services.runner(store)
    assert runner is not None
    try:
        job_strip.remember(runner.submit(**cross_score_job(missing), priority=1).id)
    except UserError as error:
        st.session_state[job_strip.MESSAGE] = sentence(error)
