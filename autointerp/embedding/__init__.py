"""Texts as vectors: every window of a corpus embedded once, then search by meaning and embedding scores.

embedder = load_embedder()                            # all-MiniLM-L6-v2, from an installed package
embed_store(store, embedder)                          # once; resumable
store_embedder = StoreEmbedder(store, embedder)       # for autointerp.score.Embedding
search_windows(store_embedder, "opening quotes", limit=20)
embed_explanations(annotations, store_embedder, ["sae"])  # resumable; else the first search does it
search_explanations(annotations, store_embedder, ["sae"], "brackets after a number")
"""

from autointerp.embedding.base import TextEmbedder
from autointerp.embedding.explanations import Coverage, coverage, embed_explanations
from autointerp.embedding.load import load_embedder
from autointerp.embedding.lookup import StoreEmbedder
from autointerp.embedding.search import search_explanations, search_windows
from autointerp.embedding.windows import embed_store, window_texts

__all__ = [
    "Coverage",
    "StoreEmbedder",
    "TextEmbedder",
    "coverage",
    "embed_explanations",
    "embed_store",
    "load_embedder",
    "search_explanations",
    "search_windows",
    "window_texts",
]
