"""AUTOINTERP_API_KEY goes to the server that its owner named, and to no other: not to one that a store's job names."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from autointerp import preferences
from autointerp.errors import UserError
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from autointerp.preferences import ENV_BASE_URL, ENV_CONFIG, Preferences
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.llm.conftest import FakeServer, reply

KEY = "sk-of-the-owner-0123456789"


@pytest.fixture
def server(httpserver: HTTPServer) -> FakeServer:
    served = FakeServer(httpserver)
    served.answer = lambda body, number: reply("yes")
    return served


@pytest.fixture(autouse=True)
def _owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_API_KEY", KEY)
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "settings.json"))
    monkeypatch.delenv(ENV_BASE_URL, raising=False)
    monkeypatch.setattr(preferences, "named_servers", set())


@pytest.fixture
def sent(tiny_store: Store, server: FakeServer) -> Iterator[Callable[[], str | None]]:
    """The key that the server gets of a job which asks it; no header at all where there is none."""
    with Annotations(tiny_store.path) as annotations:
        resources, questions = Resources(tiny_store, annotations), itertools.count()

        def ask() -> str | None:
            with resources.client(LLMOptions(model="m", base_url=server.url)) as client:
                client.complete(ChatRequest.of(f"Question {next(questions)}"))
            return server.headers[-1].get("Authorization")

        yield ask


def test_a_server_that_only_a_job_names_gets_no_key(sent: Callable[[], str | None], server: FakeServer):
    assert sent() is None
    host, _, path = server.url.removeprefix("http://").partition("/")
    for named in (
        f"https://{host}/{path}",
        f"http://{host}/{path}/more",
        f"http://{host}1/{path}",
        f"http://{host}.evil/{path}",
    ):
        preferences.named_servers.clear()
        try:
            preferences.name_server(named)
        except UserError:
            continue
        assert sent() is None, named


@pytest.mark.parametrize("how", ["settings", "command line", "environment"])
def test_the_server_that_the_owner_named_gets_it(
    how: str, sent: Callable[[], str | None], server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    if how == "settings":
        preferences.save(Preferences(model="m", base_url=server.url))
    elif how == "command line":
        preferences.name_server(server.url)
    else:
        monkeypatch.setenv(ENV_BASE_URL, server.url)
        assert preferences.load().base_url == server.url
    assert sent() == f"Bearer {KEY}"
    preferences.named_servers.clear()
    monkeypatch.delenv(ENV_BASE_URL, raising=False)
    preferences.save(Preferences(model="m", base_url="http://another.example/v1"))
    assert sent() is None
