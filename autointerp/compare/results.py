"""Results of `registry.COMPUTATIONS`: kept ones are read, missing ones computed and kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from autointerp.compare.registry import COMPUTATIONS
from autointerp.pipeline.resources import Resources
from autointerp.store.derived import Derivation
from autointerp.types import ProgressCallback, no_progress

Parameters = Mapping[str, Any]
"""JSON values."""


def known(
    resources: Resources, name: str, coders: Sequence[str], parameters: Parameters | None = None
) -> pa.Table | None:
    """The result as computed before from the same inputs, else `None`. Raises UnknownName for a coder that does not exist."""
    return resources.store.result(_derivation(resources, name, coders, parameters or {}))


def is_quick(
    resources: Resources, name: str, coders: Sequence[str], parameters: Parameters | None = None
) -> bool:
    """Whether a page should compute it at once, rather than as a job."""
    return COMPUTATIONS[name].load().is_quick(resources, coders, parameters or {})


def obtain(
    resources: Resources,
    name: str,
    coders: Sequence[str],
    parameters: Parameters | None = None,
    progress: ProgressCallback = no_progress,
) -> pa.Table:
    """The result, computed now where it is not known. Raises UserError where it cannot be: what is missing, and what supplies
    it."""
    derivation = _derivation(resources, name, coders, parameters or {})
    table = resources.store.result(derivation)
    if table is None:
        table = COMPUTATIONS[name].load().compute(resources, coders, parameters or {}, progress)
        resources.store.keep_result(derivation, table)
    return table


def label(name: str, coders: Sequence[str]) -> str:
    """What a job that computes it is called."""
    of = " and ".join(coders) if len(coders) <= 3 else f"{len(coders)} coders"
    return COMPUTATIONS[name].label.format(coders=of)


def label_of_sets(name: str, sets: Sequence[Sequence[str]]) -> str:
    """The same for several sets of coders."""
    if all(len(coders) == 1 for coders in sets):
        return label(name, [coder for (coder,) in sets])
    return COMPUTATIONS[name].label.format(coders=f"{len(sets)} pairs of coders")


def _derivation(resources: Resources, name: str, coders: Sequence[str], parameters: Parameters) -> Derivation:
    computation = COMPUTATIONS[name]
    inputs = getattr(computation.load(), "inputs", None)
    more = inputs(resources, coders, parameters) if inputs is not None else None
    return resources.store.derivation(name, computation.version, coders, parameters, more)
