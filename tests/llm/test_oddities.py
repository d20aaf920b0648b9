"""Models and servers that work, but not as one would think, over real HTTP."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug import Response

from autointerp.llm.client import Client
from autointerp.llm.errors import Refused
from autointerp.llm.messages import ChatRequest
from autointerp.llm.parsing import list_answer, list_schema

from .conftest import FakeServer, as_json, completion, reply

HI = ChatRequest.of("hi")
Connect = Callable[..., Client]


def test_halves_of_surrogate_pairs_cross_the_wire(server: FakeServer, connect: Connect) -> None:
    half = json.loads('"\\ud83d"')
    wanted = '{"answers": [1]}'
    server.script(reply(f"prose {half}"), as_json({**completion(wanted), "model": f"served {half}"}))
    request = ChatRequest.of(f"does {half} fit?", schema=list_schema(1))
    answer = connect().ask(request, list_answer(1))
    assert answer.value == [1]
    assert answer.reply.discarded == (f"prose {half}",)  # as it was said
    assert answer.reply.model == "served ?"  # a name is stored and shown
    first, second = server.bodies
    assert first["messages"][0]["content"] == "does ? fit?"
    assert second["messages"][1]["content"] == "prose ?"


@pytest.mark.parametrize("thought", ["", "<think>The first text is about prices, the second"])
def test_a_model_that_thinks_first_is_given_room_for_it(
    server: FakeServer, connect: Connect, thought: str
) -> None:
    def think(body: dict[str, Any], number: int) -> Response:
        enough = body["max_tokens"] >= 4000
        return reply('{"answers": [1]}') if enough else reply(thought, finish_reason="length")

    server.answer = think
    request = ChatRequest.of("does it fit?", schema=list_schema(1), max_tokens=32)
    assert connect().ask(request, list_answer(1)).value == [1]
    assert [body["max_tokens"] for body in server.bodies] == [32, 4096]


def test_a_prompt_that_a_firewall_blocks_stops_no_other(server: FakeServer, connect: Connect) -> None:
    page = Response("<html><h1>Sorry, you have been blocked</h1></html>", 403, content_type="text/html")

    def guarded(body: dict[str, Any], number: int) -> Response:
        return page if "<script>" in body["messages"][0]["content"] else reply("fine")

    server.answer = guarded
    client = connect()
    with pytest.raises(Refused, match="firewall") as caught:
        client.complete(ChatRequest.of("which texts hold <script>alert(1)?"))
    assert "you have been blocked" in str(caught.value)
    assert client.complete(HI).text == "fine"
    assert len(server.bodies) == 2
