"""The shown explanations of a coder, indexed for search: their words, and the vectors of those that are embedded.

Vectors live in the store, one per text. A process that searches keeps them as float32, where a search is one matrix product:
0.1 s of CPU for 10^6, where float16 takes 0.7 s. They are mapped from a copy (`autointerp.store.copies`): 1.5 kB of disk each
with the default embedder, and of memory that the system may take back.

Embedding an explanation takes a core as long as writing it with `pattern` (some 5 ms), so a batch of explanations does not do
it: the embedding scorer and the first search by meaning do, the latter in a job where there is much to embed.
"""

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from autointerp import settings
from autointerp.embedding.lookup import StoreEmbedder
from autointerp.store import copies, word_search
from autointerp.store.annotations import Annotations
from autointerp.store.embeddings.reader import file_stem
from autointerp.types import ProgressCallback, no_progress

if TYPE_CHECKING:
    import pyarrow

_LONGEST = 1000
"""Characters of a text that an embedder reads, about: all-MiniLM-L6-v2 cuts after 256 word pieces."""


@dataclass(frozen=True)
class Coverage:
    """How many of the shown explanations have been embedded. `characters`: of the others, as far as an embedder reads them;
    embedding takes time by these."""

    embedded: int
    total: int
    characters: int

    @property
    def missing(self) -> int:
        return self.total - self.embedded


def coverage(annotations: Annotations, embedder: StoreEmbedder, coders: Iterable[str]) -> Coverage:
    """Of the shown explanations of `coders`. Embeds nothing; after the first call it costs next to nothing while nothing
    changes, and 10 ms for every 1,000 explanations not yet embedded while something does."""
    parts = [index_of(annotations, embedder, coder).coverage() for coder in coders]
    return Coverage(
        sum(part.embedded for part in parts),
        sum(part.total for part in parts),
        sum(part.characters for part in parts),
    )


def embed_explanations(
    annotations: Annotations,
    embedder: StoreEmbedder,
    coders: Iterable[str],
    *,
    progress: ProgressCallback = no_progress,
) -> int:
    """Embed the shown explanations of `coders` that are not embedded yet, and return how many texts that were; see
    `StoreEmbedder.embed_ahead`."""
    texts = [text for coder in coders for text in annotations.summary(coder)["text"].to_pylist()]
    return embedder.embed_ahead(texts, progress)


class Vectors:
    """Vectors of a coder's texts in memory, in the order they came: a text keeps its row. Thread-safe where `lock` is held."""

    def __init__(self, embedder: StoreEmbedder, coder: str):
        import pyarrow as pa

        self.lock = threading.Lock()
        self.embedder = embedder
        self._path = copies.path_of(
            embedder.store.path, "vectors-1", coder, file_stem(embedder.embedder.name)
        )
        self._identity = f"{embedder.embedder.name} {embedder.embedder.fingerprint}"
        vector = pa.list_(pa.float32(), embedder.embedder.dim)
        self._schema = pa.schema({"text": pa.string(), "vector": vector})
        self._texts: list[pyarrow.StringArray] = []
        self._parts: list[NDArray[np.float32]] = []
        self._uncopied = 0
        copied = None if self._path is None else copies.load(self._path, self._identity, self._schema)
        for batch in () if copied is None else copied[1].to_batches():
            vectors = batch["vector"].flatten()
            if not (batch["text"].null_count or batch["vector"].null_count or vectors.null_count):
                self._append(batch["text"], vectors.to_numpy())

    def places(self, texts: "pyarrow.StringArray") -> NDArray[np.int64]:
        """The row of each text, -1 where there is none."""
        import pyarrow as pa
        import pyarrow.compute

        pc: Any = pyarrow.compute  # its functions are made at import and not known to type checkers
        if len(self._texts) == 1 and self._texts[0].equals(texts):
            return np.arange(len(texts))
        known = pa.chunked_array(self._texts, pa.string()).combine_chunks()
        return pc.fill_null(pc.index_in(texts, value_set=known), -1).to_numpy().astype(np.int64)

    def add(self, texts: Sequence[str], rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """New ones; their rows."""
        import pyarrow as pa

        first = sum(len(part) for part in self._parts)
        if len(texts):
            self._append(pa.array(texts, pa.string()), rows)
            self._uncopied += len(texts)
        return np.arange(first, first + len(texts))

    def dot(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The product of each row with a vector."""
        return np.concatenate([np.zeros(0, np.float32), *(part @ vector for part in self._parts)])

    def take(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"]: these rows, zeros for -1."""
        rows = np.zeros((len(places), self.embedder.embedder.dim), np.float32)
        first = 0
        for part in self._parts:
            here = np.flatnonzero((places >= first) & (places < first + len(part)))
            rows[here] = part[places[here] - first]
            first += len(part)
        return rows

    def keep(self) -> None:
        """Writes a copy in the background where there is much that the last one lacks."""
        import pyarrow as pa

        n = sum(len(part) for part in self._parts)
        if self._path is None or settings.is_read_only() or not copies.is_due(n, self._uncopied):
            return
        batches = [
            pa.record_batch(
                [texts, pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])],
                schema=self._schema,
            )
            for texts, part in zip(self._texts, self._parts, strict=True)
        ]
        self._uncopied = 0
        table = pa.Table.from_batches(batches, self._schema)
        threading.Thread(
            target=copies.save, args=(self._path, self._identity, None, table), name="copy vectors"
        ).start()

    def _append(self, texts: "pyarrow.StringArray", rows: NDArray[np.float32]) -> None:
        self._texts.append(texts)
        self._parts.append(rows.reshape(len(texts), self.embedder.embedder.dim))


