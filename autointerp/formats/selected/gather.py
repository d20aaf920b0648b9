"""One pass over the files: contexts that are the same are one, and what a store needs of each latent waits on disk or in
arrays.

Memory: what the caller reads at once, about 100 bytes for each distinct context, 8 for each context of each latent, and 1 kB
for each latent. Activations and tokens lie in temporary files.
"""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import BadActivations, UserError
from autointerp.formats.selected.records import MAX_LATENTS, Context, Figures, Source, said
from autointerp.store.coders.half import MAX_HALF

ENTRY = np.dtype(
    [("context", "<u4"), ("position", "<u4"), ("latent", "<u4"), ("record", "<u4"), ("value", "<f4")]
)
"""An activation above 0. `record`: which of the file's contexts it is from, counted from 0."""
_BUFFER = 1 << 16
_CHUNK = 1 << 20
_MAX_CELLS = 1 << 36
"""Tokens of the corpus with its padding."""


class Texts:
    """All distinct contexts, and the names of all tokens, of one model."""

    def __init__(self, folder: Path):
        self.names: dict[str, int] = {}
        self.lengths = array("I")
        self._seen: dict[bytes, int] = {}
        self._file: IO[bytes] = (folder / "tokens").open("w+b")

    @property
    def ctx_len(self) -> int:
        """The length of the longest."""
        return max(self.lengths, default=0)

    def token(self, name: str) -> int:
        """The id of a token of this name, a new one where it is met for the first time."""
        return self.names.setdefault(name, len(self.names))

    def number(self, tokens: list[str]) -> int:
        """Which context this is, a new one where it is met for the first time."""
        known_ids = list(map(self.names.get, tokens))
        if None in known_ids:
            known_ids = [self.token(name) for name in tokens]
        ids = np.array(known_ids, dtype="<u4").tobytes()
        key = hashlib.blake2b(ids, digest_size=16).digest()
        known = self._seen.get(key)
        if known is not None:
            return known
        self._file.write(ids)
        self.lengths.append(len(tokens))
        self._seen[key] = len(self._seen)
        return len(self._seen) - 1

    def rows(self, padding: int) -> Iterator[NDArray[np.int64]]:
        """Every context, Int64[ndarray, "n ctx_len"], some at a time, filled up at the end."""
        if len(self.lengths) * self.ctx_len > _MAX_CELLS:
            raise UserError(
                f"{len(self.lengths):,} contexts, the longest of {self.ctx_len:,} tokens, would fill a table of more than "
                f"{_MAX_CELLS:,} tokens. Import fewer latents, or batches."
            )
        self._file.flush()
        self._file.seek(0)
        lengths, ctx_len = np.frombuffer(self.lengths, dtype=np.uint32).astype(np.int64), self.ctx_len
        step = max(1, _CHUNK // max(ctx_len, 1))
        for first in range(0, len(lengths), step):
            own = lengths[first : first + step]
            ids = np.frombuffer(self._file.read(4 * int(own.sum())), dtype="<u4")
            rows = np.full((len(own), ctx_len), padding, dtype=np.int64)
            rows[np.arange(ctx_len) < own[:, None]] = ids
            yield rows

    def close(self) -> None:
        self._file.close()


class Gathered:
    """Everything of one coder."""

    def __init__(self, source: Source, texts: Texts, folder: Path, number: int):
        self.source, self.texts = source, texts
        self.n_entries = self.n_negative = 0
        self.largest = 0.0
        self.latents = array("I")
        self.contexts = array("I")
        self.figures: dict[int, _Compact] = {}
        self.live: set[int] = set()
        self.n_latents = 0
        self._file: IO[bytes] = (folder / f"entries-{number}").open("w+b")
        self._sorted: IO[bytes] = (folder / f"sorted-{number}").open("w+b")
        self._waiting = np.zeros(_BUFFER, ENTRY)
        self._n_waiting = 0

    def take(self, record: Figures | Context) -> None:
        """Raises UserError for figures that come twice, BadActivations for values that float16 cannot hold in any scale."""
        if record.latent >= MAX_LATENTS:
            raise UserError(f"latent {said(record.latent)}; at most {MAX_LATENTS:,} are accepted.")
        self.n_latents = max(self.n_latents, record.latent + 1)
        if isinstance(record, Figures):
            if record.latent in self.figures:
                raise UserError(
                    f"{self.source.path!r} holds latent {record.latent} twice. Remove one of them, or import only one of "
                    "the files."
                )
            self.figures[record.latent] = _Compact(record, self.texts)
            return
        values = np.array(record.values, dtype=np.float64)
        self.n_negative += int((values < 0).sum())
        at = np.flatnonzero(values > 0)
        if len(at) and values[at].max() > MAX_HALF * 2.0**100:
            raise BadActivations(
                f"{self.source.path!r}: latent {record.latent} has an activation of {values.max():g}, which no store can hold."
            )
        context = self.texts.number(record.tokens)
        number = len(self.latents)
        self.latents.append(record.latent)
        self.contexts.append(context)
        if len(at):
            self.live.add(record.latent)
            self.largest = max(self.largest, float(values[at].max()))
            self._add(context, at, record.latent, number, values[at])

    def _add(
        self, context: int, at: NDArray[np.intp], latent: int, number: int, values: NDArray[np.float64]
    ) -> None:
        if self._n_waiting + len(at) > len(self._waiting):
            self._flush()
        rows = self._waiting[self._n_waiting : self._n_waiting + len(at)]
        rows["context"], rows["position"], rows["latent"], rows["record"] = context, at, latent, number
        rows["value"] = np.maximum(values, np.finfo(np.float32).tiny)
        self._n_waiting += len(at)
        self.n_entries += len(at)

    def _flush(self) -> None:
        self._file.write(self._waiting[: self._n_waiting].tobytes())
        self._n_waiting = 0

    def known(self) -> NDArray[np.int64]:
        """Int64[ndarray, "n 2"]: latents, ascending, and their contexts, each once."""
        pairs = np.stack([np.frombuffer(self.latents, np.uint32), np.frombuffer(self.contexts, np.uint32)], 1)
        return np.unique(pairs.astype(np.int64), axis=0).reshape(-1, 2)

    def by_context(self) -> Iterator[NDArray[np.void]]:
        """All entries by context, a bounded part at a time, whole contexts: one record of a latent and a context, the first."""
        for part in self._in_order():
            order = np.lexsort((part["position"], part["record"], part["latent"], part["context"]))
            part = part[order]
            pair = part["context"].astype(np.uint64) << np.uint64(32) | part["latent"]
            begins = np.flatnonzero(np.diff(pair, prepend=pair[:1] + np.uint64(1)))
            first = np.repeat(part["record"][begins], np.diff(begins, append=len(pair)))
            yield part[part["record"] == first]

    def _in_order(self) -> Iterator[NDArray[np.void]]:
        """As they were written, but sorted by context: counted first, then every part put where it belongs."""
        self._flush()
        counts = np.zeros(len(self.texts.lengths), dtype=np.int64)
        for part in self._read(self._file, self.n_entries):
            counts += np.bincount(part["context"], minlength=len(counts))
        ends = np.cumsum(counts)
        free = ends - counts
        if not self.n_entries:
            return
        self._sorted.truncate(self.n_entries * ENTRY.itemsize)
        placed = np.memmap(self._sorted, dtype=ENTRY, mode="r+", shape=(self.n_entries,))
        for part in self._read(self._file, self.n_entries):
            part = part[np.argsort(part["context"], kind="stable")]
            context = part["context"].astype(np.int64)
            begins = np.searchsorted(context, context)
            placed[free[context] + np.arange(len(part)) - begins] = part
            free += np.bincount(context, minlength=len(counts))
        first = 0
        while first < self.n_entries:
            reach = int(np.searchsorted(ends, first + _CHUNK, side="right"))
            last = int(ends[max(reach - 1, 0)])
            if last <= first:  # one context with more than that
                last = int(ends[min(reach, len(ends) - 1)])
            yield np.array(placed[first:last])
            first = last

    @staticmethod
    def _read(file: IO[bytes], n: int) -> Iterator[NDArray[np.void]]:
        file.flush()
        file.seek(0)
        for first in range(0, n, _CHUNK):
            size = min(_CHUNK, n - first)
            yield np.frombuffer(file.read(size * ENTRY.itemsize), dtype=ENTRY)

    def close(self) -> None:
        self._file.close()
        self._sorted.close()


class _Compact:
    """`Figures` in arrays; tokens by id."""

    __slots__ = ("counts", "density", "edges", "maximum", "near", "promoted", "suppressed")

    def __init__(self, figures: Figures, texts: Texts):
        self.density, self.maximum = figures.density, figures.maximum
        edges, counts = figures.histogram or ([], [])
        self.edges, self.counts = np.array(edges, np.float32), np.array(counts, np.float64)
        self.promoted = _named(figures.promoted, texts)
        self.suppressed = _named(figures.suppressed, texts)
        self.near = _numbered(figures.neighbours)


Ranked = tuple[NDArray[np.int32], NDArray[np.float32]]


def _named(tokens: list[tuple[str, float]], texts: Texts) -> Ranked:
    return _numbered([(texts.token(name), value) for name, value in tokens])


def _numbered(pairs: list[tuple[int, float]]) -> Ranked:
    return (
        np.array([number for number, _ in pairs], dtype=np.int32),
        np.array([value for _, value in pairs], dtype=np.float32),
    )
