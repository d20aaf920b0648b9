"""A comparison as plain data: one document for the command line's JSON and the page's downloads."""

from dataclasses import asdict
from typing import Any

from autointerp.compare.claims import claims, headline
from autointerp.compare.price import Price

COLUMNS = ("coder", "kind", "hookpoint", "n_latents", "dead", "l0", "n_scored")
ESTIMATES = ("fvu", "ce_increase", "skip", "score")
FIGURES = ("ce_increase_zero", "ce_increase_mean", "ce_increase_skip", "recovered", "floor")


def document(price: Price) -> dict[str, Any]:
    """All figures with what they were made from: the latents drawn and their scores too."""
    kind = price.kind
    return {
        "question": asdict(price.question),
        "explanations": price.made_by,
        "scoring": None if kind is None else {
            "key": kind.key, "scorer": kind.scorer, "judge": kind.judge, "model": kind.model, "protocol": kind.protocol,
            "negatives": kind.negatives, "config": dict(kind.settings),
        },
        "n": price.n,
        "density_bins": price.n_bins,
        "too_few": list(price.too_few),
        "coders": [asdict(side) for side in price.sides],
        "frontier": {hookpoint: list(coders) for hookpoint, coders in price.frontier.items()},
        "comparisons": [{**asdict(pair), "apart": pair.apart} for pair in price.comparisons],
        "headline": headline(price),
        "claims": [asdict(claim) for claim in claims(price)],
    }  # fmt: skip


def table(price: Price) -> tuple[list[str], list[list[Any]]]:
    """The coders as a head and rows, for spreadsheets."""
    head = [*COLUMNS, *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")), *FIGURES, "n"]
    rows = []
    for side in price.sides:
        row: list[Any] = [getattr(side, name) for name in COLUMNS]
        for name in ESTIMATES:
            estimate = getattr(side, name)
            row += [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
        rows.append([*row, *(getattr(side, name) for name in FIGURES), len(side.latents)])
    return head, rows
