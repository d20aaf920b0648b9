"""What the page shows of one feature, read once and kept: keyed by the store, the coder's file and the latent.

The records are shared between sessions and must not be changed.
"""

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import streamlit as st

from autointerp.pipeline.negatives import similar_latents
from autointerp.sampling import build_groups, example
from autointerp.sampling.windows import cut
from autointerp.store import CoderStore, Store
from autointerp.types import (
    Example,
    Group,
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
    """One latent with all its activations. `histogram`: `None` for a dead one."""

    store: Store
    coder: CoderStore
    latent: int
    stats: LatentStats
    activations: LatentActivations
    histogram: Histogram | None

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


@dataclass(frozen=True)
class Counts:
    """How many windows of each group a view asks for; `per_quantile` for each decile."""

    random: int = 0
    top: int = 0
    per_quantile: int = 0
    non_activating: int = 0
    hard: int = 0


OVERVIEW = Counts(random=5, top=8, per_quantile=1, non_activating=3, hard=3)
ONE_GROUP = 40
ONE_GROUP_FULL = 12


def counts(group: str, *, full: bool) -> Counts:
    """The page's sizes: a little of everything, or much of one group (less of it when each row is a whole context)."""
    if group == "all":
        return replace(OVERVIEW, random=3, top=4, non_activating=2, hard=2) if full else OVERVIEW
    many = ONE_GROUP_FULL if full else ONE_GROUP
    return Counts(
        random=many if group == "random" else 0,
        top=many if group == "top" else 0,
        per_quantile=max(1, many // 10) if group == "quantiles" else 0,
        non_activating=many // 2 if group == "non_activating" else 0,
        hard=many // 2 if group == "non_activating" else 0,
    )


_BY_FILE: dict[Any, Any] = {
    Store: lambda store: str(store.path),
    CoderStore: lambda coder: file_identity(coder.info),
    Feature: lambda feature: (str(feature.store.path), file_identity(feature.coder.info), feature.latent),
    Counts: repr,
}


def load(store: Store, coder: CoderStore, latent: int) -> Feature:
    """Everything that was stored of a latent. Raises StoreError."""
    return Feature(store, coder, latent, *_read(store, coder, latent))


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=_BY_FILE)
def _read(
    store: Store, coder: CoderStore, latent: int
) -> tuple[LatentStats, LatentActivations, Histogram | None]:
    activations = services.resources(store).activations.get(coder, latent)
    stats = coder.all_stats(latent, activations)
    return stats, activations, None if stats.is_dead else coder.histogram(latent, activations)


@st.cache_resource(show_spinner=False, max_entries=1024, hash_funcs=_BY_FILE)
def surroundings(feature: Feature) -> Surroundings:
    """Promoted and suppressed tokens, neighbours and their statistics."""
    coder = feature.coder
    promoted, suppressed = coder.promoted(feature.latent) if coder.info.has_logits else ([], [])
    near: dict[Relation, list[Neighbour]] = {
        kind: coder.neighbours(feature.latent, kind) for kind in get_args(Relation)
    }
    latents = sorted({neighbour.latent for rows in near.values() for neighbour in rows})
    return Surroundings(promoted, suppressed, near, {latent: coder.stats(latent) for latent in latents})


@st.cache_resource(show_spinner=False, max_entries=512, hash_funcs=_BY_FILE)
def examples_by_group(feature: Feature, wanted: Counts, window: int | None) -> dict[Group, list[Example]]:
    """Windows by group; the same ones for the same feature whenever it is looked at."""
    coder, activations = feature.coder, services.resources(feature.store).activations
    similar = similar_latents(coder, feature.latent) if wanted.hard else []
    return build_groups(
        feature.activations,
        feature.store.tokens,
        window=window,
        n_top=wanted.top,
        n_random=wanted.random,
        n_per_quantile=wanted.per_quantile,
        n_non_activating=wanted.non_activating,
        n_hard=wanted.hard,
        rng=np.random.default_rng([feature.latent, 0]),
        neighbour_acts=[(near, activations.get(coder, near)) for near in similar],
    )


def linked_example(feature: Feature, context: int, start: int | None, window: int | None) -> Example:
    """The window of a context at `start` (moved inside the context where it would stick out), or around its peak."""
    acts, ctx_len = feature.activations, feature.store.ctx_len
    if start is None:
        base = context * ctx_len
        low, high = np.searchsorted(acts.token, (base, base + ctx_len))
        peak = int(acts.token[low + int(acts.activation[low:high].argmax())]) - base if high > low else 0
        start = max(0, peak - (window or ctx_len) // 2)
    return example(acts, feature.store.tokens, context, min(start, ctx_len - 1), window)


def centred(feature: Feature, shown: Example, window: int) -> Example:
    """The same example with its peak in the middle, as far as the context reaches; a non-activating one as it is."""
    if not shown.max_activation:
        return shown
    peak = shown.start + int(shown.activations.argmax())
    start = max(0, peak - window // 2)
    stop = min(start + window, feature.store.ctx_len)
    moved = cut(feature.activations, feature.store.tokens, shown.context, start, stop)
    return replace(shown, start=start, token_ids=moved.token_ids, activations=moved.activations)


def strongest_contexts(feature: Feature, n: int = 5) -> list[int]:
    """The contexts of the strongest activations, strongest first."""
    acts = feature.activations
    order = np.argsort(-acts.activation, kind="stable")[: 20 * n]
    return list(dict.fromkeys((acts.token[order] // feature.store.ctx_len).tolist()))[:n]
