"""Examples of a latent: windows, groups, negatives, the split. Arrays and a generator in, examples out."""

from autointerp.sampling.groups import (
    Avoid,
    Drawn,
    NeighbourActivations,
    avoid_windows,
    build_groups,
    draw_windows,
    within,
)
from autointerp.sampling.split import Split, split_contexts
from autointerp.sampling.windows import Windows, example, positive_windows, signatures

__all__ = [
    "Avoid",
    "Drawn",
    "NeighbourActivations",
    "Split",
    "Windows",
    "avoid_windows",
    "build_groups",
    "draw_windows",
    "example",
    "positive_windows",
    "signatures",
    "split_contexts",
    "within",
]
