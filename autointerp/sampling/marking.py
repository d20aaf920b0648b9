"""Marking tokens in a text, and activations as whole numbers."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MARK_SHARE = 0.3
"""A token is marked when its activation is at least this share of the window's largest."""


class Markers(NamedTuple):
    """What stands before and after a stretch of marked tokens."""

    before: str
    after: str


DEFAULT_MARKERS = Markers("<<", ">>")
_OTHER_MARKERS = (Markers("[[", "]]"), Markers("{{", "}}"), Markers("\u27e6", "\u27e7"))


def choose_markers(texts: Iterable[str]) -> Markers:
    """The default markers, or others where a text itself holds the default's (`>>>` prompts, shifts, generics)."""
    joined = "\n".join(texts)
    for markers in (DEFAULT_MARKERS, *_OTHER_MARKERS):
        if markers.before not in joined and markers.after not in joined:
            return markers
    return DEFAULT_MARKERS


def marks_above(
    activations: NDArray[np.float32], share: float = MARK_SHARE, maximum: float | None = None
) -> tuple[int, ...]:
    """Positions that fire with at least `share` of `maximum` (default: the largest of the window), ascending."""
    top = float(activations.max(initial=0.0)) if maximum is None else maximum
    marked = activations >= share * top
    if share * top <= 0:
        marked &= activations > 0
    return tuple(marked.nonzero()[0].tolist())


def runs(marks: Collection[int]) -> list[tuple[int, int]]:
    """Stretches of neighbouring positions as half-open (start, end), ascending."""
    stretches: list[tuple[int, int]] = []
    for position in sorted(set(marks)):
        if stretches and stretches[-1][1] == position:
            stretches[-1] = (stretches[-1][0], position + 1)
        else:
            stretches.append((position, position + 1))
    return stretches


def mark(texts: Sequence[str], marks: Collection[int], markers: Markers = DEFAULT_MARKERS) -> str:
    """The joined text with each run of marked tokens between one pair of markers."""
    pieces: list[str] = []
    end = 0
    for start, stop in runs(visible_marks(texts, marks)):
        pieces += ["".join(texts[end:start]), markers.before, "".join(texts[start:stop]), markers.after]
        end = stop
    return "".join([*pieces, *texts[end:]])


def visible_marks(texts: Sequence[str], marks: Collection[int]) -> set[int]:
    """`marks`, with those on the empty rest of a split character moved to the token that shows the character."""
    moved = set()
    for position in marks:
        while position > 0 and not texts[position]:
            position -= 1
        moved.add(position)
    return moved


def levels(activations: NDArray[np.float32], latent_max: float) -> NDArray[np.int64]:
    """Activations as whole numbers 0 to 10: `clamp(ceil(10 a / latent_max), 0, 10)`; all 0 for a maximum of 0."""
    if latent_max <= 0:
        return np.zeros(len(activations), dtype=np.int64)
    scaled = np.ceil(10.0 * np.asarray(activations, dtype=np.float64) / latent_max)
    return np.clip(scaled, 0, 10).astype(np.int64)


_GLYPHS = str.maketrans(
    {
        "\n": "\u21b5",
        "\r": "\u240d",
        "\t": "\u21e5",
        "\u2028": "\u21b5",
        "\u2029": "\u21b5",
        "\x0b": " ",
        "\x0c": " ",
    }
)


def one_line(text: str) -> str:
    """The text on a single line, line breaks and tabs as the glyphs \u21b5 and \u21e5: a text in a numbered list cannot
    pretend to be the next item of the list."""
    return text.translate(_GLYPHS)
