"""The feature's star, and the collections it is in."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import STARRED, CollectionTable, Member
from autointerp.store.annotations.collections import MAX_NAME, Place, checked_name
from autointerp.ui.feature.state import COLLECTIONS
from autointerp.ui.shared import components, drafts, job_strip, keyboard, person, services, stars
from autointerp.ui.shared.session import open_store
from autointerp.ui.shared.state import change, current
from autointerp.ui.shared.text import plain

STAR_WIDTH = 62
"""Pixels: the same with and without the star."""
HELP = "Collections that this feature is in, and the notes on it"
_ERROR = "collections_error"


def star(store: Store, coder: CoderStore, latent: int) -> None:
    """The button that stars the feature, or takes the star away."""
    if not job_strip.writable(store):
        return
    place = (coder.info.coder, latent)
    on = bool(services.annotations(store).collections.among(STARRED, [place]))
    keyboard.button(
        "★" if on else "☆", "star", "t", "Star the feature, or remove its star", _toggle_star, (place,),
        help="Starred: remove the star" if on else "Star this feature", width=STAR_WIDTH,
    )  # fmt: skip


def _toggle_star(place: Place) -> None:
    store = open_store()
    on = bool(services.annotations(store).collections.among(STARRED, [place]))
    stars.click(store, place, on=not on)


def draw(store: Store, place: Place, *, is_open: bool) -> None:
    """A line that names the collections, and if `is_open` where they are chosen and noted."""
    members = services.annotations(store).collections.of(*place)
    writable = job_strip.writable(store)
    if not writable and not members:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if writable:
            label = "**Collections**" if is_open else "Collections"
            keyboard.button(label, "open_collections", "l", HELP, _open, type="tertiary", help=HELP)
        for member in members:
            if st.button(
                plain(member.collection, MAX_NAME), key=f"to_collection_{member.collection}", type="tertiary",
                help=_said(member),
            ):  # fmt: skip
                components.go("features", {"collection": member.collection})
        if not members:
            st.caption("in none", width="content")
    if is_open and writable:
        with components.room():
            _panel(store, place, members)


def _said(member: Member) -> str:
    by = f"Added by {plain(member.author, 60)} on {member.created[:10]}. Opens the list"
    return f"{plain(member.note, 400)}  \n{by}" if member.note else by


def _open() -> None:
    change(panel=None if current().get("panel") == COLLECTIONS else COLLECTIONS)


def _panel(store: Store, place: Place, members: list[Member]) -> None:
    here = [member.collection for member in members]
    names = services.annotations(store).collections.names()
    about = "_".join(map(str, place))
    chosen, new = f"collections_of_{about}", f"collection_new_{about}"
    with st.container(border=True):
        if st.session_state.get(chosen) != here:
            st.session_state[chosen] = here
        st.pills(
            "In collections", names, selection_mode="multi", wrap=True, key=chosen,
            format_func=lambda name: plain(str(name), MAX_NAME), on_change=_choose, args=(chosen, place, here),
        )  # fmt: skip
        field: dict[str, Any] = drafts.kept(new, "", typed=str)
        field["on_change"] = partial(_add_new, new, place)
        st.text_input("New collection", placeholder="Type a name and press Enter", **field)
        error = st.session_state.get(_ERROR)
        if error and error[0] == place:
            st.error(plain(error[1], 400))
        for member in members:
            _note(place, member)


def _attempt(place: Place, act: Callable[[CollectionTable], object]) -> bool:
    """Change the collections; what a user can do wrong becomes a message."""
    st.session_state.pop(_ERROR, None)
    try:
        act(services.annotations(open_store()).collections)
    except UserError as error:
        st.session_state[_ERROR] = (place, str(error))
        return False
    return True


def _choose(key: str, place: Place, before: list[str]) -> None:
    """What was added to the choice, or taken out of it."""
    chosen = list(st.session_state[key])
    for name in chosen:
        if name not in before:
            person.named(partial(_add, place, name))
    for name in before:
        if name not in chosen:
            _attempt(place, lambda collections, name=name: collections.remove(name, [place]))


def _add_new(key: str, place: Place) -> None:
    name = str(st.session_state[key] or "")
    if name.strip() and _attempt(place, lambda _: checked_name(name)):
        person.named(partial(_add, place, name, new=key))


def _add(place: Place, name: str, author: str, *, new: str | None = None) -> None:
    """`new`: the key of the field that the name was typed into, which is empty again once it was used."""
    added = _attempt(place, lambda collections: collections.add(name, [place], author=author))
    if added and new is not None:
        drafts.put(new, "")
        drafts.used(new)


def _note(place: Place, member: Member) -> None:
    key = f"collection_note_{place[0]}_{place[1]}_{member.collection}"
    field: dict[str, Any] = drafts.kept(key, member.note, typed=str)
    field["on_change"] = partial(_write_note, key, place, member.collection)
    st.text_input(
        f"Note in {plain(member.collection, MAX_NAME)}", placeholder="What to remember about it",
        **field,
    )  # fmt: skip


def _write_note(key: str, place: Place, name: str) -> None:
    text = str(st.session_state[key] or "")
    if _attempt(place, lambda collections: collections.annotate(name, place, text)):
        drafts.used(key)
