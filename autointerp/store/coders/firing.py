"""Which latents fire in given spots of the corpus, and which of them these spots are about."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.coders.half import decode
from autointerp.types import CoderInfo

_KEPT = 64
_COMPARED = 256
"""Random places that set what is usual for a latent."""
_MEMO = "firing"


@dataclass(frozen=True)
class Spots:
    """Parts of the corpus, made of units of `width` tokens.

    `ids` counts units through the corpus, `context * per_context + start // width` with `per_context = ceil(ctx_len / width)`:
    with `width` = `ctx_len` units are contexts, with 1 tokens. `groups`: units of the same number form one spot, and no unit is
    in two; by default each is one. `weights`: how much each spot counts, by the number of its group; by default all the same.
    """

    ids: tuple[int, ...]
    width: int
    groups: tuple[int, ...] | None = None
    weights: tuple[float, ...] | None = None

    @staticmethod
    def contexts(ids: Sequence[int], ctx_len: int) -> "Spots":
        """Whole contexts."""
        return Spots(tuple(dict.fromkeys(int(i) for i in ids)), ctx_len)

    @staticmethod
    def spans(spans: Sequence[tuple[int, int]]) -> "Spots":
        """From one token index up to another (exclusive); a token of two spans is the first one's."""
        groups: dict[int, int] = {}
        for number, (first, stop) in enumerate(spans):
            for token in range(first, stop):
                groups.setdefault(token, number)
        return Spots(tuple(groups), 1, tuple(groups.values()))

    @property
    def n(self) -> int:
        """Number of spots."""
        return len(self.ids) if self.groups is None else len(set(self.groups))


def random_spots(spots: Spots, n_contexts: int, ctx_len: int) -> Spots:
    """Places to compare with: as many tokens each as `spots` have on average, always the same ones."""
    rng = np.random.default_rng([0, spots.width, len(spots.ids) // max(spots.n, 1)])
    n_units = n_contexts * -(-ctx_len // spots.width)
    length = min(max(1, round(len(spots.ids) / max(spots.n, 1))), n_units)
    n_places = n_units // length  # they do not overlap
    first = length * rng.choice(n_places, min(_COMPARED, n_places), replace=False)
    ids = (first[:, None] + np.arange(length)).ravel()
    return Spots(tuple(ids.tolist()), spots.width, tuple(np.repeat(np.arange(len(first)), length).tolist()))


def relevance(generation: Generation, coder: AttachedCoder, spots: Spots) -> pa.Table:
    """`latent, relevance` of every latent that fires in one of `spots`.

    Relevance is how strongly it fires there, its share of the latent's maximum averaged over the spots (0 where it is
    silent), minus the same over random places of that length: from -1 to 1, about 0 for a latent that does not care. Without
    the second part the densest latents would come first in every search.
    """
    here = _shares(generation, coder, spots)
    there = _shares(generation, coder, random_spots(spots, coder.info.n_contexts, coder.info.ctx_len))
    fires = np.flatnonzero(here)
    return pa.table({"latent": fires.astype(np.uint32), "relevance": (here - there)[fires]})


def _shares(generation: Generation, coder: AttachedCoder, spots: Spots) -> NDArray[np.float64]:
    """Per latent, its largest activation in each spot as a share of its maximum, averaged; positive where it fires at all."""
    memo: OrderedDict[tuple[str, Spots], NDArray[np.float64]] = generation.memo.setdefault(
        _MEMO, OrderedDict()
    )
    key = (coder.alias, spots)
    with _lock:
        shares = memo.get(key)
        if shares is not None:
            memo.move_to_end(key)
            return shares
    shares = _measured(generation, coder, spots)
    with _lock:
        memo[key] = shares
        while len(memo) > _KEPT:
            memo.popitem(last=False)
    return shares


_lock = threading.Lock()


def _measured(generation: Generation, coder: AttachedCoder, spots: Spots) -> NDArray[np.float64]:
    table = generation.columns(f"SELECT max_activation FROM {coder.alias}.latents ORDER BY latent")
    top = np.asarray(table["max_activation"], np.float64)
    if not spots.ids:
        return np.zeros(len(top))
    latent, unit, bits = _strongest(generation, coder, spots)
    ids = np.asarray(spots.ids)
    groups = np.arange(len(ids)) if spots.groups is None else np.asarray(spots.groups)
    order = np.argsort(ids, kind="stable")
    group = groups[order][np.searchsorted(ids[order], unit)]
    n_groups = int(groups.max()) + 1
    # The strongest unit of each group: sorted by latent, group and strength, the last of its kind.
    order = np.lexsort((bits, group, latent))
    latent, group, bits = latent[order], group[order], bits[order]
    last = np.ones(len(latent), bool)
    last[:-1] = (latent[1:] != latent[:-1]) | (group[1:] != group[:-1])
    latent, group, bits = latent[last], group[last], bits[last]
    weights = np.ones(n_groups) if spots.weights is None else np.maximum(spots.weights, 1e-6)
    share = decode(bits, coder.info.scale) / top[latent]
    return np.bincount(latent, weights[group] * share, minlength=len(top)) / weights.sum()


def between(
    generation: Generation, coder: AttachedCoder, first: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Token index, latent and activation of all that fires on the tokens from `first` to `stop` (exclusive), by token, then
    latent: a pass over the coder (30 million activations a second)."""
    grid = coder.info.n_contexts * coder.info.ctx_len
    rows = generation.columns(
        f"SELECT place % {grid} AS token, latent, activation FROM {coder.alias}.activations "
        f"WHERE place % {grid} >= ? AND place % {grid} < ?",
        [first, stop],
    )
    token, latent = (rows[name].astype(np.int64) for name in ("token", "latent"))
    order = np.lexsort((latent, token))
    return token[order], latent[order], decode(rows["activation"][order], coder.info.scale)


def unit_of(token: str, info: CoderInfo, width: int) -> str:
    """In SQL, the unit of `width` tokens in which the token index `token` lies, see `Spots`."""
    if info.ctx_len % width == 0:
        return f"{token} // {width}"
    per_context = -(-info.ctx_len // width)
    return f"{token} // {info.ctx_len} * {per_context} + {token} % {info.ctx_len} // {width}"


def _strongest(
    generation: Generation, coder: AttachedCoder, spots: Spots
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Latent, place and the largest activation (half-float bits, which keep the order) of all that fires there."""
    where = unit_of(f"(place % {coder.info.n_contexts * coder.info.ctx_len})", coder.info, spots.width)
    with generation.reading() as cursor:
        cursor.register("wanted", pa.table({"spot": np.asarray(spots.ids, dtype=np.uint64)}))
        rows = cursor.execute(
            "SELECT latent, spot, max(activation) AS bits FROM ("
            f"SELECT latent, activation, {where} AS spot FROM {coder.alias}.activations"
            ") SEMI JOIN wanted USING (spot) GROUP BY latent, spot"
        ).fetchnumpy()
    latent, spot, bits = (np.asarray(rows[name]) for name in ("latent", "spot", "bits"))
    return latent.astype(np.int64), spot.astype(np.int64), bits
