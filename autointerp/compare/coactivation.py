"""Which latents of two coders fire on the same tokens, and as strongly: correlation and Jaccard index of their activations over
the corpus. These compare any two coders, whatever they read and write.

The correlation is Pearson's over all tokens that both coders count, those on which neither latent fires included. The Jaccard
index is the share of tokens on which both fire among those on which either does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.compare import corpus
from autointerp.compare.directions import in_order
from autointerp.compare.facts import facts_of, with_facts
from autointerp.compare.products import (
    MEASURES,
    N_NEAREST,
    Block,
    Nearest,
    block,
    by_token,
    height,
)
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.store import CoderStore, LatentBlock, Store
from autointerp.types import CoderInfo, LatentActivations, Progress, ProgressCallback

PANEL = 40_000_000
"""Activations of the second coder that are compared with all of the first at once: 12 bytes each."""
READ = 1 << 20
"""Activations read at once."""
QUICK = 1e7
"""Pairs of activations on one token that are looked at in about 0.2 s."""
TOGETHER = 0.7
"""The parts of a split latent fire together on at least this share of its firing tokens ..."""
ALONE = 0.5
"""... and none of them on more than this share."""


class Partner(NamedTuple):
    """A latent of the other coder beside a latent of this one. `jaccard`; `inside`: the share of the partner's firing tokens on
    which the latent fires too; `covers`: the share of the latent's on which the partner does; `n_both` tokens with both."""

    latent: int
    correlation: float
    jaccard: float
    inside: float
    covers: float
    n_both: int


class SplitLatent(NamedTuple):
    """A latent whose firing tokens several of the other coder's share out; `covered`: the share of them that these fire on."""

    latent: int
    parts: list[Partner]
    covered: float


@dataclass(frozen=True)
class Side:
    """One coder's latents. `n` Int64[ndarray, " n"]: tokens that each fires on; by "correlation", "jaccard" and "parts":
    `latent` Int32[ndarray, "n 10"], the other's latents, best first, -1 for none; `correlation` with them, `both`: tokens on
    which both fire. `covered` Float32[ndarray, " n"]: of a latent that may be split, the share that its parts cover; NaN else.
    """

    n: NDArray[np.int64]
    latent: Mapping[str, NDArray[np.int32]]
    correlation: Mapping[str, NDArray[np.float32]]
    both: Mapping[str, NDArray[np.int32]]
    covered: NDArray[np.float32]


@dataclass(frozen=True)
class Coactivation:
    """Two coders compared by where they fire, seen from each. `n_tokens`: tokens that both count."""

    coders: tuple[str, str]
    n_tokens: int
    sides: tuple[Side, Side]

    def partners(self, coder: str, latent: int, by: str = "correlation") -> list[Partner]:
        """The other coder's latents nearest to this one, by "correlation" or "jaccard"; by "parts" those that fire mostly where
        it does, by how many of its tokens they cover. At most ten, with a correlation above 0."""
        at = self.coders.index(coder)
        side, other = self.sides[at], self.sides[1 - at]
        own = int(side.n[latent])
        partners = []
        columns = (side.latent[by][latent], side.correlation[by][latent], side.both[by][latent])
        for there, correlation, both in zip(*(column.tolist() for column in columns), strict=True):
            if there >= 0:
                n = int(other.n[there])
                shares = both / (own + n - both), both / n, both / own
                partners.append(Partner(there, correlation, *shares, both))
        return partners

    def split(self, coder: str) -> list[SplitLatent]:
        """The split latents of this coder, the most fully covered first: at least two of the other's latents each fire mostly
        (`products.INSIDE`) where it fires, together on `TOGETHER` of its firing tokens at least, none on more than `ALONE`.
        """
        covered = self.sides[self.coders.index(coder)].covered
        latents = np.flatnonzero(covered >= TOGETHER)  # NaN is not
        order = latents[np.argsort(-covered[latents], kind="stable")].tolist()
        return [
            SplitLatent(latent, self.partners(coder, latent, "parts"), float(covered[latent]))
            for latent in order
        ]


