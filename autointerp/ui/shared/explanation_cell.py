"""An explanation as a cell of a table: its text, who wrote it, and what marks it out."""

import re
from collections.abc import Sequence
from typing import Any

from autointerp.explain.registry import EXPLAINERS
from autointerp.store import ShownExplanation
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import beginning

MAX_TEXT = 400
"""Characters of an explanation that a cell shows at most; a table shows two lines of them."""


def written_by(explainer: str, author: str | None) -> str:
    """The explainer, or the person."""
    return f"{author} (person)" if explainer == "person" else EXPLAINERS.label(explainer)


MAX_BY = 100
"""The same of who wrote it."""
BEFORE = 60
"""Characters before the first word searched for, where a long text is cut."""


def explanation_cell(
    shown: ShownExplanation | None, error: str | None = None, words: Sequence[str] = ()
) -> dict[str, Any]:
    """Text, who wrote it, and what marks it out; without one, why. `words` are marked in it, in any case: `hits` are the places
    of their characters, and a long text begins shortly before the first. `whole`, to be copied, where the text is cut: at most
    `text.MAX_SHOWN` characters."""
    if shown is None:
        return {"none": f"failed: {beginning(error, MAX_TEXT)}" if error else "not explained"}
    by = written_by(shown.explainer, shown.author)
    marks = [beginning(by, MAX_BY), *(["pinned"] if shown.pinned else [])]
    text = beginning(shown.text)
    written = f"{by}{', ' + shown.model if shown.model else ''}, {fmt.minute(shown.created)} UTC"
    versions = f"; {fmt.plural(shown.n, 'version')}" if shown.n > 1 else ""
    hits = _places(text, words)
    cut = hits[0][0] - BEFORE if hits and hits[0][0] > MAX_TEXT - 2 * BEFORE else 0
    whole = text
    text = ("…" if cut else "") + text[cut : cut + MAX_TEXT] + ("…" if len(text) > cut + MAX_TEXT else "")
    moved = 1 - cut if cut else 0
    hits = [[start + moved, stop + moved] for start, stop in hits if stop - cut <= MAX_TEXT]
    return {
        "text": text or "(empty)",
        "marks": marks,
        "help": beginning(f"{written}{versions}", MAX_TEXT),
        **({"hits": hits} if hits else {}),
        **({"whole": whole} if len(whole) > MAX_TEXT else {}),
    }


def _places(text: str, words: Sequence[str]) -> list[list[int]]:
    """Where the words stand, from left to right; overlapping ones as one."""
    if not any(words):
        return []
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    matches = re.finditer("|".join(map(re.escape, longest_first)), text, re.IGNORECASE)
    return [list(match.span()) for match in matches]
