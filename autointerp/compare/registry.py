"""What is computed from several coders and kept in the store's `derived/`.

To add a computation, add its module and a line in `COMPUTATIONS`. The module has

    compute(resources, coders, parameters, progress) -> pa.Table
    is_quick(resources, coders, parameters) -> bool       # whether a page computes it at once, rather than as a job
    inputs(resources, coders, parameters) -> dict[str, str]   # optional: by coder, a hash of what else of it went in
"""

from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Computation(NamedTuple):
    """`label`: what a job does, with `{coders}`. Whoever changes what `compute` gives counts `version` up."""

    name: str
    label: str
    module: str
    version: int = 1

    def load(self) -> ModuleType:
        """Its module, imported when needed: some import torch."""
        return import_module(f"autointerp.compare.{self.module}")


COMPUTATIONS: dict[str, Computation] = {
    computation.name: computation
    for computation in (
        Computation("fidelity", "measure the error of {coders}", "fidelity"),
        Computation("directions", "match the latents of {coders} by direction", "directions"),
        Computation("coactivation", "compare the activations of {coders}", "coactivation"),
        Computation("meaning", "match the explanations of {coders} by meaning", "meaning"),
        Computation("map", "map the explanations of {coders}", "map"),
    )
}
