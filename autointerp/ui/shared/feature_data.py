"""What the page shows of one feature, read once and kept: keyed by the store, the coder's file and the latent.

The records are shared between sessions and must not be changed.
"""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import streamlit as st

from autointerp.store import CoderStore, Store
from autointerp.types import (
    Histogram,
    LatentActivations,
    LatentStats,
    Neighbour,
    Relation,
    TokenLogit,
)
from autointerp.ui.shared import services
from autointerp.ui.shared.session import file_identity


@dataclass(frozen=True)
class Feature:
    """One latent with all its activations. `histogram`: `None` for a dead one, and where no file states it."""

    store: Store
    coder: CoderStore
    latent: int
    stats: LatentStats
    activations: LatentActivations
    histogram: Histogram | None

    @property
    def top(self) -> float:
        """What its activations are shaded by: its maximum, or the largest that is known."""
        stated = self.stats.max_activation
        return float(self.activations.activation.max(initial=0)) if stated is None else stated

    @property
    def address(self) -> dict[str, Any]:
        """Its page's parameters."""
        return {"coder": self.coder.info.coder, "latent": self.latent}


@dataclass(frozen=True)
class Surroundings:
    """What a feature writes to the output and which features are like it. `stats`: of these, by latent."""

    promoted: list[TokenLogit]
    suppressed: list[TokenLogit]
    neighbours: dict[Relation, list[Neighbour]]
    stats: dict[int, LatentStats]


BY_FILE: dict[Any, Any] = {  # how arguments of cached functions are told apart
    Store: lambda store: str(store.path),
    CoderStore: lambda coder: file_identity(coder.info),
    Feature: lambda feature: (str(feature.store.path), file_identity(feature.coder.info), feature.latent),
}


def load(store: Store, coder: CoderStore, latent: int) -> Feature:
    """Everything that was stored of a latent. Raises StoreError."""
    return Feature(store, coder, latent, *_read(store, coder, latent))


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=BY_FILE)
def _read(
    store: Store, coder: CoderStore, latent: int
) -> tuple[LatentStats, LatentActivations, Histogram | None]:
    activations = services.resources(store).activations.get(coder, latent)
    stats = coder.all_stats(latent, activations)
    histogram = coder.histogram(latent, activations)
    return stats, activations, histogram if len(histogram.counts) else None


@st.cache_resource(show_spinner=False, max_entries=1024, hash_funcs=BY_FILE)
def surroundings(feature: Feature) -> Surroundings:
    """Promoted and suppressed tokens, neighbours and their statistics."""
    coder = feature.coder
    promoted, suppressed = coder.promoted(feature.latent) if coder.info.has_logits else ([], [])
    near: dict[Relation, list[Neighbour]] = {
        kind: coder.neighbours(feature.latent, kind) for kind in get_args(Relation)
    }
    latents = sorted({neighbour.latent for rows in near.values() for neighbour in rows})
    return Surroundings(promoted, suppressed, near, {latent: coder.stats(latent) for latent in latents})


def strongest_contexts(feature: Feature, n: int = 5) -> list[int]:
    """The contexts of the strongest activations, strongest first."""
    acts = feature.activations
    order = np.argsort(-acts.activation, kind="stable")[: 20 * n]
    return list(dict.fromkeys((acts.token[order] // feature.store.ctx_len).tolist()))[:n]
