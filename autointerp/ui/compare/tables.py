"""The tables of interpretability and price."""

from typing import Any

import streamlit as st

from autointerp.compare.price import Comparison, Price, Side
from autointerp.models.coders import registry
from autointerp.score.intervals import Estimate
from autointerp.ui.compare.figures import interval
from autointerp.ui.shared import components
from autointerp.ui.shared import format as fmt

_CE = "Increase in cross-entropy, nats per token, when the coder's output replaces the module's; comparable within a hookpoint"
SKIP_HELP = (
    "The share of the output that comes from the skip path: the covariance of what it writes with the whole output, over the "
    "output's variance. With the latents' share it adds up to 1"
)


def coders(answer: Price) -> None:
    n = fmt.count(answer.n)
    columns: list[dict[str, Any]] = [
        {"title": "Coder", "kind": "link", "cls": "name"},
        {"title": "Kind", "kind": "badge"},
        {"title": "Hookpoint", "cls": "name"},
        {
            "title": f"{answer.question.centre.capitalize()} score",
            "num": True,
            "help": f"95 % interval; n {n}",
        },
        {"title": "Floor", "num": True, "help": "Score of a random other explanation"},
        {"title": "Scored", "num": True, "help": "Features with such a score, of those that fire"},
        {
            "title": "FVU",
            "num": True,
            "help": "Fraction of variance unexplained, on the coder's own target; 95 % interval",
        },
        {"title": "CE +", "num": True, "help": f"{_CE}; 95 % interval"},
        {
            "title": "Recovered",
            "num": True,
            "help": "1 minus CE + divided by the increase without the module; its scale in the tooltip",
        },
        {"title": "Skip path", "num": True, "help": SKIP_HELP},
        {"title": "L0", "num": True, "help": "Mean number of active features per token"},
        {"title": "Dead", "num": True, "help": "Features that never fire on this corpus"},
    ]
    rows = [{"go": {"coder": side.coder}, "cells": _cells(side)} for side in answer.sides]
    components.links(columns, rows, page="features", key="price_coders", single=True)


def _cells(side: Side) -> list[Any]:
    return [
        side.coder,
        registry.kind(side.kind).label,
        side.hookpoint,
        interval(side.score),
        fmt.decimal(side.floor),
        f"{fmt.count(side.n_scored)} of {fmt.count(side.n_live)}",
        interval(side.fvu) if side.fvu else [fmt.NONE, side.absent or ""],
        interval(side.ce_increase, 4) if side.ce_increase else [fmt.NONE, side.absent or ""],
        [fmt.share(side.recovered), _ablations(side)],
        fmt.NONE if side.skip is None else f"{interval(side.skip.times(100), 1)} %",
        fmt.decimal(side.l0, 1),
        fmt.share(side.dead),
    ]


def _ablations(side: Side) -> str:
    """The increases that `recovered` is measured against."""
    of = {
        "zeros": side.ce_increase_zero,
        "its mean": side.ce_increase_mean,
        "the block skipped": side.ce_increase_skip,
    }
    said = ", ".join(f"{name} {fmt.signed(value, 3)}" for name, value in of.items() if value is not None)
    return f"In place of the module's output: {said} nats per token" if said else ""


_SCORE_COLUMNS: list[dict[str, Any]] = [
    {"title": "First", "cls": "name"},
    {"title": "Second", "cls": "name"},
    {
        "title": "First above second", "num": True,
        "help": "Probability that a feature of the first scores above one of the second, ties counted half (Brunner and "
        "Munzel); 95 % interval; 50 %: no difference",
    },
    {"title": "Difference of means", "num": True, "help": "First minus second; Welch's 95 % interval"},
    {"title": "n", "num": True, "help": "Features per coder"},
    {"title": "p", "num": True, "help": "Of no difference, corrected for the number of pairs (Holm)"},
    {"title": "Told apart", "help": "Whether p is below 0.05"},
]  # fmt: skip
_ERROR_COLUMNS: list[dict[str, Any]] = [
    *_SCORE_COLUMNS[:2],
    {
        "title": "CE + difference",
        "num": True,
        "help": "First minus second, in nats per token, on the same contexts; 95 % interval",
    },
    {"title": "p", "num": True, "help": _SCORE_COLUMNS[5]["help"]},
    {
        "title": "FVU difference",
        "num": True,
        "help": "First minus second, on the same contexts; 95 % interval",
    },
    {"title": "p ", "num": True, "help": _SCORE_COLUMNS[5]["help"]},
    {"title": "n", "num": True, "help": "Contexts"},
]


def pairs(answer: Price) -> None:
    """A test of each pair."""
    scores = answer.by("score")
    if scores:
        with st.expander(f"Scores of each pair: {fmt.plural(len(scores), 'test')}"):
            rows = [{"cells": [pair.first, pair.second, *_score_cells(pair)]} for pair in scores]
            components.table({"columns": _SCORE_COLUMNS, "rows": rows, "page": ""}, key="price_scores")
    errors = {(pair.first, pair.second): pair for pair in answer.by("fvu")}
    losses = {(pair.first, pair.second): pair for pair in answer.by("ce_increase")}
    if errors or losses:
        both = list(dict.fromkeys([*losses, *errors]))
        with st.expander(
            f"Errors of each pair on the same contexts: {fmt.plural(len(losses) + len(errors), 'test')}"
        ):
            rows = [{"cells": [*pair, *_error_cells(losses.get(pair), errors.get(pair))]} for pair in both]
            components.table({"columns": _ERROR_COLUMNS, "rows": rows, "page": ""}, key="price_errors")


def _score_cells(pair: Comparison) -> list[Any]:
    assert pair.superiority is not None
    return [
        f"{interval(pair.superiority.times(100), 0)} %",
        _signed(pair.difference, 3),
        fmt.count(pair.n),
        _p(pair),
        "yes" if pair.apart else "no",
    ]


def _error_cells(loss: Comparison | None, error: Comparison | None) -> list[Any]:
    cells: list[Any] = []
    for pair in (loss, error):
        cells += [fmt.NONE, fmt.NONE] if pair is None else [_signed(pair.difference, 4), _p(pair)]
    return [*cells, fmt.count(max(pair.n for pair in (loss, error) if pair is not None))]


def _signed(estimate: Estimate, digits: int) -> str:
    ends = (
        ""
        if estimate.low is None
        else f" ({fmt.signed(estimate.low, digits)} to {fmt.signed(estimate.high, digits)})"
    )
    return f"{fmt.signed(estimate.value, digits)}{ends}"


def _p(pair: Comparison) -> str:
    return "<0.001" if pair.p_corrected < 0.001 else fmt.decimal(pair.p_corrected, 3)
