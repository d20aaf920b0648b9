"""What a visitor's browser may ask of the server, and what it is told, message by message."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from autointerp.settings import ENV_READ_ONLY
from autointerp.ui.asked import NothingForDevelopers

PATH = "/somewhere/checkout/app.py"


def operation(name: str) -> BackMsg:
    message = BackMsg()
    getattr(message.backend_operation_request, name).SetInParent()
    return message


def rerun() -> BackMsg:
    message = BackMsg()
    message.rerun_script.page_name = "features"
    return message


REFUSED = {
    "clear the caches of everybody": BackMsg(clear_cache=True),
    "name the changed files of the checkout": BackMsg(load_git_info=True),
    "run on save": BackMsg(set_run_on_save=True),
    "stop the server": BackMsg(debug_shutdown_runtime=True),
    "write into the checkout": operation("install_skills"),
    "write into the owner's home": operation("dismiss_skills_nudge"),
}
ANSWERED = {
    "run a page": rerun(),
    "stop": BackMsg(stop_script=True),
    "stay": BackMsg(app_heartbeat=True),
    "rows of a table": operation("dataframe_chunk"),
    "a download": operation("deferred_file"),
}


def talk(*asked: bytes) -> tuple[list[bytes], ForwardMsg]:
    """Which of a browser's messages the app got, and what the browser got of its beginning of a run."""
    got: list[bytes] = []
    sent: list[bytes] = []
    waiting = list(asked)

    async def receive() -> Any:
        if not waiting:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "bytes": waiting.pop(0)}

    async def send(message: Any) -> None:
        sent.append(message["bytes"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        beginning = ForwardMsg()
        beginning.new_session.main_script_path = PATH
        beginning.new_session.name = "app"
        await send({"type": "websocket.send", "bytes": beginning.SerializeToString()})
        while (message := await receive())["type"] == "websocket.receive":
            got.append(message["bytes"])

    async def connection() -> None:
        await NothingForDevelopers(app)({"type": "websocket"}, receive, send)

    with ThreadPoolExecutor(1) as thread:  # the browser tests' driver keeps a loop running in the main one
        thread.submit(asyncio.run, connection()).result()
    told = ForwardMsg()
    told.ParseFromString(sent[0])
    return got, told


@pytest.mark.parametrize("visits", [True, False])
def test_what_is_meant_for_developers_is_not_for_visitors(visits: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENV_READ_ONLY, "1" if visits else "")
    refused, answered = (
        [message.SerializeToString() for message in of.values()] for of in (REFUSED, ANSWERED)
    )
    got, told = talk(*refused, *answered, b"no message \xff")
    assert got == [*(() if visits else refused), *answered, b"no message \xff"]
    assert told.new_session.name == "app"
    assert (told.new_session.main_script_path == PATH) is not visits
