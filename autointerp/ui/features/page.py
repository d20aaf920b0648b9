"""The Features page: every feature of a coder or of all, sorted, filtered and searched in the store."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import streamlit as st

from autointerp.store import LatentPage, Store, list_latents
from autointerp.types import CoderInfo
from autointerp.ui.features import chips, collection, controls, elsewhere, search
from autointerp.ui.features.rows import record
from autointerp.ui.features.search import SearchResults
from autointerp.ui.shared import components, expected, keyboard, list_walk, score_text, selected, stars
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.list_query import (
    PAGE_SIZE,
    ListAnnotations,
    latent_query,
    read_annotations,
    shown_sort,
)
from autointerp.ui.shared.list_state import BEST, SCORE_FILTERS, SCORE_SORTS, FeaturesState, sorts
from autointerp.ui.shared.session import LIST_PARAMS, PAGE_BEFORE, heading, messages, open_store
from autointerp.ui.shared.state import change, current, unknown_coder
from autointerp.ui.shared.text import plain

KEY = "features"


def draw() -> None:
    """The page."""
    with messages():
        store = open_store()
        infos = store.coders()
        if not infos:
            heading("Features")
            components.no_coders()
            return
        seen = _left_as()
        if seen:
            components.go("features", seen, instead=True)
            return
        if st.session_state.get(PAGE_BEFORE) != "features":
            stars.forget_taken()
        state = FeaturesState.parse(current())
        names = [info.coder for info in infos]
        if state.coder is not None and state.coder not in names:
            heading("Features")
            unknown_coder(state.coder, names, "page")
            return
        _body()


def _left_as() -> dict[str, str]:
    """The parameters of the list as it was left, where it is to be shown so: the navigation's link leads to a bare address,
    from another page."""
    came = st.session_state.get(PAGE_BEFORE) not in (None, "features")
    return st.session_state.get(LIST_PARAMS, {}) if came and not current() else {}


@st.fragment
def _body() -> None:
    with messages(), keyboard.listening("Features"):
        st.session_state[LIST_PARAMS] = current()
        store = open_store()
        state = FeaturesState.parse(current())
        infos = store.coders()
        coders = state.coders(infos)
        listed = read_annotations(store, coders, state)
        _controls(store, infos, state, listed)
        chips.draw(state, listed)
        if not coders:
            st.info("There is no coder of this kind at this hookpoint: remove a filter.")
            return
        if not collection.head(store, listed.annotations, state):
            return
        _missing(listed, state)
        results = None
        if state.searching:
            results = search.run(store, listed.annotations, coders, state)
            if results is None:
                return
        query = latent_query(coders, state, listed, results and results.spots, results and results.matches)
        query = collection.still_in_sight(store, query, state)
        ready = all(store.coder(name).has(query.computed) for name in coders)
        with nullcontext() if ready else st.spinner("Computing this statistic for every feature, once…"):
            page = list_latents(store, coders, query, annotations=listed.annotations)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            chosen = [store.coder(name).info for name in coders]
            _summary(page, state, results, listed, collection.hidden(query, page), chosen)
            if page.total:
                # Of one piece: both go to the next line where this one is too short.
                with st.container(horizontal=True, gap="small", width="content"):
                    elsewhere.draw(store, coders, query, page, listed.annotations)
        if page.rows:
            notes = collection.notes(page, state, listed.annotations)
            explained = bool(listed.n_explained or any(notes.values()))  # notes stand with the explanations
            data = record(
                store, page, state, listed.kind, kinds=listed.kinds, explained=explained, judged=listed.judged, results=results,
                above=expected.of_page(query, page), notes=notes, unseen=query.unseen,
            )  # fmt: skip
            stars.mark(store, data["rows"])
            clicked = components.table(data, key=KEY, on_sort=_sort_clicked, on_star=stars.on_star(KEY))
            if clicked:
                opened = (str(clicked["coder"]), int(clicked["latent"]))
                _open(*opened, list_walk.begin(store, coders, query, page, opened))
        _pages(page, state)
        collection.notice()


def _missing(listed: ListAnnotations, state: FeaturesState) -> None:
    """What the address asks for and this store does not have."""
    if listed.kind is not None and state.score is not None and not listed.kind.has_key(state.score):
        name = score_text.name(listed.kind, listed.kinds)
        st.caption(f"There are no scores “{plain(state.score, 80)}”; showing {plain(name)}.")
    if listed.kind is None and (
        (state.ordered and state.sort in SCORE_SORTS)
        or state.bounds(scores=True).keys() & {each.bounds for each in SCORE_FILTERS}
    ):
        st.caption("Nothing here is scored yet, so there is no score to sort or filter by.")


def _controls(store: Store, infos: list[CoderInfo], state: FeaturesState, listed: ListAnnotations) -> None:
    names = [info.coder for info in infos]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        heading(f"{state.coder} features" if state.coder else "Features", width="stretch")
        controls.which(names, state)
        with st.popover("Filters", icon=":material/filter_alt:"):
            controls.filters(infos, state, listed)
        st.number_input(
            "Open feature by number", min_value=0, max_value=max(info.n_latents for info in infos) - 1, value=None, step=1,
            width=125, placeholder="Number", label_visibility="collapsed", key="open_number", on_change=_open_number,
        )  # fmt: skip
        if keyboard.button("Random", "random", "x", "A random feature that fires", icon=":material/casino:"):
            rng = np.random.default_rng()
            name = str(rng.choice(state.coders(infos) or names))
            _open(name, store.coder(name).random_live(rng))
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        controls.search_box(state)
        controls.order(state, listed.kinds, listed.kind)
    target = st.session_state.pop(_OPEN, None)
    if target is not None:
        coder = state.coder or names[0]
        _open(coder, target)


_OPEN = "features_open_number"


def _open_number() -> None:
    st.session_state[_OPEN] = st.session_state["open_number"]


def _summary(
    page: LatentPage,
    state: FeaturesState,
    results: SearchResults | None,
    listed: ListAnnotations,
    n_more: int,
    infos: Sequence[CoderInfo],
) -> None:
    """`n_more`: features of the collection that are not in the list."""
    what = "dead feature" if state.dead == "only" else "feature"
    where = f" {results.what}" if results else ""
    hidden = (
        f" · {fmt.count(page.n_dead)} {'without contexts' if all(info.selected for info in infos) else 'dead'} hidden"
        if state.dead == "hide" and page.n_dead and not results and state.collection is None
        else ""
    )
    if n_more and not results:
        hidden = f" · {fmt.count(n_more)} more in the collection: dead, filtered out or of other coders"
    if page.total:
        first = PAGE_SIZE * (state.page - 1) + 1
        last = first + len(page.rows) - 1
        range_ = (
            f"{fmt.count(first)}–{fmt.count(last)} of " if page.rows and page.total > len(page.rows) else ""
        )
        order = _order(state, results, listed)
        best = shown_sort(state, listed.kind) == BEST
        said = selected.note(infos)
        helps = [expected.HELP if best else "", selected.HELP if said else ""]
        st.caption(
            f"{range_}{fmt.plural(page.total, what)}{where}{hidden}{order}{' · selected contexts, no corpus' if said else ''}",
            help="\n\n".join(filter(None, helps)) or None,
        )
    elif results:
        st.info(
            "No feature in this list matches. Choose all coders, or relax the filters."
            if results.matches is not None
            else "No feature of these coders fires there. Choose all coders, or relax the filters."
        )
    elif state.collection is not None and not n_more:
        st.info(
            "This collection is empty. Add features with “Collect” or on a feature's page; a row's star adds to “Starred”."
        )
    elif state.dead == "only" and state.explained == "any":
        st.info("No dead features.")
    elif state.explained == "failed":
        st.info("No failed explanations.")
    elif not listed.n_explained and state.explained in {"yes", "unscored"}:
        st.info("Nothing is explained yet. Open a feature and press Explain, or explain them all:")
        components.commands(f"autointerp explain STORE {state.coder or 'CODER'} --explainer pattern")
    else:
        st.info(f"No feature passes these filters{hidden}. Relax them under Filters, or show dead features.")


def _order(state: FeaturesState, results: SearchResults | None, listed: ListAnnotations) -> str:
    """What the list is sorted by, where the column heads do not say it."""
    if state.sort == "match" and results:
        return f" · {plain(results.order)}"
    if shown_sort(state, listed.kind) in SCORE_SORTS and listed.kind is not None:
        name = score_text.name(listed.kind, listed.kinds)
        direction = "highest" if state.descending else "lowest"
        return f" · {direction} {score_text.SORTS[state.sort]} first: {plain(name)}"
    return ""


def _pages(page: LatentPage, state: FeaturesState) -> None:
    n_pages = max(1, -(-page.total // PAGE_SIZE))
    if page.total and not page.rows:
        st.info(f"Page {state.page:,} does not exist: the list has {fmt.plural(n_pages, 'page')}.")
        st.button("To the last page", on_click=change, kwargs={"page": n_pages})
    elif n_pages > 1:
        key = f"page_{state.page}_of_{n_pages}"  # its start value cannot come from the session, unlike other widgets'
        st.pagination(n_pages, default=min(state.page, n_pages), key=key, on_change=_turn, args=(key,))


def _turn(key: str) -> None:
    page = st.session_state[key]
    change(page=page if page > 1 else None)


def _sort_clicked() -> None:
    column = components.triggered(KEY, "sort")
    if column not in sorts():
        return
    state = FeaturesState.parse(current())
    store = open_store()
    kind = read_annotations(store, state.coders(store.coders()), state).kind
    sort = shown_sort(state, kind)
    shown = BEST if column == BEST and sort in SCORE_SORTS else sort
    if shown == column:
        controls.sort_by(sort, descending=not state.descending)
    else:
        controls.sort_by(column)


def _open(coder: str, latent: int, place: Mapping[str, str] | None = None) -> None:
    """`place`: where it stands in the list."""
    st.session_state[LIST_PARAMS] = current()
    components.go("feature", {"coder": coder, "latent": str(latent), **(place or {})})
