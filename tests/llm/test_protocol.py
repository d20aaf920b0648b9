"""What the client does about servers that take only a part of the protocol, and about their limits."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug import Response

from autointerp.llm.client import Client
from autointerp.llm.errors import AuthError, RequestRejected
from autointerp.llm.messages import ChatRequest, TokenLogprob
from autointerp.llm.parsing import list_answer, list_schema

from .conftest import KEY, FakeServer, as_json, completion, failure, reply, until

HI = ChatRequest.of("hi")
Connect = Callable[..., Client]


def test_features_are_given_up_once_and_remembered(server: FakeServer, connect: Connect) -> None:
    def answer(body: dict[str, Any], number: int) -> Response:
        if "response_format" in body:
            return failure(400, "response_format is not supported by this server")
        if "logprobs" in body:
            return failure(400, "something odd")  # does not say what
        return reply("[1]")

    server.answer = answer
    question = ChatRequest.of("json please", schema=list_schema(1), top_logprobs=5)
    client = connect(model="plain")
    first = client.ask(question, list_answer(1))
    assert first.reply.dropped == ("json_object", "json_schema", "logprobs")
    assert first.reply.logprobs is None
    sent = len(server.bodies)
    assert sent == 4
    client.ask(question, list_answer(1))  # again: it was named by nobody
    assert len(server.bodies) == sent + 3
    client.ask(question, list_answer(1))
    connect(model="plain").ask(question, list_answer(1))
    assert len(server.bodies) == sent + 5


@pytest.mark.parametrize("status", [400, 403, 404, 422])
@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("logprobs", "You are not allowed to request logprobs from this model"),
        ("response_format", "This model does not exist with json_schema"),
        ("response_format", f"{'Long words before. ' * 30}response_format is not available for this model"),
    ],
)
def test_what_names_a_parameter_is_about_it_whatever_the_status(
    server: FakeServer, connect: Connect, status: int, field: str, message: str
) -> None:
    def answer(body: dict[str, Any], number: int) -> Response:
        return failure(status, message, "invalid_request_error") if field in body else reply("[1]")

    server.answer = answer
    model = f"picky-{status}-{field}-{len(message)}"
    question = ChatRequest.of("well", schema=list_schema(1), top_logprobs=5)
    answered = connect(model=model).ask(question, list_answer(1))
    assert answered.reply.dropped == ({"logprobs": "logprobs", "response_format": "json_schema"}[field],)
    assert len(server.bodies) == 2


def test_a_key_that_may_not_is_told_so_though_the_model_is_named_like_a_parameter(
    server: FakeServer, connect: Connect
) -> None:
    server.script(failure(403, "Project has no access to model seed-grammar"))
    with pytest.raises(AuthError):
        connect(model="seed-grammar").complete(ChatRequest.of("hi", schema=list_schema(1), seed=1))
    assert len(server.bodies) == 1
    server.script(failure(403, "Your plan has no logprobs"))  # though none were asked for
    with pytest.raises(AuthError):
        connect(model="seed-grammar").complete(HI)


def test_max_tokens_by_its_new_name(server: FakeServer, connect: Connect) -> None:
    def answer(body: dict[str, Any], number: int) -> Response:
        if "max_tokens" in body:
            return failure(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            )
        if body.get("temperature") != 1:
            return (
                reply("ok")
                if "temperature" not in body
                else failure(400, "'temperature' does not support 0.0")
            )
        return reply("ok")

    server.answer = answer
    connect(model="thinker").complete(HI)
    assert server.bodies[-1]["max_completion_tokens"] == 512
    assert "temperature" not in server.bodies[-1]


def test_a_rejected_request_stays_rejected_and_nothing_is_remembered(
    server: FakeServer, connect: Connect
) -> None:
    server.script(failure(400, "no such luck"))
    client = connect(model="strict")
    with pytest.raises(RequestRejected, match="no such luck"):
        client.complete(ChatRequest.of("hi", seed=1, top_logprobs=2))
    server.script(reply("fine"))
    assert client.complete(ChatRequest.of("hi", seed=1)).dropped == ()
    assert server.bodies[-1]["seed"] == 1


def test_logprobs_of_answers_and_prompts(server: FakeServer, connect: Connect) -> None:
    rows = [
        {
            "token": "1",
            "logprob": -0.1,
            "top_logprobs": [{"token": "1", "logprob": -0.1}, {"token": "0", "logprob": -2.4}],
        }
    ]
    data = completion("1", logprobs={"content": rows})
    data["prompt_logprobs"] = [
        None,
        {
            "17": {"logprob": -3.0, "rank": 5, "decoded_token": "7"},
            "9": {"logprob": -0.5, "rank": 1, "decoded_token": "0"},
        },
    ]
    server.script(as_json(data))
    answer = connect(model="open").complete(ChatRequest.of("hi", top_logprobs=2, prompt_logprobs=2))
    assert server.bodies[0]["prompt_logprobs"] == 2
    assert answer.logprobs is not None
    assert answer.logprobs[0].top == (("1", -0.1), ("0", -2.4))
    assert answer.prompt_logprobs is not None
    assert answer.prompt_logprobs[0] is None
    assert answer.prompt_logprobs[1] is not None
    assert answer.prompt_logprobs[1].token == "7"
    assert answer.prompt_logprobs[1].top[0] == ("0", -0.5)
    data["choices"][0]["logprobs"] = {"content": [{"token": "1", "logprob": None}]}
    server.script(as_json(data))
    assert connect().complete(ChatRequest.of("hi", top_logprobs=2)).logprobs is None


@pytest.mark.parametrize(
    ("served", "recorded"),
    [
        ("/data/models/llama.gguf", "llama.gguf"),
        ("C:\\models\\llama.gguf", "llama.gguf"),
        ("meta/llama", "meta/llama"),
        ("/srv/asked-for", "/srv/asked-for"),
        ("/", "/"),
        (None, "/srv/asked-for"),
    ],
)
def test_the_folder_of_a_model_on_the_server_is_not_recorded(
    server: FakeServer, connect: Connect, served: str | None, recorded: str
) -> None:
    server.script(as_json(completion() | {"model": served}))
    assert connect(model="/srv/asked-for").complete(HI).model == recorded


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_that_a_server_keeps_apart(server: FakeServer, connect: Connect, field: str) -> None:
    server.script(reply(message={"role": "assistant", "content": "[1]", field: f"Hm, {KEY}?"}))
    answer = connect().complete(HI)
    assert (answer.text, answer.reasoning) == ("[1]", "Hm, [hidden]?")


def test_log_probabilities_above_0_are_0(server: FakeServer, connect: Connect) -> None:
    row = {"token": "1", "logprob": 1e9, "top_logprobs": [{"token": "0", "logprob": 1e300}]}
    server.script(reply('{"answers": [1]}', logprobs={"content": [row]}))
    answer = connect().complete(ChatRequest.of("hi", top_logprobs=2))
    assert answer.logprobs == (TokenLogprob("1", 0.0, (("0", 0.0),)),)


def test_the_number_in_flight_grows_to_the_limit_and_halves_on_429(
    server: FakeServer, connect: Connect
) -> None:
    def answer(body: dict[str, Any], number: int) -> Response:
        if 8 <= number < 17:  # the first eight answers have raised the limit
            until(lambda: server.most > 8)
        return failure(429, "slow", Retry_After="0.05") if number == 100 else reply()

    server.answer = answer
    client = connect(max_in_flight=16)
    assert client.limit.limit == 8
    futures = [client.submit(ChatRequest.of(f"{i}")) for i in range(90)]
    [future.result(60) for future in futures]
    assert client.limit.limit == 16
    assert 8 < server.most <= 16
    futures = [client.submit(ChatRequest.of(f"{i}")) for i in range(16)]
    [future.result(60) for future in futures]
    assert 8 <= client.limit.limit <= 10
