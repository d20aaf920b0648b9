"""Which pages there are, and that every one of them is reached through the router."""

import streamlit as st

from autointerp.ui.shared.components import icon
from autointerp.ui.shared.session import freeze_imports

_ROUTED = "routed"


def _navigation():
    # The icon first: until it is set, the browser would fetch the page's named one from the network.
    st.set_page_config(page_title="autointerp", page_icon=icon(), layout="wide")
    return st.navigation(
        [
            st.Page(
                "pages/overview.py",
                title="Overview",
                icon=":material/dashboard:",
                url_path="home",
                default=True,
            ),
            st.Page(_to_overview, title="Overview", url_path="overview", visibility="hidden"),
            st.Page(
                "pages/features.py",
                title="Features",
                icon=":material/format_list_bulleted:",
                url_path="features",
            ),
            st.Page(
                "pages/feature.py", title="Feature", icon=":material/center_focus_strong:", url_path="feature"
            ),
            st.Page("pages/probe.py", title="Probe", icon=":material/manage_search:", url_path="probe"),
            st.Page("pages/jobs.py", title="Jobs", icon=":material/pending_actions:", url_path="jobs"),
            st.Page("pages/settings.py", title="Settings", icon=":material/settings:", url_path="settings"),
        ],
        position="top",
    )


def _to_overview() -> None:
    """The default page lives at the root alone (Streamlit 1.67); its name as an address leads there."""
    st.switch_page("pages/overview.py")


def run() -> None:
    """The page frame, then the page of the address."""
    page = _navigation()
    freeze_imports()
    st.session_state[_ROUTED] = True
    page.run()


def ensure_routed() -> None:
    """First line of every page. Until a server's first call of `st.navigation`, Streamlit takes a folder named `pages` for
    the whole app and runs the page of a deep link without `app.py`. Then this calls it and starts the run again."""
    if not st.session_state.pop(_ROUTED, False):
        _navigation()
        st.rerun()
