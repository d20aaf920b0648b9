"""One stray answer decides nothing: features are left out on evidence, and work ends when a server stays what it became."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from werkzeug import Response

from autointerp.llm import parameters
from autointerp.llm.client import Client
from autointerp.llm.errors import AuthError, LLMError, RequestRejected, ServerUnreachable
from autointerp.llm.messages import ChatRequest, Question
from autointerp.llm.parsing import list_answer, list_schema

from .conftest import QUICK, FakeServer, failure, reply

Connect = Callable[..., Client]
PAGE = Response("<html><body>Sign in to the network</body></html>", 200, mimetype="text/html")
MODELS = count()


@pytest.fixture
def model() -> str:
    """What a server accepts is remembered for as long as the process lives, by server and model."""
    return f"stray-{next(MODELS)}"


def asking(n: int) -> list[Question[Any]]:
    return [
        Question(ChatRequest.of(f"question {i}", schema=list_schema(1)), list_answer(1)) for i in range(n)
    ]


def ended(client: Client, n: int) -> list[Any]:
    """How each of `n` questions ended, in order."""
    return [ending for _, ending in sorted(client.ask_many(asking(n)), key=lambda pair: pair[0])]


def good(client: Client, n: int) -> bool:
    return not any(isinstance(ending, LLMError) for ending in ended(client, n))


def with_schema(server: FakeServer) -> int:
    return sum("response_format" in body for body in server.bodies)


@pytest.mark.parametrize("status", [400, 418, 422])
@pytest.mark.parametrize("place", [0, 3])
def test_one_stray_rejection_turns_nothing_off(
    status: int, place: int, model: str, server: FakeServer, connect: Connect
) -> None:
    server.answer = lambda body, number: failure(status, "no") if number == place else reply("[1]")
    client = connect(model=model, max_in_flight=1)
    assert good(client, 20)
    assert with_schema(server) == len(server.bodies) == 21
    assert parameters.dropped(client.endpoint, model) == frozenset()


def test_what_is_rejected_again_and_again_is_left_out(
    model: str, server: FakeServer, connect: Connect
) -> None:
    server.answer = lambda body, number: failure(400, "no") if "response_format" in body else reply("[1]")
    client = connect(model=model, max_in_flight=1)
    assert good(client, 20)
    # One question more may have been on its way.
    assert 2 * parameters.CONFIRMED <= with_schema(server) <= 2 * parameters.CONFIRMED + 1
    assert len(server.bodies) == 20 + with_schema(server)


def test_what_the_server_names_is_left_out_at_once(model: str, server: FakeServer, connect: Connect) -> None:
    server.answer = lambda body, number: (
        failure(400, "response_format is not supported") if "response_format" in body else reply("[1]")
    )
    client = connect(model=model, max_in_flight=1)
    assert good(client, 20)
    assert with_schema(server) <= 2  # one question more may have been on its way


def test_a_good_answer_with_the_feature_clears_it(model: str, server: FakeServer, connect: Connect) -> None:
    """Rejected twice in a row by chance, later accepted, rejected twice again: never left out."""
    stray = {0, 1, 8, 9}
    server.answer = lambda body, number: failure(400, "no") if number in stray else reply("[1]")
    client = connect(model=model, max_in_flight=1)
    assert good(client, 20)
    assert parameters.dropped(client.endpoint, model) == frozenset()


@pytest.mark.parametrize(
    "odd",
    [failure(302, "moved", location="/login"), failure(401, "no key"), PAGE, failure(402, "empty"),
     failure(404, "no such model")],
    ids=["redirect", "key", "page", "credit", "model"],
)  # fmt: skip
@pytest.mark.parametrize("n_odd", [1, 3])
def test_odd_answers_between_good_ones_end_nothing(
    odd: Response, n_odd: int, model: str, server: FakeServer, connect: Connect
) -> None:
    server.answer = lambda body, number: (
        Response(odd.get_data(), odd.status_code, odd.headers) if 3 <= number < 3 + n_odd else reply("[1]")
    )
    assert good(connect(model=model, max_in_flight=1), 20)


@pytest.mark.parametrize("n_good", [0, 3])
def test_a_key_that_stays_wrong_ends_the_work_soon(
    n_good: int, model: str, server: FakeServer, connect: Connect
) -> None:
    server.answer = lambda body, number: reply("[1]") if number < n_good else failure(401, "no key")
    client = connect(model=model, max_in_flight=1)
    assert isinstance(ended(client, n_good + 1)[-1], AuthError)
    assert len(server.bodies) == n_good + (1 if n_good == 0 else QUICK.max_doubted)


def test_a_rejection_of_the_question_itself_is_told(model: str, server: FakeServer, connect: Connect) -> None:
    server.answer = lambda body, number: failure(400, "no such question")
    with pytest.raises(RequestRejected, match="no such question"):
        connect(model=model).complete(ChatRequest.of("hi"))
    assert len(server.bodies) == 1


def test_a_server_that_never_answered_is_not_waited_for(
    model: str, server: FakeServer, connect: Connect
) -> None:
    server.answer = lambda body, number: Response(PAGE.get_data(), 200, mimetype="text/html")
    with pytest.raises(ServerUnreachable):
        connect(model=model).complete(ChatRequest.of("hi"))
    assert len(server.bodies) == 1
