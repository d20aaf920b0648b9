"""The Compare page: several coders of the store side by side. A view is a module here with `draw(store, infos)`, and a line in
`VIEWS`; it reads its own part of the address."""

from importlib import import_module

import streamlit as st

from autointerp.compare import corpus
from autointerp.ui.shared import components, keyboard
from autointerp.ui.shared.session import heading, messages, open_store
from autointerp.ui.shared.state import choice, choose, current
from autointerp.ui.shared.text import plain

VIEWS: dict[str, tuple[str, str]] = {
    "price": (
        "Interpretability and cost",
        "Which coder is more interpretable, and what it costs to replace the module's output with the coder's",
    ),
    "shared": (
        "Shared features",
        "Which features of one coder are also in another, by the directions they read and write",
    ),
    "several": ("Several coders", "What each pair of coders shares, and what is found in one coder only"),
    "meaning": ("Explanations", "How alike the explanations of different coders are, layer by layer"),
    "map": ("Map", "All explained features of the store, similar explanations close together"),
    "pair": (
        "Two features",
        "Two features side by side: how alike they are, and where both fire or only one",
    ),
    "text": (
        "One text",
        "The strongest features of two coders, token by token, on a context of the corpus or a typed text",
    ),
}
"""By name, as in the address and of the module: title, and what it answers."""
OF_TEXTS = ("meaning", "map")
"""Those that compare what explanations say, rather than where features fire."""


def draw() -> None:
    """The page."""
    with messages():
        store = open_store()
        if not store.coders():
            heading("Compare")
            components.no_coders()
            return
        _body()


@st.fragment
def _body() -> None:
    with messages(), keyboard.listening():
        heading("Compare")
        store = open_store()
        first = next(iter(VIEWS))
        view = choice(current().get("view"), VIEWS, first)
        titles = {name: title for name, (title, _) in VIEWS.items()}
        choose(st.segmented_control, "View", titles, "view", view, first)
        st.caption(VIEWS[view][1])
        why = None if view in OF_TEXTS else corpus.reason(store.coders())
        if why is not None:
            st.info(plain(why, 1000))
            return
        import_module(f"autointerp.ui.compare.{view}").draw(store, store.coders())
