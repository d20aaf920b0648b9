"""The rows of the Features page: explanation, score and statistics as text, and the strongest context of each with the
peaks under one another."""

from collections.abc import Callable, Iterable
from typing import Any

from autointerp.store import LatentPage, LatentRow, ScoreKind, ShownExplanation, Store
from autointerp.types import Example
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import payload, score_words
from autointerp.ui.shared.labels import EXPLAINERS, HELP
from autointerp.ui.shared.state import SCORE_SORTS, FeaturesState
from autointerp.ui.shared.text import quoted, token_name, visible

PAGE_SIZE = 25
PREVIEW = 28
"""Tokens in a row's preview."""
TEXT = 400
"""Characters of an explanation that go to the page; the list shows two lines of them."""

_COLUMNS: list[dict[str, Any]] = [
    {"title": "Feature", "kind": "link", "cls": "name", "sort": "latent"},
    {"title": "Density", "num": True, "sort": "density", "help": HELP["density"]},
    {"title": "Max", "num": True, "sort": "max", "help": HELP["max"]},
    {"title": "Mean", "num": True, "sort": "mean", "help": HELP["mean"]},
    {"title": "Top token", "kind": "token", "sort": "top_token_share", "help": HELP["top_token"]},
    {"title": "Pos.", "num": True, "sort": "positional", "help": HELP["positional"]},
    {"title": "Strongest context", "kind": "tokens"},
]
_LEFT_OUT = {"Mean", "Pos."}
"""Beside explanations there is no room for these; the list can still be sorted by them."""


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
    table = payload.TokenTable(store.decode, store.vocabulary().is_special)
    examples = store.preview_examples(page.rows, min(PREVIEW, store.ctx_len))
    named = state.coder is None
    vocabulary = store.vocabulary()

    def text(token: int) -> str:
        return token_name(vocabulary.text(token), vocabulary.bytes(token))

    rows = [_row(row, example, table, text, named) for row, example in zip(page.rows, examples, strict=True)]
    columns = list(_COLUMNS)
    if explained:
        kept = [i for i, column in enumerate(columns) if column["title"] not in _LEFT_OUT]
        columns = [columns[i] for i in kept]
        extra: list[dict[str, Any]] = [{"title": "Explanation", "kind": "explanation"}]
        if kind is not None:
            help_ = f"{score_words.help_text(kind)}. Sorts by the lower end of the interval"
            extra.append(
                {"title": score_words.name(kind, kinds), "kind": "score", "sort": "low", "help": help_}
            )
        columns[1:1] = extra
        for drawn, row in zip(rows, page.rows, strict=True):
            cells = [drawn["cells"][i] for i in kept]
            says = explanation_cell(row.explanation, row.error)
            if measure is not None and row.relevance is not None and "marks" in says:
                says["marks"].append(f"{measure} {fmt.decimal(row.relevance, 2)}")
            cells[1:1] = [says, *([_score(row)] if kind is not None else [])]
            drawn["cells"] = cells
    return {
        "columns": columns,
        "rows": rows,
        "table": table.entries,
        "page": "feature",
        "cls": "explained" if explained else "",
        "sort": "low" if state.sort in SCORE_SORTS else state.sort,
        "descending": state.descending,
    }


def explanation_cell(shown: ShownExplanation | None, error: str | None = None) -> dict[str, Any]:
    """Text, who wrote it, and what marks it out; without one, why."""
    if shown is None:
        return {"none": f"failed: {visible(error)[:TEXT]}" if error else "not explained yet"}
    by = EXPLAINERS.get(shown.explainer, shown.explainer)
    if shown.explainer == "person":
        by = f"{shown.author} (person)"
    marks = [visible(by), *(["pinned"] if shown.pinned else [])]
    text = visible(shown.text)
    written = f"{by}{', ' + shown.model if shown.model else ''}, {shown.created[:16].replace('T', ' ')} UTC"
    versions = f"; {fmt.plural(shown.n, 'version')}" if shown.n > 1 else ""
    return {
        "text": text[:TEXT] + ("…" if len(text) > TEXT else "") or "(empty)",
        "marks": marks,
        "help": visible(f"{written}{versions}"),
    }


def _score(row: LatentRow) -> dict[str, Any] | None:
    return None if row.score is None or row.score.value is None else score_words.cell(row.score)


def _row(
    row: LatentRow,
    example: Example | None,
    table: payload.TokenTable,
    text: Callable[[int], str],
    named: bool,
) -> dict[str, Any]:
    stats = row.stats
    name = f"{row.coder} #{stats.latent}" if named else f"#{stats.latent}"
    go = {"coder": row.coder, "latent": stats.latent}
    if example is None:
        return {
            "go": go,
            "dead": True,
            "cells": [name, fmt.density(0), *[fmt.NONE] * 2, None, fmt.NONE, "fires nowhere"],
        }
    token = None
    if stats.top_token is not None:
        token = [quoted(text(stats.top_token)), fmt.share(stats.top_token_share)]
    return {
        "go": go,
        "cells": [
            name,
            fmt.density(stats.density),
            fmt.activation(stats.max_activation),
            fmt.activation(stats.mean_activation),
            token,
            fmt.decimal(stats.positional),
            {**payload.row(example, table), "max": stats.max_activation},
        ],
    }
