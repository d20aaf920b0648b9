"""Keys: found where they should be, sent only where they belong, shown nowhere."""

import copy
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug import Response

from autointerp.llm.client import Client
from autointerp.llm.errors import AuthError, LLMError
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import ChatRequest
from autointerp.llm.secrets import Secret, find_key, redact
from tests.mock_client import MemoryCache

from .conftest import KEY, FakeServer, as_json, failure, reply

# hypothesis draws words of our own source too; the mark in front makes sure that a key is none of them.
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60).map("@7".__add__)


def test_where_keys_come_from() -> None:
    env = {"OPENAI_API_KEY": "sk-openai", "OPENROUTER_API_KEY": "sk-router"}
    assert find_key("https://api.openai.com/v1", None, env).reveal() == "sk-openai"
    assert find_key("https://openrouter.ai/api/v1", None, env).reveal() == "sk-router"
    for other in (
        "http://localhost:8000/v1",
        "https://api.openai.com.evil.example/v1",
        "https://notopenrouter.ai/v1",
    ):
        assert not find_key(other, None, env)
    assert (
        find_key("http://localhost:8000/v1", None, env | {"AUTOINTERP_API_KEY": " any \n"}).reveal() == "any"
    )
    assert find_key("https://api.openai.com/v1", "typed", env).reveal() == "typed"
    assert not find_key("https://api.openai.com/v1", "", env)


def test_a_secret_does_not_show_or_travel() -> None:
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            leak(secret)
    assert repr(Secret("")) == "Secret(none)"


@pytest.mark.parametrize("bad", ["two words-pw", "line\nbreak-pw", "sch\u00fcssel-pw", "null\x00-pw"])
def test_impossible_keys_are_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(AuthError, match="Copy it again") as caught:
        Client("m", base_url="http://localhost:1/v1", api_key=bad)
    assert bad not in str(caught.value)


@given(KEYS, st.text(max_size=80), st.text(max_size=80))
@example("a" * 12, "", "b")
@example("sk-ABCDEFGHIJKL", "\u0130", "SK-abcdefghijkl")
def test_redact_leaves_no_piece_of_the_key(key: str, before: str, after: str) -> None:
    secret = Secret(key)
    for piece in (key, key[:8], key[-9:], key[2:11]):
        clean = redact(f"{before}{piece}{after}", secret)
        assert piece not in clean
        assert key not in clean


def test_redact_knows_the_looks_of_keys_and_leaves_the_rest() -> None:
    text = redact(
        "bad key sk-proj-abc*****wxyz, Bearer eyJhbGciOi.x.y, see http://me:pass@host/ and hf_abcdefgh"
    )
    for leak in ("abc*", "wxyz", "eyJ", "pass", "hf_abc"):
        assert leak not in text
    plain = "The latent fires on ask-me tokens; risk-taking; 2 > 1."
    assert redact(plain, Secret(KEY)) == plain


def everything_written(error: BaseException) -> str:
    """What a traceback, a log or a record could show of an error, its causes and contexts included."""
    parts, seen = ["".join(traceback.format_exception(error))], set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        parts += [str(link), repr(link), repr(link.__dict__), repr(link.args)]
        link = link.__cause__ or link.__context__
    return "\n".join(parts)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    key=KEYS,
    status=st.sampled_from([200, 302, 400, 401, 403, 404, 422, 429, 500]),
    shape=st.sampled_from(["openai", "detail", "plain", "html", "nested"]),
    words=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30),
)
def test_no_error_or_log_holds_the_key(
    server: FakeServer,
    connect: Callable[..., Client],
    caplog: pytest.LogCaptureFixture,
    key: str,
    status: int,
    shape: str,
    words: str,
) -> None:
    echo = f"{words} Bearer {key} {key} {words}"
    bodies = {
        "openai": as_json({"error": {"message": echo, "code": key, "type": key}}, status),
        "detail": as_json({"detail": echo}, status),
        "plain": Response(echo, status, {"X-Echo": key, "Location": f"http://h/{key}", "Retry-After": "0"}),
        "html": Response(f"<html>{echo}</html>", status, content_type="text/html"),
        "nested": as_json({"error": {"metadata": {"raw": echo}, "message": {"a": [echo]}}}, status),
    }
    server.script(bodies[shape])
    caplog.set_level(logging.DEBUG)
    client = connect(api_key=key, model="leaky", retry=RetryPolicy(max_attempts=2, base=0.001, patience=0.02))
    with pytest.raises(LLMError) as caught:
        client.complete(ChatRequest.of("hi", seed=1))
    written = everything_written(caught.value)
    own_logs = "\n".join(
        str(record.getMessage())
        for record in caplog.records
        if record.name.startswith(("autointerp", "openai", "httpx"))
    )
    for text in (written, own_logs, repr(client), repr(client.stats)):
        assert key not in text
    caplog.clear()


def test_a_reply_that_echoes_the_key_is_not_kept_with_it(
    server: FakeServer, connect: Callable[..., Client]
) -> None:
    server.script(reply(f"You sent {KEY}."))
    cache = MemoryCache()
    answer = connect(cache=cache).complete(ChatRequest.of("what did I send?"))
    assert answer.text == "You sent [hidden]."
    kept = cache.get(answer.key)
    assert kept is not None
    assert KEY not in str(kept)


def test_the_key_does_not_enter_the_cache_key(server: FakeServer, connect: Callable[..., Client]) -> None:
    cache = MemoryCache()
    connect(cache=cache, api_key="first-key-0000").complete(ChatRequest.of("x"))
    assert connect(cache=cache, api_key="other-key-0000").complete(ChatRequest.of("x")).cached
    server.script(failure(401))
