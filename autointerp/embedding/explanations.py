"""The shown explanations of a coder, indexed for search: their words, and the vectors of those that are embedded.

Vectors live in the store, one per text. A process that searches has them in memory too, as float32: 1.5 kB each with the
default embedder, 150 MB for 10^5 explanations. A search is then one matrix product: 10 ms for 10^5, where
float16 took 300 ms.

Embedding an explanation takes a core as long as writing it with `pattern` (some 5 ms), so a batch of explanations does not do
it: the embedding scorer and the first search by meaning do, the latter in a job where there is much to embed.
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


class Index:
    """The shown explanations of one coder, ready to be searched. Thread-safe. `previous`: the index of the coder before its
    explanations changed; vectors in it are taken over."""

    def __init__(self, table: "pyarrow.Table", embedder: StoreEmbedder, previous: "Index | None" = None):
        self.table = table
        self.latents: list[int] = table["latent"].to_pylist()
        self.texts: list[str] = table["text"].to_pylist()
        self._folded = [text.casefold() for text in self.texts]
        self._embedder = embedder
        self._lock = threading.Lock()
        self._rows = np.zeros((len(self.texts), embedder.embedder.dim), dtype=np.float32)
        self._embedded = np.zeros(len(self.texts), dtype=np.bool_)
        self._state: object = None
        if previous is not None:
            self._take_over(previous)

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Float32[ndarray, "n d"], and Bool[ndarray, " n"]: which rows have been embedded; the others are zeros."""
        with self._lock:
            self._refresh()
            return self._rows, self._embedded.copy()

    def embed_missing(self) -> None:
        """Embed what is not embedded, here and now."""
        with self._lock:
            self._refresh()
            missing = np.flatnonzero(~self._embedded)
            self._rows[missing] = self._embedder.embed_queries([self.texts[i] for i in missing.tolist()])
            self._embedded[missing] = True

    def coverage(self) -> Coverage:
        with self._lock:
            self._refresh()
            missing = np.flatnonzero(~self._embedded).tolist()
        characters = sum(min(len(self.texts[i]), _LONGEST) for i in missing)
        return Coverage(len(self.texts) - len(missing), len(self.texts), characters)

    def words(self, query: str) -> NDArray[np.float32]:
        """Float32[ndarray, " n"] from 0 to 1: the share of the query's words in each text, rare words counting more."""
        n = len(self.texts)
        score, weights = np.zeros(n, dtype=np.float32), 0.0
        for word in dict.fromkeys(query.casefold().split()):
            holds = np.fromiter((word in text for text in self._folded), dtype=bool, count=n)
            weight = math.log((n + 1) / (int(holds.sum()) + 0.5))
            score += np.float32(weight) * holds
            weights += weight
        return score / np.float32(weights) if weights > 0 else score

    def _refresh(self) -> None:
        """Fill in what has been embedded since the last call, by whichever process."""
        if self._embedded.all() or (state := self._embedder.texts.state()) == self._state:
            return
        self._state = state  # taken before looking: what comes meanwhile is seen the next time
        places: dict[str, list[int]] = {}
        for i in np.flatnonzero(~self._embedded).tolist():
            places.setdefault(self.texts[i], []).append(i)
        texts = list(places)
        for i, vector in self._embedder.texts.find(texts):
            self._rows[places[texts[i]]] = vector
            self._embedded[places[texts[i]]] = True

    def _take_over(self, previous: "Index") -> None:
        # No lock: a row is written before it counts as embedded, and another thread may be embedding the rest.
        row_of = {previous.texts[i]: i for i in np.flatnonzero(previous._embedded).tolist()}
        old = np.array([row_of.get(text, -1) for text in self.texts], dtype=np.int64)
        self._embedded = old >= 0
        self._rows[self._embedded] = previous._rows[old[self._embedded]]


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
