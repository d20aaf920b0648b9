"""The rows of the Features page: explanation, score and statistics as text, and the strongest context of each with the
peaks under one another."""

from collections.abc import Iterable
from typing import Any

from autointerp.store import STATISTICS, LatentPage, LatentRow, ScoreKind, Statistic, Store, preview_examples
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import payload, score_text, statistics
from autointerp.ui.shared.components import Column
from autointerp.ui.shared.explanation_cell import explanation_cell
from autointerp.ui.shared.state import SCORE_SORTS, FeaturesState
from autointerp.ui.shared.statistics import TokenText

PREVIEW = 28
"""Tokens in a row's preview."""


def record(
    store: Store,
    page: LatentPage,
    state: FeaturesState,
    kind: ScoreKind | None = None,
    *,
    kinds: Iterable[ScoreKind] = (),
    explained: bool = False,
    measure: str | None = None,
) -> dict[str, Any]:
    """Everything that the list draws. `explained`: whether these coders have explanations at all; `kind`: of the score
    shown; `measure`: a name under which each row's relevance is shown."""
    table = payload.token_table(store)
    examples = preview_examples(store, page.rows, min(PREVIEW, store.ctx_len))
    previews = {
        (row.coder, row.stats.latent): example for row, example in zip(page.rows, examples, strict=True)
    }
    text = statistics.token_text(store)

    def name(row: LatentRow) -> str:
        return f"{row.coder} #{row.stats.latent}" if state.coder is None else f"#{row.stats.latent}"

    def explanation(row: LatentRow) -> dict[str, Any]:
        drawn = explanation_cell(row.explanation, row.error)
        if measure is not None and row.relevance is not None and "marks" in drawn:
            drawn["marks"].append(f"{measure} {fmt.decimal(row.relevance, 2)}")
        return drawn

    def context(row: LatentRow) -> dict[str, Any] | str:
        example = previews[row.coder, row.stats.latent]
        if example is None:
            return "never fires"
        return {**payload.row(example, table), "max": row.stats.max_activation}

    columns = [Column("Feature", name, kind="link", cls="name", sort="latent")]
    if explained:
        columns.append(Column("Explanation", explanation, kind="explanation"))
    if explained and kind is not None:
        help_ = f"{score_text.help_text(kind)}. Sorts by the lower bound of the interval"
        columns.append(Column(score_text.name(kind, kinds), _score, kind="score", sort="low", help=help_))
    columns += [
        _statistic(statistic, store.ctx_len, text)
        for statistic in STATISTICS.values()
        if statistic.in_list and not (explained and statistic.spacious)
    ]
    columns.append(Column("Strongest context", context, kind="tokens"))
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
        "cls": "explained" if explained else "",
        "sort": "low" if state.sort in SCORE_SORTS else state.sort,
        "descending": state.descending,
    }


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


def _score(row: LatentRow) -> dict[str, Any] | None:
    return None if row.score is None or row.score.value is None else score_text.cell(row.score)
