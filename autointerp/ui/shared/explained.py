"""What is said of features in a line: the explanation shown for each, and its score."""

from collections.abc import Sequence
from typing import Any

from autointerp.errors import StoreError
from autointerp.store import Store, annotated_store, sorted_kinds
from autointerp.ui.shared import score_text, services
from autointerp.ui.shared.explanation_cell import explanation_cell


def explained(store: Store, coder: str, latents: Sequence[int]) -> dict[int, dict[str, Any]]:
    """`says`, the explanation shown for each of these features, and `score`, its most common kind, where there are any."""
    try:
        annotated = annotated_store(services.annotations(store)).coder(coder)
    except StoreError:
        return {}
    shown = annotated.shown(latents)
    kinds = sorted_kinds([annotated.kinds], score_text.order)
    kind = max(kinds, key=lambda kind: kinds[kind], default=None)  # the first of equals
    scores = {} if kind is None else annotated.shown_scores(kind, latents)
    name = score_text.name(kind) if kind is not None else ""
    drawn: dict[int, dict[str, Any]] = {}
    for latent, explanation in shown.items():
        drawn[latent] = {"says": explanation_cell(explanation)}
        score = scores.get(latent)
        if score is not None and score.value is not None:
            cell = score_text.cell(score)
            cell["help"] = f"{name}: {cell['value']}, 95 % {cell['ci']}, {cell['under']}\n{cell['help']}"
            drawn[latent]["score"] = cell
    return drawn
