"""Features in rows on the Overview: what explains them, and scores side by side."""

from collections.abc import Sequence
from typing import Any

from autointerp.store import ScoreKind
from autointerp.ui.overview.again import larger
from autointerp.ui.overview.data import Written
from autointerp.ui.shared import components, list_walk, score_text
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explanation_cell import explanation_cell

EXPECTED = {
    "title": "Expected",
    "num": True,
    "help": "Score to expect on fresh examples, given this score and how the coder's scores are spread beyond chance. The "
    "lowest and highest of many scores are so partly by chance, and move back when scored again.",
}


def features(
    written: Written,
    places: Sequence[tuple[str, int]],
    kinds: Sequence[ScoreKind],
    key: str,
    expected: Sequence[float] | None = None,
    walk: str | None = None,
) -> None:
    """Features (coder, latent) in rows, with what explains them, the scores of these kinds, and the score that is `expected` of
    each. `walk`: the address of the list that begins with them, through which the Feature page steps then."""
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
        *([] if expected is None else [EXPECTED]),
    ]
    more = None if expected is None else larger(kinds[0], list(written.kinds))
    if more is not None:
        columns.append({"title": "Again", "num": True, "help": f"Scored again: {score_text.help_text(more)}"})
    rows = []
    for place, (coder, latent) in enumerate(places):
        annotated = written.coders[coder]
        shown = annotated.shown([latent]).get(latent)
        scores = [annotated.shown_scores(kind, [latent]).get(latent) for kind in kinds]
        figures = (score_text.cell(score) if score else None for score in scores)
        cells = [f"{coder} #{latent}", explanation_cell(shown), *figures]
        if expected is not None:
            cells.append(fmt.decimal(expected[place], 2))
        if more is not None:
            scored = annotated.shown_scores(more, [latent]).get(latent)
            cells.append(fmt.decimal(scored.value if scored else None, 2))
        go = {"coder": coder, "latent": latent}
        rows.append({"go": go if walk is None else {**go, **list_walk.address(walk, place)}, "cells": cells})
    components.links(columns, rows, page="feature", key=f"features_{key}")
