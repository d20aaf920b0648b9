"""Writing one sparse coder's file: activations in token order go in, a finished `coders/<name>.duckdb` comes out."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import BadActivations, StoreError, UserError
from autointerp.store import migrations
from autointerp.store.coders.computed import compute, grid
from autointerp.store.coders.definitions import computed_names, stored
from autointerp.store.coders.half import encode_signed, power_of_two_scale
from autointerp.store.coders.schema import schema
from autointerp.store.coders.spool import BLOCK_ROWS, LatentBlock, Spool
from autointerp.store.coders.statistics import (
    DERIVED_UP_TO,
    N_BINS,
    WINDOW,
    BlockStatistics,
    block_statistics,
)
from autointerp.store.coders.tables import encode_similarity
from autointerp.store.corpus_writer import package_versions
from autointerp.store.database import DatabaseWriter
from autointerp.store.files import Workspace, check_name, writing
from autointerp.store.store import Store
from autointerp.types import CoderInfo, Fidelity, Progress, ProgressCallback, Relation, no_progress

_ROWS_AT_ONCE = 1 << 16
SORTED_ROWS = 1 << 16

Logits = tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.integer], NDArray[np.floating]]
"""Promoted token ids and values, suppressed token ids and values, each [n_latents, m], strongest first; -1 = none."""
Neighbours = Mapping[Relation, tuple[NDArray[np.integer], NDArray[np.floating]]]
"""Per relation, neighbour latents and values, each [n_latents, m], nearest first; -1 = none."""


@dataclass(frozen=True)
class Stated:
    """What a file with selected contexts states of each latent. NaN where it does not.

    density, max_activation  Float64[ndarray, " n_latents"]
    edges   Float64[ndarray, "n_latents bins+1"]: of the histogram of activations, NaN after the last
    counts  Float64[ndarray, "n_latents bins"]: in its bins
    known   Int64[ndarray, "n 2"]: latents, ascending, and the contexts in which each is known, active there or not
    """

    density: NDArray[np.float64]
    max_activation: NDArray[np.float64]
    edges: NDArray[np.float64]
    counts: NDArray[np.float64]
    known: NDArray[np.int64]


class CoderWriter:
    """Collects one coder's activations and publishes its file. A context manager: leaving it without `finish` removes all.

    Memory is bounded, whatever the number of tokens: about 100 MB of arrays and 128 MB in DuckDB, as long as no single
    latent fires much more than half a million times (its rows are handled at once, some 100 bytes each).
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        kind: str,
        hookpoint: str,
        n_latents: int,
        k: int | None,
        d_in: int,
        source: str,
        config: Mapping[str, Any] | None = None,
        scale: float = 1.0,
        overwrite: bool = False,
    ):
        if n_latents < 1:
            raise UserError(f"coder {name!r} has {n_latents} latents; it needs at least one.")
        if not scale > 0 or np.frexp(scale)[0] != 0.5:
            raise UserError(f"scale {scale} must be a power of two, so that stored values stay exact.")
        self.store, self.name, self.n_latents = store, check_name(name), n_latents
        self._overwrite = overwrite
        self._refuse_existing()
        self._described: dict[str, Any] = {
            "coder": name, "kind": kind, "hookpoint": hookpoint, "n_latents": n_latents, "k": k, "d_in": d_in,
            "source": source, "config": dict(config or {}),
        }  # fmt: skip
        self._grid_size = store.n_contexts * store.ctx_len
        self._last_token = 0
        self._computed: dict[str, list[NDArray[np.float64]]] = {name: [] for name in computed_names()}
        self._workspace = Workspace(store.layout.coders, name)
        try:
            with writing(store.layout.coders):
                self._spool = Spool(
                    self._workspace.path, n_latents=n_latents, n_tokens=self._grid_size, scale=scale
                )
        except BaseException:
            self._workspace.close()
            raise

    @property
    def n_activations(self) -> int:
        """Activations taken so far."""
        return self._spool.n

    def append(
        self, latent: NDArray[np.integer], token: NDArray[np.integer], activation: NDArray[np.floating]
    ) -> None:
        """One batch: Int[ndarray, " n"] each of latents and token indices, Float[ndarray, " n"] of activations.

        Any order of latents; tokens ascend per latent and no token lies before those of earlier batches. Entries <= 0
        do not fire and are dropped. Raises BadActivations for NaN or infinity.
        """
        if not len(latent) == len(token) == len(activation):
            raise ValueError(
                f"lengths differ: {len(latent)} latents, {len(token)} tokens, {len(activation)} values"
            )
        if not len(latent):
            return
        largest, smallest = float(activation.max()), float(activation.min())
        if not (np.isfinite(largest) and np.isfinite(smallest)):
            raise BadActivations(
                f"coder {self.name!r} returned NaN or infinity. Check that it was trained on {self._described['hookpoint']} "
                "of this model, and try a wider dtype (float32)."
            )
        if smallest <= 0:
            firing = np.flatnonzero(activation > 0)
            latent, token, activation = latent[firing], token[firing], activation[firing]
            if not len(firing):
                return
        if int(latent.min()) < 0 or int(latent.max()) >= self.n_latents:
            raise ValueError(f"latents must lie in 0..{self.n_latents - 1}")
        low, high = int(token.min()), int(token.max())
        if low < self._last_token or high >= self._grid_size:
            raise ValueError(
                f"tokens {low}..{high} must lie in {self._last_token}..{self._grid_size - 1}: batches in order"
            )
        self._last_token = low
        with writing(self.store.layout.coders):
            self._spool.append(latent, token, activation, largest)
        self._last_token = high

    def finish(
        self,
        *,
        n_tokens: int,
        position_counts: NDArray[np.integer] | None = None,
        logits: Logits | None = None,
        neighbours: Neighbours | None = None,
        fidelity: Fidelity | None = None,
        cofiring_share: float | None = None,
        stated: Stated | None = None,
        config: Mapping[str, Any] | None = None,
        progress: ProgressCallback = no_progress,
    ) -> CoderInfo:
        """Sorts, computes statistics, writes and publishes the file; closes the writer.

        `n_tokens`: positions that could fire (masked ones excluded). `position_counts` Int[ndarray, " ctx_len"]: rows that
        could fire at each position, all by default. `cofiring_share`: of tokens counted for co-firing. `stated`: where
        only selected contexts are known, which the coder's configuration then says too. `config`: what of that is known only
        now.
        """
        self._described["config"] |= dict(config or {})
        store = self.store
        if position_counts is None:
            position_counts = np.full(store.ctx_len, store.n_contexts)
        path = self._workspace.path / "coder.duckdb"
        try:
            with writing(store.layout.coders):
                relations = _shared(neighbours or {})
                with DatabaseWriter(path, BLOCK_ROWS) as database:
                    for statement in schema(
                        self.n_latents, dict.fromkeys(relations.values()), selected=stated is not None
                    ):
                        database.execute(statement)
                    n_dead = self._write_blocks(
                        database, np.asarray(position_counts, dtype=np.int64), progress
                    )
                    logit_scale = self._write_logits(database, logits)
                    self._write_neighbours(database, neighbours or {}, relations)
                    if stated is not None:
                        self._write_stated(database, stated)
                    self._write_meta(
                        database,
                        {"n_tokens": n_tokens, "n_dead": n_dead, "has_logits": logits is not None},
                        fidelity=asdict(fidelity) if fidelity else None,
                        logit_scale=logit_scale,
                        relations=relations,
                        cofiring_share=cofiring_share,
                    )
                self._refuse_existing()
                self._workspace.publish("coder.duckdb", store.layout.coder(self.name))
        finally:
            self.discard()
        coder = store.coder(self.name)
        if stated is None:
            coder.keep({name: np.concatenate(parts) for name, parts in self._computed.items()})
        return coder.info

    def discard(self) -> None:
        """Removes everything written. Harmless after `finish`."""
        self._spool.close()
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _refuse_existing(self) -> None:
        folder = self.store.layout.coders
        taken = [
            path.stem for path in folder.glob("*.duckdb") if path.stem.casefold() == self.name.casefold()
        ]
        if taken and not (self._overwrite and taken == [self.name]):
            raise StoreError(
                f"{folder} already has a coder {taken[0]!r}. Choose another name, or ask to overwrite it."
            )

    def _write_blocks(
        self, database: DatabaseWriter, position_counts: NDArray[np.int64], progress: ProgressCallback
    ) -> int:
        """Activations and statistics; DuckDB compresses one block on a second thread while numpy works on the next."""
        corpus = grid(self.store.generation())
        n_dead = 0
        done = 0
        pending: Future[None] | None = None
        with ThreadPoolExecutor(max_workers=1) as pool:
            for block in self._spool.blocks():
                for name, values in compute(block, corpus, self._computed).items():
                    self._computed[name].append(values)
                statistics = block_statistics(block, corpus, position_counts)
                block.live.memo.clear()
                if pending is not None:
                    pending.result()
                pending = pool.submit(self._insert_block, database, block, statistics)
                n_dead += int((~statistics.live).sum())
                done += len(block.token)
                progress(Progress("sort", done, self._spool.n, "activations"))
            if pending is not None:
                pending.result()
        return n_dead

    def _insert_block(
        self, database: DatabaseWriter, block: LatentBlock, statistics: BlockStatistics
    ) -> None:
        counts = block.counts
        order = _storage_order(counts)
        latent = (block.first + order).astype(np.uint16 if self.n_latents <= 1 << 16 else np.uint32)
        counts, starts = counts[order], block.offsets[:-1][order]
        rows = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        rows += np.arange(len(rows))
        slot = np.arange(block.first, block.first + block.n_latents, dtype=np.uint64)
        place = np.repeat(slot * np.uint64(self._grid_size), counts)
        place += block.token[rows]
        database.insert(
            "activations",
            {"latent": np.repeat(latent, counts), "place": place, "activation": block.bits[rows]},
        )
        dead = ~statistics.live
        columns: dict[str, Any] = {"latent": statistics.latents["latent"]}
        for statistic in stored():
            values = statistics.latents[statistic.column]
            columns[statistic.column] = pa.array(values, mask=dead if statistic.null_when_dead else None)
        database.insert("latents", columns)
        database.insert("quantiles", dict(statistics.quantiles))
        database.insert("histograms", dict(statistics.histograms))
        database.insert("peaks", dict(statistics.peaks))

    def _write_logits(self, database: DatabaseWriter, logits: Logits | None) -> float:
        if logits is None:
            return 1.0
        promoted, suppressed = np.asarray(logits[0]), np.asarray(logits[2])
        promoted_values, suppressed_values = np.asarray(logits[1]), np.asarray(logits[3])
        for ids in (promoted, suppressed):
            self._check_rows("logits", ids)
        largest = max(float(np.abs(v).max(initial=0.0)) for v in (promoted_values, suppressed_values))
        scale = power_of_two_scale(largest)
        for rows in self._rows_at_once():
            database.insert(
                "logits",
                {
                    "latent": np.arange(rows.start, rows.stop, dtype=np.uint32),
                    **_logit_lists("promoted", promoted[rows], promoted_values[rows], scale),
                    **_logit_lists("suppressed", suppressed[rows], suppressed_values[rows], scale),
                },
            )
        return scale

    def _write_neighbours(
        self, database: DatabaseWriter, neighbours: Neighbours, relations: Mapping[Relation, Relation]
    ) -> None:
        for relation in neighbours:
            self._check_rows(f"neighbours by {relation}", neighbours[relation][0])
        if not neighbours:
            return
        for rows in self._rows_at_once():
            columns: dict[str, Any] = {"latent": np.arange(rows.start, rows.stop, dtype=np.uint32)}
            for relation in dict.fromkeys(relations.values()):
                ids, values = neighbours[relation][0][rows], neighbours[relation][1][rows]
                there = ids >= 0
                columns[relation] = _lists(np.where(there, ids, 0).astype(np.uint32), there)
                columns[f"{relation}_value"] = _lists(encode_similarity(values), there)
            database.insert("neighbours", columns)

    def _write_stated(self, database: DatabaseWriter, stated: Stated) -> None:
        for rows in self._rows_at_once():
            edges, counts = stated.edges[rows], stated.counts[rows]
            first, last = np.searchsorted(stated.known[:, 0], (rows.start, rows.stop))
            known = stated.known[first:last]
            offsets = np.searchsorted(known[:, 0], np.arange(rows.start, rows.stop + 1))
            maxima = stated.max_activation[rows].astype(np.float32)
            database.insert(
                "stated",
                {
                    "latent": np.arange(rows.start, rows.stop, dtype=np.uint32),
                    "density": pa.array(stated.density[rows], from_pandas=True),
                    "max_activation": pa.array(maxima, from_pandas=True),
                    "edges": _lists(edges.astype(np.float32), ~np.isnan(edges)),
                    "counts": _lists(counts, ~np.isnan(counts)),
                    "known": pa.ListArray.from_arrays(
                        pa.array(offsets, pa.int32()), pa.array(known[:, 1].astype(np.uint32))
                    ),
                },
            )

    def _rows_at_once(self) -> Iterator[slice]:
        for start in range(0, self.n_latents, _ROWS_AT_ONCE):
            yield slice(start, min(start + _ROWS_AT_ONCE, self.n_latents))

    def _check_rows(self, what: str, ids: NDArray) -> None:
        if len(ids) != self.n_latents:
            raise ValueError(f"{what}: {len(ids)} rows for {self.n_latents} latents")

    def _write_meta(self, database: DatabaseWriter, info: dict[str, Any], **figures: Any) -> None:
        meta = {
            "format": migrations.FORMAT,
            "info": self._described | info | {
                "n_contexts": self.store.n_contexts, "ctx_len": self.store.ctx_len,
                "n_activations": self._spool.n, "scale": self._spool.scale,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            **figures,
            "corpus_sha256": self.store.meta["corpus"]["sha256"],
            "statistics": {"window": WINDOW, "bins": N_BINS, "derived_up_to": DERIVED_UP_TO},
            "versions": package_versions(),
            "complete": time.time(),
        }  # fmt: skip
        values = [json.dumps(value) for value in meta.values()]
        database.insert("meta", {"key": list(meta), "value": values})


def _storage_order(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Latents of a block in the order of their rows on disk: in pieces of about `SORTED_ROWS` rows, rarest first in each.

    DuckDB packs 2,048 gaps into as many bits as the widest needs, so a rare latent among frequent ones costs them all. The
    pieces keep a latent within one or two row groups, where a reader looks for it.
    """
    piece = (np.cumsum(counts) - counts) // SORTED_ROWS
    return np.lexsort((counts, piece))


def _logit_lists(name: str, ids: NDArray, values: NDArray, scale: float) -> dict[str, pa.ListArray]:
    there = ids >= 0
    return {
        name: _lists(np.where(there, ids, 0).astype(np.uint32), there),
        f"{name}_value": _lists(encode_signed(np.where(there, values, 0), scale), there),
    }


def _shared(neighbours: Neighbours) -> dict[Relation, Relation]:
    """Per relation the one whose columns hold its neighbours: its own, or an earlier one's that is the same throughout."""
    shared: dict[Relation, Relation] = {}
    order: tuple[Relation, ...] = get_args(Relation)
    for relation in order:
        if relation in neighbours:
            shared[relation] = relation
            for other in tuple(shared):
                same = zip(neighbours[relation], neighbours[other], strict=True)
                if shared[other] == other and all(np.array_equal(mine, theirs) for mine, theirs in same):
                    shared[relation] = other
                    break
    return shared


def _lists(values: NDArray, there: NDArray[np.bool_] | None = None) -> pa.ListArray:
    """Rows of `values` [n, m] as lists, of the entries that are `there`."""
    lengths = np.full(len(values), values.shape[1]) if there is None else there.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    entries = values.ravel() if there is None else values[there]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(entries))
