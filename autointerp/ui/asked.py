"""What a visitor's browser may ask the server for, beside files: to run a page, to stop, to hand over an upload, to send rows
and files that a page offers. Streamlit's protocol has more, meant for whoever develops an app (1.67): clear the caches of
everybody, name the checkout's changed files, write into its folder. And what tells visitors where the app lies is taken out.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from autointerp import settings

ALLOWED = {"rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "backend_operation_request"}
OPERATIONS = {"deferred_file", "dataframe_chunk"}
_BEGINNING = 1 << 16
"""Bytes: the message that begins a run of a page is shorter."""


class NothingForDevelopers:
    """Between visitors and Streamlit's websocket; for the owner everything goes its way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return

        async def allowed() -> Message:
            while True:
                message = await receive()
                if not settings.is_read_only() or may_ask(message.get("bytes") or b""):
                    return message

        async def without_path(message: Message) -> None:
            content = message.get("bytes")
            if content and len(content) < _BEGINNING and settings.is_read_only():
                message = {**message, "bytes": _without_path(content)}
            await send(message)

        await self._app(scope, allowed, without_path)


def may_ask(content: bytes) -> bool:
    """Whether this message of a visitor is answered. One that is no message is: Streamlit then ends the connection."""
    asked = BackMsg()
    try:
        asked.ParseFromString(content)
    except Exception:  # protobuf's error has no public name
        return True
    kind = asked.WhichOneof("type")
    if kind == "backend_operation_request":
        return asked.backend_operation_request.WhichOneof("payload") in OPERATIONS
    return kind is None or kind in ALLOWED


def _without_path(content: bytes) -> bytes:
    message = ForwardMsg()
    message.ParseFromString(content)
    if message.WhichOneof("type") != "new_session":
        return content
    message.new_session.main_script_path = "app.py"
    return message.SerializeToString()


MIDDLEWARE = (Middleware(NothingForDevelopers),)
