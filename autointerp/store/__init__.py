"""Stores: folders that hold a corpus and, for each sparse coder, everything its latents did on it. The only place with SQL."""

from autointerp.store.annotated import (
    CoderAnnotations,
    annotated_store,
    sorted_kinds,
)
from autointerp.store.catalog import one_look
from autointerp.store.coder_writer import CoderWriter, Stated
from autointerp.store.coders.definitions import STATISTICS, Statistic
from autointerp.store.coders.firing import Spots
from autointerp.store.coders.reader import CoderStore
from autointerp.store.coders.spool import LatentBlock
from autointerp.store.corpus.search import ContextHit, hit_tokens
from autointerp.store.corpus.vocabulary import Vocabulary, VocabularyEntry, vocabulary_from_tokenizer
from autointerp.store.corpus_writer import CorpusWriter
from autointerp.store.list_table import list_table
from autointerp.store.listing import list_latents, whole_list
from autointerp.store.previews import match_examples, preview_examples
from autointerp.store.queries import LatentPage, LatentQuery, LatentRow, ScoreBound
from autointerp.store.score_kinds import ScoreKind, current_key, kind_of
from autointerp.store.shown import ShownExplanation, ShownScore, ShownVerdict
from autointerp.store.store import Document, Store

__all__ = [
    "STATISTICS",
    "CoderAnnotations",
    "CoderStore",
    "CoderWriter",
    "ContextHit",
    "CorpusWriter",
    "Document",
    "LatentBlock",
    "LatentPage",
    "LatentQuery",
    "LatentRow",
    "ScoreBound",
    "ScoreKind",
    "ShownExplanation",
    "ShownScore",
    "ShownVerdict",
    "Spots",
    "Stated",
    "Statistic",
    "Store",
    "Vocabulary",
    "VocabularyEntry",
    "annotated_store",
    "current_key",
    "hit_tokens",
    "kind_of",
    "list_latents",
    "list_table",
    "match_examples",
    "one_look",
    "preview_examples",
    "sorted_kinds",
    "vocabulary_from_tokenizer",
    "whole_list",
]
