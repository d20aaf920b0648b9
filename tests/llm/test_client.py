"""The client on a script: cache, budget, prices, many questions, the records."""

import itertools
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.llm import (
    BadAnswer,
    Budget,
    BudgetExceeded,
    Cancelled,
    CancelToken,
    ChatReply,
    ChatRequest,
    LLMError,
    MemoryCache,
    Message,
    MockClient,
    Price,
    PriceTable,
    Question,
    RequestRejected,
    RetryPolicy,
    TokenLogprob,
    Transient,
    Usage,
    check_endpoint,
    list_answer,
)

HI = ChatRequest.of("hi")
QUICK = RetryPolicy(base=0.001, cap=0.01)


def text(reply: ChatReply) -> str:
    return reply.text


def test_a_second_time_is_free_and_sends_nothing() -> None:
    cache = MemoryCache()
    with MockClient(["[1]"], cache=cache) as client:
        first = client.ask(HI, list_answer(1))
        second = client.ask(HI, list_answer(1))
    assert len(client.requests) == 1
    assert (first.reply.cached, second.reply.cached) == (False, True)
    assert second.value == first.value
    assert second.reply.spent == Usage()
    assert second.reply.usage == first.reply.usage
    assert client.stats.cache_hits == 1


def test_the_same_question_twice_at_once_is_one_call() -> None:
    with MockClient(itertools.repeat("yes"), cache=MemoryCache(), delay=0.5) as client:
        futures = [client.submit(HI) for _ in range(5)]
        assert [future.result(60).value.text for future in futures] == ["yes"] * 5
    assert len(client.requests) == 1


def test_unusable_replies_are_kept_for_people_and_never_answer_a_question() -> None:
    cache = MemoryCache()
    with MockClient(["no", "", "never", "", "[1]"], cache=cache) as client:
        refs = []
        for first in ("no", "never"):
            with pytest.raises(BadAnswer) as caught:
                client.ask(HI, list_answer(1))
            refs.append(caught.value.reply_ref or "")
            kept = cache.get(refs[-1])
            assert kept is not None
            assert (kept.discarded, kept.text, kept.finish_reason) == ((first,), "", "unusable")
            assert kept.usage == caught.value.usage
        assert len({*refs, HI.key(client.endpoint, client.model)}) == 3
        assert client.ask(HI, list_answer(1)).value == [1]
    assert len(client.requests) == 5


def test_a_first_reply_is_kept_though_the_second_question_failed() -> None:
    cache = MemoryCache()
    with (
        MockClient(["no list", RequestRejected("gone")], cache=cache) as client,
        pytest.raises(RequestRejected) as caught,
    ):
        client.ask(HI, list_answer(1))
    kept = cache.get(caught.value.reply_ref or "")
    assert kept is not None
    assert (kept.text, kept.discarded) == ("no list", ())


def test_without_a_reply_or_a_place_for_it_nothing_is_referred_to(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryCache):
        def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
            raise OSError("disk full")

    caches = [None, Full(), MemoryCache()]
    for cache, line in zip(caches, ["no", "no", RequestRejected("gone")], strict=True):
        with MockClient(lambda _, line=line: line, cache=cache) as client, pytest.raises(LLMError) as caught:
            client.ask(HI, list_answer(1))
        assert caught.value.reply_ref is None


def test_a_re_asked_answer_is_kept_under_the_first_question() -> None:
    with MockClient(["no", "[1]"], cache=MemoryCache()) as client:
        client.ask(HI, list_answer(1))
        again = client.ask(HI, list_answer(1))
    assert again.reply.cached
    assert again.reply.discarded == ("no",)
    assert len(client.requests) == 2


class FirstStays(MemoryCache):
    """As the store's: what is kept under a key stays."""

    def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
        if self.get(key) is None:
            super().put(key, request, reply)


