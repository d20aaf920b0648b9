"""The Features page: every feature of a coder or of all, sorted, filtered and searched in the store."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st

from autointerp.errors import StoreError, nearest
from autointerp.store import LatentPage, LatentQuery, ScoreKind, Store, annotated_store, list_latents
from autointerp.store.annotations import Annotations
from autointerp.types import CoderInfo
from autointerp.ui.feature.page import LIST_PARAMS
from autointerp.ui.features import controls, search
from autointerp.ui.features.rows import PAGE_SIZE, record
from autointerp.ui.shared import components, score_words, walk, work
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import messages, open_store
from autointerp.ui.shared.state import (
    HUMAN,
    SCORE_SORTS,
    STATES,
    FeaturesState,
    change,
    current,
    sorts,
    suggestion,
    suggestions,
)
from autointerp.ui.shared.text import plain

KEY = "features"


@dataclass(frozen=True)
class Written:
    """What people and jobs wrote about the coders of the list. `kinds` of scores and `explainers` with how many features have
    one; `kind` is the one shown and sorted by."""

    annotations: Annotations | None
    kinds: dict[ScoreKind, int]
    explainers: dict[str, int]
    kind: ScoreKind | None

    @property
    def explained(self) -> int:
        return sum(self.explainers.values())


def features() -> None:
    """The page."""
    with messages():
        store = open_store()
        infos = store.coders()
        if not infos:
            st.title("Features", anchor=False)
            st.info(
                "This store has no coders, so there are no features. Cache one: "
                "`autointerp cache STORE --model MODEL --coder NAME=PATH --text FILES`."
            )
            return
        state = FeaturesState.parse(current())
        names = [info.coder for info in infos]
        if state.coder is not None and state.coder not in names:
            st.warning(f"This store has no coder “{plain(state.coder, 60)}”. The nearest are:")
            with suggestions():
                for near in nearest(state.coder, names):
                    suggestion(plain(near), coder=near, page=None)
            return
        st.session_state[LIST_PARAMS] = current()
        _body()


@st.fragment
def _body() -> None:
    with messages():
        store = open_store()
        state = FeaturesState.parse(current())
        infos = store.coders()
        coders = [state.coder] if state.coder else [info.coder for info in infos]
        written = _written(store, coders, state)
        _controls(store, infos, state, written)
        _missing(written, state)
        found = None
        if state.searching:
            found = search.run(store, written.annotations, coders, state)
            if found is None:
                return
        query = _query(state, found, written.kind)
        page = list_latents(store, coders, query, annotations=written.annotations)
        _summary(page, state, found, written)
        if page.rows:
            data = record(
                store, page, state, written.kind, kinds=written.kinds, explained=bool(written.explained),
                measure=found.measure if found else None,
            )  # fmt: skip
            clicked = components.table(data, key=KEY, on_sort=_sort_clicked)
            if clicked:
                opened = (str(clicked["coder"]), int(clicked["latent"]))
                _open(*opened, walk.begin(store, coders, query, page, opened))
        _pages(page, state)


def query_of(store: Store, params: Mapping[str, str]) -> tuple[list[str], LatentQuery] | None:
    """Coders and query of a list at this address; `None` for a search, and for a coder that does not exist."""
    state = FeaturesState.parse(params)
    names = [info.coder for info in store.coders()]
    if state.searching or (state.coder is not None and state.coder not in names):
        return None
    coders = [state.coder] if state.coder else names
    return coders, _query(state, None, _written(store, coders, state).kind)


def _written(store: Store, coders: list[str], state: FeaturesState) -> Written:
    """Without annotations that can be read, the list is as good as it is without them."""
    try:
        annotations = work.annotations(store)
        kept = annotated_store(annotations)
        kinds, explainers = kept.kinds(coders), kept.explainers(coders)
    except StoreError as error:
        st.warning(f"Explanations and scores cannot be read: {plain(str(error))}")
        return Written(None, {}, {}, None)
    chosen = next((kind for kind in kinds if kind.key == state.score), None)
    if chosen is None:
        chosen = max(kinds, key=lambda kind: kinds[kind], default=None)  # the first of equals
    return Written(annotations, kinds, explainers, chosen)


def _missing(written: Written, state: FeaturesState) -> None:
    """What the address asks for and this store does not have."""
    if written.kind is not None and state.score is not None and state.score != written.kind.key:
        name = score_words.name(written.kind, written.kinds)
        st.caption(f"No score here is of the kind “{plain(state.score, 80)}”; showing {plain(name)}.")
    if written.kind is None and (
        state.sort in SCORE_SORTS or state.bounds(scores=True).keys() & set(SCORE_SORTS.values())
    ):
        st.caption("Nothing here has been scored yet, so there is no score to sort or filter by.")


def _query(state: FeaturesState, found: search.Found | None, kind: ScoreKind | None) -> LatentQuery:
    by_score = state.sort in SCORE_SORTS
    return LatentQuery(
        sort=sorts()[state.sort] if kind is not None or not by_score else "density",
        descending=state.descending,
        bounds=state.bounds(scores=kind is not None),
        dead=state.dead,
        spots=found.spots if found else None,
        matches=found.matches if found else None,
        kind=kind,
        state=STATES[state.explained][1],
        explainer=state.explainer or None,
        human=HUMAN[state.human][1],
        limit=PAGE_SIZE,
        offset=PAGE_SIZE * (state.page - 1),
    )


def _controls(store: Store, infos: list[CoderInfo], state: FeaturesState, written: Written) -> None:
    names = [info.coder for info in infos]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        controls.which(names, state)
        controls.search_box(state)
        controls.order(state, written.kinds, written.kind)
        with st.popover(controls.filters_label(state), icon=":material/filter_alt:"):
            controls.filters(state, written.explainers, written.kind)
        st.number_input(
            "Open feature by number", min_value=0, max_value=max(info.n_latents for info in infos) - 1, value=None, step=1,
            width=125, placeholder="Number", label_visibility="collapsed", key="open_number", on_change=_open_number,
        )  # fmt: skip
        if st.button("Random", shortcut="X", icon=":material/casino:"):
            rng = np.random.default_rng()
            name = state.coder or str(rng.choice(names))
            _open(name, store.coder(name).random_live(rng))
    target = st.session_state.pop(_OPEN, None)
    if target is not None:
        coder = state.coder or names[0]
        _open(coder, target)


_OPEN = "features_open_number"


def _open_number() -> None:
    st.session_state[_OPEN] = st.session_state["open_number"]


def _summary(page: LatentPage, state: FeaturesState, found: search.Found | None, written: Written) -> None:
    what = "dead features" if state.dead == "only" else "features"
    where = f" that {found.what}" if found else ""
    hidden = (
        f" · {fmt.count(page.n_dead)} dead hidden"
        if state.dead == "hide" and page.n_dead and not found
        else ""
    )
    if page.total:
        first = PAGE_SIZE * (state.page - 1) + 1
        last = first + len(page.rows) - 1
        range_ = (
            f"{fmt.count(first)}–{fmt.count(last)} of " if page.rows and page.total > len(page.rows) else ""
        )
        order = _order(state, found, written)
        st.caption(f"{range_}{fmt.count(page.total)} {what}{where}{hidden}{order}")
    elif found:
        st.info(
            f"None of the features{where} is in this list. Choose all coders, or loosen the filters."
            if found.matches is not None
            else "No feature of the chosen coders fires there. Choose all coders, or loosen the filters."
        )
    elif state.dead == "only" and state.explained == "any":
        st.info("No feature here is dead: every one fires on some token.")
    elif state.explained == "failed":
        st.info("No attempt at an explanation has failed here without another one that went well.")
    elif not written.explained and state.explained in {"yes", "unscored"}:
        st.info("Nothing here has been explained yet. Open a feature and press Explain, or explain them all:")
        st.code(
            f"autointerp explain STORE {plain(state.coder or 'CODER')} --explainer pattern", language=None
        )
    else:
        st.info(f"No feature passes these filters{hidden}. Loosen them under Filters, or show dead features.")


def _order(state: FeaturesState, found: search.Found | None, written: Written) -> str:
    """What the list is sorted by, where the column heads do not say it."""
    if state.sort == "match" and found:
        return f" · {plain(found.order)}"
    if state.sort in SCORE_SORTS and written.kind is not None:
        name = score_words.name(written.kind, written.kinds)
        direction = "highest" if state.descending else "lowest"
        return f" · {direction} {score_words.SORTS[state.sort]} first: {plain(name)}"
    return ""


def _pages(page: LatentPage, state: FeaturesState) -> None:
    n_pages = max(1, -(-page.total // PAGE_SIZE))
    if page.total and not page.rows:
        st.info(f"The list has {fmt.plural(n_pages, 'page')}; this address asks for page {state.page:,}.")
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
    shown = "low" if state.sort in SCORE_SORTS else state.sort
    if shown == column:
        controls.sort_by(state.sort, descending=not state.descending)
    else:
        controls.sort_by(column)


def _open(coder: str, latent: int, place: Mapping[str, str] | None = None) -> None:
    """`place`: where it stands in the list."""
    st.session_state[LIST_PARAMS] = current()
    st.switch_page("pages/feature.py", query_params={"coder": coder, "latent": str(latent), **(place or {})})
