"""Servers that misbehave, over real HTTP."""

import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import (
    AuthError,
    BadAnswer,
    Cancelled,
    LLMError,
    PromptTooLong,
    QuotaExceeded,
    RateLimited,
    Refused,
    RequestRejected,
    ServerUnreachable,
    Transient,
    UnknownModel,
    WrongURL,
)
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import Answer, ChatRequest, Question
from autointerp.llm.parsing import list_answer, list_schema
from tests.mock_client import MemoryCache

from .conftest import KEY, QUICK, FakeServer, as_json, failure, reply, until

HI = ChatRequest.of("hi")
Connect = Callable[..., Client]


class Recorded(RetryPolicy):
    """`QUICK`, and what it made each attempt wait, in seconds."""

    def __init__(self) -> None:
        super().__init__(base=QUICK.base, cap=QUICK.cap, patience=QUICK.patience)
        object.__setattr__(self, "waits", [])

    waits: list[float]

    def wait(
        self, error: LLMError, attempt: int, waited: float, jitter: random.Random, *, answered: bool = False
    ) -> float | None:
        delay = super().wait(error, attempt, waited, jitter, answered=answered)
        if delay is not None:
            self.waits.append(delay)
        return delay


def test_a_plain_question_and_what_is_sent(server: FakeServer, connect: Connect) -> None:
    answer = connect().complete(ChatRequest.of("hello", system="be brief", seed=7))
    assert answer.text == "ok"
    assert answer.model == "served"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.cost) == (100, 10, None)
    assert answer.logprobs is None
    assert answer.seconds > 0
    body = server.bodies[0]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("m", 0.0, 7, 512)
    assert "response_format" not in body
    assert "logprobs" not in body
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_no_key_no_header_and_the_key_of_another_host_stays_home(
    server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-only")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    connect(api_key=None).complete(HI)
    assert "Authorization" not in server.headers[0]
    assert "org-private" not in str(server.headers[0])
    monkeypatch.setenv("AUTOINTERP_API_KEY", "any-server-key")
    connect(api_key=None).complete(HI)
    assert server.headers[1]["Authorization"] == "Bearer any-server-key"


def test_a_storm_of_429_is_waited_out_and_honours_retry_after(server: FakeServer, connect: Connect) -> None:
    retry = Recorded()
    server.answer = lambda body, number: failure(429, "slow down", Retry_After="1") if number < 8 else reply()
    client = connect(max_in_flight=12, retry=retry)
    futures = [client.submit(HI) for _ in range(12)]
    assert all(future.result(60).value.text == "ok" for future in futures)
    assert len(retry.waits) == 8
    assert min(retry.waits) >= 1.0  # nobody comes back before the time
    assert client.stats.rate_limited >= 6
    assert int(client.limit.limit) <= 4  # halved


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (
            "Rate limit reached on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. You can "
            "increase your rate limit by adding a payment method to your account at https://example.org/account/billing.",
            "rate_limit_exceeded",
        ),
        ("Rate limit exceeded: free-models-per-min. Add 10 credits for more requests", None),
        ("You exceeded your current quota, please check your plan and billing details.", None),
    ],
)
def test_an_ordinary_429_is_waited_out_whatever_it_says_of_money(
    server: FakeServer, connect: Connect, message: str, code: str | None
) -> None:
    server.script(failure(429, message, code, Retry_After="0.5"), reply("at last"))
    retry = Recorded()
    client = connect(model="limited", retry=retry)
    assert client.complete(ChatRequest.of("hi")).text == "at last"
    assert [wait >= 0.5 for wait in retry.waits] == [True]
    assert client.stats.rate_limited == 1


def test_a_wait_beyond_patience_fails_at_once(server: FakeServer, connect: Connect) -> None:
    server.script(failure(429, "tomorrow", Retry_After="86400"))
    with pytest.raises(RateLimited, match="fewer requests") as caught:
        connect().complete(HI)
    assert len(server.bodies) == 1
    assert caught.value.retry_after == 86400


def test_server_errors_heal_or_are_given_up(server: FakeServer, connect: Connect) -> None:
    server.script(failure(500), failure(503), failure(502), reply("at last"))
    answer = connect().complete(HI)
    assert (answer.text, answer.attempts) == ("at last", 4)
    server.script(failure(500, "cuda on fire"))
    with pytest.raises(Transient, match=r"cuda on fire.*tried 6 times"):
        connect().complete(HI)


@pytest.mark.parametrize(
    "broken",
    [
        Response('{"choices": [{"mess', content_type="application/json"),
        Response("", content_type="application/json"),
        as_json({"id": "x", "choices": []}),
        as_json({"error": {"code": 502, "message": "upstream"}}),
        as_json({"choices": [{"error": {"code": 503, "message": "upstream"}}]}),
    ],
    ids=["cut", "nothing", "no choices", "error in a 200", "error in the choice"],
)
def test_cut_replies_are_asked_for_again(server: FakeServer, connect: Connect, broken: Response) -> None:
    server.script(broken, reply("whole"))
    assert connect().complete(HI).text == "whole"


