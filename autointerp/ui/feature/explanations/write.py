"""A person's own explanation: written from nothing, or edited from the version in sight."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.pipeline.explain import MAX_TEXT
from autointerp.pipeline.options import ScoreOptions
from autointerp.store import Store
from autointerp.ui.feature.explanations import work as working
from autointerp.ui.feature.explanations.choices import kept, run_and_close
from autointerp.ui.feature.explanations.data import Known
from autointerp.ui.shared.state import bound

AUTHOR = "explanation_author"
TEXT = "explanation_text"


def write(store: Store, known: Known, *, edit: bool) -> None:
    """A person's own version: from nothing, or from the one in sight."""
    base = known.current if known.current and known.current.status == "ok" else None
    current = base if edit else None
    key = f"{TEXT}_{known.coder}_{known.latent}_{current.id if current else ''}_{len(known.versions)}"
    if key not in st.session_state:
        st.session_state[key] = current.text if current else ""
    with st.container(border=True):
        if base is not None:
            starts = {"edit": f"From version {known.number(base)}", "write": "From nothing"}
            st.segmented_control(
                "Start", list(starts), format_func=starts.__getitem__, required=True, label_visibility="collapsed",
                **bound("panel", "edit" if edit else "write"),
            )  # fmt: skip
        text = st.text_area(
            f"Edit version {known.number(current)}" if current else "Your own explanation", key=key, height=110,
            placeholder="What does this feature respond to? One or two sentences.",
            help="Every version stays; an edit keeps its parent.",
        )  # fmt: skip
        with st.container():  # a slot, so that nothing below moves while someone types
            if len(text) > MAX_TEXT:
                st.warning(f"{len(text):,} characters; at most {MAX_TEXT:,} can be kept.")
        first, second = st.columns(2, vertical_alignment="bottom")
        author = first.text_input("Author", max_chars=100, placeholder="Your name", **_author())
        score_it = second.toggle(
            "Score it", help="Detection, fuzzing and what else works here without a language model, on examples that no "
            "explainer has seen; you may have",
            **kept("score_written", True),
        )  # fmt: skip
        scores = working.alike(known, working.defaults(store)) if score_it else []
        parent = current.id if current else None
        run_and_close("Save", "run_write", _save, store, known, text, author, parent, scores)


def _author() -> dict[str, Any]:
    st.session_state.setdefault("choice_author", st.session_state.get(AUTHOR, ""))

    def keep() -> None:
        st.session_state[AUTHOR] = st.session_state["choice_author"]

    return {"key": "choice_author", "on_change": keep}


def _save(
    store: Store, known: Known, text: str, author: str, parent: str | None, scores: Sequence[ScoreOptions]
) -> None:  # fmt: skip
    before = known.find(parent)
    if before is not None and text.strip() == before.text.strip():
        raise UserError("Nothing was changed, so there is nothing to save.")
    working.write(store, known.coder, known.latent, text, author, parent, scores)
