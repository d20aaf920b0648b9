"""What the pages show of a store, loaded once and kept: keyed by the store, the coder's file and the latent.

The records are shared between sessions and must not be changed.
"""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.sampling import build_groups, example
from autointerp.sampling.windows import cut
from autointerp.store import CoderStore, Store
from autointerp.types import (
    CoderInfo,
    Example,
    Group,
    Histogram,
    LatentActivations,
    LatentStats,
    Neighbour,
    Relation,
    TokenLogit,
)

RELATIONS: tuple[Relation, ...] = ("decoder", "encoder", "cofiring")
HARD_FROM = 5
"""How many of the nearest latents may lend their contexts as hard negatives."""


@dataclass(frozen=True)
class Firing:
    """When one latent fires: what the contexts need."""

    stats: LatentStats
    activations: LatentActivations
    histogram: Histogram | None


@dataclass(frozen=True)
class Surroundings:
    """What one latent does to the output and which latents are like it."""

    promoted: list[TokenLogit]
    suppressed: list[TokenLogit]
    neighbours: dict[Relation, list[Neighbour]]
    near_stats: dict[int, LatentStats]


@dataclass(frozen=True)
class Counts:
    """How many windows of each group a view asks for; `per_quantile` for each tenth."""

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


def identity(info: CoderInfo) -> str:
    """Changes whenever a coder's file does."""
    return f"{info.coder}/{info.created}/{info.bytes_on_disk}"


def firing(store: Store, coder: CoderStore, latent: int) -> Firing:
    """Statistics and all activations of a latent."""
    return _firing(str(store.path), identity(coder.info), latent, coder)


@st.cache_resource(show_spinner=False, max_entries=256)
def _firing(path: str, file: str, latent: int, _coder: CoderStore) -> Firing:
    found = _coder.activations(latent)
    stats = _coder.all_stats(latent, found)
    return Firing(stats, found, None if stats.is_dead else _coder.histogram(latent, found))


def surroundings(store: Store, coder: CoderStore, latent: int) -> Surroundings:
    """Promoted and suppressed tokens, neighbours and their statistics."""
    return _surroundings(str(store.path), identity(coder.info), latent, coder)


@st.cache_resource(show_spinner=False, max_entries=1024)
def _surroundings(path: str, file: str, latent: int, _coder: CoderStore) -> Surroundings:
    promoted, suppressed = _coder.logits(latent) if _coder.info.has_logits else ([], [])
    near: dict[Relation, list[Neighbour]] = {kind: _coder.neighbours(latent, kind) for kind in RELATIONS}
    ids = sorted({neighbour.latent for rows in near.values() for neighbour in rows})
    return Surroundings(promoted, suppressed, near, {i: _coder.stats(i) for i in ids})


def groups(
    store: Store, coder: CoderStore, latent: int, wanted: Counts, window: int | None
) -> dict[Group, list[Example]]:
    """Windows by group; the same ones for the same latent whenever it is looked at."""
    return _groups(str(store.path), identity(coder.info), latent, wanted, window, store, coder)


@st.cache_resource(show_spinner=False, max_entries=512, hash_funcs={Counts: lambda c: repr(c)})
def _groups(
    path: str, file: str, latent: int, wanted: Counts, window: int | None, _store: Store, _coder: CoderStore
) -> dict[Group, list[Example]]:
    lenders = []
    if wanted.hard:
        seen: dict[int, None] = {}
        for kind in ("encoder", "decoder", "cofiring"):
            seen.update(dict.fromkeys(n.latent for n in _coder.neighbours(latent, kind, limit=HARD_FROM)))
        lenders = [(near, _coder.activations(near)) for near in list(seen)[:HARD_FROM]]
    return build_groups(
        firing(_store, _coder, latent).activations,
        _store.tokens,
        window=window,
        n_top=wanted.top,
        n_random=wanted.random,
        n_per_quantile=wanted.per_quantile,
        n_non_activating=wanted.non_activating,
        n_hard=wanted.hard,
        rng=np.random.default_rng([latent, 0]),
        neighbour_acts=lenders,
    )


def linked_example(
    store: Store, acts: LatentActivations, context: int, start: int | None, window: int | None
) -> Example:
    """The window of a context at `start` (moved inside the context where it would stick out), or around its peak."""
    if start is None:
        base = context * store.ctx_len
        low, high = np.searchsorted(acts.token, (base, base + store.ctx_len))
        peak = int(acts.token[low + int(acts.activation[low:high].argmax())]) - base if high > low else 0
        start = max(0, peak - (window or store.ctx_len) // 2)
    return example(acts, store.tokens, context, min(start, store.ctx_len - 1), window)


def centred(store: Store, acts: LatentActivations, shown: Example, window: int) -> Example:
    """The same example with its peak in the middle, as far as the context reaches; a silent one as it is."""
    if not shown.max_activation:
        return shown
    peak = shown.start + int(shown.activations.argmax())
    start = max(0, peak - window // 2)
    moved = cut(acts, store.tokens, shown.context, start, min(start + window, store.ctx_len))
    return replace(shown, start=start, token_ids=moved.token_ids, activations=moved.activations)


def strongest_contexts(store: Store, acts: LatentActivations, n: int = 5) -> NDArray[np.int64]:
    """The contexts of the strongest activations, strongest first."""
    order = np.argsort(-acts.activation, kind="stable")[: 20 * n]
    found = dict.fromkeys((acts.token[order] // store.ctx_len).tolist())
    return np.array(list(found)[:n], dtype=np.int64)