def test_a_connection_cut_in_the_middle(server: FakeServer, connect: Connect) -> None:
    def answer(body: dict[str, Any], number: int) -> Response:
        if number == 0:
            return Response(b"{", headers={"Content-Length": "5000"}, content_type="application/json")
        return reply("whole")

    server.answer = answer
    assert connect().complete(HI).text == "whole"


def test_empty_and_truncated_replies(server: FakeServer, connect: Connect) -> None:
    server.script(reply(""), reply("second"))
    assert connect().complete(HI).text == "second"
    server.bodies.clear()
    server.script(reply("half a sen", finish_reason="length"), reply("half a sentence."))
    answer = connect().complete(ChatRequest.of("hi", max_tokens=50))
    assert answer.text == "half a sentence."
    assert [body["max_tokens"] for body in server.bodies] == [50, 100]
    server.script(reply(None, finish_reason="length"))
    with pytest.raises(BadAnswer, match=r"empty after 10 tokens, perhaps all spent on thinking") as caught:
        connect().complete(HI)
    assert caught.value.usage is not None
    assert caught.value.usage.total_tokens == 220
    server.script(reply("x", finish_reason="length"))
    assert connect().complete(ChatRequest.of("hi", allow_truncated=True, max_tokens=1)).truncated


def test_prose_and_wrong_lengths_are_asked_about_once(server: FakeServer, connect: Connect) -> None:
    question = ChatRequest.of("which?", schema=list_schema(3))
    server.script(reply("I think the first one."), reply('{"answers": [1, 0, 0]}'))
    answer = connect().ask(question, list_answer(3))
    assert answer.value == [1, 0, 0]
    assert answer.reply.discarded == ("I think the first one.",)
    assert answer.reply.usage.total_tokens == 220
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == list_schema(3)
    turns = server.bodies[1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert "holds no JSON" in turns[2]["content"]

    server.script(reply("[1, 0]"), reply("[1, 0, 1, 1]"))
    with pytest.raises(BadAnswer, match="has 4 entries, 3 were asked for") as caught:
        connect().ask(question, list_answer(3))
    assert caught.value.texts == ("[1, 0]", "[1, 0, 1, 1]")
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (failure(401, f"Incorrect API key provided: {KEY}"), AuthError, "AUTOINTERP_API_KEY"),
        (failure(403, "not your model"), AuthError, "may not use"),
        (failure(402, "no money"), QuotaExceeded, "Top it up"),
        (failure(429, "You exceeded your current quota", "insufficient_quota"), QuotaExceeded, "credit"),
        (failure(429, "You exceeded your current quota, check your plan"), QuotaExceeded, "credit"),
        (failure(404, "The model `m` does not exist", "model_not_found"), UnknownModel, "does not offer"),
        (failure(400, "m is not a valid model ID"), UnknownModel, "does not offer"),
        (failure(404, "Not Found"), WrongURL, "/v1"),
        (Response("<html><h1>It works!</h1></html>", content_type="text/html"), WrongURL, "web page"),
        (as_json({"hello": "world"}), WrongURL, "not with chat completions"),
        (as_json([1]), WrongURL, "not with chat completions"),
        (Response("", 302, {"Location": "http://elsewhere.invalid/"}), WrongURL, "elsewhere"),
        (failure(400, "This model's maximum context length is 4096 tokens"), PromptTooLong, "Show fewer"),
        (failure(400, "x", "context_length_exceeded"), PromptTooLong, "Show fewer"),
        (failure(413, "huge"), PromptTooLong, "Show fewer"),
        (failure(400, "content management policy", "content_filter"), Refused, "filter"),
        (reply(None, finish_reason="content_filter"), Refused, "declined"),
        (reply(None, message={"role": "assistant", "refusal": "I will not"}), Refused, "I will not"),
        (failure(400, "messages: bad role"), RequestRejected, "bad role"),
        (as_json({"detail": [{"msg": "field required"}]}, 422), RequestRejected, "field required"),
    ],
)
def test_hopeless_errors_come_at_once_and_say_the_way_out(
    server: FakeServer, connect: Connect, response: Response, kind: type[LLMError], words: str
) -> None:
    server.script(response)
    with pytest.raises(kind, match=words) as caught:
        connect(model="hopeless").complete(ChatRequest.of("hi"))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    assert len(server.bodies) == 1


def test_unknown_models_name_those_on_offer(http: HTTPServer, server: FakeServer, connect: Connect) -> None:
    http.expect_request("/v1/models").respond_with_json({"data": [{"id": "llama-3-8b"}, {"id": "qwen-7b"}]})
    server.script(failure(404, 'model "lama-3" not found, try pulling it first'))
    client = connect(model="lama-3")
    with pytest.raises(UnknownModel, match="It offers: llama-3-8b"):
        client.complete(HI)
    assert client.models() == ["llama-3-8b", "qwen-7b"]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (failure(400, "content management policy", "content_filter"), "content management policy"),
        (reply("Half an ans", finish_reason="content_filter"), "Half an ans"),
        (reply(None, message={"role": "assistant", "refusal": f"I will not, {KEY}"}), "I will not, [hidden]"),
    ],
)
def test_what_a_refusal_said_is_kept(
    server: FakeServer, connect: Connect, response: Response, said: str
) -> None:
    server.script(response)
    cache = MemoryCache()
    with pytest.raises(Refused) as caught:
        connect(cache=cache).complete(ChatRequest.of("hi"))
    kept = cache.get(caught.value.reply_ref or "")
    assert kept is not None
    assert kept.text == said


