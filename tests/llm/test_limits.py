"""The pieces that decide how many, when again, and when not."""

import asyncio
import random
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.llm.endpoints import base_url, identity, is_local
from autointerp.llm.errors import (
    AuthError,
    BadAnswer,
    LLMError,
    RateLimited,
    ServerUnreachable,
    Transient,
    WrongURL,
)
from autointerp.llm.limits import AdaptiveLimit, Breaker, RetryPolicy, retry_after
from autointerp.llm.parameters import guess, named


def run(play: Coroutine[Any, Any, None]) -> None:
    """Runs `play` in a thread of its own: the browser tests' driver keeps a loop running in the main one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, play).result()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(1_000_010, usegmt=True)}, 10.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000) == seconds


@given(st.integers(1, 20), st.integers(0, 2**32), st.floats(0, 100))
def test_waits_grow_stay_bounded_and_are_never_early(attempt: int, seed: int, asked: float) -> None:
    policy, jitter = RetryPolicy(), random.Random(seed)
    wait = policy.wait(RateLimited("x", overload=True), attempt, 0.0, jitter)
    assert wait is not None
    assert 0.5 * min(30, 0.5 * 2 ** (attempt - 1)) <= wait <= 30
    wait = policy.wait(RateLimited("x", retry_after=asked, overload=True), attempt, 0.0, jitter)
    assert wait is not None
    assert asked <= wait <= (asked + 1 if attempt <= 3 else max(asked + 1, 5))


def test_a_server_that_says_at_once_for_ever_is_not_flooded() -> None:
    policy, jitter = RetryPolicy(), random.Random(0)
    waited, tries = 0.0, 0
    while (
        wait := policy.wait(RateLimited("x", retry_after=0.0, overload=True), tries + 1, waited, jitter)
    ) is not None:
        waited, tries = waited + wait, tries + 1
    assert 100 < waited <= policy.patience
    assert tries < 300  # it was some 24,000: nothing but `patience` bounds the tries


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (Transient("x"), 6),
        (Transient("x", max_attempts=3), 3),
        (ServerUnreachable("x"), 3),
        (WrongURL("x"), 1),
        (AuthError("x"), 1),
        (BadAnswer("x"), 1),
    ],
)
def test_how_often_is_tried(error: LLMError, tries: int) -> None:
    policy, jitter = RetryPolicy(), random.Random(0)
    waits = [policy.wait(error, attempt, 0.0, jitter) for attempt in range(1, 10)]
    assert [wait is not None for wait in waits] == [attempt < tries for attempt in range(1, 10)]
    assert policy.wait(Transient("x"), 1, 599.9, jitter) is None


@given(
    st.integers(1, 40),
    st.lists(st.sampled_from(["ok", "overload", "other", "cancel"]), max_size=120),
    st.randoms(),
)
def test_the_limit_is_kept_and_no_place_is_lost(
    maximum: int, endings: list[str], order: random.Random
) -> None:
    async def play() -> None:
        limit = AdaptiveLimit(maximum)
        most = 0

        async def work(ending: str) -> None:
            nonlocal most
            slot = await limit.acquire(first=order.random() < 0.3)
            most = max(most, limit.in_flight)
            try:
                for _ in range(order.randrange(3)):
                    await asyncio.sleep(0)
            finally:
                limit.release(slot, ok=ending == "ok", overload=ending == "overload")
            assert 1 <= limit.limit <= maximum

        tasks = [asyncio.create_task(work(ending)) for ending in endings]
        for task, ending in zip(tasks, endings, strict=True):
            if ending == "cancel":
                await asyncio.sleep(0)
                task.cancel()
        async with asyncio.timeout(2):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= maximum
        assert limit.waiting == 0

    run(play())


def test_one_round_of_overloads_halves_once_and_growth_is_slow_afterwards() -> None:
    async def play() -> None:
        limit = AdaptiveLimit(64)
        assert limit.limit == 32
        slots = [await limit.acquire() for _ in range(32)]
        for slot in slots:
            limit.release(slot, overload=True)
        assert limit.limit == 16
        for _ in range(16):
            slots = [await limit.acquire() for _ in range(int(limit.limit))]
            limit.release(slots[0], ok=True)  # only a full house grows
            for slot in slots[1:]:
                limit.release(slot, ok=True)
        assert 16.9 < limit.limit < 18

    run(play())


def test_a_pause_holds_everybody() -> None:
    async def play() -> None:
        limit, loop = AdaptiveLimit(8), asyncio.get_running_loop()
        start = loop.time()
        limit.release(await limit.acquire(), overload=True, pause=0.1)
        await asyncio.gather(*(limit.acquire() for _ in range(2)))
        assert loop.time() - start >= 0.1

    run(play())


def test_the_breaker_opens_probes_and_closes() -> None:
    now = 0.0
    breaker = Breaker(threshold=3, cooldown=2.0, clock=lambda: now)
    for _ in range(3):
        assert breaker.error() is None
        breaker.record(ServerUnreachable("gone"))
    assert isinstance(breaker.error(), ServerUnreachable)
    assert str(breaker.error()) == "gone"
    now = 2.5
    assert breaker.error() is None  # the probe
    assert breaker.error() is not None
    breaker.record(None)
    assert breaker.error() is None


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("OpenAI", "https://api.openai.com/v1"),
        ("ollama", "http://localhost:11434/v1"),
        ("localhost:8000/v1/", "http://localhost:8000/v1"),
        ("192.168.1.5:8000", "http://192.168.1.5:8000"),
        ("llm.example.org/v1/chat/completions", "https://llm.example.org/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_addresses_are_put_in_order(typed: str, url: str) -> None:
    assert base_url(typed) == url
    assert "//" not in identity(url)


def test_what_is_local() -> None:
    assert all(is_local(host) for host in ("localhost", "127.0.0.1", "::1", "10.1.2.3", "gpu.local"))
    assert not any(is_local(host) for host in ("api.openai.com", "8.8.8.8", "localhost.example.org"))


def test_whom_to_blame() -> None:
    names = ["json_schema", "prompt_logprobs", "logprobs", "seed", "temperature", "max_tokens"]
    assert named("Unknown field: seed", names) == {"seed"}
    assert named("prompt_logprobs is not allowed", names) == {"prompt_logprobs"}
    assert named("`logprobs` unsupported", names) == {"logprobs"}
    assert named("unexpected {'prompt_logprobs', 'logprobs'}", names) == {"prompt_logprobs", "logprobs"}
    assert named("bad", names) == set()
    assert guess(names) == {"json_schema"}
    assert named("max_tokens must be at most 4096", ["max_tokens", "temperature"]) == set()
    assert guess(["max_tokens", "temperature"]) == set()
