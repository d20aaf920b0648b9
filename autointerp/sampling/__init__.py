"""Examples of a latent: windows, groups, negatives, the split. Arrays and a generator in, examples out."""

from autointerp.sampling.groups import Drawn, NeighbourActivations, build_groups, draw_windows, within
from autointerp.sampling.split import Split, split_contexts
from autointerp.sampling.windows import Windows, example, positive_windows, signatures

__all__ = [
    "Drawn",
    "NeighbourActivations",
    "Split",
    "Windows",
    "build_groups",
    "draw_windows",
    "example",
    "positive_windows",
    "signatures",
    "split_contexts",
    "within",
]