class Index:
    """The shown explanations of one coder, ready to be searched. Thread-safe."""

    def __init__(self, table: "pyarrow.Table", vectors: Vectors):
        self.table = table
        self.latents: NDArray[np.int64] = table["latent"].to_numpy()
        self._texts = table["text"].combine_chunks()
        self._vectors = vectors
        self._state: object = None
        with vectors.lock:
            self._at = vectors.places(self._texts)

    def renewed(self, table: "pyarrow.Table") -> "Index":
        """After the explanations have changed: what was embedded is known."""
        return Index(table, self._vectors)

    @cached_property
    def texts(self) -> list[str]:
        return self._texts.to_pylist()

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Float32[ndarray, "n d"], and Bool[ndarray, " n"]: which rows have been embedded; the others are zeros."""
        with self._vectors.lock:
            self._refresh()
            return self._vectors.take(self._at), self._at >= 0

    def similarities(self, vector: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Cosines with a unit vector, Float32[ndarray, " n"], 0 where the text has not been embedded, and Bool[ndarray, " n"]:
        where it has."""
        with self._vectors.lock:
            self._refresh()
            products = np.concatenate([self._vectors.dot(vector), np.zeros(1, np.float32)])  # for -1
            return products[self._at], self._at >= 0

    def embed_missing(self) -> None:
        """Embed what is not embedded, here and now."""
        with self._vectors.lock:
            self._refresh()
            missing = self._missing()
            if missing:
                vectors = self._vectors.embedder.embed_queries(list(missing))
                self._known(missing, list(missing), vectors)

    def coverage(self) -> Coverage:
        with self._vectors.lock:
            self._refresh()
            missing = self._missing()
        n = sum(map(len, missing.values()))
        characters = sum(min(len(text), _LONGEST) * len(places) for text, places in missing.items())
        return Coverage(len(self._texts) - n, len(self._texts), characters)

    @cached_property
    def _folded(self) -> "pyarrow.StringArray":
        return word_search.folded(self._texts)

    def words(self, query: str) -> NDArray[np.float32]:
        """Float32[ndarray, " n"] from 0 to 1: the share of the query's words in each text, rare words counting more."""
        n = len(self._texts)
        score, weights = np.zeros(n, dtype=np.float32), 0.0
        for word in dict.fromkeys(query.encode("utf-8", "replace").decode().casefold().split()):
            holds = word_search.holding(self._folded, word)
            weight = math.log((n + 1) / (int(holds.sum()) + 0.5))
            score += np.float32(weight) * holds
            weights += weight
        return score / np.float32(weights) if weights > 0 else score

    def _missing(self) -> dict[str, list[int]]:
        """Where the texts are that have not been embedded."""
        places: dict[str, list[int]] = {}
        missing = np.flatnonzero(self._at < 0)
        for place, text in zip(missing.tolist(), self._texts.take(missing).to_pylist(), strict=True):
            places.setdefault(text, []).append(place)
        return places

    def _refresh(self) -> None:
        """Fill in what has been embedded since the last call, by whichever process."""
        if (self._at >= 0).all() or (state := self._vectors.embedder.texts.state()) == self._state:
            return
        self._state = state  # taken before looking: what comes meanwhile is seen the next time
        missing = self._missing()
        texts = list(missing)
        rows, places = np.empty((len(texts), self._vectors.embedder.embedder.dim), np.float32), []
        for place, vector in self._vectors.embedder.texts.find(texts):
            rows[len(places)] = vector
            places.append(texts[place])
        self._known(missing, places, rows[: len(places)])

    def _known(
        self, places: Mapping[str, list[int]], texts: Sequence[str], rows: NDArray[np.float32]
    ) -> None:
        """These texts, which are at those places, have vectors now."""
        for text, row in zip(texts, self._vectors.add(texts, rows).tolist(), strict=True):
            self._at[places[text]] = row
        self._vectors.keep()


_indexes: WeakKeyDictionary[StoreEmbedder, dict[Any, Index]] = WeakKeyDictionary()
_lock = threading.Lock()


def index_of(annotations: Annotations, embedder: StoreEmbedder, coder: str) -> Index:
    """Kept until the coder's explanations change."""
    table = annotations.summary(coder)
    with _lock:
        kept = _indexes.setdefault(embedder, {})
        index = kept.get((str(annotations.path), coder))
        if index is None:
            index = kept[str(annotations.path), coder] = Index(table, Vectors(embedder, coder))
        elif index.table is not table:
            index = kept[str(annotations.path), coder] = index.renewed(table)
        return index
