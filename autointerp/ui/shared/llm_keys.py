"""API keys of a browser session: where one comes from, and that a typed one stays in this process's memory.

A typed key belongs to the server that it was typed for. When the server changes (the settings file is shared by all sessions of
this process) it is not sent to the new one. It is never a value that a page draws: the field is emptied as it is taken.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from autointerp.errors import UserError
from autointerp.llm.endpoints import base_url as full_url
from autointerp.llm.endpoints import identity
from autointerp.llm.secrets import Secret, find_key, key_variable
from autointerp.preferences import is_named
from autointerp.ui.shared import services
from autointerp.ui.shared.session import open_store

_TYPED = "llm_typed_key"
_PROBLEM = "llm_key_problem"


@dataclass(frozen=True)
class TypedKey:
    """A key and the server (host and path) that it may be sent to."""

    secret: Secret
    endpoint: str


def endpoint_of(base_url: str) -> str:
    """Host and path of a name or an address; empty for one that is none."""
    try:
        return identity(full_url(base_url))
    except UserError:
        return ""


def take(field: str, base_url: str) -> None:
    """Keep what was typed into the widget of key `field` for that server, and empty the widget. In its callback."""
    text = str(st.session_state.get(field) or "")
    st.session_state[field] = ""
    st.session_state.pop(_PROBLEM, None)
    if not text.strip():
        return
    endpoint = endpoint_of(base_url)
    if not endpoint:
        st.session_state[_PROBLEM] = "Choose the server first: a key is sent to one server only."
        return
    try:
        key = TypedKey(Secret(text), endpoint)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    forget()  # the one before it
    st.session_state[_TYPED] = key


def problem() -> str | None:
    """Why the last one was not taken."""
    return st.session_state.get(_PROBLEM)


def forget() -> None:
    """Drop the typed key, from the process's memory too. Work that was started with it keeps it to its end."""
    kept: TypedKey | None = st.session_state.pop(_TYPED, None)
    if kept is None:
        return
    try:
        services.forget_key(kept.secret)
    except UserError as error:
        st.session_state[_PROBLEM] = f"The key will be removed once the store can be read: {error}"


def typed(base_url: str) -> Secret | None:
    """The key typed for this server in this session."""
    kept: TypedKey | None = st.session_state.get(_TYPED)
    return kept.secret if kept and kept.endpoint and kept.endpoint == endpoint_of(base_url) else None


def for_trial(base_url: str) -> Secret:
    """The key to try a server with that need not be saved: the typed one, else that of the environment for this very server.
    Raises UserError."""
    server = full_url(base_url)
    return typed(base_url) or find_key(server, named=is_named(server))


def waits(base_url: str) -> bool:
    """Whether the environment has a key that would be sent to this server only once it is saved."""
    url = f"https://{endpoint_of(base_url)}"
    try:
        return not is_named(base_url) and key_variable(url) != key_variable(url, named=False)
    except UserError:
        return False


def typed_for_another(base_url: str) -> str | None:
    """The other server that the typed key was meant for, if there is one."""
    kept: TypedKey | None = st.session_state.get(_TYPED)
    return kept.endpoint if kept and kept.endpoint != endpoint_of(base_url) else None


def load_secrets() -> None:
    """Read Streamlit's `secrets.toml` where there is one: its top-level entries become environment variables."""
    st.secrets.load_if_toml_exists()


def variable(base_url: str, env: Mapping[str, str] = os.environ) -> str | None:
    """The environment variable whose key `find_key` would send to this server."""
    return key_variable(f"https://{endpoint_of(base_url)}", env)


def lend(base_url: str) -> str | None:
    """A name under which the store's resources keep the typed key; `None` without one. Raises StoreError."""
    secret = typed(base_url)
    return services.resources(open_store()).keys.add(secret.reveal()) if secret else None
