"""Stars in lists of features: a click puts a feature into the collection "Starred" or takes it out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from autointerp.errors import StoreError
from autointerp.store import Store
from autointerp.store.annotations import STARRED
from autointerp.store.annotations.collections import Place
from autointerp.ui.shared import components, job_strip, person, services
from autointerp.ui.shared.session import open_store
from autointerp.ui.shared.text import plain

_HANDLED = "stars_handled"
_UNSTARRED = "stars_taken"


def set_star(store: Store, place: Place, *, on: bool, author: str) -> None:
    """Raises StoreError."""
    collections = services.annotations(store).collections
    if on:
        collections.add(STARRED, [place], author=author)
    elif collections.among(STARRED, [place]):
        collections.remove(STARRED, [place])
        taken_here(store).add(place)


def click(store: Store, place: Place, *, on: bool) -> None:
    """What a click on a star wants: given under the person's name, once it is known; what goes wrong is said."""

    def act(author: str) -> None:
        try:
            set_star(store, place, on=on, author=author)
        except StoreError as error:
            st.toast(plain(str(error), 400))

    if on:
        person.named(act)
    else:
        act("")


def taken_here(store: Store) -> set[Place]:
    """Features whose star this session took away. A list of the starred keeps them in their rows until it is left: rows must
    not move under the pointer, and the star can be given back."""
    path, taken = st.session_state.get(_UNSTARRED, ("", set()))
    if path != str(store.path):
        taken = set()
        st.session_state[_UNSTARRED] = (str(store.path), taken)
    return taken


def forget_taken() -> None:
    """The list was left."""
    st.session_state.pop(_UNSTARRED, None)


def mark(store: Store, rows: Sequence[dict[str, Any]]) -> None:
    """Say of rows with `go` records of features whether they are starred, where that can be changed."""
    try:
        if not job_strip.writable(store):
            return
        places = [(str(row["go"]["coder"]), int(row["go"]["latent"])) for row in rows]
        starred = services.annotations(store).collections.among(STARRED, places)
    except StoreError:
        return
    _, handled = st.session_state.get(_HANDLED, ("", 0))
    for row, place in zip(rows, places, strict=True):
        row["star"] = place in starred
        row["told"] = handled  # the element looks again: a star that was not given is taken back


def on_star(key: str) -> Callable[[], None]:
    """The callback of the element `key`, a table of features."""
    return partial(_clicked, key)


def _clicked(key: str) -> None:
    """Do what was clicked since the run before, in its order; clicks that came together arrive together."""
    sent = components.triggered(key, "star")
    if not isinstance(sent, dict):
        return
    load, count, changes = str(sent["load"]), int(sent["n"]), list(sent["changes"])
    before, handled = st.session_state.get(_HANDLED, ("", 0))
    missing = count - (handled if before == load else 0)
    st.session_state[_HANDLED] = (load, count)
    store = open_store()
    for coder, latent, on in changes[-missing:] if missing > 0 else ():
        click(store, (str(coder), int(latent)), on=bool(on))
