"""What a page says while the server does not answer; Streamlit's own dialog stays closed (`ui/dialogs.py`)."""

import shlex
from uuid import uuid4

import streamlit as st

from autointerp import settings
from autointerp.ui.shared import components, roles

KEY = "connection"
_SESSION = "connection_session"
_HEARD = "connection_heard"


def draw() -> None:
    """The element that asks the server now and then whether it is there, and says how to start it again where it is not."""
    command = shlex.join(["autointerp", "serve", str(settings.configured_store().absolute())])
    data = {
        "command": command if roles.is_owner() else "",  # visitors cannot start it
        "session": st.session_state.setdefault(_SESSION, uuid4().hex),
        "heard": st.session_state.get(_HEARD, 0),
    }
    components.connection(data, key=KEY, on_greeting=_greeted)


def _greeted() -> None:
    """The browser reached this session again."""
    st.session_state[_HEARD] = int(components.triggered(KEY, "greeting") or 0)
