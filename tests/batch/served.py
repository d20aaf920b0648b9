"""A scripted OpenAI-compatible server that answers explainers and judges, fails on purpose, and counts what it is paid for."""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

FAULTS = ("500", "429", "cut", "empty", "prose", "length", "refusal", "slow")

Fault = Callable[[str, int], str | None]
"""Digest of the question (without a complaint at its end) and how often it has been asked; the fault, if any."""


def no_faults(question: str, times: int) -> str | None:
    return None


def thirty_percent(seed: int, persistent: float = 0.05) -> Fault:
    """Faults in 30 of 100 requests: some questions meet the same fault for ever, the others now and then. Depends on the
    question and on how often it was asked, not on the order of requests."""

    def fault(question: str, times: int) -> str | None:
        rng = random.Random(f"{seed} {question}")
        if rng.random() < persistent:
            return rng.choice([one for one in FAULTS if one != "429"])  # being told to wait is no failure
        rng = random.Random(f"{seed} {question} {times}")
        return rng.choice(FAULTS) if rng.random() < (0.3 - persistent) / (1 - persistent) else None

    return fault


@dataclass
class ScriptedServer:
    """`good` counts usable answers by `key`, a digest of the request's body: each of them is paid for. `say`: what is answered
    to a body."""

    http: HTTPServer
    fault: Fault = no_faults
    latency: float = 0.0
    slow_seconds: float = 2.5
    key: Callable[[dict[str, Any]], str] = lambda body: digest(body)
    say: Callable[[dict[str, Any]], str] = lambda body: answer(body)
    lock: threading.Lock = field(default_factory=threading.Lock)
    good: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    now: int = 0

    def __post_init__(self) -> None:
        self.url = self.http.url_for("/v1")
        self.http.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._handle)
        self.http.expect_request("/v1/models").respond_with_json({"data": [{"id": "m"}, {"id": "other"}]})

    @property
    def n_requests(self) -> int:
        return len(self.bodies)

    def idle(self, seconds: float = 60.0) -> None:
        """Wait until nothing is being answered."""
        end = time.monotonic() + seconds
        while self.now and time.monotonic() < end:
            time.sleep(0.005)
        assert not self.now

    def _handle(self, request: Request) -> Response:
        body = request.get_json()
        question = digest(original(body["messages"]))
        with self.lock:
            self.now += 1
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.asked[question] += 1
            times = self.asked[question]
        try:
            fault = self.fault(question, times)
            if fault is not None:
                with self.lock:
                    self.faults[fault] += 1
                return self.fail(fault)
            time.sleep(self.latency)
            text = self.say(body)
            with self.lock:
                self.good[self.key(body)] += 1
            return completion(text)
        finally:
            with self.lock:
                self.now -= 1

    def fail(self, fault: str) -> Response:
        if fault == "429":
            return error(429, "slow down", headers={"Retry-After": "0.05"})
        if fault == "slow":
            time.sleep(self.slow_seconds)  # longer than the client waits
            return error(503, "too late")
        if fault == "cut":
            return Response('{"choices": [{"mess', content_type="application/json")
        texts = {
            "empty": "",
            "prose": "I would say that the first two texts fit rather well, and the others less so.",
            "length": '{"answers": [1], "text": "nothing under explanation"}',
            "refusal": "I'm sorry, but I can't help with that.",
        }
        return completion(texts[fault]) if fault in texts else error(500, "something broke")


def original(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without the client's complaint about an earlier answer."""
    if messages and messages[-1]["content"].startswith("This answer cannot be used"):
        return messages[:-2]
    return messages


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def answer(body: dict[str, Any]) -> str:
    """What a willing model would say, always the same to the same question."""
    if "response_format" not in body:
        return "ok"
    schema = body["response_format"]["json_schema"]["schema"]["properties"]
    rng = random.Random(digest(body["messages"]))
    if "answers" in schema:
        form = schema["answers"]
        return json.dumps({"answers": [rng.choice(form["items"]["enum"]) for _ in range(form["minItems"])]})
    words = ["cats", "dogs", "brackets", "the end of a clause", "numbers", "names of rivers"]
    said = f"{rng.choice(words)} and {rng.choice(words)}, case {rng.randrange(10**9)}"
    return json.dumps({name: said for name in schema})


def completion(text: str) -> Response:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    data = {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    return Response(json.dumps(data), 200, content_type="application/json")


def error(
    status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    data = {"error": {"message": message, "code": code, "type": "test"}}
    return Response(json.dumps(data), status, headers, content_type="application/json")
