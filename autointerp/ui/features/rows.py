"""The rows of the Features page: explanation, score and statistics as text, and the strongest context of each with the
peaks under one another."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from autointerp.store import (
    STATISTICS,
    LatentPage,
    LatentRow,
    ScoreKind,
    Statistic,
    Store,
    match_examples,
    preview_examples,
)
from autointerp.ui.features.search import SearchResults
from autointerp.ui.shared import blind, expected, payload, score_text, statistics, verdict_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.components import Column
from autointerp.ui.shared.explanation_cell import explanation_cell
from autointerp.ui.shared.list_query import shown_sort
from autointerp.ui.shared.list_state import BEST, SCORE_SORTS, FeaturesState
from autointerp.ui.shared.statistics import TokenText
from autointerp.ui.shared.text import beginning, visible

PREVIEW = 28
"""Tokens in a row's preview."""
VERDICT_HELP = (
    "What people said about the explanation in audits: the verdict settled together, else the majority"
)
UNSEEN_HELP = "This is an item of a blind audit you have begun: what others say about it is shown once you have rated it"
MAX_NOTE = 40
"""Characters of a note in a row; the rest is in its tooltip."""


def record(
    store: Store,
    page: LatentPage,
    state: FeaturesState,
    kind: ScoreKind | None = None,
    *,
    kinds: Iterable[ScoreKind] = (),
    explained: bool = False,
    judged: bool = False,
    results: SearchResults | None = None,
    above: Mapping[tuple[str, int], float] | None = None,
    notes: Mapping[tuple[str, int], str] | None = None,
    unseen: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Everything that the list draws. `explained`: whether these coders have explanations at all, `judged`:
    whether people said what they think of any; `kind`: of the score
    shown; `results`: of the search, whose reason each row shows: the words, the similarity, or the context at the match;
    `above`: how far above its floor to expect a feature's score, where the list is in that order; `notes`: of features in the
    collection that is listed; `unseen`: features by coder whose verdicts are hidden."""
    table = payload.token_table(store)
    at_match = results if results is not None and results.spots is not None else None
    previews = _matches(store, page, at_match, table) if at_match else _strongest(store, page, table)
    text = statistics.token_text(store)
    measure, words = (results.measure, results.words) if results else (None, ())
    selected = {name for name in {row.coder for row in page.rows} if store.coder(name).info.selected}
    only_selected = all(row.coder in selected for row in page.rows)

    def name(row: LatentRow) -> str:
        return f"{row.coder} #{row.stats.latent}" if state.coder is None else f"#{row.stats.latent}"

    def explanation(row: LatentRow) -> dict[str, Any]:
        drawn = explanation_cell(row.explanation, row.error, words)
        if measure is not None and row.relevance is not None and "marks" in drawn:
            drawn["marks"].append(f"{measure} {fmt.decimal(row.relevance, 2)}")
        note = (notes or {}).get((row.coder, row.stats.latent))
        return with_note(drawn, note) if note else drawn

    def context(row: LatentRow) -> dict[str, Any] | str:
        missing = "no context in the files" if row.coder in selected else "never fires"
        return previews.get((row.coder, row.stats.latent), missing)

    def score(row: LatentRow) -> dict[str, Any] | None:
        if row.score is None or row.score.value is None:
            return None
        cell, value = score_text.cell(row.score), (above or {}).get((row.coder, row.stats.latent))
        return (
            cell
            if value is None
            else {**cell, "help": f"{expected.NAME}: {fmt.signed(value)}. {cell['help']}"}
        )

    def verdict(row: LatentRow) -> list[str] | None:
        if row.stats.latent in unseen.get(row.coder, ()):
            return [blind.HIDDEN, UNSEEN_HELP]
        return verdict_text.cell(row.verdict, None if row.explanation is None else row.explanation.id)

    columns = [Column("Feature", name, kind="link", cls="name", sort="latent")]
    if explained:
        columns.append(Column("Explanation", explanation, kind="explanation"))
    if judged:
        columns.append(Column("Verdict", verdict, cls="verdict", help=VERDICT_HELP))
    if explained and kind is not None:
        help_ = f"{score_text.help_text(kind)}. Click to sort by {score_text.SORTS[BEST]}"
        columns.append(Column(score_text.name(kind, kinds), score, kind="score", sort=BEST, help=help_))
    columns += [
        _statistic(statistic, store.ctx_len, text)
        for statistic in STATISTICS.values()
        if statistic.in_list
        and not (explained and statistic.spacious)
        and not (only_selected and statistic.selected == "unknown")
    ]
    sort = shown_sort(state, kind)
    columns.append(_preview_column(context, at_match))
    return {
        "columns": [column.head for column in columns],
        "rows": [
            {
                "go": {"coder": row.coder, "latent": row.stats.latent},
                "dead": row.stats.is_dead,
                "cells": [column.cell(row) for column in columns],
            }
            for row in page.rows
        ],
        "table": table.entries,
        "page": "feature",
        "cls": f"explained{' judged' if judged else ''}" if explained else "",
        "sort": BEST if sort in SCORE_SORTS else sort,
        "descending": state.descending,
        "place": state.page,
        "sticky": True,
    }


def with_note(cell: dict[str, Any], note: str) -> dict[str, Any]:
    """An explanation's cell with what is noted of the feature in the collection that is listed."""
    short = visible(note if len(note) <= MAX_NOTE else f"{note[: MAX_NOTE - 1]}…")
    if "marks" not in cell:
        return {**cell, "none": f"{cell['none']} · note: {short}"}
    return {
        **cell,
        "marks": [*cell["marks"], f"note: {short}"],
        "help": f"Note: {beginning(note, 2_000)}\n{cell['help']}",
    }


Preview = dict[str, Any]


def _strongest(store: Store, page: LatentPage, table: payload.TokenTable) -> dict[tuple[str, int], Preview]:
    examples = preview_examples(store, page.rows, min(PREVIEW, store.ctx_len))
    return {
        (row.coder, row.stats.latent): {**payload.row(example, table), "max": example.max_activation}
        for row, example in zip(page.rows, examples, strict=True)
        if example is not None
    }


def _matches(
    store: Store, page: LatentPage, results: SearchResults, table: payload.TokenTable
) -> dict[tuple[str, int], Preview]:
    """The strongest place at what was searched for, in the middle; of the marks in view the one nearest to it is drawn."""
    assert results.spots is not None
    drawn = {}
    for row, match in zip(page.rows, match_examples(store, page.rows, results.spots, PREVIEW), strict=True):
        cells = {
            **payload.row(match.example, table),
            "k": match.at,
            "max": row.stats.max_activation or match.example.max_activation,
        }
        start = match.example.context * store.ctx_len + match.example.start
        near = [
            (first - start, stop - start) for first, stop in results.marked if 0 <= first - start < PREVIEW
        ]
        if near:
            cells["hit"] = list(min(near, key=lambda span: abs(span[0] - match.at)))
        drawn[row.coder, row.stats.latent] = cells
    return drawn


def _preview_column(cell: Any, results: SearchResults | None) -> Column:
    if results is None:
        return Column("Strongest context", cell, kind="tokens")
    help_ = "Where it is strongest among the places found" + (
        "; what was searched for is underlined" if results.marked else ""
    )
    return Column("Context found", cell, kind="tokens", help=help_)


def _statistic(statistic: Statistic, ctx_len: int, text: TokenText) -> Column:
    token = statistic.format == "token"

    def cell(row: LatentRow) -> list[str] | str | None:
        written = statistics.cell(statistic, row.stats, ctx_len, text)
        if token:
            return None if row.stats.is_dead else written
        return "  ".join(written)

    sorts_by = STATISTICS[statistic.beside] if statistic.beside else statistic
    return Column(
        statistic.short, cell, kind="token" if token else "", num=not token,
        sort=sorts_by.key if sorts_by.sortable else "", help=statistic.help,
    )  # fmt: skip
