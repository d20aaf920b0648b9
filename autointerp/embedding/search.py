"""Search by meaning: contexts through the windows' vectors, explanations through their own, alone or with their words."""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from autointerp.embedding.lookup import StoreEmbedder
from autointerp.errors import UserError
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.embeddings import nearest_first
from autointerp.types import ProgressCallback, no_progress

if TYPE_CHECKING:
    import pyarrow

Mode = Literal["semantic", "keyword", "hybrid"]

KEYWORD_WEIGHT = 0.4
"""What all of a query's words in a text add to its cosine in "hybrid": about as much as lies between related and not."""


@dataclass(frozen=True)
class FoundWindow:
    """A window and its cosine with the query."""

    context: int
    start: int
    end: int
    similarity: float


@dataclass(frozen=True)
class FoundExplanation:
    """A shown explanation. `similarity`: cosine with the query; `words`: share of the query's words in the text, rare words
    counting more; `score`: what the order goes by."""

    coder: str
    latent: int
    explanation_id: str
    text: str
    similarity: float
    words: float
    score: float


def search_windows(
    store: Store,
    embedder: StoreEmbedder,
    query: str,
    *,
    limit: int = 50,
    window: int = DEFAULT_WINDOW,
    contexts: NDArray[np.bool_] | None = None,
) -> list[FoundWindow]:
    """Windows of the corpus nearest in meaning to `query`, at most one per context, nearest first.

    `contexts` Bool[ndarray, " n_contexts"]: only these. Raises UserError before the store is embedded, or for an empty query.
    """
    _check(query)
    embeddings = embedder.windows(window)
    if embeddings is None:
        raise UserError(
            f"The windows of this store have not been embedded with {embedder.name} yet: start it on the Settings page, or "
            "run autointerp demo again for the demo."
        )
    vector = embedder.embed_queries([query])[0]
    rows, values = embeddings.search(vector, limit * embeddings.places.per_context, contexts)
    found: dict[int, FoundWindow] = {}
    for row, value in zip(rows.tolist(), values.tolist(), strict=True):
        context, start, end = embeddings.places.place(row)
        if context not in found:
            found[context] = FoundWindow(context, start, end, value)
    return list(found.values())[:limit]


def search_explanations(
    annotations: Annotations,
    embedder: StoreEmbedder,
    coders: str | Iterable[str],
    query: str,
    *,
    limit: int = 100,
    mode: Mode = "hybrid",
    progress: ProgressCallback = no_progress,
) -> list[FoundExplanation]:
    """Shown explanations of `coders` that fit `query`, best first, equals by coder and latent.

    "semantic" goes by the cosine, "keyword" by the words (texts with none of them are left out), "hybrid" by the cosine plus
    `KEYWORD_WEIGHT` times the words. Explanations not yet embedded are embedded now, and kept. Raises UserError.
    """
    _check(query)
    wanted = [coders] if isinstance(coders, str) else list(coders)
    vector = np.zeros(0) if mode == "keyword" else embedder.embed_queries([query])[0]
    found: list[FoundExplanation] = []
    for coder in wanted:
        index = _index(annotations, embedder, coder)
        words = index.words(query)
        similarity = (
            np.zeros(len(words), np.float32) if mode == "keyword" else index.vectors(progress) @ vector
        )
        score = {
            "semantic": similarity,
            "keyword": words,
            "hybrid": similarity + KEYWORD_WEIGHT * words,
        }[mode]
        for i in nearest_first(np.asarray(score, dtype=np.float32), limit).tolist():
            if mode != "keyword" or words[i] > 0:
                found.append(
                    FoundExplanation(
                        coder,
                        index.latents[i],
                        index.ids[i],
                        index.texts[i],
                        float(similarity[i]),
                        float(words[i]),
                        float(score[i]),
                    )
                )
    return sorted(found, key=lambda one: -one.score)[:limit]


class _Index:
    """The shown explanations of one coder, ready to be searched."""

    def __init__(self, table: "pyarrow.Table", embedder: StoreEmbedder):
        self.table = table
        self.latents: list[int] = table["latent"].to_pylist()
        self.ids: list[str] = table["explanation_id"].to_pylist()
        self.texts: list[str] = table["text"].to_pylist()
        self._folded = [text.casefold() for text in self.texts]
        self._embedder = embedder
        self._vectors: NDArray[np.float32] | None = None

    def vectors(self, progress: ProgressCallback) -> NDArray[np.float32]:
        if self._vectors is None:
            self._vectors = self._embedder.embed_queries(self.texts, progress)
        return self._vectors

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


_indexes: WeakKeyDictionary[StoreEmbedder, dict[Any, _Index]] = WeakKeyDictionary()
_lock = threading.Lock()


def _index(annotations: Annotations, embedder: StoreEmbedder, coder: str) -> _Index:
    """Kept until the coder's explanations change."""
    table = annotations.summary(coder)
    with _lock:
        kept = _indexes.setdefault(embedder, {})
        index = kept.get((str(annotations.path), coder))
        if index is None or index.table is not table:
            index = kept[str(annotations.path), coder] = _Index(table, embedder)
        return index


def _check(query: str) -> None:
    if not query.strip():
        raise UserError("The search is empty: type a few words.")
