"""Writing one sparse coder's file: activations in token order go in, a finished `coders/<name>.duckdb` comes out."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import BadActivations, StoreError, UserError
from autointerp.store.corpus import package_versions
from autointerp.store.database import DatabaseWriter
from autointerp.store.files import Workspace, check_name, writing
from autointerp.store.half import encode_signed, power_of_two_scale
from autointerp.store.manifest import FORMAT
from autointerp.store.spool import BLOCK_ROWS, LatentBlock, Spool
from autointerp.store.statistics import N_BINS, WINDOW, BlockStatistics, Grid, block_statistics
from autointerp.types import CoderInfo, CoderKind, Fidelity, Progress, ProgressCallback, Relation, no_progress

if TYPE_CHECKING:
    from autointerp.store.reader import Store

# `place` = latent * tokens of the corpus + token index. It rises through the whole table, so that DuckDB stores gaps: 1.3
# bytes instead of 2.2 for token indices, which fall back at each new latent. `positional` alone is a reserved word of SQL.
_SCHEMA = """
CREATE TABLE meta(key VARCHAR, value VARCHAR);
CREATE TABLE activations(latent {latent}, place UBIGINT, activation USMALLINT);
CREATE TABLE latents(latent UINTEGER, n_activations UBIGINT, n_contexts UINTEGER, density DOUBLE, context_density DOUBLE,
 max_activation FLOAT, mean_activation FLOAT, top_token UINTEGER, top_token_share FLOAT, positional_mi FLOAT,
 peak_token UBIGINT);