def test_a_kept_reply_that_is_no_longer_usable_is_asked_for_once_more_and_never_again() -> None:
    cache = FirstStays()
    with MockClient(["[1]", "no list", "[1, 0]", "[1, 0, 1]"], cache=cache) as client:
        client.ask(HI, list_answer(1))
        new = client.ask(HI, list_answer(2))  # asked twice: the first reply could not be used either
        assert len(client.requests) == 3
        for _ in range(3):
            again = client.ask(HI, list_answer(2))
            assert (again.value, again.reply.cached, again.reply.key) == ([1, 0], True, new.reply.key)
        assert client.ask(HI, list_answer(1)).value == [1]  # the old one is still there for whom it serves
        assert len(client.requests) == 3
        assert client.ask(HI, list_answer(3)).value == [1, 0, 1]
        assert client.ask(HI, list_answer(3)).reply.spent == Usage()
    assert len(client.requests) == 4
    kept = cache.get(new.reply.key)
    assert kept is not None
    assert kept.text == "[1, 0]"


def test_what_fails_is_asked_afresh_also_after_a_reply_that_is_no_longer_usable() -> None:
    with MockClient(["[1]", "no", "no", "[1, 0]"], cache=FirstStays()) as client:
        client.ask(HI, list_answer(1))
        with pytest.raises(BadAnswer):
            client.ask(HI, list_answer(2))
        assert client.ask(HI, list_answer(2)).value == [1, 0]  # a retry: nothing of the failure was kept


def test_a_cache_that_cannot_write_loses_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryCache):
        def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
            raise OSError("disk full")

    with MockClient(["yes"], cache=Full()) as client:
        reply = client.complete(HI)
    assert reply.text == "yes"
    assert reply.key == ""  # rows that named it would be refused: there is no such reply
    assert client.stats.cache_errors == 1
    assert "disk full" in caplog.text


def test_a_cache_may_write_many_at_once() -> None:
    sizes: list[int] = []

    class Batched(MemoryCache):
        def put_many(self, entries: list[tuple[str, ChatRequest, ChatReply]]) -> None:
            sizes.append(len(entries))
            for entry in entries:
                self.put(*entry)

    cache = Batched()
    with MockClient(itertools.repeat("yes"), cache=cache, max_in_flight=32) as client:
        outcomes = list(client.ask_many(Question(ChatRequest.of(str(i)), text) for i in range(100)))
    assert all(outcome.answer is not None for outcome in outcomes)
    assert len(cache) == sum(sizes) == 100
    assert len(sizes) < 60


CHANGES: list[dict[str, Any]] = [
    {"messages": (Message("user", "ho"),)},
    {"messages": (Message("system", "hi"),)},
    {"schema": {"type": "object"}},
    {"model": "other"},
    {"temperature": 1.0},
    {"temperature": None},
    {"max_tokens": 9},
    {"seed": 1},
    {"top_logprobs": 5},
    {"prompt_logprobs": 5},
    {"sample": 1},
    {"allow_truncated": True},
    {"extra": {"top_k": 5}},
]


def test_the_key_holds_everything_that_determines_the_reply() -> None:
    everything: list[dict[str, Any]] = [{"messages": HI.messages} | change for change in CHANGES]
    requests = [HI, *(ChatRequest(**fields) for fields in everything)]
    keys = {request.key("host/v1", "m") for request in requests}
    keys |= {HI.key("host/v2", "m"), HI.key("host/v1", "n")}
    assert len(keys) == len(CHANGES) + 3
    assert HI.key("h", "m") == ChatRequest.of("hi", model="m").key("h", "other")


@given(st.text(), st.text() | st.none(), st.lists(st.tuples(st.text(), st.floats(-50, 0)), max_size=3))
def test_records_survive_json(content: str, system: str | None, top: list[tuple[str, float]]) -> None:
    request = ChatRequest.of(content, system=system, schema={"a": [1]}, extra={"b": None})
    assert ChatRequest.from_dict(request.to_dict()) == request
    logprob = TokenLogprob(content, -1.5, tuple(top))
    reply = ChatReply(
        content,
        "m",
        usage=Usage(1, 2, 0, None),
        logprobs=(logprob,),
        prompt_logprobs=(None, logprob),
        dropped=("seed",),
    )
    assert ChatReply.from_dict(reply.to_dict()) == reply