def pair(store: Store, first: str, second: str) -> tuple[str, str]:
    """The two in the order in which coders are compared. Raises UserError for a coder and itself, UnknownName."""
    if first == second:
        raise UserError(f"{first} cannot be compared with itself: choose another coder.")
    for name in (first, second):
        store.coder(name)
    return in_order(first, second)


def pairs(store: Store) -> list[tuple[str, str]]:
    """All pairs of the store's coders that can be compared."""
    names = [info.coder for info in store.coders() if not info.selected]
    return [in_order(*both) for both in combinations(names, 2)]


def cost(store: Store, coders: Sequence[str]) -> float:
    """Pairs of activations on one token, estimated."""
    first, second = (store.coder(name).info for name in coders)
    return first.n_activations * second.n_activations / max(first.n_tokens, 1)


def is_quick(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> bool:
    """See `registry`."""
    return cost(resources.store, coders) <= QUICK


def compute(
    resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any], progress: ProgressCallback
) -> pa.Table:
    """See `registry`: the table that `read` reads. Memory: 12 bytes for each of `panel` activations and about 300 MB."""
    store = resources.store
    first, second = (store.coder(name) for name in coders)
    counted = Counted.by(store, first.info, second.info)
    n, m = first.info.n_latents, second.info.n_latents
    nearest = Nearest.empty(n, m)
    panels = list(_panels(second, int(parameters.get("panel", PANEL))))
    done = 0
    for start, stop in panels:
        progress(Progress(f"read {second.name}", start, m, "latents"))
        right = by_token(list(counted.blocks(second, start, stop)))
        rows = height(stop - start)
        left = (piece for block in counted.blocks(first, 0, n) for piece in block.pieces(rows))
        for part in nearest.take(left, right):
            done += part
            progress(Progress("compare activations", done, n * len(panels), "latents"))
    columns: dict[str, Any] = {"n": np.concatenate(nearest.counts)}
    for measure in MEASURES:
        entries = np.concatenate([best[measure].entries for best in nearest.best])
        for name in ("latent", "correlation", "both"):
            flat = np.ascontiguousarray(entries[name]).ravel()
            columns[f"{measure}_{name}"] = pa.FixedSizeListArray.from_arrays(flat, N_NEAREST)
    covered = [
        _covered(counted, here, there, nearest, side, progress)
        for side, (here, there) in enumerate(((first, second), (second, first)))
    ]
    columns["covered"] = np.concatenate(covered)
    return with_facts(pa.table(columns), {"sizes": [n, m], "n_tokens": counted.n})


def read(table: pa.Table, coders: Sequence[str]) -> Coactivation:
    """What `compute` gave for these coders."""
    facts = facts_of(table)
    n = facts["sizes"][0]
    first, second = coders

    lists = {
        (name, measure): table[f"{measure}_{name}"].combine_chunks().values.to_numpy().reshape(-1, N_NEAREST)
        for name in ("latent", "correlation", "both")
        for measure in MEASURES
    }

    def side(rows: slice) -> Side:
        latent, correlation, both = (
            {measure: lists[name, measure][rows] for measure in MEASURES}
            for name in ("latent", "correlation", "both")
        )
        return Side(table["n"].to_numpy()[rows], latent, correlation, both, table["covered"].to_numpy()[rows])

    return Coactivation((first, second), facts["n_tokens"], (side(slice(n)), side(slice(n, None))))


