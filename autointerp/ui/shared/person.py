"""Who sits at this browser: asked once, where a name is first needed, and kept there; or as the sign-in says where one is
configured (`st.login`)."""

from collections.abc import Callable

import streamlit as st

from autointerp.ratings import MAX_NAME
from autointerp.ui.shared import drafts, lengths, roles

KEY = "choice_author"
ASKED = "ask_author"
_WAITING = "person_waiting"
_NAMED = "person_named"
WHY = "It is kept with your work and in this browser, so you are asked only once."


def name() -> str:
    """As they said last; where a sign-in is configured, as they are signed in. Empty before, and for one that is too long."""
    if roles.has_sign_in():
        return _signed_in()
    return _usable(drafts.value(KEY))


def field(label: str) -> str:
    """A box for it; what is typed there holds on every page. Where a sign-in is configured, the way to it instead."""
    if roles.has_sign_in():
        signed_in = _signed_in()
        if signed_in:
            st.text_input(label, signed_in, disabled=True)
        else:
            st.button("Sign in", key="sign_in", icon=":material/login:", on_click=st.login)
        return signed_in
    kept = drafts.kept(KEY, "", typed=str, lasting=True)
    said = st.text_input(label, placeholder="Your name", **kept) or ""
    lengths.say("Your name", said.strip(), MAX_NAME)
    return _usable(said)


def named(act: Callable[[str], None]) -> None:
    """Do what needs a name: at once, or once the person has said theirs, in a dialog over the page. For callbacks."""
    known = name()
    if known:
        act(known)
    else:
        st.session_state.setdefault(_WAITING, []).append(act)


def is_awaited() -> bool:
    """Whether something waits for the person to say their name."""
    return _WAITING in st.session_state


def draw() -> None:
    """Once on a page, at its end: it hears the name that the browser keeps, and asks for one that something waits for."""
    drafts.lasts(KEY)
    st.session_state.pop(_NAMED, None)
    if is_awaited():
        st.dialog("What is your name?", width="small", on_dismiss=_give_up)(_ask)()


def _ask() -> None:
    if roles.has_sign_in():
        field("Your name")
        return
    said = st.text_input(
        "Your name", key=ASKED, placeholder="Your name, then Enter", label_visibility="collapsed", on_change=_heard
    )  # fmt: skip
    lengths.say("Your name", (said or "").strip(), MAX_NAME)
    st.caption(WHY)
    if st.session_state.pop(_NAMED, False):
        st.rerun()  # closes the dialog


def _heard() -> None:
    said = _usable(st.session_state[ASKED])
    if not said:
        return
    drafts.put(KEY, said)
    st.session_state[_NAMED] = True
    waiting: list[Callable[[str], None]] = st.session_state.pop(_WAITING, [])
    for act in waiting:
        act(said)


def _give_up() -> None:
    st.session_state.pop(_WAITING, None)


def _usable(said: object) -> str:
    text = str(said or "").strip()
    return text if len(text) <= MAX_NAME else ""


def _signed_in() -> str:
    user = st.user.to_dict()
    said = user.get("name") or user.get("email") if user.get("is_logged_in") else None
    return str(said or "").strip()[:MAX_NAME]
