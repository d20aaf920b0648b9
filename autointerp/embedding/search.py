"""Search by meaning: contexts through the windows' vectors, explanations through their own, alone or with their words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autointerp.embedding.explanations import index_of
from autointerp.embedding.lookup import StoreEmbedder
from autointerp.errors import UserError
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store.annotations import Annotations
from autointerp.store.embeddings.reader import nearest_first

Mode = Literal["semantic", "hybrid"]

KEYWORD_WEIGHT = 0.4
"""Added to the cosine in "hybrid" for a text with all words of the query: about the difference between related and not."""


@dataclass(frozen=True)
class WindowHit:
    """A window and its cosine with the query."""

    context: int
    start: int
    end: int
    similarity: float


@dataclass(frozen=True)
class ExplanationHit:
    """A latent whose shown explanation fits the query. `score`: the cosine, with the words counted in "hybrid"."""

    coder: str
    latent: int
    score: float


def search_windows(
    embedder: StoreEmbedder,
    query: str,
    *,
    limit: int = 50,
    window: int = DEFAULT_WINDOW,
) -> list[WindowHit]:
    """Windows of the corpus nearest in meaning to `query`, at most one per context, nearest first.

    Raises UserError before the store is embedded, or for an empty query.
    """
    _check(query)
    embeddings = embedder.windows(window)
    if embeddings is None:
        raise UserError(
            f"The windows of this store have not been embedded with {embedder.name} yet. Embed them on the Settings page; for "
            "the demo, run autointerp demo again."
        )
    vector = embedder.embed_queries([query])[0]
    rows, values = embeddings.search(vector, limit * embeddings.places.per_context)
    nearest: dict[int, WindowHit] = {}
    for row, value in zip(rows.tolist(), values.tolist(), strict=True):
        hit = WindowHit(*embeddings.places.place(row), value)
        nearest.setdefault(hit.context, hit)
    return list(nearest.values())[:limit]


def search_explanations(
    annotations: Annotations,
    embedder: StoreEmbedder,
    coders: Iterable[str],
    query: str,
    *,
    limit: int = 100,
    mode: Mode = "hybrid",
    embed_missing: bool = True,
) -> list[ExplanationHit]:
    """Shown explanations of `coders` that fit `query`, best first, equals by coder and latent.

    "semantic" ranks by the cosine, "hybrid" by the cosine plus `KEYWORD_WEIGHT` times the share of the query's words in the
    text. Explanations not yet embedded are embedded now and kept, 10^5 in minutes; without `embed_missing` only "hybrid" finds
    them, by their words. `coverage` counts them, `embed_explanations` embeds them beforehand. Raises UserError.
    """
    _check(query)
    vector = embedder.embed_queries([query])[0]
    hits: list[ExplanationHit] = []
    for coder in coders:
        index = index_of(annotations, embedder, coder)
        if embed_missing:
            index.embed_missing()
        score, embedded = index.similarities(vector)
        eligible = embedded
        if mode == "hybrid":
            words = index.words(query)
            score = (score + KEYWORD_WEIGHT * words).astype(np.float32)
            eligible = embedded | (words > 0)
        rows = np.flatnonzero(eligible)
        best = rows[nearest_first(score[rows], limit)]
        hits += [ExplanationHit(coder, int(index.latents[i]), float(score[i])) for i in best.tolist()]
    return sorted(hits, key=lambda hit: -hit.score)[:limit]


def _check(query: str) -> None:
    if not query.strip():
        raise UserError("The search is empty. Type a few words.")
