"""Window embeddings: one vector for every window of the corpus, written once per embedder, read as a memory map.

    embeddings/<embedder>.w32.s32.json          manifest, written last: without it there are no embeddings
    embeddings/<embedder>.w32.s32.<id>.npy      Float16[ndarray, "n_windows d"], unit length
    embeddings/.<embedder>.w32.s32.partial/     work in progress, see `embedding_writer`
    embeddings/<embedder>.texts.sqlite          vectors of other texts, see `text_vectors`

Each context is cut into windows at every `stride` tokens from its start; the last ones are shorter where the length does not
divide. Row `context * per_context + start // stride`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
IN_MEMORY_BYTES = 256 << 20
"""Up to this size the vectors are kept in memory as float32, which makes repeated searches ten times as fast."""
BLOCK = 65_536


@dataclass(frozen=True)
class Places:
    """Where windows lie in a corpus: `window` and `stride` in tokens."""

    n_contexts: int
    ctx_len: int
    window: int
    stride: int

    @property
    def per_context(self) -> int:
        """Windows in one context."""
        return -(-self.ctx_len // self.stride)

    @property
    def n_windows(self) -> int:
        return self.n_contexts * self.per_context

    def rows(
        self, context: NDArray[np.int64], start: NDArray[np.int64], length: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The rows of the windows at `start` of `context`, Int64[ndarray, " n"] each; -1 where no window of `length` tokens
        begins there."""
        inside = (context >= 0) & (context < self.n_contexts) & (start >= 0) & (start < self.ctx_len)
        inside &= (start % self.stride == 0) & (length == np.minimum(self.window, self.ctx_len - start))
        return np.where(inside, context * self.per_context + start // self.stride, -1)

    def place(self, row: int) -> tuple[int, int, int]:
        """Context, first token and end of the window of `row`."""
        context, number = divmod(int(row), self.per_context)
        start = number * self.stride
        return context, start, min(start + self.window, self.ctx_len)


@dataclass(frozen=True)
class WindowEmbeddings:
    """All windows' vectors by one embedder; there is no such object before the last one is written.

    `vectors`: Float16[ndarray, "n_windows d"], unit length, mapped from disk. `precision`: of the model that made them.
    """

    name: str
    places: Places
    vectors: NDArray[np.float16]
    fingerprint: str
    precision: str

    @property
    def window(self) -> int:
        return self.places.window

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def _float32(self) -> NDArray[np.float32] | None:
        return (
            np.asarray(self.vectors).astype(np.float32)
            if 2 * self.vectors.nbytes <= IN_MEMORY_BYTES
            else None
        )

    def take(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"]."""
        source = self.vectors if self._float32 is None else self._float32
        return np.asarray(source.take(rows, axis=0), dtype=np.float32)

    def similarities(self, vectors: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Cosines with Float32[ndarray, "m d"] a block of rows at a time: the first row, Float32[ndarray, "block m"]."""
        for first in range(0, len(self), BLOCK):
            source = self.vectors if self._float32 is None else self._float32
            yield first, np.asarray(source[first : first + BLOCK], dtype=np.float32) @ vectors.T

    def search(
        self, vector: NDArray[np.float32], limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The `limit` rows nearest to a unit vector, nearest first, equals by row, with their cosines."""
        rows = np.zeros(0, dtype=np.int64)
        values = np.zeros(0, dtype=np.float32)
        for first, block in self.similarities(np.asarray(vector, dtype=np.float32)[None, :]):
            rows = np.concatenate([rows, np.arange(first, first + len(block))])
            values = np.concatenate([values, block[:, 0]])
            best = nearest_first(values, limit)
            rows, values = rows[best], values[best]
        return rows, values


def nearest_first(values: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
    """Indices of the `limit` largest values, falling, equals by index."""
    limit = max(0, min(limit, len(values)))
    if limit == 0:
        return np.zeros(0, dtype=np.int64)
    bound = np.partition(values, len(values) - limit)[len(values) - limit]
    kept = np.flatnonzero(values >= bound)  # with all equals of the last one, so that the index decides
    return kept[np.argsort(-values[kept], kind="stable")][:limit]


def file_stem(embedder: str) -> str:
    """A file name for any embedder's name; two names never share one."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", embedder).strip("-")[:80] or "embedder"
    return plain if plain == embedder else f"{plain}-{hashlib.sha256(embedder.encode()).hexdigest()[:8]}"


def folder_of(root: Path) -> Path:
    """Where a store keeps vectors."""
    return root / "embeddings"


def prefix_of(embedder: str, window: int, stride: int) -> str:
    """How the files of one embedder and size of window begin."""
    return f"{file_stem(embedder)}.w{window}.s{stride}"


def read_embeddings(root: Path, embedder: str, places: Places, corpus_sha256: str) -> WindowEmbeddings | None:
    """The complete embeddings, or `None`: not there, not finished, cut short, or of another corpus."""
    folder, prefix = folder_of(root), prefix_of(embedder, places.window, places.stride)
    try:
        manifest: dict[str, Any] = json.loads((folder / f"{prefix}.json").read_text(encoding="utf-8"))
        named = (manifest["format"], manifest["embedder"], manifest["corpus_sha256"], manifest["n_windows"])
        if named != (FORMAT, embedder, corpus_sha256, places.n_windows):
            return None
        file = folder / str(manifest["file"])
        if file.parent != folder or file.stat().st_size != manifest["bytes"]:
            return None
        vectors = np.load(file, mmap_mode="r", allow_pickle=False)
        if vectors.dtype != np.float16 or vectors.shape != (places.n_windows, manifest["dim"]):
            return None
        return WindowEmbeddings(
            embedder, places, vectors, str(manifest["fingerprint"]), str(manifest["precision"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def list_embeddings(root: Path) -> list[tuple[str, int, int]]:
    """(embedder, window, stride) of every manifest in a store, by name; whether its file is sound is for
    `read_embeddings` to say."""
    embeddings = []
    for path in sorted(folder_of(root).glob("[!.]*.json")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            embeddings.append((str(manifest["embedder"]), int(manifest["window"]), int(manifest["stride"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return embeddings
