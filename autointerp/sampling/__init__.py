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
from autointerp.sampling.texts import Window, distinct_prompts, make_windows, random_texts, up_to_first
from autointerp.sampling.windows import (
    Places,
    Spans,
    cut_many,
    example,
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
    "build_groups",
    "choose_markers",
    "cut_many",
    "distinct_prompts",
    "example",
    "levels",
    "make_windows",
    "mark",
    "marks_above",
    "one_line",
    "positive_windows",
    "random_texts",
    "runs",
    "sample",
    "split_contexts",
    "up_to_first",
    "visible_marks",
]
