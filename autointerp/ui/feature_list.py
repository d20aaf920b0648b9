"""The rows of the Features page: statistics as text and the strongest context of each, peaks under one another."""

from collections.abc import Callable
from typing import Any

from autointerp.store import LatentPage, LatentRow, Store
from autointerp.types import Example
from autointerp.ui import format as fmt
from autointerp.ui import payload
from autointerp.ui.labels import HELP
from autointerp.ui.state import FeaturesState
from autointerp.ui.text import quoted, token_name

PAGE_SIZE = 25
PREVIEW = 28
"""Tokens in a row's preview."""

_COLUMNS: list[dict[str, Any]] = [
    {"title": "Feature", "kind": "link", "cls": "name", "sort": "latent"},
    {"title": "Density", "num": True, "sort": "density", "help": HELP["density"]},
    {"title": "Max", "num": True, "sort": "max", "help": HELP["max"]},
    {"title": "Mean", "num": True, "sort": "mean", "help": HELP["mean"]},
    {"title": "Top token", "kind": "token", "sort": "top_token_share", "help": HELP["top_token"]},
    {"title": "Pos.", "num": True, "sort": "positional", "help": HELP["positional"]},
    {"title": "Strongest context", "kind": "tokens"},
]


def record(store: Store, page: LatentPage, state: FeaturesState) -> dict[str, Any]:
    """Everything that the list draws."""
    table = payload.TokenTable(store.decode, store.vocabulary().is_special)
    examples = store.preview_examples(page.rows, min(PREVIEW, store.ctx_len))
    named = state.coder is None
    vocabulary = store.vocabulary()

    def text(token: int) -> str:
        return token_name(vocabulary.text(token), vocabulary.bytes(token))

    return {
        "columns": _COLUMNS,
        "rows": [
            _row(row, example, table, text, named) for row, example in zip(page.rows, examples, strict=True)
        ],
        "table": table.entries,
        "page": "feature",
        "sort": state.sort,
        "descending": state.descending,
    }


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
