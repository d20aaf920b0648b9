"""Search by meaning: contexts through the embedded windows, explanations through their own vectors. Where something is still
missing for it, the page says what, and offers to make it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from autointerp.errors import ModelLoadError
from autointerp.store import Spots, Store, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.ui.features import embedded
from autointerp.ui.features.results import SearchResults, hit_table
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import job_strip, llm_settings, services
from autointerp.ui.shared.embed_windows import embed_windows
from autointerp.ui.shared.state import FeaturesState, change
from autointerp.ui.shared.text import plain, visible

if TYPE_CHECKING:
    from autointerp.embedding import StoreEmbedder

MAX_WINDOWS = 200
"""Windows nearest in meaning that the list of features is narrowed to."""
MAX_EXPLANATIONS = 500
SHOWN = 8


def contexts(store: Store, state: FeaturesState) -> SearchResults | None:
    """Windows of the corpus nearest in meaning to the query, and the features that fire in them."""
    embedder = _embedder(store)
    if embedder is None:
        return None
    from autointerp.embedding import search_windows
    from autointerp.settings import DEFAULT_WINDOW

    vectors = embedder.windows(DEFAULT_WINDOW)
    if vectors is None:
        _offer_to_embed(store, embedder.name)
        return None
    windows = search_windows(store, embedder, state.search, limit=MAX_WINDOWS)
    st.caption(
        f"The **{fmt.plural(len(windows), 'window')}** closest in meaning, at most one per context; embedder "
        f"{plain(embedder.name)}. Click one to see only the features that fire in its context."
    )
    rows = []
    for window in windows[:SHOWN]:
        text = "".join(store.decode(store.tokens[window.context, window.start : window.end]))
        shown = " ".join(visible(text).split())
        cells = [fmt.count(window.context), fmt.decimal(window.similarity, 2), shown]
        rows.append({"go": {"context": window.context}, "cells": cells})
    columns = [
        {"title": "Context", "kind": "link"},
        {"title": "Cosine", "num": True, "help": "Cosine similarity of window and query"},
        {"title": "Window", "cls": "prose"},
    ]
    hit_table(columns, rows)
    places = vectors.places
    ids = tuple(window.context * places.per_context + window.start // places.stride for window in windows)
    weights = tuple(max(window.similarity, 0.0) for window in windows)
    return SearchResults(
        spots=Spots(ids, places.window, weights=weights),
        order="Best match: mean activation there (as a share of the maximum, closer windows counting more), minus that in "
        "random windows",
        what="fire in these windows",
    )


def explanations(
    store: Store, annotations: Annotations | None, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
    """Shown explanations nearest in meaning to the query, alone or with its words counted too."""
    import pyarrow as pa

    if annotations is None or not any_explanation(annotations, coders):
        no_explanations(store, state)
        return None
    embedder = _embedder(store)
    if embedder is None:
        return None
    from autointerp.embedding import search_explanations

    covered, at_once = embedded.look(annotations, embedder, coders)
    if covered.missing and not at_once:
        embedded.draw(store, annotations, embedder, coders, covered)
        if not covered.embedded and state.mode == "meaning":
            return None
    hits = search_explanations(
        annotations, embedder, coders, state.search, limit=MAX_EXPLANATIONS,
        mode="hybrid" if state.mode == "both" else "semantic", embed_missing=at_once,
    )  # fmt: skip
    matches = {}
    for coder in coders:
        own = [hit for hit in hits if hit.coder == coder]
        latents = pa.array([hit.latent for hit in own], pa.uint32())
        relevance = pa.array([hit.score for hit in own], pa.float64())
        matches[coder] = pa.table({"latent": latents, "relevance": relevance})
    how = "cosine similarity"
    if state.mode == "both":
        how += " plus matching words (rare ones count more)"
    return SearchResults(
        matches=matches,
        order=f"Best match: {how}; embedder {embedder.name}",
        what=f"have the explanations closest in meaning (at most {MAX_EXPLANATIONS})",
        measure="cosine" if state.mode == "meaning" else None,
    )


def any_explanation(annotations: Annotations | None, coders: Sequence[str]) -> bool:
    """Whether any feature of these coders is explained."""
    if annotations is None:
        return False
    kept = annotated_store(annotations)
    return any(kept.coder(name).explanations.num_rows for name in coders)


def no_explanations(store: Store, state: FeaturesState) -> None:
    """What to do where there are none to search."""
    coder = state.coder or "CODER"
    st.info(
        "Nothing is explained yet, so there are no explanations to search. Search contexts instead, or explain features: one "
        "by one on the Feature page, or all from the command line (no language model needed):"
    )
    st.code(f"autointerp explain {store.path} {coder} --explainer pattern", language=None, wrap_lines=True)
    st.button("Search contexts", key="to_contexts", on_click=change, kwargs={"mode": None, "page": None})


def _embedder(store: Store) -> "StoreEmbedder | None":
    """The embedder chosen in Settings, loaded once per process; a message where it cannot be."""
    try:
        with st.spinner("Loading the embedder", show_time=False):
            return services.resources(store).embedder(llm_settings.embedder_name())
    except ModelLoadError as error:
        st.error(f"Search by meaning needs an embedder: {plain(str(error))}")
        return None


def _offer_to_embed(store: Store, name: str) -> None:
    how = "This happens once, in the background."
    if not job_strip.writable(store):
        how = "This app is read-only: start it in an app that can write to the store."
    st.info(
        f"Searching contexts by meaning needs this store's windows to be embedded with {plain(name)}. {how}"
    )
    embed_windows(store, name)
