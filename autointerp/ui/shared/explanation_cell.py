"""An explanation as a cell of a table: its text, who wrote it, and what marks it out."""

from typing import Any

from autointerp.explain.registry import EXPLAINERS
from autointerp.store import ShownExplanation
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import visible

MAX_TEXT = 400
"""Characters of an explanation that go to the page; a table shows two lines of them."""


def written_by(explainer: str, author: str | None) -> str:
    """The explainer, or the person."""
    return f"{author} (person)" if explainer == "person" else EXPLAINERS.label(explainer)


def explanation_cell(shown: ShownExplanation | None, error: str | None = None) -> dict[str, Any]:
    """Text, who wrote it, and what marks it out; without one, why."""
    if shown is None:
        return {"none": f"failed: {visible(error)[:MAX_TEXT]}" if error else "not explained"}
    by = written_by(shown.explainer, shown.author)
    marks = [visible(by), *(["pinned"] if shown.pinned else [])]
    text = visible(shown.text)
    written = f"{by}{', ' + shown.model if shown.model else ''}, {fmt.minute(shown.created)} UTC"
    versions = f"; {fmt.plural(shown.n, 'version')}" if shown.n > 1 else ""
    return {
        "text": text[:MAX_TEXT] + ("…" if len(text) > MAX_TEXT else "") or "(empty)",
        "marks": marks,
        "help": visible(f"{written}{versions}"),
    }
