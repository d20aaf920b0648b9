"""Search of contexts by text: which contexts, and a list of them to narrow down to one."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.store import ContextHit, Store
from autointerp.ui import components
from autointerp.ui import format as fmt
from autointerp.ui.state import FeaturesState, change, whole
from autointerp.ui.text import plain, visible

MAX_CONTEXTS = 500
"""Contexts that a search may hand to the list of features."""
SHOWN = 8
AROUND = 90
"""Characters shown on each side of a match."""


@dataclass(frozen=True)
class Found:
    """Contexts that the list of features is narrowed to."""

    contexts: list[int]


def contexts(store: Store, state: FeaturesState) -> Found:
    """The contexts of the address, drawn as a list; messages where there are none or the pattern is wrong."""
    if state.context is not None:
        return _one(store, state)
    try:
        hits = store.search_contexts(state.search, regex=state.regex, limit=MAX_CONTEXTS, offset=0)
    except UserError as error:
        st.error(plain(str(error)))
        return Found([])
    if not hits.total:
        how = "matches the expression" if state.regex else "contains"
        st.info(
            f"No context {how} “{plain(state.search)}”. Search ignores case and looks inside single contexts."
        )
        return Found([])
    ids = list(dict.fromkeys(hit.context for hit in hits.hits))
    limited = f"; the features below fire in the first {fmt.count(len(ids))}" if hits.total > len(ids) else ""
    st.caption(
        f"**{fmt.plural(hits.total, 'context')}** found{limited}. Click one for the features that fire in it alone."
    )
    rows = [
        {"go": {"context": hit.context}, "cells": [fmt.count(hit.context), _snippet(hit)]}
        for hit in hits.hits[:SHOWN]
    ]
    columns: list[dict[str, Any]] = [
        {"title": "Context", "kind": "link"},
        {"title": "Match", "kind": "snippet"},
    ]
    clicked = components.table({"columns": columns, "rows": rows, "page": "features"}, key="search_hits")
    if clicked:
        change(context=int(clicked["context"]), page=None)
        st.rerun(scope="fragment")
    return Found(ids)


def _one(store: Store, state: FeaturesState) -> Found:
    context = whole(state.context)
    if context is None or context >= store.n_contexts:
        st.warning(
            f"Contexts count from 0 to {store.n_contexts - 1:,}; “{plain(state.context or '', 60)}” is none."
        )
        st.button("Leave the context filter", on_click=change, kwargs={"context": None, "page": None})
        return Found([])
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
    return Found([context])


def _snippet(hit: ContextHit) -> list[str]:
    """Before, match, after: as shown, cut to what a line can hold."""
    text, start, end = hit.text, hit.char_start, hit.char_end
    before, match, after = text[max(0, start - AROUND) : start], text[start:end], text[end : end + AROUND]
    return [visible(before), visible(match[:AROUND]), visible(after)]
