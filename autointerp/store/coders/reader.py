"""Reading one sparse coder: statistics, activations, histogram, logits and neighbours of a latent."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UnknownName
from autointerp.store.catalog import AttachedCoder, Catalog, Columns, Generation
from autointerp.store.coders import computed, firing
from autointerp.store.coders.definitions import STATISTICS, computed_names
from autointerp.store.coders.half import decode, encode_positive
from autointerp.store.coders.spool import BLOCK_ROWS, LatentBlock
from autointerp.store.coders.statistics import N_BINS, histograms
from autointerp.store.coders.tables import decode_similarity, latents
from autointerp.types import (
    CoderInfo,
    Histogram,
    LatentActivations,
    LatentStats,
    Neighbour,
    Relation,
    TokenLogit,
)


@dataclass(frozen=True)
class LatentTable:
    """The statistics of all latents as arrays, row i = latent i; zeros where a latent has no value, and there `missing` is
    true, an array for each column that has such."""

    columns: Columns
    live: NDArray[np.int64]
    missing: Mapping[str, NDArray[np.bool_]]

    def stats(self, latent: int) -> LatentStats:
        """One row as a record."""
        dead = not self.columns["n_activations"][latent]
        values = {
            statistic.name: None
            if (dead and statistic.null_when_dead) or self._lacks(statistic.column, latent)
            else self.columns[statistic.column][latent].item()
            for statistic in STATISTICS.values()
            if statistic.column in self.columns
        }
        return LatentStats(latent, values)

    def known(self, column: str) -> NDArray[np.float64]:
        """A statistic of all latents, Float64[ndarray, " n_latents"], NaN where it has no value."""
        values = self.columns[column].astype(np.float64)
        return np.where(self.missing[column], np.nan, values) if column in self.missing else values

    def _lacks(self, column: str, latent: int) -> bool:
        return column in self.missing and bool(self.missing[column][latent])


class CoderStore:
    """One coder of a store. Cheap to make, safe to share between threads; sees a replaced file at the next call."""

    def __init__(self, catalog: Catalog, name: str):
        self._catalog = catalog
        self.name = name
        self._current()

    def __repr__(self) -> str:
        return f"CoderStore({self.name!r})"

    @property
    def info(self) -> CoderInfo:
        """What the store knows about the coder."""
        return self._current()[1].info

    def check_latent(self, latent: object) -> int:
        """`latent` as an index: accepts integers and strings of digits. Raises UnknownName with the nearest valid ones."""
        return _check_latent(latent, self.info.n_latents)

    def stats(self, latent: int) -> LatentStats:
        """Statistics over the whole corpus, without the computed ones."""
        return self.table().stats(self.check_latent(latent))

    def all_stats(self, latent: int, known: LatentActivations | None = None) -> LatentStats:
        """Statistics over the whole corpus with the computed ones: as kept in `derived/`, else from the latent's own
        activations (`known`, where they are at hand)."""
        generation, coder, latent = self._checked(latent)
        stats = self.table().stats(latent)
        values = computed.known_values(generation, coder, computed_names())
        missing = [name for name in computed_names() if name not in values]
        row = {name: column[latent].item() for name, column in values.items()}
        if coder.info.selected:
            row |= dict.fromkeys(missing, nan)
        elif missing:
            block = _block(generation, coder, latent, known)
            alone = computed.compute(block, computed.grid(generation), missing)
            row |= {name: column[0].item() for name, column in alone.items()}
        return LatentStats(
            latent, {**stats.values, **{name: None if isnan(value) else value for name, value in row.items()}}
        )

    def has(self, names: Iterable[str]) -> bool:
        """Whether all of these computed statistics were worked out before; otherwise that takes a pass over the activations."""
        names = list(names)
        return len(computed.known_values(*self._current(), names)) == len(names)

    def keep(self, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Computed statistics of all latents, worked out elsewhere, for `derived/`."""
        generation, coder = self._current()
        for name, value in values.items():
            computed.keep(generation, coder, name, value)

    def activations(self, latent: int) -> LatentActivations:
        """All firings, ascending by token index."""
        generation, coder, latent = self._checked(latent)
        token, bits = _firings(generation, coder, latent)
        return LatentActivations(token, decode(bits, coder.info.scale))

    def known_contexts(self, latent: int) -> NDArray[np.bool_] | None:
        """Bool[ndarray, " n_contexts"]: in which contexts the latent is known, active there or not; `None`: in all of them, as
        it is unless another tool selected them."""
        generation, coder, latent = self._checked(latent)
        if not coder.info.selected:
            return None
        rows = generation.columns(f"SELECT known FROM {coder.alias}.stated WHERE latent = ?", [latent])
        known = np.zeros(coder.info.n_contexts, dtype=bool)
        known[_list(rows["known"])] = True
        return known

    def histogram(self, latent: int, known: LatentActivations | None = None) -> Histogram:
        """Counts in bins of equal width from 0 to the latent's maximum; no bins for a dead latent. `known`: the latent's
        activations, where they are at hand: they spare a second look at them. Where only selected contexts are known, as their
        file states it, no bins where it does not."""
        generation, coder, latent = self._checked(latent)
        if coder.info.selected:
            rows = generation.columns(
                f"SELECT edges, counts FROM {coder.alias}.stated WHERE latent = ?", [latent]
            )
            edges, counts = _list(rows["edges"]), _list(rows["counts"])
            stated = len(counts) > 0 and len(edges) == len(counts) + 1
            if not stated:
                return Histogram(np.zeros(1, dtype=np.float32), np.zeros(0, dtype=np.int64))
            return Histogram(edges.astype(np.float32), counts.astype(np.int64))
        top = self.table().columns["max_activation"][latent]
        if not top:
            return Histogram(np.zeros(1, dtype=np.float32), np.zeros(0, dtype=np.int64))
        if self._is_derived(coder, latent):
            rows = histograms(_block(generation, coder, latent, known))
        else:
            rows = generation.columns(
                f"SELECT bin, n FROM {coder.alias}.histograms WHERE latent = ?", [latent]
            )
        counts = np.zeros(N_BINS, dtype=np.int64)
        counts[rows["bin"]] = rows["n"]
        return Histogram(np.linspace(0, top, N_BINS + 1, dtype=np.float32), counts)

    def logits(self, latent: int) -> tuple[list[TokenLogit], list[TokenLogit]]:
        """The tokens that are raised and lowered most, as stored, strongest first; both empty when the coder has none."""
        generation, coder, latent = self._checked(latent)
        rows = generation.columns(
            "SELECT promoted, promoted_value, suppressed, suppressed_value "
            f"FROM {coder.alias}.logits WHERE latent = ?",
            [latent],
        )
        if not len(rows["promoted"]):
            return [], []
        promoted, suppressed = (
            [
                TokenLogit(token, value)
                for token, value in zip(
                    rows[side][0].tolist(),
                    decode(rows[f"{side}_value"][0], coder.logit_scale).tolist(),
                    strict=True,
                )
            ]
            for side in ("promoted", "suppressed")
        )
        return promoted, suppressed

    def promoted(self, latent: int) -> tuple[list[TokenLogit], list[TokenLogit]]:
        """Promoted and suppressed tokens, strongest first. Some directions raise every logit, or lower it: only what is raised
        is promoted, only what is lowered suppressed."""
        raised, lowered = self.logits(latent)
        return [each for each in raised if each.value > 0], [each for each in lowered if each.value < 0]

    def neighbours(self, latent: int, relation: Relation, limit: int = 10) -> list[Neighbour]:
        """Similar latents, nearest first; empty when the relation was not computed."""
        generation, coder, latent = self._checked(latent)
        column = coder.relations.get(relation)
        if column is None:
            return []
        rows = generation.columns(
            f"SELECT {column} AS ids, {column}_value AS near FROM {coder.alias}.neighbours WHERE latent = ?",
            [latent],
        )
        ids, values = rows["ids"][0][:limit].tolist(), decode_similarity(rows["near"][0][:limit]).tolist()
        return [Neighbour(n, value) for n, value in zip(ids, values, strict=True)]

    def density_histogram(self, per_decade: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """log10 density edges Float64[ndarray, " bins+1"] and counts Int64[ndarray, " bins"] over live latents. The bins of all
        coders lie on one grid, `per_decade` to a factor of ten, so that their counts compare."""
        table = self.table()
        density = table.columns["density"][table.live]
        places = np.log10(density[density > 0]) * per_decade
        # The rounding puts what lies on an edge but for the last digit on it.
        bins = np.floor(np.round(places, 9)).astype(np.int64)
        first = int(bins.min(initial=0))
        counts = np.bincount(bins - first, minlength=1 - first)
        return (first + np.arange(len(counts) + 1)) / per_decade, counts

    def next_live(self, latent: int, step: int = 1) -> int:
        """The next latent that fires, in the direction of `step`, round the end; `latent` itself when no other does."""
        latent, live = self.check_latent(latent), self.table().live
        if not len(live):
            return latent
        if step >= 0:
            return int(live[np.searchsorted(live, latent, side="right") % len(live)])
        return int(live[np.searchsorted(live, latent, side="left") - 1])

    def random_live(self, rng: np.random.Generator) -> int:
        """A latent that fires, uniformly; 0 when none does."""
        live = self.table().live
        return int(rng.choice(live)) if len(live) else 0

    def table(self) -> LatentTable:
        """Statistics of all latents, read once per file."""
        generation, coder = self._current()
        key = ("latents", self.name)
        if key not in generation.memo:
            stored = generation.columns(f"{latents(coder)} ORDER BY latent")
            columns = {name: np.ma.filled(column, 0) for name, column in stored.items()}
            missing = {
                name: np.ma.getmaskarray(column)
                for name, column in stored.items()
                if isinstance(column, np.ma.MaskedArray)
            }
            generation.memo[key] = LatentTable(columns, np.flatnonzero(columns["n_activations"]), missing)
        return generation.memo[key]

    def activations_between(self, first: int, last: int) -> list[LatentActivations]:
        """`activations` of every latent from `first` to `last`, both included: one query for all."""
        generation, coder, first = self._checked(first)
        last = _check_latent(last, coder.info.n_latents)
        rows = generation.columns(
            f"SELECT latent, place, activation FROM {coder.alias}.activations WHERE latent BETWEEN ? AND ?",
            [first, last],
        )
        place, bits, latent = rows["place"].view(np.int64), rows["activation"], rows["latent"]
        grid = coder.info.n_contexts * coder.info.ctx_len
        runs = (
            np.flatnonzero(latent[1:] != latent[:-1]) + 1
        )  # a latent's rows stand together, latents in any order
        known = {}
        for start, end in pairwise([0, *runs.tolist(), len(latent)]) if len(latent) else ():
            token = place[start:end] - place[start] // grid * grid
            known[int(latent[start])] = LatentActivations(token, decode(bits[start:end], coder.info.scale))
        nothing = LatentActivations(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
        return [known.get(latent, nothing) for latent in range(first, last + 1)]

    def blocks(
        self, max_rows: int = BLOCK_ROWS, *, first: int = 0, stop: int | None = None
    ) -> Iterator[LatentBlock]:
        """All activations of the latents `first` to `stop` (exclusive), about `max_rows` at a time: for a pass over a coder in
        bounded memory."""
        return computed.blocks(*self._current(), max_rows, first=first, stop=stop)

    def fired_between(
        self, first: int, stop: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Token index, latent and activation of all that fires on the tokens from `first` to `stop` (exclusive), by token, then
        latent. Rows lie by latent: this reads all of the coder."""
        return firing.between(*self._current(), first, stop)

    def _is_derived(self, coder: AttachedCoder, latent: int) -> bool:
        """Whether the latent's histogram is worked out from its activations."""
        return int(self.table().columns["n_activations"][latent]) <= coder.derived_up_to

    def _current(self) -> tuple[Generation, AttachedCoder]:
        generation = self._catalog.current()
        return generation, generation.coder(self.name)

    def _checked(self, latent: object) -> tuple[Generation, AttachedCoder, int]:
        generation, coder = self._current()
        return generation, coder, _check_latent(latent, coder.info.n_latents)


def _firings(
    generation: Generation, coder: AttachedCoder, latent: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Token indices, ascending, and the float16 bits of the activations there."""
    rows = generation.columns(
        f"SELECT place, activation FROM {coder.alias}.activations WHERE latent = ?", [latent]
    )
    token = rows["place"].astype(np.int64)
    if len(token):
        grid = coder.info.n_contexts * coder.info.ctx_len
        token -= token[0] // grid * grid  # all of a latent's rows are in one slot
    return token, rows["activation"]


def _list(column: NDArray) -> NDArray:
    """The list in the only row of a column; empty for NULL, and where there is no row."""
    value = column[0] if len(column) and not np.ma.is_masked(column[0]) else None
    return np.zeros(0, dtype=np.int64) if value is None else np.ma.filled(value, 0)


def _block(
    generation: Generation, coder: AttachedCoder, latent: int, known: LatentActivations | None
) -> LatentBlock:
    """The latent alone, as the writer saw it among others."""
    if known is None:
        token, bits = _firings(generation, coder, latent)
    else:
        token, bits = known.token, encode_positive(known.activation, coder.info.scale)
    return LatentBlock(
        0, np.array([0, len(token)]), token.astype(np.uint64, copy=False), bits, coder.info.scale
    )


def _check_latent(latent: object, n_latents: int) -> int:
    index: int | None = None
    if isinstance(latent, int | np.integer) and not isinstance(latent, bool):
        index = int(latent)
    elif isinstance(latent, str) and latent.strip().removeprefix("-").isascii() and len(latent) < 20:
        text = latent.strip()
        index = int(text) if text.removeprefix("-").isdigit() else None
    if index is None or not 0 <= index < n_latents:
        closest = 0 if index is None or index < 0 else n_latents - 1
        near = [str(near) for near in range(max(0, closest - 2), min(n_latents, closest + 3))]
        message = f"latent {latent!r} does not exist; this coder has latents 0 to {n_latents - 1}."
        raise UnknownName("latent", latent, near, message)
    return index