@dataclass(frozen=True)
class Counted:
    """The positions of the corpus that two coders count: `masked` are those that only one of them does, `None` where there is
    none. `n_grid`: all positions, `n`: those counted."""

    n_grid: int
    n: int
    masked: NDArray[np.bool_] | None

    @staticmethod
    def by(store: Store, first: CoderInfo, second: CoderInfo) -> "Counted":
        """Coders may have been cached with and without the tokens that join documents: then the tokens of both count. Raises
        UserError where an older file does not say which it left out."""
        corpus.need([first, second])
        n_grid = store.n_contexts * store.ctx_len
        left_out = [_left_out(store, info) for info in (first, second)]
        if first.n_tokens == second.n_tokens and left_out[0] == left_out[1]:
            return Counted(n_grid, first.n_tokens, None)
        ids = store.tokens.reshape(-1)
        masks = [np.isin(ids, sorted(ids_)) for ids_ in left_out]
        for info, mask in zip((first, second), masks, strict=True):
            if n_grid - int(mask.sum()) != info.n_tokens:
                raise UserError(
                    f"{first.coder} and {second.coder} count different tokens, and the file of {info.coder} does not say "
                    f"which: cache {info.coder} again."
                )
        return Counted(n_grid, n_grid - int((masks[0] | masks[1]).sum()), masks[0] | masks[1])

    def blocks(self, coder: CoderStore, first: int, stop: int) -> Iterator[Block]:
        """The activations of these latents, ready to be multiplied."""
        for rows in coder.blocks(READ, first=first, stop=stop):
            yield block(self.only(rows), self.n_grid, max(self.n, 1))

    def only(self, rows: LatentBlock) -> LatentBlock:
        """The activations on tokens that both count."""
        if self.masked is None:
            return rows
        kept = ~self.masked[rows.token]
        offsets = np.concatenate([[0], np.cumsum(kept)])[rows.offsets]
        return LatentBlock(rows.first, offsets, rows.token[kept], rows.bits[kept], rows.scale)

    def only_of(self, acts: LatentActivations) -> LatentActivations:
        """The same of one latent."""
        if self.masked is None:
            return acts
        kept = ~self.masked[acts.token]
        return LatentActivations(acts.token[kept], acts.activation[kept])


def _left_out(store: Store, info: CoderInfo) -> frozenset[int]:
    """Token ids that were not cached for the coder; older files do not list them, and left out what begins documents."""
    separator = store.meta.get("tokenizer", {}).get("separator")
    older = [separator] if separator is not None and info.config.get("skip_bos", True) else []
    return frozenset(info.config.get("masked_ids", older))


def _panels(coder: CoderStore, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of latents of about `most` activations, a latent at least."""
    ends = np.cumsum(coder.table().columns["n_activations"].astype(np.int64))
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + most, side="right")), start + 1)
        yield start, stop
        start = stop


def _covered(
    counted: Counted,
    here: CoderStore,
    there: CoderStore,
    nearest: Nearest,
    side: int,
    progress: ProgressCallback,
) -> NDArray[np.float32]:
    """See `Side.covered`: exact for latents of at least two parts, none of which fires on too many of its tokens, and whose
    parts would cover enough if they never fired together."""
    n, parts = nearest.counts[side], nearest.best[side]["parts"].entries
    both = parts["both"]
    share = both / np.maximum(n, 1)[:, None]
    may = (both[:, 1] > 0) & (share[:, 0] <= ALONE) & (share.sum(1) >= TOGETHER)
    covered = np.full(len(n), np.nan, np.float32)

    @lru_cache(maxsize=512)
    def tokens(latent: int) -> NDArray[np.int64]:
        return counted.only_of(there.activations(latent)).token

    for place, latent in enumerate(np.flatnonzero(may).tolist()):
        if place % 64 == 0:
            progress(Progress(f"split latents of {here.name}", place, int(may.sum()), "latents"))
        own = counted.only_of(here.activations(latent)).token
        inside = np.zeros(len(own), bool)
        for part in parts["latent"][latent][both[latent] > 0].tolist():
            inside |= np.isin(own, tokens(part), assume_unique=True)
        covered[latent] = inside.mean()
    return covered
