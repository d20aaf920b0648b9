"""Which latents fire in given spots of the corpus, and which of them these spots are about."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.half import decode

if TYPE_CHECKING:
    import pyarrow

_KEPT = 64
_MEMO = "firing"


@dataclass(frozen=True)
class Spots:
    """Parts of the corpus, all `width` tokens wide: `ids` counts them through the corpus, `context * per_context + start //
    width` with `per_context = ceil(ctx_len / width)`. With `width` = `ctx_len` they are contexts. `weights`: how much each
    counts, all the same by default."""

    ids: tuple[int, ...]
    width: int
    weights: tuple[float, ...] | None = None

    @staticmethod
    def contexts(ids: Sequence[int], ctx_len: int) -> "Spots":
        """Whole contexts."""
        return Spots(tuple(dict.fromkeys(int(i) for i in ids)), ctx_len)


def relevance(generation: Generation, coder: AttachedCoder, spots: Spots) -> "pyarrow.Table":
    """`latent, relevance` of every latent that fires in one of `spots`.

    Relevance is how strongly it fires there, its share of the latent's maximum averaged over the spots (0 where it is
    silent), times its rarity, ln(1 + contexts / contexts in which it fires): the tf-idf of text search with activations in
    the place of counts. Without the second factor the densest latents would come first for whatever is searched.
    """
    memo: OrderedDict[tuple[str, Spots], pyarrow.Table] = generation.memo.setdefault(_MEMO, OrderedDict())
    key = (coder.alias, spots)
    with _lock:
        found = memo.get(key)
        if found is not None:
            memo.move_to_end(key)
            return found
    found = _relevance(generation, coder, spots)
    with _lock:
        memo[key] = found
        while len(memo) > _KEPT:
            memo.popitem(last=False)
    return found


_lock = threading.Lock()


def _relevance(generation: Generation, coder: AttachedCoder, spots: Spots) -> "pyarrow.Table":
    import pyarrow as pa

    latent, place, bits = _strongest(generation, coder, spots)
    weights = np.ones(len(spots.ids)) if spots.weights is None else np.asarray(spots.weights, np.float64)
    order = np.argsort(spots.ids)
    weight = weights[order][np.searchsorted(np.asarray(spots.ids)[order], place)] if len(place) else place
    table = generation.columns(
        f"SELECT n_contexts, max_activation FROM {coder.alias}.latents ORDER BY latent"
    )
    top = table["max_activation"].astype(np.float64)
    sums = np.bincount(latent, weight * decode(bits, coder.info.scale) / top[latent], minlength=len(top))
    fires = np.flatnonzero(np.bincount(latent, minlength=len(top)))
    rarity = np.log1p(coder.info.n_contexts / np.maximum(table["n_contexts"], 1))
    value = sums / max(weights.sum(), 1e-12) * rarity
    return pa.table({"latent": fires.astype(np.uint32), "relevance": value[fires]})


def _strongest(
    generation: Generation, coder: AttachedCoder, spots: Spots
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Latent, place and the largest activation (half-float bits, which keep the order) of all that fires there."""
    import pyarrow as pa

    info = coder.info
    token = f"(place % {info.n_contexts * info.ctx_len})"
    if info.ctx_len % spots.width == 0:
        where = f"{token} // {spots.width}"
    else:
        per_context = -(-info.ctx_len // spots.width)
        where = f"{token} // {info.ctx_len} * {per_context} + {token} % {info.ctx_len} // {spots.width}"
    cursor = generation.cursor()
    cursor.register("wanted", pa.table({"spot": np.asarray(spots.ids, dtype=np.uint64)}))
    found = cursor.execute(
        "SELECT latent, spot, max(activation) AS bits FROM ("
        f"SELECT latent, activation, {where} AS spot FROM {coder.alias}.activations"
        ") SEMI JOIN wanted USING (spot) GROUP BY latent, spot"
    ).fetchnumpy()
    latent, spot, bits = (np.asarray(found[name]) for name in ("latent", "spot", "bits"))
    return latent.astype(np.int64), spot.astype(np.int64), bits
