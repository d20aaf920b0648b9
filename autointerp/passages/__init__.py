"""Windows with their token texts, as explainers and judges see them. Pure; numpy and the standard library only."""

from autointerp.passages.marking import (
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
from autointerp.passages.windows import Window, example_id, make_windows

__all__ = [
    "DEFAULT_MARKERS",
    "MARK_SHARE",
    "Markers",
    "Window",
    "choose_markers",
    "example_id",
    "levels",
    "make_windows",
    "mark",
    "marks_above",
    "one_line",
    "runs",
    "visible_marks",
]
