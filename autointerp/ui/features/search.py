"""The one search box of the Features page: what it found, as a list to look at, and the features it ranks. Where something is
still missing for a search by meaning, the page says what, and offers to make it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from autointerp.errors import ModelLoadError, UserError
from autointerp.store import ContextHit, Spots, Store, annotated_store, hit_tokens
from autointerp.store.annotations import Annotations
from autointerp.ui.features import embedded
from autointerp.ui.shared import components, job_strip, llm_settings, long_text, roles, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.embed_windows import embed_windows
from autointerp.ui.shared.list_state import FeaturesState
from autointerp.ui.shared.session import path_to_type
from autointerp.ui.shared.state import change, whole
from autointerp.ui.shared.text import beginning, plain, sentence, visible

if TYPE_CHECKING:
    import pyarrow

    from autointerp.embedding import StoreEmbedder

MAX_CONTEXTS = 500
"""Contexts that a search may hand to the list of features."""
SHOWN = 8
AROUND = 90
"""Characters shown on each side of a match."""
AFTER = 2
"""Tokens after a match that count as being at it: a causal model answers to a word once it has read it."""
MAX_WINDOWS = 200
"""Windows nearest in meaning that the list of features is narrowed to."""
MAX_EXPLANATIONS = 500
BY_FIRING = "Best match: mean activation there (as a share of the maximum), minus that at random places"


@dataclass(frozen=True)
class SearchResults:
    """What the list of features is narrowed to: where they fire, or which they are; and what "best match" means then.
    `what` says it in the list's caption; `measure` names the relevance where its value says something by itself.

    Why a row matched: `marked` are the token ranges (first, stop) of the corpus that hold what was searched for, `words` those
    that its explanation holds."""

    spots: Spots | None = None
    matches: "dict[str, pyarrow.Table] | None" = None
    order: str = BY_FIRING
    what: str = "firing in these contexts"
    measure: str | None = None
    marked: tuple[tuple[int, int], ...] = ()
    words: tuple[str, ...] = ()


def _hit_table(columns: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Contexts to click on; a click narrows the list to that one."""
    clicked = components.table({"columns": columns, "rows": rows, "page": "features"}, key="search_hits")
    if clicked:
        change(context=int(clicked["context"]), page=None, sort=None, order=None)
        st.rerun(scope="fragment")


def run(
    store: Store, annotations: Annotations | None, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
    """The search of the address with its results drawn; `None`, and a message drawn, where there is nothing to list."""
    with roles.turn():
        return _run(store, annotations, coders, state)


def _run(
    store: Store, annotations: Annotations | None, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
    if state.context is not None:
        return _context(store, state)
    if state.mode in ("text", "regex"):
        return _text(store, state)
    if state.mode == "near":
        return _near(store, state)
    if annotations is None or not any(
        annotated_store(annotations).coder(name).explanations.num_rows for name in coders
    ):
        _no_explanations(store, state)
        return None
    if state.mode == "words":
        return _words(store, annotations, coders, state)
    return _meaning(store, annotations, coders, state)


def _text(store: Store, state: FeaturesState) -> SearchResults | None:
    regex = state.mode == "regex"
    try:
        hits = store.search_contexts(state.search, regex=regex, limit=MAX_CONTEXTS)
    except UserError as error:
        st.error(sentence(error))
        return None
    if not hits.total:
        how = "matches the expression" if regex else "contains"
        case = "(?i) ignores case" if regex else "Search ignores case"
        st.info(f"No context {how} “{plain(state.search)}”. {case}; matches cannot span contexts.")
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
    _hit_table([{"title": "Context", "kind": "link"}, {"title": "Match", "kind": "snippet"}], rows)
    spans, marked = {}, {}
    for hit in hits.hits:
        first, stop = hit_tokens(store.decode(store.tokens[hit.context]), hit)
        begin, end = hit.context * store.ctx_len, (hit.context + 1) * store.ctx_len
        marked[begin + first, begin + stop] = None
        spans[begin + first, min(begin + stop + AFTER, end)] = None
    spots = Spots.spans(list(spans))
    return SearchResults(spots=spots, what="firing on these matches or just after", marked=tuple(marked))


def _words(
    store: Store, annotations: Annotations, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
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
        what="whose explanation has all these words",
        words=tuple(state.search.split()),
    )


def _context(store: Store, state: FeaturesState) -> SearchResults | None:
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
    text = store.context_text(context)
    st.text(beginning(text))
    long_text.offer(text, f"context_{context}")
    return SearchResults(spots=Spots.contexts([context], store.ctx_len), what="firing in this context")


def _snippet(hit: ContextHit) -> list[str]:
    """Before, match, after: as shown, cut to what a line can hold."""
    text, start, end = hit.text, hit.char_start, hit.char_end
    before, match, after = text[max(0, start - AROUND) : start], text[start:end], text[end : end + AROUND]
    return [visible(before), visible(match[:AROUND]), visible(after)]


# By meaning --------------------------------------------------------------------------------------


def _near(store: Store, state: FeaturesState) -> SearchResults | None:
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
    windows = search_windows(embedder, state.search, limit=MAX_WINDOWS)
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
    _hit_table(columns, rows)
    places = vectors.places
    ids = tuple(window.context * places.per_context + window.start // places.stride for window in windows)
    weights = tuple(max(window.similarity, 0.0) for window in windows)
    return SearchResults(
        spots=Spots(ids, places.window, weights=weights),
        order="Best match: mean activation there (as a share of the maximum, closer windows counting more), minus that in "
        "random windows",
        what="firing in these windows",
    )


def _meaning(
    store: Store, annotations: Annotations, coders: Sequence[str], state: FeaturesState
) -> SearchResults | None:
    """Shown explanations nearest in meaning to the query, alone or with its words counted too."""
    import pyarrow as pa

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
        what=f"closest in meaning by explanation (at most {MAX_EXPLANATIONS})",
        measure="cosine" if state.mode == "meaning" else "match",
        words=tuple(state.search.split()) if state.mode == "both" else (),
    )


def _no_explanations(store: Store, state: FeaturesState) -> None:
    """What to do where there are none to search."""
    coder = state.coder or "CODER"
    st.info(
        "Nothing is explained yet, so there are no explanations to search. Search contexts instead, or explain features: one "
        "by one on the Feature page, or all from the command line (no language model needed):"
    )
    st.code(
        f"autointerp explain {path_to_type(store)} {coder} --explainer pattern",
        language=None,
        wrap_lines=True,
    )
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
