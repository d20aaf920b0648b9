"""A scripted server on localhost, spoken to by the real client over real HTTP."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from autointerp.llm.client import Client
from autointerp.llm.limits import RetryPolicy

KEY = "test-key-0123456789abcdef"
QUICK = RetryPolicy(base=0.01, cap=0.05, patience=20.0)


def completion(text: str | None = "ok", **fields: Any) -> dict[str, Any]:
    """The body of an ordinary chat completion; `fields` go over the choice."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}} | fields
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"id": "1", "object": "chat.completion", "model": "served", "choices": [choice], "usage": usage}


def reply(text: str | None = "ok", **fields: Any) -> Response:
    return as_json(completion(text, **fields))


def as_json(data: object, status: int = 200, **headers: str) -> Response:
    return Response(
        json.dumps(data), status, {k.replace("_", "-"): v for k, v in headers.items()}, "application/json"
    )


def failure(status: int, message: str = "no", code: str | None = None, **headers: str) -> Response:
    return as_json({"error": {"message": message, "code": code, "type": "test"}}, status, **headers)


class FakeServer:
    """Answers every chat completion with `answer(body, number)`; counts what it sees."""

    def __init__(self, http: HTTPServer):
        self.url = http.url_for("/v1")
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.now = self.most = 0
        self.answer: Callable[[dict[str, Any], int], Response] = lambda body, number: reply()
        self._lock = threading.Lock()
        http.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._handle)

    def script(self, *lines: Response) -> None:
        """These replies in order; the last one for ever."""

        start = len(self.bodies)

        def answer(body: dict[str, Any], number: int) -> Response:
            line = lines[min(number - start, len(lines) - 1)]
            return Response(line.get_data(), line.status_code, line.headers)

        self.answer = answer

    def _handle(self, request: Request) -> Response:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(request.get_json())
            self.headers.append(dict(request.headers))
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return self.answer(self.bodies[number], number)
        finally:
            with self._lock:
                self.now -= 1


@pytest.fixture(scope="session")
def shared_http() -> Iterator[HTTPServer]:
    server = HTTPServer(threaded=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http(shared_http: HTTPServer) -> Iterator[HTTPServer]:
    yield shared_http
    shared_http.clear()


@pytest.fixture
def server(http: HTTPServer) -> FakeServer:
    return FakeServer(http)


@pytest.fixture
def connect(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """A maker of clients of the fake server; each is closed at the end."""
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    made: list[Client] = []

    def make(**options: Any) -> Client:
        settings: dict[str, Any] = {
            "base_url": server.url,
            "api_key": KEY,
            "retry": QUICK,
            "timeout": 60.0,
        } | options
        client = Client(settings.pop("model", "m"), **settings)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
