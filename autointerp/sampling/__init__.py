"""Examples of a latent: windows and their text, groups, negatives, the split. Arrays and a generator in, examples out."""

from autointerp.sampling.axis import NeighbourActivations, Request
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
from autointerp.sampling.sampler import Sizes, build_groups, sample
from autointerp.sampling.split import Split, split_contexts
from autointerp.sampling.texts import Window, example_id, make_windows, random_texts
from autointerp.sampling.windows import (
    Places,
    Spans,
    Windows,
    cut,
    cut_many,
    example,
    no_spans,
    positive_windows,
)

__all__ = [
    "DEFAULT_MARKERS",
    "MARK_SHARE",
    "Markers",
    "NeighbourActivations",
    "Places",
    "Request",
    "Sizes",
    "Spans",
    "Split",
    "Window",
    "Windows",
    "build_groups",
    "choose_markers",
    "cut",
    "cut_many",
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
    "sample",
    "split_contexts",
    "visible_marks",
]
