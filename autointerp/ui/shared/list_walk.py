"""Previous and Next on the Feature page in the order of the list that a person came from.

The address carries the list's own parameters (`list`) and the place in it (`at`, from 0); the session keeps the query they
stand for, so that a step is one query for a row or two. After a reload the query is made again from the address, unless
the list was a search. Without a list, and where it cannot be made again, steps go by number.

A detour (a neighbour, a link) keeps the place: the next step goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from autointerp.errors import StoreError, UserError
from autointerp.store import LatentPage, LatentQuery, Store, list_latents, whole_list
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import services
from autointerp.ui.shared.list_query import query_of_address
from autointerp.ui.shared.state import current, whole

LIST, AT = "list", "at"
RESET: dict[str, None] = {LIST: None, AT: None}
"""What leaves the list."""
MAX_LENGTH = 4000
_WALK = "feature_walk"

Place = tuple[str, int]
"""Coder and latent."""


@dataclass
class Walk:
    """A list as a query. `key`: its parameters as text; `places`: rows met so far and where they are."""

    store: str
    key: str
    coders: Sequence[str]
    query: LatentQuery
    total: int
    places: dict[Place, int] = field(default_factory=dict)


def begin(
    store: Store, coders: Sequence[str], query: LatentQuery, page: LatentPage, opened: Place
) -> dict[str, str]:
    """A row of a page of a list is opened: parameters for the Feature page's address."""
    key = hold(store, coders, query, page)
    places = st.session_state[_WALK].places
    return {LIST: key, AT: str(places[opened])} if opened in places and len(key) <= MAX_LENGTH else {}


def address(key: str, place: int) -> dict[str, str]:
    """Parameters of the Feature page's address for the feature at `place` (from 0) of the list `key`."""
    return {LIST: key, AT: str(place)} if len(key) <= MAX_LENGTH else {}


def hold(store: Store, coders: Sequence[str], query: LatentQuery, page: LatentPage) -> str:
    """This session keeps the list of this address, a search too. Its parameters as text, for `list` in other addresses."""
    key = urlencode({name: value for name, value in current().items() if name != "page"})
    walk = Walk(str(store.path), key, coders, query, page.total)
    _note(walk, page, query.offset)
    st.session_state[_WALK] = walk
    return key


def features(store: Store) -> dict[str, list[int]] | None:
    """The live features of the list in the address, by coder; `None` where it cannot be made again. Raises UserError."""
    walk = _walk(store)
    if walk is None:
        return None
    table = whole_list(store, walk.coders, walk.query, annotations=_annotations(store))
    by_coder: dict[str, list[int]] = {}
    for coder, latent, fires in zip(
        *(table[name].to_pylist() for name in ("coder", "latent", "n_activations")), strict=True
    ):
        if fires:
            by_coder.setdefault(coder, []).append(latent)
    return {coder: sorted(latents) for coder, latents in by_coder.items()}


def params() -> dict[str, str] | None:
    """The parameters of the list in the address, `None` without one."""
    key = current().get(LIST)
    return None if key is None or len(key) > MAX_LENGTH else dict(parse_qsl(key, keep_blank_values=True))


def tooltip(store: Store, step: int) -> str:
    """What a press of Previous or Next does."""
    which = "Next" if step > 0 else "Previous"
    return f"{which} {'by number, skipping dead features' if _walk(store) is None else 'in the list you came from'}"


def place(store: Store, here: Place) -> tuple[int, int] | None:
    """Where the feature stands in the list that a person came from, from 0, and how many that has."""
    walk = _walk(store)
    at = None if walk is None else walk.places.get(here, whole(current().get(AT)))
    return None if walk is None or at is None or at >= walk.total else (at, walk.total)


def step(store: Store, here: Place, by: int) -> tuple[Place, int] | None:
    """The row `by` (1 or -1) away from here, round the ends, and its place; `None` where steps go by number."""
    walk = _walk(store)
    if walk is None:
        return None
    at = walk.places.get(here, whole(current().get(AT)))
    if at is None:
        return None
    place = (at + by) % walk.total
    row = _row(store, walk, place)
    if row == here and walk.total > 1:  # the list was changed meanwhile
        place = (place + by) % walk.total
        row = _row(store, walk, place)
    return None if row is None else (row, place)


def _walk(store: Store) -> Walk | None:
    key = current().get(LIST)
    if key is None or len(key) > MAX_LENGTH:
        return None
    walk: Walk | None = st.session_state.get(_WALK)
    if walk is None or walk.key != key or walk.store != str(store.path):
        walk = _again(store, key)
        st.session_state[_WALK] = walk
    return walk if walk is not None and walk.total else None


def _again(store: Store, key: str) -> Walk | None:
    """The list of an address that this session has not seen."""
    try:
        listed = query_of_address(store, dict(parse_qsl(key, keep_blank_values=True)))
        if listed is None:
            return None
        coders, query = listed
        page = list_latents(store, coders, replace(query, limit=1, offset=0), annotations=_annotations(store))
    except UserError:
        return None
    walk = Walk(str(store.path), key, coders, query, page.total)
    _note(walk, page, 0)
    return walk


def _row(store: Store, walk: Walk, place: int) -> Place | None:
    query = replace(walk.query, limit=1, offset=place)
    try:
        page = list_latents(store, walk.coders, query, annotations=_annotations(store))
    except UserError:
        return None
    walk.total = page.total
    _note(walk, page, place)
    return (page.rows[0].coder, page.rows[0].stats.latent) if page.rows else None


def _note(walk: Walk, page: LatentPage, offset: int) -> None:
    walk.places |= {(row.coder, row.stats.latent): offset + i for i, row in enumerate(page.rows)}


def _annotations(store: Store) -> Annotations | None:
    try:
        return services.annotations(store)
    except StoreError:
        return None
