"""Which contexts an export shows of a latent, and why: the strongest, then some of each interval of activations, as
SAEDashboard chooses them. Intervals are of equal width from 0 to the maximum, so the lowest is mostly of contexts with next to
nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.store import CoderStore, Store
from autointerp.types import LatentActivations

N_TOP = 20
N_INTERVALS = 5
PER_INTERVAL = 5
_TRIES = 16
TOP = -1.0
"""Instead of a lower bound and a share, for the strongest."""


@dataclass(frozen=True)
class Shown:
    """A context. `low`, `high`: of its interval; `contains`: the share of all tokens whose activation lies there; `None` where
    the store holds selected contexts, whose reason is not known."""

    context: int
    low: float | None
    high: float | None
    contains: float | None


def groups(store: Store, coder: CoderStore, latent: int, acts: LatentActivations) -> Iterator[Shown]:
    """The strongest first; a context may be in several groups, but never twice in one. Of selected contexts all, in order."""
    known = coder.known_contexts(latent)
    if known is not None:
        yield from (Shown(context, None, None, None) for context in np.flatnonzero(known).tolist())
        return
    if not len(acts.token):
        return
    context = acts.token // store.ctx_len
    top = float(acts.activation.max())
    strongest = context[np.argsort(-acts.activation, kind="stable")]
    for each in _first(strongest, N_TOP):
        yield Shown(each, TOP, top, TOP)
    rng = np.random.default_rng([0, latent])
    edges = np.linspace(0.0, top, N_INTERVALS + 1)
    n_tokens = max(coder.info.n_tokens, 1)
    for number in range(N_INTERVALS - 1, -1, -1):
        low, high = float(edges[number]), float(edges[number + 1])
        inside = (acts.activation >= low) & (acts.activation <= high)
        n = int(inside.sum())
        drawn = rng.permutation(context[inside])
        if not number:  # a silent token has 0, which lies in the lowest
            n += n_tokens - len(acts.token)
            drawn = _anywhere(store, acts, high, rng)
        for each in _first(drawn, PER_INTERVAL):
            yield Shown(each, low, high, n / n_tokens)


def _first(contexts: NDArray[np.int64], n: int) -> list[int]:
    """The first `n` different ones."""
    return list(dict.fromkeys(contexts.tolist()))[:n]


def _anywhere(
    store: Store, acts: LatentActivations, high: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Contexts of random tokens of the corpus on which the activation is at most `high`."""
    token = rng.integers(0, store.n_contexts * store.ctx_len, _TRIES * PER_INTERVAL)
    at = np.minimum(np.searchsorted(acts.token, token), len(acts.token) - 1)
    value = np.where(acts.token[at] == token, acts.activation[at], 0)
    return token[value <= high] // store.ctx_len
