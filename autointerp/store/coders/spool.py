"""Activations on their way from token order to latent order, in bounded memory.

Batches gather in a buffer of about `run_size` entries. A full buffer is sorted by latent (stable, so tokens stay in
order), and appended to one file as a *run*: token column, then value column; the latent column is implied by the run's
offsets, written to a second file. Any range of latents can then be read back by one slice from each run, and the slices
merged with one scatter. Ranges are chosen from the exact counts, so a skewed coder costs no more memory than an even one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.store.coders.half import MAX_HALF, decode, encode_positive, power_of_two_scale

RUN_SIZE = 1 << 19
BLOCK_ROWS = 4 * 122_880
"""Rows of a block, and of a row group of the file: to find a latent among 10^9 activations in groups of DuckDB's usual size
takes three times as long."""


@dataclass(frozen=True)
class LatentBlock:
    """All activations of the latents `first` to `first + n_latents - 1`, by latent, then token.

    `offsets` Int64[ndarray, " n_latents+1"]: rows `offsets[i]:offsets[i+1]` belong to latent `first + i`.
    `token` UInt[ndarray, " n"]: token index. `bits` UInt16[ndarray, " n"]: float16 bits of activation / `scale`.
    """

    first: int
    offsets: NDArray[np.int64]
    token: NDArray[np.unsignedinteger]
    bits: NDArray[np.uint16]
    scale: float
    memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What several statistics are worked out from."""

    @cached_property
    def live(self) -> "LatentBlock":
        """The latents that fire, numbered anew from 0."""
        return replace(
            self, first=0, offsets=self.offsets[np.concatenate([[True], self.counts > 0])], memo={}
        )

    @property
    def n_latents(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Int64[ndarray, " n_latents"]."""
        return np.diff(self.offsets)

    @property
    def local(self) -> NDArray[np.intp]:
        """Int[ndarray, " n"]: latent - first, per row."""
        return np.repeat(np.arange(self.n_latents), self.counts)

    @property
    def activation(self) -> NDArray[np.float32]:
        """Float32[ndarray, " n"]."""
        return decode(self.bits, self.scale)


def stable_order(keys: NDArray[np.unsignedinteger], n_values: int) -> NDArray[np.intp]:
    """Stable argsort of integers below `n_values`: numpy sorts 16-bit keys by radix, wider ones take two passes."""
    if n_values <= 1 << 16:
        return np.argsort(keys.astype(np.uint16, copy=False), kind="stable")
    low = np.argsort((keys & 0xFFFF).astype(np.uint16), kind="stable")
    high = (keys >> 16).astype(np.uint16)[low]
    return low[np.argsort(high, kind="stable")]


class Spool:
    """Takes batches in token order, gives blocks in latent order. `n_tokens`: size of the token grid."""

    def __init__(
        self, folder: Path, *, n_latents: int, n_tokens: int, scale: float = 1.0, run_size: int = RUN_SIZE
    ):
        self.n_latents = n_latents
        self.scale = scale
        self.n = 0
        self._run_size = max(run_size, 2 * n_latents)  # a run's offsets never outweigh the run
        self._token_dtype = np.dtype(np.uint32 if n_tokens <= 1 << 32 else np.uint64)
        self._latent_dtype = np.dtype(np.uint16 if n_latents <= 1 << 16 else np.uint32)
        self._data = open(folder / "runs.bin", "w+b", buffering=0)  # noqa: SIM115 - closed by close()
        self._offsets = open(folder / "offsets.bin", "w+b", buffering=0)  # noqa: SIM115
        self._runs: list[tuple[int, int, float]] = []  # byte position, entries, scale
        self._latent = np.empty(self._run_size, dtype=self._latent_dtype)
        self._token = np.empty(self._run_size, dtype=self._token_dtype)
        self._bits = np.empty(self._run_size, dtype=np.uint16)
        self._filled = 0

    def append(
        self,
        latent: NDArray[np.integer],
        token: NDArray[np.integer],
        activation: NDArray[np.floating],
        largest: float,
    ) -> None:
        """One batch of positive activations, at most `largest`; its tokens do not come before those of earlier batches."""
        if largest > MAX_HALF * self.scale:
            self.flush()
            self.scale = power_of_two_scale(largest)
        bits = encode_positive(activation, self.scale)
        taken = 0
        while taken < len(latent):
            step = min(len(latent) - taken, self._run_size - self._filled)
            to, of = slice(self._filled, self._filled + step), slice(taken, taken + step)
            self._latent[to], self._token[to], self._bits[to] = latent[of], token[of], bits[of]
            self._filled += step
            taken += step
            if self._filled == self._run_size:
                self.flush()
        self.n += len(latent)

    def flush(self) -> None:
        """Writes the buffer as a run."""
        if not self._filled:
            return
        latent = self._latent[: self._filled]
        order = stable_order(latent, self.n_latents)
        offsets = np.zeros(self.n_latents + 1, dtype=np.uint32)
        np.cumsum(np.bincount(latent, minlength=self.n_latents), out=offsets[1:])
        self._runs.append((self._data.seek(0, 2), self._filled, self.scale))
        write_array(self._data, np.take(self._token, order))
        write_array(self._data, np.take(self._bits, order))
        self._offsets.seek(0, 2)
        write_array(self._offsets, offsets)
        self._filled = 0

    def blocks(self, max_rows: int = BLOCK_ROWS, max_latents: int = 1 << 13) -> Iterator[LatentBlock]:
        """All latents in order, in blocks of at most `max_rows` rows; only a single latent can be larger than that."""
        self.flush()
        offsets = self._load_offsets()
        totals = np.zeros(self.n_latents + 1, dtype=np.int64)
        for run in offsets:
            totals += run
        first = 0
        while first < self.n_latents:
            last = int(np.searchsorted(totals, totals[first] + max_rows, side="right")) - 1
            last = min(max(last, first + 1), first + max_latents, self.n_latents)
            yield self._block(first, last, offsets[:, first : last + 1].astype(np.int64))
            first = last

    def close(self) -> None:
        """Closes the files; the folder belongs to the caller."""
        self._data.close()
        self._offsets.close()

    def _load_offsets(self) -> NDArray[np.uint32]:
        if not self._runs:
            return np.zeros((0, self.n_latents + 1), dtype=np.uint32)
        return np.memmap(
            self._offsets, dtype=np.uint32, mode="r", shape=(len(self._runs), self.n_latents + 1)
        )

    def _block(self, first: int, last: int, offsets: NDArray[np.int64]) -> LatentBlock:
        """`offsets` [runs, last-first+1]: where the latents of this block lie in each run."""
        counts = np.diff(offsets, axis=1)
        ends = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
        n = int(ends[-1])
        token, bits = np.empty(n, self._token_dtype), np.empty(n, np.uint16)
        at = 0
        for (position, entries, scale), run in zip(self._runs, offsets, strict=True):
            size = int(run[-1] - run[0])
            if not size:
                continue
            part = slice(at, at + size)
            self._read(token[part], position + int(run[0]) * self._token_dtype.itemsize)
            self._read(bits[part], position + entries * self._token_dtype.itemsize + int(run[0]) * 2)
            if scale != self.scale:
                bits[part] = encode_positive(decode(bits[part], scale), self.scale)
            at += size
        if len(offsets) > 1:
            # Row r of `counts` lies in the buffer before row r+1; each latent's pieces move together, runs in order.
            target = ends[:-1] + np.cumsum(counts, axis=0) - counts
            flat = counts.ravel()
            shift = target.ravel() - (np.cumsum(flat) - flat)
            place = np.repeat(shift, flat)
            place += np.arange(n)
            merged_token, merged_bits = np.empty_like(token), np.empty_like(bits)
            merged_token[place], merged_bits[place] = token, bits
            token, bits = merged_token, merged_bits
        return LatentBlock(first, ends, token, bits, self.scale)

    def _read(self, into: NDArray, position: int) -> None:
        self._data.seek(position)
        view = into.data.cast("B")
        while len(view):
            n = self._data.readinto(view)
            if not n:
                raise OSError("the spool file of an unfinished coder was truncated while it was read")
            view = view[n:]


def write_array(file: FileIO, array: NDArray) -> None:
    view = array.data.cast("B")
    while len(view):
        view = view[file.write(view) :]
