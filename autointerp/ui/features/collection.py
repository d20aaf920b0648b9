"""Collections on the Features page: what is said of the one that is listed, and putting a whole list into one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import streamlit as st

from autointerp.errors import UserError, nearest
from autointerp.ratings import MAX_NOTE
from autointerp.store import LatentPage, LatentQuery, Store, whole_list
from autointerp.store.annotations import STARRED, Annotations, Collection
from autointerp.store.annotations.collections import MAX_NAME
from autointerp.ui.shared import components, drafts, job_strip, lengths, person, stars
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.list_state import FeaturesState
from autointerp.ui.shared.state import change, current, suggest
from autointerp.ui.shared.text import plain

_LIST = "collection_list"
_NOTICE = "collection_notice"
_ERROR = "collection_error"
MAX_SHOWN = 300
"""Characters of a note in the list's head."""


def names(annotations: Annotations | None, state: FeaturesState) -> dict[str, str]:
    """Collections to choose from, with how many features they have; that of the address always."""
    known = [] if annotations is None else annotations.collections.all()
    offered = {each.name: f"{plain(each.name, MAX_NAME)} ({fmt.count(each.n)})" for each in known}
    return offered if state.collection is None else {state.collection: plain(state.collection), **offered}


def head(store: Store, annotations: Annotations | None, state: FeaturesState) -> bool:
    """What the listed collection is, with a way to change it; False, and what there is instead, where it does not exist."""
    if state.collection is None or annotations is None:
        return True
    known = {collection.name: collection for collection in annotations.collections.all()}
    collection = known.get(state.collection)
    if collection is None:
        st.warning(f"Collection “{plain(state.collection, MAX_NAME)}” does not exist.")
        ways = [(plain(name), {"collection": name}) for name in nearest(state.collection, list(known))]
        suggest([*ways, ("All features", {"collection": None})])
        return False
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note = plain(collection.note, MAX_SHOWN)
        by = f":gray[by {plain(collection.author, 60)}, {collection.created[:10]}]"
        st.markdown(" · ".join(filter(None, [f"**{plain(collection.name)}**", note, by])), width="content")
        if job_strip.writable(store):
            with st.popover("Edit collection", icon=":material/edit:"):
                _edit(annotations, collection)
    return True


def _edit(annotations: Annotations, collection: Collection) -> None:
    keys = {part: f"collection_{part}_{collection.name}" for part in ("name", "note")}
    if collection.name != STARRED:
        name = st.text_input("Name", **drafts.kept(keys["name"], collection.name, typed=str))
        lengths.say("The name", name or "", MAX_NAME)
    note = st.text_area("Note", **drafts.kept(keys["note"], collection.note, typed=str))
    lengths.say("The note", note or "", MAX_NOTE)
    _error("edit")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Save",
            key="collection_save",
            on_click=_attempt,
            args=("edit", _save, annotations, collection, keys),
        )
        st.button(
            "Delete", key="collection_delete", type="tertiary", on_click=_attempt,
            args=("edit", _delete, annotations, collection),
            help="Deletes the collection and the notes in it; the features themselves stay",
        )  # fmt: skip


def _save(annotations: Annotations, collection: Collection, keys: Mapping[str, str]) -> None:
    annotations.collections.describe(collection.name, str(st.session_state[keys["note"]] or ""))
    name = str(st.session_state.get(keys["name"], collection.name) or "")
    if name != collection.name:
        annotations.collections.rename(collection.name, name)
        change(collection=" ".join(name.split()), page=None)
    for key in keys.values():
        drafts.used(key)
    _say("Saved")


def _delete(annotations: Annotations, collection: Collection) -> None:
    annotations.collections.delete(collection.name)
    change(collection=None, page=None)
    _say(f"Deleted: {plain(collection.name)}")


