"""The table of pages, and that every one of them is reached through the router.

A new page is a folder `ui/<name>/` whose module `page` has a function `draw`, a line in `PAGES`, and a script
`pages/<name>.py` (Streamlit names pages by their files) that calls `show("<name>")`.
"""

from importlib import import_module
from typing import NamedTuple
from urllib.parse import urlsplit

import streamlit as st

from autointerp.ui.shared import connection, drafts
from autointerp.ui.shared.components import focus_ring, icon
from autointerp.ui.shared.session import (
    PAGE_BEFORE,
    PAGE_NOW,
    follow_address,
    freeze_imports,
    keep_store_in_address,
)
from autointerp.ui.shared.text import plain


class Page(NamedTuple):
    """`name`: of its folder, its script and, but for the first page, its address."""

    name: str
    title: str
    icon: str


PAGES = (
    Page("overview", "Overview", ":material/dashboard:"),
    Page("features", "Features", ":material/format_list_bulleted:"),
    Page("feature", "Feature", ":material/center_focus_strong:"),
    Page("compare", "Compare", ":material/compare_arrows:"),
    Page("audit", "Audit", ":material/fact_check:"),
    Page("probe", "Probe", ":material/manage_search:"),
    Page("jobs", "Jobs", ":material/pending_actions:"),
    Page("settings", "Settings", ":material/settings:"),
)
HOME = PAGES[0]
_ROUTED = "routed"


def _navigation():
    # The icon first: until it is set, the browser would fetch the page's named one from the network.
    st.set_page_config(page_icon=icon(), layout="wide")  # each page gives the tab a title of its own
    pages = [
        st.Page(
            f"pages/{page.name}.py",
            title=page.title,
            icon=page.icon,
            url_path="home" if page is HOME else page.name,
            default=page is HOME,
        )
        for page in PAGES
    ]
    # The default page lives at the root alone (Streamlit 1.67); its name as an address leads there.
    pages.append(st.Page(_to_home, title=HOME.title, url_path=HOME.name, visibility="hidden"))
    return st.navigation(pages, position="top")


def _to_home() -> None:
    st.switch_page(f"pages/{HOME.name}.py")


def _tell_astray() -> None:
    """Streamlit shows the first page for an address that is none, and rewrites the address."""
    path = urlsplit(
        st.context.url or ""
    ).path  # of a page that exists, Streamlit leaves its name out or keeps it
    name = path.rpartition("/")[2]
    if name and name not in {page.name for page in PAGES}:
        st.toast(f"There is no page “{plain(name, 60)}”. This is the {HOME.title}.", duration="long")


def run() -> None:
    """The page frame, then the page of the address, of the store that it names."""
    if follow_address():
        drafts.forget()
    page = _navigation()
    freeze_imports()
    st.session_state[_ROUTED] = True
    _tell_astray()
    try:
        page.run()
    finally:  # also where the page ended early
        focus_ring()
        keep_store_in_address()
        connection.draw()


def show(name: str) -> None:
    """The page of this name. Until a server's first call of `st.navigation`, Streamlit takes a folder named `pages` for the
    whole app and runs the page of a deep link without `app.py`. Then this calls it and starts the run again."""
    if not st.session_state.pop(_ROUTED, False):
        _navigation()
        st.rerun()
    st.session_state[PAGE_BEFORE] = st.session_state.get(PAGE_NOW)
    st.session_state[PAGE_NOW] = name
    import_module(f"autointerp.ui.{name}.page").draw()
