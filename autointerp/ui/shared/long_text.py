"""Texts of any length: a page draws their beginning, says how long they are, and hands out the whole as a file.

A store or a server can hold a megabyte where a sentence is expected, and a browser that lays that out stands still.
"""

import hashlib

import streamlit as st

from autointerp.ui.shared.text import MAX_SHOWN, beginning


def code(text: str, name: str, *, height: int | None = None) -> None:
    """A text as it is, from its beginning. `name`: what it is, for the name of the file."""
    st.code(beginning(text), language=None, wrap_lines=True, height=height or "content")
    offer(text, name)


def offer(text: str, name: str) -> None:
    """Where `beginning` has cut a text: its length, and the whole to download; else nothing."""
    if len(text) <= MAX_SHOWN:
        return
    digest = hashlib.sha256(f"{name}\n{text}".encode("utf-8", "replace")).hexdigest()[:16]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"The first {MAX_SHOWN:,} of {len(text):,} characters", width="content")
        st.download_button(
            "Download all", text.encode("utf-8", "replace"), f"{name}.txt", "text/plain", key=f"whole_{digest}",
            type="tertiary", on_click="ignore",
        )  # fmt: skip