def test_a_token_budget_stops_cleanly_and_is_kept() -> None:
    budget = Budget(max_tokens=1000)
    cache = MemoryCache()
    questions = [Question(ChatRequest.of(f"{i}", max_tokens=40), text, tag=i) for i in range(200)]
    with MockClient(lambda request: "x" * 120, budget=budget, cache=cache, delay=0.002) as client:
        outcomes = list(client.ask_many(questions))
    answered = [outcome for outcome in outcomes if outcome.answer is not None]
    stopped = [outcome for outcome in outcomes if outcome.error is not None]
    assert stopped
    assert all(isinstance(outcome.error, BudgetExceeded) for outcome in stopped)
    assert len(outcomes) < 200  # the rest was not even begun
    assert budget.spent.total_tokens <= 1000
    assert budget.spent.total_tokens > 850
    assert budget.spent.total_tokens == sum(o.answer.reply.usage.total_tokens for o in answered if o.answer)
    assert "takes a larger budget" in str(stopped[0].error)
    with MockClient(lambda request: "x", budget=Budget(max_tokens=0), cache=cache) as client:
        known = client.submit(answered[0].question.request)
        assert known.result(60).reply.cached  # what is paid for stays free


def test_a_money_budget_needs_a_price() -> None:
    prices = PriceTable.parse({"mock*": {"prompt": 1.0, "completion": 2.0}})
    request = ChatRequest.of("x" * 400, max_tokens=100)
    with MockClient(itertools.repeat("y" * 40), prices=prices, budget=Budget(max_cost=0.01)) as client:
        reply = client.complete(request)
        assert reply.usage.cost == pytest.approx((101 * 1.0 + 11 * 2.0) / 1e6)
        guess = client.estimate(request)
        assert guess.cost is not None
        assert guess.cost > (reply.usage.cost or 0)
    with (
        MockClient(["y"], budget=Budget(max_cost=0.01)) as client,
        pytest.raises(BudgetExceeded, match="No price is known for the model 'mock'"),
    ):
        client.complete(HI)
    assert client.requests == []


def test_the_servers_own_cost_goes_first() -> None:
    line = ChatReply("y", "m", usage=Usage(10, 5, cost=0.25))
    with MockClient([line], prices=PriceTable({"mock": Price(1, 1)})) as client:
        assert client.complete(HI).usage.cost == 0.25


def test_unknown_prices_stay_unknown() -> None:
    with MockClient(["y"]) as client:
        assert client.complete(HI).usage.cost is None
        assert client.stats.usage.cost is None
        assert client.stats.usage.total_tokens > 0


def test_price_tables() -> None:
    table = PriceTable.parse(
        {"a*": {"prompt": 1, "completion": 1}, "a-big*": {"prompt": 3, "completion": 3, "cached": 0.5}}
    )
    assert table.find("a-big-2") == Price(3, 3, 0.5)
    assert table.find("a-small") == Price(1, 1)
    assert table.find("b") is None
    assert Price(2, 4, 1).of(1_000_000, 500_000, 400_000) == pytest.approx(0.6 * 2 + 0.4 * 1 + 0.5 * 4)
    for bad in (
        {"a": 3},
        {"a": {"prompt": 1}},
        {"a": {"prompt": "x", "completion": 1}},
        {"a": {"prompt": -1, "completion": 1}},
    ):
        with pytest.raises(UserError, match="price"):
            PriceTable.parse(bad)


def test_failures_that_cost_are_counted() -> None:
    with MockClient(["no", "still no"], prices=PriceTable({"mock": Price(1e6, 1e6)})) as client:
        with pytest.raises(BadAnswer) as caught:
            client.ask(HI, list_answer(1))
        assert caught.value.usage is not None
        assert caught.value.usage == client.stats.usage
        assert (caught.value.usage.cost or 0) > 0


def test_scripts_raise_and_retry_like_servers() -> None:
    with MockClient([Transient("down"), "up"], retry=QUICK) as client:
        assert client.complete(HI).attempts == 2
        with pytest.raises(LLMError, match="script ended"):
            client.complete(HI)


