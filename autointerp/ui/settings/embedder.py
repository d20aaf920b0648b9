"""The embedder part of the Settings page: which one, whether this store's windows are embedded, and a button that does it."""

import streamlit as st

from autointerp.errors import UserError
from autointerp.preferences import DEFAULT_EMBEDDER
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import Store
from autointerp.store.embeddings.reader import WindowEmbeddings, list_embeddings
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import llm_settings, roles
from autointerp.ui.shared.embed_windows import embed_windows
from autointerp.ui.shared.text import plain, sentence

_CHOICE = "embedder_choice"
_RATE = 95
"""Windows of 32 tokens that two cores embed in a second with the default embedder, as measured."""


def section(store: Store | None) -> None:
    """Draws it; `store` is `None` where none can be opened."""
    st.subheader("Embedder", anchor=False)
    st.caption(
        "Used for embedding scores, search by meaning, and hard negatives that are similar in meaning. Every window of the "
        "corpus is embedded once; the vectors are kept in the store."
    )
    chosen = llm_settings.embedder_name()
    stored = list_embeddings(store.path) if store is not None else []
    if roles.is_owner():
        typed = str(st.session_state.get(_CHOICE) or chosen)
        names = list(dict.fromkeys([chosen, typed, DEFAULT_EMBEDDER, *(name for name, _, _ in stored)]))
        picked = st.selectbox(
            "Embedder", names, index=0, key=_CHOICE, accept_new_options=True, label_visibility="collapsed",
            help="The default, or the folder of any sentence-transformers model",
        )  # fmt: skip
        picked = str(picked or "").strip()
        if picked and picked != chosen:
            try:
                llm_settings.remember_embedder(picked)
                chosen = picked
            except UserError as error:
                st.error(sentence(error, 500))
    if store is None:
        st.caption("Open a store to see whether its windows are embedded.")
        return
    vectors = store.embeddings(chosen)
    if vectors is not None:
        st.caption("✓ " + described(vectors))
    else:
        _missing(store, chosen)
    others = [
        f"{plain(name, 80)}, windows of {window}"
        for name, window, _ in stored
        if (name, window) != (chosen, DEFAULT_WINDOW)
    ]
    if others:
        st.caption("Also in this store: " + "; ".join(others) + ".")


def described(vectors: WindowEmbeddings) -> str:
    """What a store has, as Markdown."""
    return (
        f"Embedded with {plain(vectors.name, 80)}: {fmt.plural(len(vectors), 'window')} of "
        f"{vectors.window} tokens, {vectors.dim} dimensions, {fmt.size(vectors.vectors.nbytes)} ({plain(vectors.precision)})."
    )


def _missing(store: Store, name: str) -> None:
    n = store.window_places(DEFAULT_WINDOW).n_windows
    guess = ""
    if name == DEFAULT_EMBEDDER:
        minutes = n / _RATE / 60
        guess = (
            f", about {max(1, round(minutes))} min on two cores"
            if minutes < 120
            else f", about {minutes / 60:.0f} h"
        )
    st.caption(
        f"Not embedded with {plain(name, 80)} yet: {fmt.plural(n, 'window')} of {DEFAULT_WINDOW} tokens{guess}. Until then "
        "embedding scores embed what they need, and contexts cannot be searched by meaning."
    )
    embed_windows(store, name)
