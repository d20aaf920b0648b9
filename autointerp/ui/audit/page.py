"""The Audit page: explanations judged by hand. Without an audit in the address it lists them, and makes new ones; else one of
`VIEWS` is shown, a module here with `draw(store, audit)`."""

from importlib import import_module

import streamlit as st

from autointerp.errors import UnknownName
from autointerp.ratings import Audit
from autointerp.store import Store
from autointerp.ui.audit import audits, new
from autointerp.ui.audit.answers import LOOKS
from autointerp.ui.shared import components, keyboard, services
from autointerp.ui.shared.session import heading, messages, open_store
from autointerp.ui.shared.state import change, choice, choose, current, flag, suggest
from autointerp.ui.shared.text import plain

VIEWS: dict[str, str] = {"rate": "Rate", "report": "Report", "settle": "Settle"}
"""By name, as in the address and of the module."""
FIRST = "rate"
OF_AN_AUDIT = (
    "audit",
    "view",
    "entry",
    "raters",
    "right",
    "score",
    "first",
    "second",
    "image",
    "item",
    "rows",
    *LOOKS,
)
"""What the address says about one audit, whichever view is shown."""


def draw() -> None:
    """The page."""
    with messages():
        store = open_store()
        if not store.coders():
            heading("Audit")
            components.no_coders()
            return
        _body()


@st.fragment
def _body() -> None:
    """A fragment: the next item leaves navigation and page frame alone."""
    with messages(), keyboard.listening("Audit"):
        store, params = open_store(), current()
        if flag(params.get("new")):
            new.draw(store)
        elif params.get("audit") is None:
            audits.draw(store)
        elif (audit := _find(store, params["audit"])) is not None:
            view = choice(params.get("view"), VIEWS, FIRST)
            _head(audit, view)
            import_module(f"autointerp.ui.audit.{view}").draw(store, audit)


def _find(store: Store, audit_id: str) -> Audit | None:
    """The audit of this id; a message with links where there is none."""
    table = services.annotations(store).audits
    try:
        return table.get(audit_id)
    except UnknownName:
        heading("Audit")
        known = table.all()[:5]
        which = "These exist:" if known else "This store has none yet."
        st.warning(f"Audit {plain(audit_id, 60)} does not exist in this store. {which}")
        ways = [(plain(head.name, 60), {"audit": head.id, "entry": None}) for head in known]
        suggest([*ways, ("All audits", dict.fromkeys(OF_AN_AUDIT))])
        return None


def _head(audit: Audit, view: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        heading(audit.name, width="content")
        choose(st.segmented_control, "View", VIEWS, "view", view, FIRST)
        st.button(
            "All audits", key="all_audits", type="tertiary", icon=":material/arrow_back:", on_click=change,
            kwargs=dict.fromkeys(OF_AN_AUDIT),
        )  # fmt: skip
