"""Splitting a corpus's contexts into a part for the explainer and a held-out part for the scorers, per latent.

Split first, then sample: whole contexts go to one side, so no window that an explainer has seen is ever used to judge it. The
same text may stand in a context of the other side too: who draws there leaves out near-duplicates (see `avoid_windows`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.types import LatentActivations


@dataclass(frozen=True)
class Split:
    """`explain`, `heldout`: Bool[ndarray, " n_contexts"], disjoint, together all contexts. Pass one as `contexts` to
    `build_groups`."""

    explain: NDArray[np.bool_]
    heldout: NDArray[np.bool_]


def split_contexts(
    acts: LatentActivations,
    *,
    n_contexts: int,
    ctx_len: int,
    rng: np.random.Generator,
    heldout_fraction: float = 0.5,
) -> Split:
    """Splits the contexts in which the latent fires and, apart from them, the silent ones, each at `heldout_fraction`.

    With two contexts or more in a kind, both sides get at least one.
    """
    if not 0 < heldout_fraction < 1:
        raise UserError(f"held-out fraction {heldout_fraction}: it must lie between 0 and 1.")
    fires = np.zeros(n_contexts, dtype=bool)
    fires[acts.token // ctx_len] = True
    heldout = heldout_side(fires, rng, heldout_fraction)
    return Split(~heldout, heldout)


def heldout_side(fires: NDArray[np.bool_], rng: np.random.Generator, fraction: float) -> NDArray[np.bool_]:
    """The held-out contexts, some of those in which the latent `fires` and some of the others: Bool[ndarray, " n_contexts"]."""
    heldout = np.zeros(len(fires), dtype=bool)
    for kind in (np.flatnonzero(fires), np.flatnonzero(~fires)):
        if len(kind) >= 2:
            n = min(max(round(len(kind) * fraction), 1), len(kind) - 1)
            heldout[rng.permutation(kind)[:n]] = True
    return heldout
