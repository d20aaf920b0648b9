"""How many latents of one coder another one has, from how their directions match (Paulo and Belrose, "Sparse Autoencoders
Trained on the Same Data Learn Different Features", sections 2 and 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from autointerp.compare.directions import Directions
from autointerp.errors import UserError
from autointerp.score.intervals import wilson

Float = NDArray[np.floating]

THRESHOLD = 0.7
"""The paper's: above it, the definitions give the same latents but for one in a hundred."""


@dataclass(frozen=True)
class Definition:
    """What makes a latent shared. `label` and `help` name and explain it to people."""

    name: str
    label: str
    help: str


DEFINITIONS = {
    definition.name: definition
    for definition in (
        Definition(
            "assigned", "one to one",
            "Matched one to one, by encoder and by decoder: the cosine with its partner is above the threshold in both",
        ),
        Definition(
            "agreeing", "same partner",
            "As one to one, and encoder and decoder give it the same partner",
        ),
        Definition(
            "nearest", "nearest",
            "Its nearest feature in the other coder is above the threshold by encoder and by decoder, whether or not another "
            "feature has the same nearest one",
        ),
    )
}  # fmt: skip


def check_threshold(threshold: float) -> float:
    """Raises UserError unless it is a cosine."""
    if not -1 <= threshold <= 1:
        raise UserError(
            f"a threshold of {threshold:g} is not a cosine: give one from -1 to 1 (the paper's is {THRESHOLD})."
        )
    return threshold


def apart(directions: Directions) -> str:
    """What to tell about two coders that have no directions in one space."""
    return (
        f"{' and '.join(directions.coders)} have no directions in one space, so their latents cannot be matched by cosine. "
        f"{' '.join(directions.absent.values())} Compare them by where they activate."
    )


def alignment(directions: Directions, definition: str = "assigned") -> Float:
    """For each latent of the first coder the threshold below which it is shared: the smaller of its cosines by encoder and by
    decoder (the one that there is), -1 where it has no partner. Float64[ndarray, " n"]."""
    sides = [part.sides[0] for part in directions.parts.values()]
    if definition == "nearest":
        return np.min([each.nearest_cosine for each in sides], axis=0).astype(np.float64)
    cosines = np.array([np.where(each.partner < 0, -1.0, each.cosine) for each in sides], dtype=np.float64)
    smaller = cosines.min(axis=0)
    return np.where(agree(directions), smaller, -1.0) if definition == "agreeing" else smaller


def agree(directions: Directions) -> NDArray[np.bool_]:
    """Whether each latent of the first coder has a partner, and the same one by encoder and decoder."""
    partners = [part.sides[0].partner for part in directions.parts.values()]
    return np.logical_and.reduce([partner == partners[0] for partner in partners]) & (partners[0] >= 0)


def counterpart(directions: Directions, definition: str = "assigned") -> tuple[NDArray[np.int64], Float]:
    """The other coder's latent to look at beside each, -1 for none, and its cosine: the partner, or with "nearest" the nearest
    latent, by decoder where the coders have that, else by encoder."""
    part = directions.parts.get("decoder") or directions.parts["encoder"]
    each = part.sides[0]
    if definition == "nearest":
        return each.nearest.astype(np.int64), each.nearest_cosine
    return each.partner.astype(np.int64), each.cosine


@dataclass(frozen=True)
class Overlap:
    """How much of the first coder the second has. `n_live`, `n_shared`: its latents that fire on the corpus, and those of them
    that are shared; `n_latents`, `n_shared_of_all`: with those that never fire. `mean_cosine`, `floor`, `method`: by "encoder"
    and "decoder", over live latents with a partner. `n_agreeing`: live latents to which both give the same partner, whatever
    its cosine; `None` where only one of them can be matched."""

    coders: tuple[str, str]
    definition: str
    threshold: float
    n_latents: int
    n_live: int
    n_shared: int
    n_shared_of_all: int
    n_agreeing: int | None
    mean_cosine: Mapping[str, float | None]
    floor: Mapping[str, float]
    method: Mapping[str, str]
    absent: Mapping[str, str]

    @property
    def fraction(self) -> float | None:
        """Shared ones among the live; `None` where none is live."""
        return self.n_shared / self.n_live if self.n_live else None


def overlap(
    directions: Directions,
    live: NDArray[np.integer],
    *,
    definition: str = "assigned",
    threshold: float = THRESHOLD,
) -> Overlap:
    """`live` Int64[ndarray, " n_live"]: the first coder's latents that fire. Raises UserError
    for a threshold that is no cosine."""
    if not directions.parts:
        raise UserError(apart(directions))
    shared = alignment(directions, definition) > check_threshold(threshold)
    means: dict[str, float | None] = {}
    for name, part in directions.parts.items():
        cosine = part.sides[0].cosine[live]
        means[name] = float(np.nanmean(cosine)) if np.isfinite(cosine).any() else None
    return Overlap(
        coders=directions.coders,
        definition=definition,
        threshold=threshold,
        n_latents=len(shared),
        n_live=len(live),
        n_shared=int(shared[live].sum()),
        n_shared_of_all=int(shared.sum()),
        n_agreeing=int(agree(directions)[live].sum()) if len(directions.parts) > 1 else None,
        mean_cosine=means,
        floor={name: part.sides[0].floor for name, part in directions.parts.items()},
        method={name: part.method for name, part in directions.parts.items()},
        absent=directions.absent,
    )


def shared_by(alignments: Sequence[Float], threshold: float) -> NDArray[np.int64]:
    """For each latent of one coder, in how many others it is: Int64[ndarray, " n"]. `alignments`: with each other coder."""
    return np.sum([each > threshold for each in alignments], axis=0).astype(np.int64)


def found_in_one_only(counts: NDArray[np.integer], n_others: int) -> list[float]:
    """The share of latents that none of `s` others has, for s from 0 to `n_others`, averaged over which of them are taken.
    `counts`: in how many of all others each latent is."""
    if not len(counts):
        return [float("nan")] * (n_others + 1)
    times = np.bincount(counts, minlength=n_others + 1) / len(counts)
    return [
        float(sum(share * comb(n_others - c, s) / comb(n_others, s) for c, share in enumerate(times)))
        for s in range(n_others + 1)
    ]


@dataclass(frozen=True)
class DensityBin:
    """Latents whose log10 density lies from `low` to `high`: how many, how many of them shared, and the 95 % interval of the
    fraction (Wilson's)."""

    low: float
    high: float
    n: int
    n_shared: int
    ci_low: float
    ci_high: float


def by_density(density: Float, shared: NDArray[np.bool_], per_decade: int = 2) -> list[DensityBin]:
    """The shared fraction against density, over live latents, both arrays [n]."""
    bins = np.floor(np.round(np.log10(density) * per_decade, 9)).astype(np.int64)
    rows = []
    for place in np.unique(bins).tolist():
        here = shared[bins == place]
        low, high = wilson(float(here.mean()), len(here))
        rows.append(
            DensityBin(place / per_decade, (place + 1) / per_decade, len(here), int(here.sum()), low, high)
        )
    return rows
