"""Replies without end, compressed ones, and our own key in any part of one."""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug import Response

from autointerp.llm.client import Client
from autointerp.llm.errors import LLMError, Transient
from autointerp.llm.messages import ChatReply, ChatRequest
from autointerp.llm.transport import MAX_REPLY_BYTES

from .conftest import KEY, FakeServer, as_json, completion, failure

HI = ChatRequest.of("hi")
Connect = Callable[..., Client]


def test_servers_are_asked_for_plain_replies(server: FakeServer, connect: Connect) -> None:
    connect().complete(HI)
    assert server.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_compressed_reply_is_not_read(
    encoding: str, status: int, server: FakeServer, connect: Connect
) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    server.answer = lambda body, number: Response(bomb, status, {"Content-Encoding": encoding})
    client = connect()
    tracemalloc.start()
    try:
        with pytest.raises(Transient, match="compressed"):
            client.complete(HI)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert len(server.bodies) <= 2


@pytest.mark.parametrize("status", [200, 400])
def test_a_reply_is_read_up_to_a_bound(status: int, server: FakeServer, connect: Connect) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b'"' + b"a" * (1 << 20)

    server.answer = lambda body, number: Response(parts(), status, mimetype="application/json")
    with pytest.raises(Transient, match=f"longer than {MAX_REPLY_BYTES >> 20} MB"):
        connect().complete(HI)


def test_a_reply_just_within_the_bound_is_read(server: FakeServer, connect: Connect) -> None:
    text = "a" * (MAX_REPLY_BYTES - 2000)
    server.answer = lambda body, number: as_json(completion(text))
    assert connect().complete(HI).text == text


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.1, "top_logprobs": [{"token": text, "logprob": -0.1}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"finish_reason": KEY},
        {"message": {"content": "a", "reasoning": f"so {KEY}"}},
        {"logprobs": {"content": [token("a"), token(KEY)]}},
        {"logprobs": {"content": [token(KEY[:5]), token(KEY[5:])]}},
        {"prompt_logprobs": [None, {"7": {"logprob": -1.0, "decoded_token": KEY}}]},
    ],
)
def test_our_own_key_is_in_no_part_of_a_reply(
    fields: dict[str, Any], server: FakeServer, connect: Connect
) -> None:
    # Escaped as a server may, so that the raw body does not hold the key either.
    escaped = "".join(f"\\u{ord(character):04x}" for character in KEY)
    text = json.dumps(completion("a", **fields) | {"model": f"m {KEY}"}).replace(KEY, escaped)
    server.answer = lambda body, number: Response(text, 200, mimetype="application/json")
    answered: ChatReply = connect(api_key=KEY).complete(HI)
    assert KEY not in json.dumps(answered.to_dict())
    spelt = "".join(part.token for part in answered.logprobs or ())
    assert KEY not in spelt
    assert "[hidden]" in answered.model


def test_a_failure_does_not_hold_the_key(server: FakeServer, connect: Connect) -> None:
    server.answer = lambda body, number: failure(401, f"wrong key {KEY}")
    with pytest.raises(LLMError) as caught:
        connect(api_key=KEY).complete(HI)
    assert KEY not in str(caught.value)
