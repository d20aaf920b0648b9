"""Stores: folders that hold a corpus and, for each sparse coder, everything its latents did on it. The only place with SQL."""

from autointerp.store.annotated import (
    AnnotatedStore,
    CoderAnnotations,
    ScoreKind,
    ShownExplanation,
    ShownScore,
    annotated_store,
)
from autointerp.store.coder_reader import CoderStore, LatentTable
from autointerp.store.coder_writer import CoderWriter
from autointerp.store.corpus import CorpusWriter
from autointerp.store.firing import Spots
from autointerp.store.listing import LatentPage, LatentQuery, LatentRow, list_latents
from autointerp.store.manifest import FORMAT, Layout
from autointerp.store.reader import Store
from autointerp.store.search import ContextHit, ContextHits, hit_tokens
from autointerp.store.spool import LatentBlock
from autointerp.store.vocabulary import Vocabulary, VocabularyEntry, vocabulary_from_tokenizer

__all__ = [
    "FORMAT",
    "AnnotatedStore",
    "CoderAnnotations",
    "CoderStore",
    "CoderWriter",
    "ContextHit",
    "ContextHits",
    "CorpusWriter",
    "LatentBlock",
    "LatentPage",
    "LatentQuery",
    "LatentRow",
    "LatentTable",
    "Layout",
    "ScoreKind",
    "ShownExplanation",
    "ShownScore",
    "Spots",
    "Store",
    "Vocabulary",
    "VocabularyEntry",
    "annotated_store",
    "hit_tokens",
    "list_latents",
    "vocabulary_from_tokenizer",
]
