"""Features in rows: what explains them, and scores side by side."""

from collections.abc import Sequence
from typing import Any

from autointerp.store import ScoreKind
from autointerp.ui.shared import components, expected, list_walk, score_text, stars
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explanation_cell import explanation_cell
from autointerp.ui.shared.written import Written, larger


def features(
    written: Written,
    places: Sequence[tuple[str, int]],
    kinds: Sequence[ScoreKind],
    key: str,
    above: Sequence[float] | None = None,
    walk: str | None = None,
) -> None:
    """Features (coder, latent) in rows, with what explains them, the scores of these kinds, and how far `above` its floor
    the first is expected. `walk`: the address of the list that begins with them, through which the Feature page steps then."""
    columns: list[dict[str, Any]] = [
        {"title": "Feature", "kind": "link", "cls": "name"},
        {"title": "Explanation", "kind": "explanation"},
        *(
            {
                "title": score_text.name(kind, written.kinds),
                "kind": "score",
                "help": score_text.help_text(kind),
            }
            for kind in kinds
        ),
        *(
            []
            if above is None
            else [
                {"title": expected.NAME.replace("above ", "above\u00a0"), "num": True, "help": expected.HELP}
            ]
        ),
    ]
    more = None if above is None else larger(kinds[0], list(written.kinds))
    if more is not None:
        help_ = f"Score minus floor when scored again: {score_text.help_text(more)}"
        columns.append({"title": "Again", "num": True, "help": help_})
    rows = []
    for place, (coder, latent) in enumerate(places):
        annotated = written.coders[coder]
        shown = annotated.shown([latent]).get(latent)
        scores = [annotated.shown_scores(kind, [latent]).get(latent) for kind in kinds]
        figures = (score_text.cell(score) if score else None for score in scores)
        cells = [f"{coder} #{latent}", explanation_cell(shown), *figures]
        if above is not None:
            cells.append(fmt.signed(above[place]))
        if more is not None:
            scored = annotated.shown_scores(more, [latent]).get(latent)
            value, floor = (scored.value, score_text.reference(scored)) if scored else (None, None)
            cells.append(fmt.NONE if value is None or floor is None else fmt.signed(value - floor))
        go = {"coder": coder, "latent": latent}
        rows.append({"go": go if walk is None else {**go, **list_walk.address(walk, place)}, "cells": cells})
    stars.mark(written.store, rows)
    element = f"features_{key}"
    components.links(columns, rows, page="feature", key=element, tall=43, on_star=stars.on_star(element))
