"""The shown explanations of a coder as something to search: their words, and the vectors of those that are embedded.

Vectors live in the store, one per text. A process that searches has them in memory too, as float32: 1.5 kB each with the
default embedder, 150 MB for 10^5 explanations. A search is then one matrix product: 10 ms for 10^5, where
float16 took 300 ms.

To embed an explanation takes a core as long as to write it by `pattern` (some 5 ms each), so a batch of explanations leaves it
to who needs it: the embedding scorer, and the first search by meaning, beside which a job does it.
"""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from autointerp.embedding.lookup import StoreEmbedder
from autointerp.store.annotations import Annotations
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


def coverage(annotations: Annotations, embedder: StoreEmbedder, coders: str | Iterable[str]) -> Coverage:
    """Of the shown explanations of `coders`. Embeds nothing; after the first call it costs next to nothing while nothing
    changes, and 10 ms for every 1,000 explanations not yet embedded while something does."""
    found = [index_of(annotations, embedder, coder).coverage() for coder in as_list(coders)]
    return Coverage(
        sum(one.embedded for one in found),
        sum(one.total for one in found),
        sum(one.characters for one in found),
    )


def embed_explanations(
    annotations: Annotations,
    embedder: StoreEmbedder,
    coders: str | Iterable[str],
    *,
    progress: ProgressCallback = no_progress,
) -> int:
    """Embed the shown explanations of `coders` that are not embedded yet; how many that were.

    They are kept in the store as they come: what a stopped or killed call has done, the next one finds, but for 512 at most.
    `progress` (in different texts) may raise to stop. Raises StoreReadOnly where nothing can be kept.
    """
    texts: list[str] = []
    for coder in as_list(coders):
        texts += annotations.summary(coder)["text"].to_pylist()
    return embedder.embed_ahead(texts, progress)


class Index:
    """The shown explanations of one coder, ready to be searched. Thread-safe. `previous`: the index of the coder before its
    explanations changed; what it knows is taken over."""

    def __init__(self, table: "pyarrow.Table", embedder: StoreEmbedder, previous: "Index | None" = None):
        self.table = table
        self.latents: list[int] = table["latent"].to_pylist()
        self.ids: list[str] = table["explanation_id"].to_pylist()
        self.texts: list[str] = table["text"].to_pylist()
        self._folded = [text.casefold() for text in self.texts]
        self._embedder = embedder
        self._lock = threading.Lock()
        self._rows: NDArray[np.float32] | None = None
        self._known = np.zeros(len(self.texts), dtype=np.bool_)
        self._state: object = None
        if previous is not None and previous._rows is not None:
            self._take_over(previous)

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Float32[ndarray, "n d"], and Bool[ndarray, " n"]: which rows have been embedded; the others are zeros."""
        with self._lock:
            rows = self._look()
            return rows, self._known.copy()

    def embed_missing(self, progress: ProgressCallback) -> None:
        """Embed what is not embedded, here and now."""
        with self._lock:
            rows = self._look()
            missing = np.flatnonzero(~self._known)
            if missing.size:
                rows[missing] = self._embedder.embed_queries(
                    [self.texts[i] for i in missing.tolist()], progress
                )
                self._known[missing] = True

    def coverage(self) -> Coverage:
        with self._lock:
            self._look()
            missing = np.flatnonzero(~self._known).tolist()
        characters = sum(min(len(self.texts[i]), _LONGEST) for i in missing)
        return Coverage(len(self.texts) - len(missing), len(self.texts), characters)

    def words(self, query: str) -> NDArray[np.float32]:
        """Float32[ndarray, " n"] from 0 to 1: the query's words found, each weighed by its rarity."""
        n = len(self.texts)
        found, weights = np.zeros(n, dtype=np.float32), 0.0
        for word in dict.fromkeys(query.casefold().split()):
            holds = np.fromiter((word in text for text in self._folded), dtype=bool, count=n)
            weight = math.log((n + 1) / (int(holds.sum()) + 0.5))
            found += np.float32(weight) * holds
            weights += weight
        return found / np.float32(weights) if weights > 0 else found

    def _look(self) -> NDArray[np.float32]:
        """The rows, with what has been embedded since the last look."""
        if self._rows is None:
            self._rows = np.zeros((len(self.texts), self._embedder.embedder.dim), dtype=np.float32)
        if not self._known.all() and (state := self._embedder.known_state()) != self._state:
            self._state = state  # taken before looking: what comes meanwhile is found the next time
            places: dict[str, list[int]] = {}
            for i in np.flatnonzero(~self._known).tolist():
                places.setdefault(self.texts[i], []).append(i)
            texts = list(places)
            for i, vector in self._embedder.known(texts):
                self._rows[places[texts[i]]] = vector
                self._known[places[texts[i]]] = True
        return self._rows

    def _take_over(self, previous: "Index") -> None:
        # No lock: a row is written before it is known, and another thread may be embedding the rest.
        rows, known = previous._rows, previous._known
        assert rows is not None
        place = {previous.texts[i]: i for i in np.flatnonzero(known).tolist()}
        old = np.array([place.get(text, -1) for text in self.texts], dtype=np.int64)
        self._rows = np.zeros((len(self.texts), rows.shape[1]), dtype=np.float32)
        self._known = old >= 0
        self._rows[self._known] = rows[old[self._known]]


_indexes: WeakKeyDictionary[StoreEmbedder, dict[Any, Index]] = WeakKeyDictionary()
_lock = threading.Lock()


def index_of(annotations: Annotations, embedder: StoreEmbedder, coder: str) -> Index:
    """Kept until the coder's explanations change."""
    table = annotations.summary(coder)
    with _lock:
        kept = _indexes.setdefault(embedder, {})
        index = kept.get((str(annotations.path), coder))
        if index is None or index.table is not table:
            index = kept[str(annotations.path), coder] = Index(table, embedder, index)
        return index


def as_list(coders: str | Iterable[str]) -> list[str]:
    """One name or several."""
    return [coders] if isinstance(coders, str) else list(coders)
