"""Features in rows on the Overview: what explains them, and scores side by side."""

from collections.abc import Sequence
from typing import Any

from autointerp.store import ScoreKind
from autointerp.ui.overview.data import Written
from autointerp.ui.shared import components, score_text
from autointerp.ui.shared.explanation_cell import explanation_cell


def features(
    written: Written, coders: Sequence[str], chosen: Sequence[int], kinds: Sequence[ScoreKind], key: str
) -> None:
    """Features in rows, with what explains them and the scores of these kinds."""
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
    ]
    rows = []
    for coder, latent in (written.place(coders, at) for at in chosen):
        annotated = written.coders[coder]
        shown = annotated.shown([latent]).get(latent)
        scores = [annotated.shown_scores(kind, [latent]).get(latent) for kind in kinds]
        title = f"{coder} #{latent}" if len(coders) > 1 else f"#{latent}"
        figures = (score_text.cell(score) if score else None for score in scores)
        cells = [title, explanation_cell(shown), *figures]
        rows.append({"go": {"coder": coder, "latent": latent}, "cells": cells})
    components.links(columns, rows, page="feature", key=f"features_{key}")
