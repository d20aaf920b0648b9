"""Examples of a latent: windows and their text, groups, negatives, the split. Arrays and a generator in, examples out."""

from autointerp.sampling.groups import (
    Avoid,
    NeighbourActivations,
    avoid_windows,
    build_groups,
    within,
)
from autointerp.sampling.many import Ask, Drawn, draw_heldout
from autointerp.sampling.marking import (
    DEFAULT_MARKERS,
    MARK_SHARE,
    Markers,
    choose_markers,
    levels,
    mark,
    marks_above,
    one_line,
    runs,
    visible_marks,
)
from autointerp.sampling.split import Split, split_contexts
from autointerp.sampling.texts import Window, example_id, make_windows, random_texts
from autointerp.sampling.windows import Spans, Windows, example, no_spans, positive_windows, signatures

__all__ = [
    "DEFAULT_MARKERS",
    "MARK_SHARE",
    "Ask",
    "Avoid",
    "Drawn",
    "Markers",
    "NeighbourActivations",
    "Spans",
    "Split",
    "Window",
    "Windows",
    "avoid_windows",
    "build_groups",
    "choose_markers",
    "draw_heldout",
    "example",
    "example_id",
    "levels",
    "make_windows",
    "mark",
    "marks_above",
    "no_spans",
    "one_line",
    "positive_windows",
    "random_texts",
    "runs",
    "signatures",
    "split_contexts",
    "visible_marks",
    "within",
]