CREATE TABLE quantiles(latent UINTEGER, quantile UTINYINT, low USMALLINT, high USMALLINT);
CREATE TABLE histograms(latent UINTEGER, bin UTINYINT, n UBIGINT);
CREATE TABLE peaks(latent UINTEGER, away TINYINT, activation USMALLINT);
CREATE TABLE logits(latent UINTEGER, rank UTINYINT, promoted BOOLEAN, token UINTEGER, value USMALLINT);
CREATE TABLE neighbours(latent UINTEGER, relation VARCHAR, rank UTINYINT, neighbour UINTEGER, value USMALLINT)
"""
_NULL_WHEN_DEAD = {"top_token", "top_token_share", "positional_mi", "peak_token"}
_ROWS_AT_ONCE = 1 << 16

Logits = tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.integer], NDArray[np.floating]]
"""Promoted token ids and values, suppressed token ids and values, each [n_latents, m], strongest first."""
Neighbours = Mapping[Relation, tuple[NDArray[np.integer], NDArray[np.floating]]]
"""Per relation, neighbour latents and values, each [n_latents, m], nearest first; -1 = none."""


class CoderWriter:
    """Collects one coder's activations and publishes its file. A context manager: leaving it without `finish` removes all.

    Memory is bounded, whatever the number of tokens: about 100 MB of arrays and 128 MB in DuckDB, as long as no single
    latent fires much more than half a million times (its rows are handled at once, some 100 bytes each).
    """

    def __init__(
        self,
        store: "Store",
        name: str,
        *,
        kind: CoderKind,
        hookpoint: str,
        n_latents: int,
        k: int | None,
        d_in: int,
        source: str,
        config: Mapping[str, Any] | None = None,
        scale: float = 1.0,
        overwrite: bool = False,
    ):
        if kind not in get_args(CoderKind):
            raise UserError(f"coder kind {kind!r} is unknown. Accepted: {', '.join(get_args(CoderKind))}.")
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

    def latent_blocks(self, max_rows: int = BLOCK_ROWS) -> Iterator[LatentBlock]:
        """What was appended, sorted by latent, in blocks: for figures computed before `finish` (co-firing neighbours)."""
        with writing(self.store.layout.coders):
            yield from self._spool.blocks(max_rows)

    def finish(
        self,
        *,
        n_tokens: int,
        position_counts: NDArray[np.integer] | None = None,
        logits: Logits | None = None,
        neighbours: Neighbours | None = None,
        fidelity: Fidelity | None = None,
        progress: ProgressCallback = no_progress,
    ) -> CoderInfo:
        """Sorts, computes statistics, writes and publishes the file; closes the writer.

        `n_tokens`: positions that could fire (masked ones excluded). `position_counts` Int[ndarray, " ctx_len"]: rows that
        could fire at each position, all by default.
        """
        store = self.store
        if position_counts is None:
            position_counts = np.full(store.ctx_len, store.n_contexts, dtype=np.int64)
        grid = Grid(
            tokens=store.tokens.reshape(-1), n_contexts=store.n_contexts, ctx_len=store.ctx_len,
            vocab_size=store.vocab_size, n_tokens=n_tokens, position_counts=np.asarray(position_counts, dtype=np.int64),
        )  # fmt: skip
        path = self._workspace.path / "coder.duckdb"
        try:
            with writing(store.layout.coders):
                database = DatabaseWriter(path)
                try:
                    wide = "UINTEGER" if self.n_latents > 1 << 16 else "USMALLINT"
                    for statement in _SCHEMA.format(latent=wide).strip().split(";"):
                        database.execute(statement)
                    n_dead = self._write_blocks(database, grid, progress)
                    logit_scale = self._write_logits(database, logits)
                    self._write_neighbours(database, neighbours or {})
                    self._write_meta(database, n_tokens, n_dead, logits is not None, logit_scale, fidelity)
                    database.close()
                except BaseException:
                    with contextlib.suppress(Exception):
                        database.abandon()
                    raise
                self._refuse_existing()
                self._workspace.publish("coder.duckdb", store.layout.coder(self.name))
        finally:
            self.discard()
        return store.coder(self.name).info

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

    def _write_blocks(self, database: DatabaseWriter, grid: Grid, progress: ProgressCallback) -> int:
        """Activations and statistics; DuckDB compresses one block on a second thread while numpy works on the next."""
        n_dead = 0
        done = 0
        pending: Future[None] | None = None
        with ThreadPoolExecutor(max_workers=1) as pool:
            for block in self._spool.blocks():
                statistics = block_statistics(block, grid)
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
        latent = np.arange(block.first, block.first + block.n_latents, dtype=np.uint64)
        place = np.repeat(latent * np.uint64(self._grid_size), counts)
        place += block.token
        dtype = np.uint16 if self.n_latents <= 1 << 16 else np.uint32
        database.insert(
            "activations",
            {"latent": np.repeat(latent.astype(dtype), counts), "place": place, "activation": block.bits},
        )
        dead = ~statistics.live
        database.insert(
            "latents",
            {
                name: pa.array(column, mask=dead if name in _NULL_WHEN_DEAD else None)
                for name, column in statistics.latents.items()
            },
        )
        database.insert("quantiles", dict(statistics.quantiles))
        database.insert("histograms", dict(statistics.histograms))
        database.insert("peaks", dict(statistics.peaks))

    def _write_logits(self, database: DatabaseWriter, logits: Logits | None) -> float:
        if logits is None:
            return 1.0
        ids = np.stack([np.asarray(logits[0]), np.asarray(logits[2])], axis=1)  # [n_latents, 2, m]
        values = np.stack([np.asarray(logits[1]), np.asarray(logits[3])], axis=1)
        self._check_rows("logits", ids)
        scale = power_of_two_scale(float(np.abs(values).max(initial=0.0)))
        _, _, m = ids.shape
        for start in range(0, self.n_latents, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, self.n_latents)
            latent = np.repeat(np.arange(start, stop, dtype=np.uint32), 2 * m)
            database.insert(
                "logits",
                {
                    "latent": latent,
                    "rank": np.tile(np.arange(m, dtype=np.uint8), 2 * (stop - start)),
                    "promoted": np.tile(np.repeat([True, False], m), stop - start),
                    "token": ids[start:stop].astype(np.uint32).ravel(),
                    "value": encode_signed(values[start:stop].ravel(), scale),
                },
            )
        return scale

    def _write_neighbours(self, database: DatabaseWriter, neighbours: Neighbours) -> None:
        relations = sorted(neighbours)
        for relation in relations:
            self._check_rows(f"neighbours by {relation}", neighbours[relation][0])
        for start in range(0, self.n_latents, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, self.n_latents)
            for relation in relations:
                ids, values = neighbours[relation][0][start:stop], neighbours[relation][1][start:stop]
                row, rank = np.nonzero(ids >= 0)
                database.insert(
                    "neighbours",
                    {
                        "latent": (row + start).astype(np.uint32),
                        "relation": pa.array([relation] * len(row)),
                        "rank": rank.astype(np.uint8),
                        "neighbour": ids[row, rank].astype(np.uint32),
                        "value": encode_signed(values[row, rank], 1.0),
                    },
                )

    def _check_rows(self, what: str, ids: NDArray) -> None:
        if len(ids) != self.n_latents:
            raise ValueError(f"{what}: {len(ids)} rows for {self.n_latents} latents")

    def _write_meta(
        self,
        database: DatabaseWriter,
        n_tokens: int,
        n_dead: int,
        has_logits: bool,
        logit_scale: float,
        fidelity: Fidelity | None,
    ) -> None:
        meta = {
            "format": FORMAT,
            "info": self._described | {
                "n_tokens": n_tokens, "n_contexts": self.store.n_contexts, "ctx_len": self.store.ctx_len,
                "n_activations": self._spool.n, "n_dead": n_dead, "scale": self._spool.scale, "has_logits": has_logits,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            "fidelity": asdict(fidelity) if fidelity else None,
            "logit_scale": logit_scale,
            "corpus_sha256": self.store.meta["corpus"]["sha256"],
            "statistics": {"window": WINDOW, "bins": N_BINS},
            "versions": package_versions(),
            "complete": time.time(),
        }  # fmt: skip
        values = [json.dumps(value) for value in meta.values()]
        database.insert("meta", {"key": list(meta), "value": values})
