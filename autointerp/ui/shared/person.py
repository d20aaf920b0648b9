"""Who sits at this browser: asked once and kept there, or as the sign-in says where one is configured (`st.login`)."""

import streamlit as st

from autointerp.ui.shared import drafts, roles

KEY = "choice_author"
MAX_NAME = 100


def name() -> str:
    """As they said last; where a sign-in is configured, as they are signed in. Empty before."""
    if roles.has_sign_in():
        return _signed_in()
    return str(drafts.value(KEY) or "").strip()[:MAX_NAME]


def field(label: str) -> str:
    """A box for it; what is typed there holds on every page. Where a sign-in is configured, the way to it instead."""
    if roles.has_sign_in():
        signed_in = _signed_in()
        if signed_in:
            st.text_input(label, signed_in, disabled=True)
        else:
            st.button("Sign in", key="sign_in", icon=":material/login:", on_click=st.login)
        return signed_in
    field = drafts.kept(KEY, "", typed=str, lasting=True)
    return st.text_input(label, max_chars=MAX_NAME, placeholder="Your name", **field) or ""


def _signed_in() -> str:
    user = st.user.to_dict()
    said = user.get("name") or user.get("email") if user.get("is_logged_in") else None
    return str(said or "").strip()[:MAX_NAME]
