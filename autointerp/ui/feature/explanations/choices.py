"""What the forms share: choices that last for the session, and the buttons at the end."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from autointerp.ui.feature.explanations import work as working
from autointerp.ui.shared.state import change

CHOICES = "explanation_choices"


def kept(name: str, default: Any, allowed: Sequence[Any] | None = None) -> dict[str, Any]:
    """`key` and `on_change` of a widget whose choice lasts for the session, also while it is not drawn. `allowed`: what can be
    chosen now, which may be less than when the choice was made."""
    choices: dict[str, Any] = st.session_state.setdefault(CHOICES, {})
    key = f"choice_{name}"
    present = st.session_state.get(key, choices.get(name, default))
    value = _allowed(present, default, allowed)
    if key not in st.session_state or value != present:
        st.session_state[key] = value

    def keep() -> None:
        choices[name] = st.session_state[key]

    return {"key": key, "on_change": keep}


def _allowed(value: Any, default: Any, allowed: Sequence[Any] | None) -> Any:
    if allowed is None:
        return value
    if isinstance(value, list):
        return [one for one in value if one in allowed]
    return value if value in allowed else default


def run_and_close(label: str, key: str, act: Any, *arguments: Any) -> None:
    with st.container(horizontal=True):
        pressed = working.pressed(label, key, type="primary", icon=":material/play_arrow:")
        st.button("Close", key=f"{key}_close", type="tertiary", on_click=change, kwargs={"panel": None})
    if pressed:
        working.attempt(act, *arguments)
        st.rerun()
    working.trouble()