def test_many_questions_stream_through_a_bounded_window() -> None:
    begun = 0

    def questions() -> Any:
        nonlocal begun
        for i in range(500):
            begun += 1
            yield Question(ChatRequest.of(str(i)), text, tag=i)

    with MockClient(lambda request: request.messages[0].content, max_in_flight=4) as client:
        seen = []
        for outcome in client.ask_many(questions()):
            assert outcome.answer is not None
            assert outcome.answer.value == str(outcome.question.tag)
            seen.append(outcome.index)
            assert begun - len(seen) <= 8
    assert sorted(seen) == list(range(500))


def test_leaving_the_stream_cancels_what_flies() -> None:
    with MockClient(lambda request: "x", delay=0.5, max_in_flight=4) as client:
        for _ in client.ask_many(Question(ChatRequest.of(str(i)), text) for i in range(100)):
            break
        deadline = time.monotonic() + 60
        while client.stats.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.stats.in_flight == 0
        assert len(client.requests) < 30


def test_cancelling_many_questions() -> None:
    token = CancelToken()
    with MockClient(lambda request: "x", delay=0.02, max_in_flight=4) as client:
        outcomes = []
        for outcome in client.ask_many(
            (Question(ChatRequest.of(str(i)), text) for i in range(1000)), cancel=token
        ):
            outcomes.append(outcome)
            if len(outcomes) == 10:
                token.cancel()
    assert 10 <= len(outcomes) < 30
    assert any(isinstance(outcome.error, Cancelled) for outcome in outcomes)


def test_a_token_forgets_finished_work() -> None:
    token = CancelToken()
    with MockClient(itertools.repeat("x")) as client:
        for _ in range(20):
            client.complete(HI, cancel=token)
    assert not token._callbacks
    rung: list[int] = []
    undo = token.on_cancel(lambda: rung.append(1))
    token.on_cancel(lambda: rung.append(2))
    undo()
    token.cancel()
    token.on_cancel(lambda: rung.append(3))
    assert rung == [2, 3]


def test_a_bug_in_a_validator_is_a_bug() -> None:
    def broken(reply: ChatReply) -> int:
        raise ZeroDivisionError

    with MockClient(itertools.repeat("x")) as client:
        with pytest.raises(ZeroDivisionError):
            client.ask(HI, broken)
        assert client.stats.in_flight == 0


def test_waiting_inside_the_loop_is_refused() -> None:
    with MockClient(itertools.repeat("x")) as client, pytest.raises(RuntimeError, match="use submit"):
        client.ask(HI, lambda reply: client.complete(HI))


def test_clients_work_from_many_threads() -> None:
    errors: list[BaseException] = []
    with MockClient(lambda request: request.messages[0].content, max_in_flight=8) as client:

        def work(number: int) -> None:
            try:
                for i in range(20):
                    assert client.complete(ChatRequest.of(f"{number}.{i}")).text == f"{number}.{i}"
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert not errors
    assert client.stats.answered == 160


def test_checking_an_endpoint() -> None:
    with MockClient(['{"answers": [1, 0]}']) as client:
        result = check_endpoint(client)
    assert result.ok
    assert result.structured
    assert not result.logprobs
    assert result.usage.total_tokens > 0
    with MockClient(["Certainly!"]) as client:
        result = check_endpoint(client)
    assert (result.ok, result.structured, result.text) == (True, False, "Certainly!")
    with MockClient([BadAnswer("nonsense")]) as client:
        assert not check_endpoint(client).ok


def test_impossible_settings() -> None:
    wrong: list[dict[str, Any]] = [{"max_in_flight": 0}, {"timeout": 0}]
    for options in wrong:
        with pytest.raises(LLMError, match="max_in_flight must be"):
            MockClient([], **options)
    with pytest.raises(LLMError, match="No model given"):
        MockClient([], model=" ")
    with pytest.raises(UserError, match="0 or more"):
        Budget(max_tokens=-1)
