"""Which contexts an explanation may be made from, and which it may be judged by.

The side of a context depends on the latent and the split's seed alone, so every explanation of a latent shares one split and
can be compared with the others on the same held-out examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.sampling import Spans, Split, split_contexts
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations
from autointerp.types import LatentActivations

FOR_SPLIT, FOR_EXPLAINER, FOR_SCORER = 0, 1, 2  # generators that must not repeat each other


def split_of(
    store: Store,
    coder: CoderStore,
    acts: LatentActivations,
    latent: int,
    *,
    seed: int,
    heldout_fraction: float,
) -> Split:
    """The explainer's and the scorers' contexts of one latent: all together, but those in which the latent is unknown."""
    split = split_contexts(
        acts,
        n_contexts=store.n_contexts,
        ctx_len=store.ctx_len,
        rng=_split_rng(seed, latent),
        heldout_fraction=heldout_fraction,
    )
    known = coder.known_contexts(latent)
    return split if known is None else Split(split.explain & known, split.heldout & known)


def _split_rng(seed: int, latent: int) -> np.random.Generator:
    return np.random.default_rng([FOR_SPLIT, seed, latent])


@dataclass(frozen=True)
class Lineage:
    """What the held-out examples of an explanation depend on, beside its latent: the split of the nearest version that was made
    from examples, and the windows that any version was made from, those of another corpus left out."""

    split_seed: int
    heldout_fraction: float
    shown: Spans


def lineage_of(store: Store, annotations: Annotations, explanation: Explanation) -> Lineage:
    """Of an explanation, which need not be stored yet; its ancestors are looked up."""
    config: Mapping[str, Any] = {}
    ids: dict[str, None] = {}
    version: Explanation | None = explanation
    while version is not None:
        ids |= dict.fromkeys(version.example_ids)
        if not config and "split_seed" in version.config:
            config = version.config
        version = annotations.explanation(version.parent) if version.parent else None
    numbers = np.array(":".join(ids).split(":") if ids else [], dtype=np.int64).reshape(-1, 3)
    shown = numbers[(numbers[:, 0] < store.n_contexts) & (numbers[:, 1] < store.ctx_len)]
    shown[:, 2] = np.minimum(shown[:, 1] + shown[:, 2], store.ctx_len)
    return Lineage(int(config.get("split_seed", 0)), float(config.get("heldout_fraction", 0.5)), shown)


_NO_LINEAGE = Lineage(0, 0.5, np.zeros((0, 3), dtype=np.int64))


@dataclass(frozen=True)
class Unseen:
    """What an explanation may be judged by. `contexts` Bool[ndarray, " n_contexts"]: the held-out side, without what any of its
    versions was made from. `shown`: the windows that they were made from, whose like is to be avoided."""

    contexts: NDArray[np.bool_]
    shown: Spans


def unseen(
    resources: Resources, explanation: Explanation, acts: LatentActivations, *, of_latent: bool = False
) -> Unseen:
    """`acts`: of the explanation's latent. `of_latent`: whatever the explanation was made from, the held-out side of the usual
    split, so that a score that reads no explanation is the same beside each."""
    lineage = _NO_LINEAGE if of_latent else lineage_of(resources.store, resources.annotations, explanation)
    split = split_of(
        resources.store,
        resources.store.coder(explanation.coder),
        acts,
        explanation.latent,
        seed=lineage.split_seed,
        heldout_fraction=lineage.heldout_fraction,
    )
    contexts = split.heldout.copy()
    contexts[lineage.shown[:, 0]] = False
    return Unseen(contexts, lineage.shown)
