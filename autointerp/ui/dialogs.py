"""Streamlit's own error dialogs stay closed. They speak to whoever develops an app: when the server stops, "Connection error …
streamlit run yourscript.py". What a reader can do then, the page says itself (`ui/shared/connection.py`).

Whether there are dialogs is part of what the browser is told about how the app is hosted (`/_stcore/host-config`). It is no
option of Streamlit 1.67, which leaves other answers than its own to a server in front of it: here, a middleware.
"""

import json

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST_CONFIG = "/_stcore/host-config"


class NoErrorDialogs:
    """Adds to the answer about the host that it wants no dialogs; every other request goes its way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].endswith(HOST_CONFIG):
            headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            scope = {**scope, "headers": headers}  # the answer is to be read here
            send = _without_dialogs(send)
        await self._app(scope, receive, send)


def _without_dialogs(send: Send) -> Send:
    start: Message = {}
    body = b""

    async def rewrite(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        if start["status"] == 200:
            body = json.dumps(json.loads(body) | {"blockErrorDialogs": True}).encode()
            others = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            start = {**start, "headers": [*others, (b"content-length", str(len(body)).encode())]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return rewrite


MIDDLEWARE = (Middleware(NoErrorDialogs),)
