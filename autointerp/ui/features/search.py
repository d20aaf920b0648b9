"""The one search box of the Features page: what it found, as a list to look at, and the features it ranks."""

from collections.abc import Sequence

import streamlit as st

from autointerp.errors import UserError
from autointerp.store import ContextHit, Spots, Store, annotated_store, hit_tokens
from autointerp.store.annotations import Annotations
from autointerp.ui.features import search_meaning
from autointerp.ui.features.results import SearchResults, hit_table
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import FeaturesState, change, whole
from autointerp.ui.shared.text import plain, sentence, visible

MAX_CONTEXTS = 500
"""Contexts that a search may hand to the list of features."""
SHOWN = 8
AROUND = 90
"""Characters shown on each side of a match."""
AFTER = 2
"""Tokens after a match that count as being at it: a causal model answers to a word once it has read it."""


def run(
    store: Store, annotations: Annotations | None, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
    """The search of the address with its results drawn; `None`, and a message drawn, where there is nothing to list."""
    if state.context is not None:
        return _one(store, state)
    match state.mode:
        case "words":
            return _words(store, annotations, coders, state)
        case "near":
            return search_meaning.contexts(store, state)
        case "meaning" | "both":
            return search_meaning.explanations(store, annotations, coders, state)
        case _:
            return _text(store, state)


def _text(store: Store, state: FeaturesState) -> SearchResults | None:
    regex = state.mode == "regex"
    try:
        hits = store.search_contexts(state.search, regex=regex, limit=MAX_CONTEXTS)
    except UserError as error:
        st.error(sentence(error))
        return None
    if not hits.total:
        how = "matches the expression" if regex else "contains"
        st.info(
            f"No context {how} “{plain(state.search)}”. Search ignores case; matches cannot span contexts."
            if not regex
            else f"No context {how} “{plain(state.search)}”. Matches cannot span contexts; (?i) ignores case."
        )
        return None
    ids = list(dict.fromkeys(hit.context for hit in hits.hits))
    limited = (
        f"; the features below are those of the first {fmt.count(len(ids))}" if hits.total > len(ids) else ""
    )
    st.caption(
        f"**{fmt.plural(hits.total, 'context')}** found{limited}. Click one to see only the features that fire in it."
    )
    rows = [
        {"go": {"context": hit.context}, "cells": [fmt.count(hit.context), _snippet(hit)]}
        for hit in hits.hits[:SHOWN]
    ]
    hit_table([{"title": "Context", "kind": "link"}, {"title": "Match", "kind": "snippet"}], rows)
    spans = {}
    for hit in hits.hits:
        first, stop = hit_tokens(store.decode(store.tokens[hit.context]), hit, after=AFTER)
        spans[hit.context * store.ctx_len + first, hit.context * store.ctx_len + stop] = None
    return SearchResults(spots=Spots.spans(list(spans)), what="fire on these matches or just after")


def _words(
    store: Store, annotations: Annotations | None, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
    if not search_meaning.any_explanation(annotations, coders):
        search_meaning.no_explanations(store, state)
        return None
    assert annotations is not None
    kept = annotated_store(annotations)
    matches = {coder: kept.coder(coder).find_words(state.search) for coder in coders}
    if not any(table.num_rows for table in matches.values()):
        st.info(
            f"No explanation contains every word of “{plain(state.search)}”. Search by meaning also finds synonyms."
        )
        st.button(
            "Search by meaning",
            key="words_to_meaning",
            on_click=change,
            kwargs={"mode": "meaning", "page": None},
        )
        return None
    return SearchResults(
        matches=matches,
        order="Best match: whole words first, then shorter explanations",
        what="have an explanation with all these words",
    )


def _one(store: Store, state: FeaturesState) -> SearchResults | None:
    context = whole(state.context)
    if context is None or context >= store.n_contexts:
        st.warning(
            f"Context {plain(state.context or '', 60)} does not exist: contexts are numbered 0 to {store.n_contexts - 1:,}."
        )
        st.button("Clear the context", on_click=change, kwargs={"context": None, "page": None})
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Features that fire in **context {context}**", width="content")
        st.button(
            "All contexts",
            type="tertiary",
            icon=":material/close:",
            on_click=change,
            kwargs={"context": None, "page": None},
        )
    st.text(visible(store.context_text(context)))
    return SearchResults(spots=Spots.contexts([context], store.ctx_len), what="fire in this context")


def _snippet(hit: ContextHit) -> list[str]:
    """Before, match, after: as shown, cut to what a line can hold."""
    text, start, end = hit.text, hit.char_start, hit.char_end
    before, match, after = text[max(0, start - AROUND) : start], text[start:end], text[end : end + AROUND]
    return [visible(before), visible(match[:AROUND]), visible(after)]
