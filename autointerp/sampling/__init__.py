"""Examples of a latent: windows, groups, negatives, the split. Arrays and a generator in, examples out."""

from autointerp.sampling.groups import (
    Avoid,
    NeighbourActivations,
    avoid_windows,
    build_groups,
    within,
)
from autointerp.sampling.many import Ask, Drawn, draw_heldout
from autointerp.sampling.split import Split, split_contexts
from autointerp.sampling.windows import Spans, Windows, example, no_spans, positive_windows, signatures

__all__ = [
    "Ask",
    "Avoid",
    "Drawn",
    "NeighbourActivations",
    "Spans",
    "Split",
    "Windows",
    "avoid_windows",
    "build_groups",
    "draw_heldout",
    "example",
    "no_spans",
    "positive_windows",
    "signatures",
    "split_contexts",
    "within",
]