def fill(
    store: Store, coders: Sequence[str], query: LatentQuery, page: LatentPage, annotations: Annotations, listed: str | None
) -> None:  # fmt: skip
    """Puts the whole list into a collection; `listed`: the one that is listed, out of which it can be taken."""
    of = (store, coders, query, annotations)
    with st.popover("Collect", icon=":material/bookmark_add:", help="Put this list into a collection"):
        options = annotations.collections.names()
        st.selectbox(
            "Collection", options, placeholder="Choose one", format_func=lambda name: plain(str(name), MAX_NAME),
            **drafts.kept("collect_into", None, [None, *options]),
        )  # fmt: skip
        name = st.text_input("or a new one", placeholder="Name", **drafts.kept("collect_new", "", typed=str))
        lengths.say("The name", name or "", MAX_NAME)
        note = st.text_input("Note on each", **drafts.kept("collect_note", "", typed=str))
        lengths.say("The note", note or "", MAX_NOTE)
        _error("fill")
        n = fmt.plural(page.total, "feature")
        st.button(f"Add {n}", key="collect_add", on_click=_attempt, args=("fill", _add, *of))
        if listed is not None:
            label = f"Remove {n} from “{plain(listed, 40)}”"
            st.button(
                label,
                key="collect_remove",
                type="tertiary",
                on_click=_attempt,
                args=("fill", _remove, *of, listed),
            )


def _places(
    store: Store, coders: Sequence[str], query: LatentQuery, annotations: Annotations
) -> list[tuple[str, int]]:
    table = whole_list(store, coders, query, annotations=annotations)
    return list(zip(table["coder"].to_pylist(), table["latent"].to_pylist(), strict=True))


def _add(store: Store, coders: Sequence[str], query: LatentQuery, annotations: Annotations) -> None:
    chosen, new, note = (st.session_state.get(f"collect_{part}") for part in ("into", "new", "note"))
    name = str(new or "").strip() or chosen
    if not name:
        raise UserError("Choose a collection, or name a new one.")
    places = _places(store, coders, query, annotations)
    person.named(partial(_attempt, "fill", _add_as, annotations, name, places, str(note or "")))


def _add_as(
    annotations: Annotations, name: str, places: Sequence[tuple[str, int]], note: str, author: str
) -> None:
    n = annotations.collections.add(name, places, author=author, note=note)
    for part in ("new", "note"):
        drafts.put(f"collect_{part}", "")
        drafts.used(f"collect_{part}")
    already = f"; {fmt.count(len(places) - n)} already in it" if n < len(places) else ""
    _say(f"Added {fmt.plural(n, 'feature')} to {plain(name)}{already}")


def _remove(
    store: Store, coders: Sequence[str], query: LatentQuery, annotations: Annotations, name: str
) -> None:
    n = annotations.collections.remove(name, _places(store, coders, query, annotations))
    _say(f"Removed {fmt.plural(n, 'feature')} from {plain(name)}")


# The list stays as it is under the pointer -----------------------------------------------------


def still_in_sight(store: Store, query: LatentQuery, state: FeaturesState) -> LatentQuery:
    """The query of a list of the starred, with those whose star was taken away while the list is looked at."""
    address = {name: value for name, value in current().items() if name != "page"}
    if st.session_state.get(_LIST) != address:
        stars.forget_taken()
    st.session_state[_LIST] = address
    taken = stars.taken_here(store)
    if state.collection != STARRED or query.members is None or not taken:
        return query
    members: dict[str, list[int]] = {coder: list(latents) for coder, latents in query.members.items()}
    for coder, latent in taken:
        members.setdefault(coder, []).append(latent)
    return replace(query, members={coder: sorted(set(latents)) for coder, latents in members.items()})


def hidden(query: LatentQuery, page: LatentPage) -> int:
    """How many features of the collection are not listed: of other coders, dead ones, filtered out."""
    return max(0, sum(map(len, (query.members or {}).values())) - page.total)


def notes(
    page: LatentPage, state: FeaturesState, annotations: Annotations | None
) -> dict[tuple[str, int], str]:
    """What is noted of the features of the page in the collection that is listed."""
    if state.collection is None or annotations is None:
        return {}
    members = annotations.collections.among(
        state.collection, [(row.coder, row.stats.latent) for row in page.rows]
    )
    return {place: member.note for place, member in members.items()}


# Clicks and what they came to ------------------------------------------------------------------


def _attempt(place: str, act: Callable[..., None], *arguments: Any) -> None:
    st.session_state.pop(_ERROR, None)
    try:
        act(*arguments)
    except UserError as error:
        st.session_state[_ERROR] = (place, str(error))


def _error(place: str) -> None:
    error = st.session_state.get(_ERROR)
    if error and error[0] == place:
        st.error(plain(error[1], 400))


def _say(text: str) -> None:
    st.session_state[_NOTICE] = (text, uuid4().hex)


def notice() -> None:
    """Says once what a click came to; the last element of the page."""
    components.notice(*st.session_state.get(_NOTICE, ("", "")))
