"""Examples of a latent: windows, groups, negatives, the split. Arrays and a generator in, examples out."""

from autointerp.sampling.groups import NeighbourActivations, build_groups, within
from autointerp.sampling.split import Split, split_contexts
from autointerp.sampling.windows import Windows, example, positive_windows, signatures

__all__ = [
    "NeighbourActivations",
    "Split",
    "Windows",
    "build_groups",
    "example",
    "positive_windows",
    "signatures",
    "split_contexts",
    "within",
]
