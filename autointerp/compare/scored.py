"""Scores of several coders in one configuration: one explainer, one scorer, one judge and one choice of examples for all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError, nearest
from autointerp.score.registry import SCORERS
from autointerp.store import CoderAnnotations, ScoreKind, current_key, sorted_kinds

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Latents of one coder that have a score, ascending: Int64[ndarray, " n"]; their scores and floors Float64[ndarray, " n"]
    (NaN: no floor measured)."""

    latent: NDArray[np.int64]
    value: Float
    floor: Float


def ways(coders: Iterable[CoderAnnotations]) -> dict[str, int]:
    """How the shown explanations were made, with how many were, the most common way first."""
    counts: Counter[str] = Counter()
    for coder in coders:
        for way in coder.explanations["made_by"].value_counts().to_pylist():
            counts[way["values"]] += way["counts"]
    return dict(counts.most_common())


def kinds(coders: Iterable[CoderAnnotations], made_by: str | None) -> dict[ScoreKind, int]:
    """Kinds of scores of explanations made that way, in the order of the scorers, with how many there are."""
    counted = (coder.kinds_of(made_by) for coder in coders)
    return sorted_kinds(counted, lambda kind: (SCORERS.place(kind.scorer), kind.scorer, *map(str, kind.base)))


def choose(kinds: Mapping[ScoreKind, int], asked: str | None) -> ScoreKind | None:
    """The kind named by its key (see `ScoreKind.key`), else the most common one of the scorer named, or of all; `None` where
    nothing was scored. Raises UserError for a name that is neither."""
    wanted = [kind for kind in kinds if kind.has_key(current_key(asked))]
    wanted = wanted or [kind for kind in kinds if asked in (None, kind.scorer)]
    if kinds and not wanted:
        names = list(dict.fromkeys(kind.scorer for kind in kinds))
        near = ", ".join(nearest(str(asked), [*names, *(kind.key for kind in kinds)]))
        raise UserError(f"{asked!r}: none of these coders was scored that way. Scored by: {near}.")
    return max(wanted, key=lambda kind: kinds[kind], default=None)


def scores(coder: CoderAnnotations, kind: ScoreKind, made_by: str | None, n_latents: int) -> Scored:
    """Those of one coder."""
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made at import and not known to type checkers
    table = coder.of_kind(kind, ("latent", "value", "floor", "made_by"))
    latent = table["latent"].to_numpy()
    value, floor = (table[name].to_numpy().astype(np.float64) for name in ("value", "floor"))
    wanted = pc.fill_null(pc.equal(table["made_by"], made_by or ""), False).to_numpy().astype(bool)
    wanted &= (latent < n_latents) & ~np.isnan(value)
    return Scored(latent[wanted].astype(np.int64), value[wanted], floor[wanted])
