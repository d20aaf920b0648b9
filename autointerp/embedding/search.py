"""Search by meaning: contexts through the windows' vectors, explanations through their own, alone or with their words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autointerp.embedding.explanations import as_list, index_of
from autointerp.embedding.lookup import StoreEmbedder
from autointerp.errors import UserError
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.embeddings.reader import nearest_first
from autointerp.types import ProgressCallback, no_progress

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
    embed_missing: bool = True,
    progress: ProgressCallback = no_progress,
) -> list[FoundExplanation]:
    """Shown explanations of `coders` that fit `query`, best first, equals by coder and latent.

    "semantic" goes by the cosine, "keyword" by the words (texts with none of them are left out), "hybrid" by the cosine plus
    `KEYWORD_WEIGHT` times the words. Explanations not yet embedded are embedded now and kept, 10^5 in minutes; without
    `embed_missing` they can only be found by their words, with a cosine of 0. See `coverage` for how many these are and
    `embed_explanations` for doing it beforehand. Raises UserError.
    """
    _check(query)
    vector = np.zeros(0) if mode == "keyword" else embedder.embed_queries([query])[0]
    found: list[FoundExplanation] = []
    for coder in as_list(coders):
        index = index_of(annotations, embedder, coder)
        words = index.words(query)
        similarity, known = np.zeros(len(words), np.float32), np.zeros(len(words), np.bool_)
        if mode != "keyword":
            if embed_missing:
                index.embed_missing(progress)
            vectors, known = index.vectors()
            similarity = np.where(known, vectors @ vector, np.float32(0))
        score = {
            "semantic": similarity,
            "keyword": words,
            "hybrid": similarity + KEYWORD_WEIGHT * words,
        }[mode]
        wanted = {"semantic": known, "keyword": words > 0, "hybrid": known | (words > 0)}[mode]
        places = np.flatnonzero(wanted)
        for i in places[nearest_first(np.asarray(score[places], dtype=np.float32), limit)].tolist():
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


def _check(query: str) -> None:
    if not query.strip():
        raise UserError("The search is empty: type a few words.")
