"""Texts that are too long to be kept: never cut and never refused while they are typed, and said beside the field."""

import streamlit as st

from autointerp.errors import too_long


def say(what: str, text: str, most: int) -> None:
    """A line under a field, where its text is too long."""
    if len(text) > most:
        st.caption(f"⚠ {too_long(what, len(text), most)}")
