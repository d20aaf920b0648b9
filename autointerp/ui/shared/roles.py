"""Who is looking: the owner of this machine's stores, or a visitor. How the app is served decides, for everybody alike
(docs/serving.md): an app that others can reach has visitors only, who read and do nothing else.

That there are visitors stands in the server's environment (`settings.is_read_only`): the layers below the pages see it there.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import streamlit as st
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from autointerp import settings
from autointerp.errors import UserError
from autointerp.llm.secrets import drop_keys

CANNOT = "Visitors to this app can read but not change anything."
NO_RATING = f"{CANNOT} Audits can be read, not answered."
AT_ONCE = 2
"""How many costly things visitors have done at a time: there may be any number of them, and this machine is one."""
PATIENCE_SECONDS = 20.0


def settle() -> None:
    """As a server starts: one that listens to more than this machine, or has a sign-in, has visitors."""
    if not is_owner():
        _have_visitors()


def _have_visitors() -> None:
    settings.have_visitors(os.environ)
    drop_keys(os.environ)


def is_owner() -> bool:
    """Whether who looks may do everything."""
    return not settings.is_read_only() and not serves_others()


def serves_others() -> bool:
    """Whether more than this machine reaches the app, by its own settings."""
    return not settings.is_this_machine(st.get_option("server.address")) or has_sign_in()


def may_rate() -> bool:
    """Whether who looks may answer in audits: the owner, and visitors where the owner granted it (`serve --raters`)."""
    return is_owner() or settings.is_set(settings.ENV_RATERS)


def has_sign_in() -> bool:
    """Whether people sign in (`st.login` is configured)."""
    # A page asks some thirty times, and Streamlit looks for its files of secrets each time, all sessions behind one lock.
    return _has_sign_in(int(time.monotonic()))


@lru_cache(maxsize=1)
def _has_sign_in(_second: int) -> bool:
    # `st.user` tells too, but only in a page's own thread: not as a server starts, nor while it makes a file to download.
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


# Others, whatever address the server was given ---------------------------------------------------

_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-real-ip"}


class NoticeOthers:
    """A request from another machine, or through a proxy, shows that others reach the app: from then on it has visitors. So
    it is too where another server than Streamlit's runs `app.py`, whose address no setting tells."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and is_elsewhere(scope):
            _have_visitors()
        await self._app(scope, receive, send)


def is_elsewhere(scope: Scope) -> bool:
    """Whether a request may come from another machine."""
    client = scope.get("client")
    return (
        not client
        or not settings.is_this_machine(client[0])
        or any(name.lower() in _FORWARDED for name, _ in scope["headers"])
    )


MIDDLEWARE = (Middleware(NoticeOthers),)


# Turns -------------------------------------------------------------------------------------------

_turns = threading.BoundedSemaphore(AT_ONCE)
_mine = threading.local()


@contextmanager
def turn(owner: bool | None = None) -> Iterator[None]:
    """Around what takes a model or seconds of this machine. Visitors take turns. `owner`: whether the owner asked, for a thread
    that is no session's. Raises UserError when none came."""
    if (is_owner() if owner is None else owner) or getattr(_mine, "has", False):
        yield
        return
    if not _turns.acquire(timeout=PATIENCE_SECONDS):
        raise UserError("Too many people are asking for this at once. Try again in a minute.")
    _mine.has = True
    try:
        yield
    finally:
        _mine.has = False
        _turns.release()
