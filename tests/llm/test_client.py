"""The client on a script: cache, budget, prices, many questions, the records."""

import itertools
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.check import check_endpoint
from autointerp.llm.costs import Budget, Price, PriceTable
from autointerp.llm.errors import BadAnswer, BudgetExceeded, Cancelled, LLMError, Transient
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Message, Question, TokenLogprob, Usage
from autointerp.llm.options import LLMOptions
from autointerp.llm.parsing import list_answer
from tests.mock_client import MemoryCache, MockClient

from .conftest import until

HI = ChatRequest.of("hi")
QUICK = RetryPolicy(base=0.001, cap=0.01)


def text(reply: ChatReply) -> str:
    return reply.text


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
    assert json.loads(json.dumps(request.to_dict()))["messages"][-1] == {"role": "user", "content": content}
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
    questions = [Question(ChatRequest.of(f"{i}", max_tokens=40), text) for i in range(200)]
    with MockClient(lambda request: "x" * 120, budget=budget, cache=cache, delay=0.002) as client:
        outcomes = list(client.ask_many(questions))
    answered = {index: ended for index, ended in outcomes if isinstance(ended, Answer)}
    stopped = [ended for _, ended in outcomes if isinstance(ended, LLMError)]
    assert stopped
    assert all(isinstance(error, BudgetExceeded) for error in stopped)
    assert len(outcomes) < 200  # the rest was not even begun
    assert budget.spent.total_tokens <= 1000
    assert budget.spent.total_tokens > 850
    assert budget.spent.total_tokens == sum(answer.reply.usage.total_tokens for answer in answered.values())
    assert "press Retry" in str(stopped[0])
    with MockClient(lambda request: "x", budget=Budget(max_tokens=0), cache=cache) as client:
        known = client.submit(questions[next(iter(answered))].request)
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
        pytest.raises(BudgetExceeded, match="The model 'mock' has no price"),
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
            yield Question(ChatRequest.of(str(i)), text)

    with MockClient(lambda request: request.messages[0].content, max_in_flight=4) as client:
        seen = []
        for index, answer in client.ask_many(questions()):
            assert isinstance(answer, Answer)
            assert answer.value == str(index)
            seen.append(index)
            assert begun - len(seen) <= 8
    assert sorted(seen) == list(range(500))


def test_leaving_the_stream_cancels_what_flies() -> None:
    with MockClient(lambda request: "x", delay=0.5, max_in_flight=4) as client:
        for _ in client.ask_many(Question(ChatRequest.of(str(i)), text) for i in range(100)):
            break
        until(lambda: client.limit.in_flight == 0)
        assert len(client.requests) < 30


def test_cancelling_many_questions() -> None:
    token = CancelToken()
    with MockClient(lambda request: "x", delay=0.02, max_in_flight=4) as client:
        outcomes = []
        for _, outcome in client.ask_many(
            (Question(ChatRequest.of(str(i)), text) for i in range(1000)), cancel=token
        ):
            outcomes.append(outcome)
            if len(outcomes) == 10:
                token.cancel()
    assert 10 <= len(outcomes) < 30
    assert any(isinstance(outcome, Cancelled) for outcome in outcomes)


def test_a_token_forgets_finished_work() -> None:
    token = CancelToken()
    with MockClient(itertools.repeat("x")) as client:
        for _ in range(20):
            client.complete(HI, cancel=token)
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
        assert client.limit.in_flight == 0


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
    assert len(client.requests) == 160


def test_checking_an_endpoint() -> None:
    with MockClient(['{"answers": [1, 0]}']) as client:
        result = check_endpoint(client)
    assert result.value
    assert result.reply.logprobs is None
    assert result.reply.usage.total_tokens > 0
    with MockClient(["Certainly!"]) as client:
        result = check_endpoint(client)
    assert (result.value, result.reply.text) == (False, "Certainly!")
    with MockClient([BadAnswer("nonsense")]) as client, pytest.raises(BadAnswer):
        check_endpoint(client)


def test_impossible_settings() -> None:
    wrong: list[dict[str, Any]] = [{"max_in_flight": 0}, {"timeout": 0}]
    for options in wrong:
        with pytest.raises(UserError, match="in flight must be"):
            LLMOptions(model="m", **options).check()
    with pytest.raises(UserError, match="No language model chosen"):
        LLMOptions(model=" ").check()
    with pytest.raises(UserError, match="0 or more"):
        Budget(max_tokens=-1)
