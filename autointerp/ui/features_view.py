"""The Features page: every feature of a coder or of all, sorted, filtered and searched in the store."""

import numpy as np
import streamlit as st

from autointerp.errors import nearest
from autointerp.store import LatentPage, LatentQuery, Store, list_latents
from autointerp.types import CoderInfo
from autointerp.ui import components, search
from autointerp.ui import format as fmt
from autointerp.ui.feature_list import PAGE_SIZE, record
from autointerp.ui.feature_view import LIST_PARAMS
from autointerp.ui.session import messages, open_store
from autointerp.ui.state import DEAD, MAX_NUMBER, SORTS, FeaturesState, bound, change, current, suggestion
from autointerp.ui.text import plain

KEY = "features"
ALL = "All coders"


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
        _controls(store, infos, state)
        found = search.contexts(store, state) if state.search or state.context is not None else None
        if found is not None and not found.contexts:
            return
        page = list_latents(store, [state.coder] if state.coder else None, _query(state, found))
        _summary(page, state, found)
        if page.rows:
            clicked = components.table(record(store, page, state), key=KEY, on_sort=_sort_clicked)
            if clicked:
                _open(str(clicked["coder"]), int(clicked["latent"]))
        _pages(page, state)


def _query(state: FeaturesState, found: search.Found | None) -> LatentQuery:
    def fraction(percent: float | None) -> float | None:
        return None if percent is None else percent / 100

    return LatentQuery(
        sort=SORTS[state.sort],
        descending=state.descending,
        min_density=fraction(state.min_density),
        max_density=fraction(state.max_density),
        min_max_activation=state.min_max,
        min_top_token_share=fraction(state.min_share),
        include_dead=state.dead == "show",
        only_dead=state.dead == "only",
        contexts=found.contexts if found else None,
        limit=PAGE_SIZE,
        offset=PAGE_SIZE * (state.page - 1),
    )


def _controls(store: Store, infos: list[CoderInfo], state: FeaturesState) -> None:
    names = [info.coder for info in infos]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.selectbox(
            "Coder", [ALL, *names], width=190, label_visibility="collapsed",
            **bound("coder", state.coder or ALL, reset=("page",), encode=lambda v: None if v == ALL else v),
        )  # fmt: skip
        st.text_input(
            "Search contexts", width=330, label_visibility="collapsed", icon=":material/search:",
            placeholder="Search contexts: features that fire there", max_chars=500,
            **bound("search", state.search, reset=("page", "context"), encode=lambda v: v or None),
        )  # fmt: skip
        st.toggle("Regex", **bound("regex", state.regex, reset=("page",), encode=lambda v: 1 if v else None))
        st.segmented_control(
            "Dead features", list(DEAD), format_func=DEAD.__getitem__, required=True, label_visibility="collapsed",
            **bound("dead", state.dead, reset=("page",), encode=lambda v: None if v == "hide" else v),
        )  # fmt: skip
        with st.popover(_filters_label(state), icon=":material/filter_alt:"):
            _filters(state)
        st.space("stretch")
        st.number_input(
            "Open feature by number", min_value=0, max_value=max(info.n_latents for info in infos) - 1, value=None, step=1,
            width=170, placeholder="Open number", label_visibility="collapsed", key="open_number", on_change=_open_number,
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


def _filters_label(state: FeaturesState) -> str:
    active = sum(
        v is not None for v in (state.min_density, state.max_density, state.min_max, state.min_share)
    )
    return f"Filters ({active})" if active else "Filters"


def _filters(state: FeaturesState) -> None:
    for name, label, value, top in (
        ("min_density", "Density at least (%)", state.min_density, 100.0),
        ("max_density", "Density at most (%)", state.max_density, 100.0),
        ("min_max", "Maximum activation at least", state.min_max, float(MAX_NUMBER)),
        ("min_share", "Top token's share at least (%)", state.min_share, 100.0),
    ):
        clipped = None if value is None else min(value, top)
        st.number_input(
            label, min_value=0.0, max_value=top, step=None, format="%g", placeholder="any",
            **bound(name, clipped, reset=("page",)),
        )  # fmt: skip


def _summary(page: LatentPage, state: FeaturesState, found: search.Found | None) -> None:
    what = "dead features" if state.dead == "only" else "features"
    where = " that fire in these contexts" if found else ""
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
        st.caption(f"{range_}{fmt.count(page.total)} {what}{where}{hidden}")
    elif found:
        st.info(
            "No feature of the chosen coders fires in these contexts. Choose all coders, or loosen the filters."
        )
    elif state.dead == "only":
        st.info("No feature here is dead: every one fires on some token.")
    else:
        st.info(f"No feature passes these filters{hidden}. Loosen them under Filters, or show dead features.")


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
    if column not in SORTS:
        return
    state = FeaturesState.parse(current())
    natural = column != "latent"
    descending = not state.descending if state.sort == column else natural
    change(
        sort=None if column == "density" else column,
        order=None if descending == natural else "desc" if descending else "asc",
        page=None,
    )


def _open(coder: str, latent: int) -> None:
    st.session_state[LIST_PARAMS] = current()
    st.switch_page("pages/feature.py", query_params={"coder": coder, "latent": str(latent)})