def test_refusals_in_prose(server: FakeServer, connect: Connect) -> None:
    server.script(reply("I'm sorry, but I can't help with that."))
    with pytest.raises(Refused, match="twice"):
        connect().ask(HI, list_answer(2))


def test_server_down(connect: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = connect(base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ServerUnreachable, match="No server answers"):
        client.complete(HI)
    assert client.stats.sent == QUICK.max_unreachable
    # A long batch against a dead server does not try each question to the end.
    outcomes = list(client.ask_many(Question(HI, lambda r: r) for _ in range(200)))
    assert len(outcomes) == 200
    assert all(isinstance(error, ServerUnreachable) for _, error in outcomes)
    assert client.stats.sent < 120


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "ftp://x/v1",
        "http://user:pw-secret@host/v1",
        "https://h/v1?key=pw-secret",
        "http://a b/",
        "http://[::1",
    ],
)
def test_impossible_addresses(text: str) -> None:
    with pytest.raises(WrongURL) as caught:
        Client("m", base_url=text)
    assert "pw-secret" not in str(caught.value)


def test_slow_servers_time_out(server: FakeServer, connect: Connect) -> None:
    over = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Response:
        over.wait(60)
        return reply()

    server.answer = answer
    with pytest.raises(Transient, match=r"no answer within 0.5 s"):
        connect(timeout=0.5).complete(HI)
    until(lambda: len(server.bodies) == 3)
    over.set()


def test_cancel_stops_a_slow_request_at_once(server: FakeServer, connect: Connect) -> None:
    over = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Response:
        over.wait(60)  # as long as the client would wait
        return reply()

    server.answer = answer
    token = CancelToken()
    client = connect(max_in_flight=4)
    futures = [client.submit(HI, cancel=token) for _ in range(10)]
    until(lambda: client.limit.in_flight == 4)
    token.cancel()
    for future in futures:
        with pytest.raises(Cancelled, match="Run it again"):
            future.result(30)
    until(lambda: client.limit.in_flight == 0, 30)
    over.set()
    with pytest.raises(Cancelled):
        client.complete(HI, cancel=token)


def test_cancel_ends_a_wait_between_tries(server: FakeServer, connect: Connect) -> None:
    server.script(failure(429, "later", Retry_After="15"))
    token = CancelToken()
    client = connect()
    future = client.submit(HI, cancel=token)
    until(lambda: client.stats.retried == 1)
    token.cancel()
    with pytest.raises(Cancelled):
        future.result(10)


def test_closing_a_client_cancels_its_questions(server: FakeServer, connect: Connect) -> None:
    server.script(failure(429, "later", Retry_After="15"))
    client = connect()
    future = client.submit(HI)
    until(lambda: client.stats.retried == 1)
    client.close()
    until(future.cancelled)
    with pytest.raises(LLMError, match="closed"):
        client.complete(HI)


def test_a_third_of_faults_and_a_retry_afterwards(server: FakeServer, connect: Connect) -> None:
    """Every question ends answered or failed with a cause; once the faults stop, the failed heal and nothing is asked twice."""
    faults = [
        lambda: failure(500),
        lambda: failure(429, "slow", Retry_After="0.02"),
        lambda: Response('{"cho', content_type="application/json"),
        lambda: reply("Sure! The answer is yes."),
        lambda: reply("[1]"),
        lambda: reply(""),
    ]
    broken = True

    def answer(body: dict[str, Any], number: int) -> Response:
        if broken and (number * 7919) % 10 < 3:
            return faults[number % len(faults)]()
        return reply("[1, 0]")

    server.answer = answer
    cache = MemoryCache()
    retry = RetryPolicy(max_attempts=2, base=0.005, cap=0.02, patience=10)
    client = connect(max_in_flight=8, cache=cache, retry=retry)
    questions = [Question(ChatRequest.of(f"question {i}"), list_answer(2)) for i in range(120)]
    outcomes = list(client.ask_many(questions))
    assert sorted(index for index, _ in outcomes) == list(range(120))
    failed = [ended for _, ended in outcomes if isinstance(ended, LLMError)]
    assert 0 < len(failed) < 60
    assert all(error.retryable for error in failed)
    keys = [question.request.key(client.endpoint, client.model) for question in questions]
    assert sum(cache.get(key) is not None for key in keys) == 120 - len(failed)
    unusable = [error.reply_ref for error in failed if error.texts]
    assert not set(unusable) & {None, *keys}
    assert len(cache) == 120 - len(failed) + len(unusable)

    broken = False
    sent = len(server.bodies)
    again = list(client.ask_many(questions))
    assert all(isinstance(answer, Answer) for _, answer in again)
    assert len(server.bodies) - sent == len(failed)
