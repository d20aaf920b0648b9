"""Simulation in both modes."""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr

from autointerp.llm.client import Client
from autointerp.llm.errors import AuthError, RequestRejected
from autointerp.llm.messages import ChatReply, ChatRequest, TokenLogprob, Usage
from autointerp.records import Score
from autointerp.score.prompts import simulation as prompt
from autointerp.score.prompts.simulation import SLOT_VERSION, VERSION
from autointerp.score.simulation import Simulation, read_slots, slot_text
from tests.mock_client import MemoryCache, MockClient
from tests.score.builders import explained, heldout, judged


def tokens_in(request: ChatRequest) -> list[str]:
    body = request.messages[-1].content.split("\n\n", 1)[1]
    return [line.split("\t", 1)[1] for line in body.split("\n")]


def listing(request: ChatRequest) -> str:
    return json.dumps({"answers": [9 if token == " fox" else 1 for token in tokens_in(request)]})


def with_slots(request: ChatRequest) -> ChatReply:
    """As a server does that returns log probabilities of the prompt: one token per piece, ? between tab and line break."""
    tokens: list[TokenLogprob | None] = [None]
    for line in request.messages[-1].content.split("\n"):
        token, _ = line.split("\t")
        likely = "9" if token == " fox" else "0"
        top = ((likely, math.log(0.6)), ("3", math.log(0.2)), ("?", math.log(0.2)))
        tokens += [
            TokenLogprob(token, -1.0),
            TokenLogprob("\t", -0.1),
            TokenLogprob("?", -3.0, top),
            TokenLogprob("\n", -0.1),
        ]
    tokens[-1] = TokenLogprob("<|end|>", -0.1)
    return ChatReply("0", "mock", "length", usage=Usage(5, 1), prompt_logprobs=tuple(tokens))


def test_answers_are_correlated_over_all_tokens_of_all_windows() -> None:
    given = heldout(6, 6)
    with MockClient(listing) as client:
        result = Simulation(client, mode="answers").run(explained("foxes"), given, seed=0)
    truth = np.concatenate([w.example.activations for w in [*given.activating, *given.non_activating]])
    said = np.concatenate(
        [np.where(np.array(w.texts) == " fox", 9, 1) for w in [*given.activating, *given.non_activating]]
    )
    assert result.value == pytest.approx(pearsonr(truth, said)[0])
    assert (result.metric, result.n_pos, result.n_neg) == ("correlation", 6, 6)
    assert result.ci_low is not None
    assert result.ci_high is not None
    assert result.ci_low <= (result.value or 0) <= result.ci_high
    assert all(len(one.predicted or ()) == 8 for one in judged(result))
    assert result.value_by_quantile[0] == pytest.approx(1.0)
    assert result.prompt_version == prompt.VERSION


def test_prompt_log_probabilities_are_used_where_the_server_gives_them() -> None:
    with MockClient(with_slots) as client:
        result = Simulation(client).run(explained("foxes"), heldout(6, 6), seed=0)
    assert result.prompt_version == SLOT_VERSION
    assert result.prompt_version == prompt.SLOT_VERSION
    expected = {(9 * 0.6 + 3 * 0.2) / 0.8 * 10 / 9, 3 * 0.2 / 0.8 * 10 / 9}
    found = {round(value, 6) for one in judged(result) for value in one.predicted or ()}
    assert found == {round(value, 6) for value in expected}
    assert (result.value or 0) > 0.9


def test_auto_falls_back_to_answers() -> None:
    def server(request: ChatRequest) -> str:
        return "4" if request.prompt_logprobs else listing(request)

    with MockClient(server) as client:
        result = Simulation(client).run(explained("foxes"), heldout(3, 3), seed=0)
    assert (result.status, result.prompt_version) == ("ok", VERSION)


class Picky:
    """A server that knows no log probabilities of prompts, or says that it does not; what it is sent."""

    def __init__(self, *, refuses: str | None = None):
        self.refuses = refuses
        self.sent: list[ChatRequest] = []

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply:
        self.sent.append(request)
        if self.refuses and request.prompt_logprobs and "prompt_logprobs" not in dropped:
            raise RequestRejected(self.refuses)
        text = "" if request.prompt_logprobs else listing(request)
        return ChatReply(text, "m", usage=Usage(10, 1, cost=0.0))

    async def models(self) -> list[str]:
        return []

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("refuses", [None, "unknown field prompt_logprobs"])
def test_that_a_server_has_no_log_probabilities_is_found_out_once_and_kept(refuses: str | None) -> None:
    cache = MemoryCache()
    sent = []
    for _ in range(3):
        server = Picky(refuses=refuses)
        with Client(
            f"picky {refuses}", base_url="http://x.invalid/v1", api_key="", transport=server, cache=cache
        ) as client:
            result = Simulation(client).run(
                explained("foxes"), heldout(3, 3), seed=0, floor=explained("cats")
            )
        assert (result.status, result.prompt_version, result.unparsed) == ("ok", VERSION, 0)
        sent.append(len(server.sent))
        assert (result.tokens_in > 0) == (sent[-1] > 0)
    assert sent == [1 + 12 + (refuses is not None), 0, 0]


def test_a_server_that_takes_no_question_of_that_form_is_asked_for_lists() -> None:
    def server(request: ChatRequest) -> str:
        if request.messages[-1].role == "assistant":
            raise RequestRejected("the last message must be the user's")
        return listing(request)

    with MockClient(server) as client:
        result = Simulation(client).run(explained("foxes"), heldout(3, 3), seed=0)
    assert (result.status, result.prompt_version) == ("ok", VERSION)


def test_log_probabilities_count_though_nothing_was_said() -> None:
    with MockClient(lambda request: replace(with_slots(request), text="")) as client:
        result = Simulation(client).run(explained("foxes"), heldout(3, 3), seed=0)
    assert (result.status, result.prompt_version, result.unparsed) == ("ok", SLOT_VERSION, 0)


@pytest.mark.parametrize("slots", [True, False])
def test_what_would_be_sent_is_told_by_the_mode_where_it_is_known(slots: bool) -> None:
    server = with_slots if slots else (lambda request: "4" if request.prompt_logprobs else listing(request))
    cache = MemoryCache()
    given = heldout(3, 3)
    with MockClient(server, cache=cache) as client:
        kept = lambda request: cache.get(request.key(client.endpoint, client.model))  # noqa: E731
        new = Simulation(client)
        plan = new.plan(given, 0)
        before = new.requests(["foxes", "cats"], plan, kept)
        Simulation(client).run(explained("foxes"), given, seed=0, floor=explained("cats"))
        after = new.requests(["foxes", "cats"], plan, kept)
    assert before[0] == client.requests[0]  # what is asked first, whatever comes of it
    assert [bool(request.prompt_logprobs) for request in before] == [True] + 12 * [False]
    assert [bool(request.prompt_logprobs) for request in after] == 12 * [slots]
    assert all(kept(request) for request in after)


def test_what_another_thread_found_out_stands() -> None:
    """One mode for all scores of a run: they would not be comparable."""

    others: list[Score] = []

    async def poor(request: ChatRequest) -> ChatReply:
        if not others:  # another latent is scored while this probe is on its way
            others.append(await asyncio.to_thread(scorer.run, explained("cats"), given, seed=0))
        return replace(with_slots(request), prompt_logprobs=())

    def server(request: ChatRequest) -> Any:
        about_first = request.messages[-1].content == slot_text(first.texts)
        return (
            poor(request) if about_first and "foxes" in request.messages[-2].content else with_slots(request)
        )

    given = heldout(6, 6)
    with MockClient(server) as client:
        scorer = Simulation(client)
        first = scorer.plan(given, 0).items[0].window
        result = scorer.run(explained("foxes"), given, seed=0)
    assert scorer.prompt_version == SLOT_VERSION
    assert (others[0].prompt_version, others[0].unparsed) == (prompt.SLOT_VERSION, 0)
    assert (result.prompt_version, result.unparsed) == (prompt.SLOT_VERSION, 1)


def test_nothing_is_asked_while_the_mode_is_unknown() -> None:
    """Or the value would be of one mode and its floor of the other."""
    calls = {"n": 0}

    def server(request: ChatRequest) -> ChatReply:
        calls["n"] += 1
        if calls["n"] == 1:
            raise AuthError("not now")
        return with_slots(request)

    with MockClient(server, max_in_flight=1) as client:
        scorer = Simulation(client)
        result = scorer.run(explained("foxes"), heldout(3, 3), seed=0, floor=explained("cats"))
        assert (result.status, result.value, result.floor, calls["n"]) == ("failed", None, None, 1)
        again = scorer.run(explained("foxes"), heldout(3, 3), seed=0, floor=explained("cats"))
    assert (again.status, again.prompt_version) == ("ok", prompt.SLOT_VERSION)


def test_wrong_lengths_are_left_out_not_zero() -> None:
    calls = {"n": 0}

    def server(request: ChatRequest) -> str:
        calls["n"] += 1
        return '{"answers": [1]}' if calls["n"] <= 2 else listing(request)

    cache = MemoryCache()
    with MockClient(server, max_in_flight=1, cache=cache) as client:
        result = Simulation(client, mode="answers").run(explained("foxes"), heldout(4, 0), seed=0)
    assert 1 <= result.unparsed <= 2
    said = [cache.get(one.reply_ref or "") for one in judged(result) if one.error]
    assert {None if one is None else one.text for one in said} == {'{"answers": [1]}'}
    assert result.n_pos + result.unparsed == 4
    assert all(one.predicted is None for one in judged(result) if one.error)


def test_constant_predictions_have_no_correlation() -> None:
    with MockClient(lambda r: json.dumps({"answers": [0] * len(tokens_in(r))})) as client:
        result = Simulation(client, mode="answers").run(explained("foxes"), heldout(3, 3), seed=0)
    assert (result.status, result.value) == ("failed", None)
    assert "not defined" in (result.error or "")


def test_a_server_that_is_down_fails_the_score() -> None:
    with MockClient(lambda _: RequestRejected("gone")) as client:
        result = Simulation(client).run(explained("foxes"), heldout(3, 3), seed=0)
    assert (result.status, result.error, result.error_kind) == ("failed", "gone", "rejected")


def test_slots_are_found_whatever_the_tokens_and_the_template() -> None:
    texts = [" a", "\n", "?", "1"]
    plain = "<|user|>" + slot_text(texts) + "<|assistant|>" + slot_text(texts) + "<|end|>"
    top = tuple((str(d), math.log(0.1)) for d in range(10))
    glued, start = [], 0
    for cut in [*range(3, len(plain), 3), len(plain)]:
        piece = plain[start:cut]
        place = piece.find("?")
        swapped = (
            tuple((piece[:place] + digit + piece[place + 1 :], p) for digit, p in top) if place >= 0 else ()
        )
        glued.append(TokenLogprob(piece, -1.0, swapped))
        start = cut
    strengths = read_slots(glued, texts)
    assert len(strengths) == 4


BYTE_LETTERS = {" ": "\u0120", "\t": "\u0109", "\n": "\u010a"}


@pytest.mark.parametrize(
    "told",
    [lambda part: "\ufffd", lambda part: "", lambda part: "\u00e2\u0128"],
    ids=["replaced", "empty", "bytes"],
)
def test_slots_are_found_where_characters_are_split_over_tokens(told: Callable[[bytes], str]) -> None:
    texts = ["\n", " caf\u00e9", "", "\u4eca", " x", "\n\n"]
    letters = BYTE_LETTERS if told(b"") == "\u00e2\u0128" else {}
    tokens: list[TokenLogprob | None] = [None]
    strength = 0
    for character in "a\t?\n" + slot_text(texts):
        if character == "?":
            tokens.append(TokenLogprob("?", -3.0, (("?", -0.1), (str(strength % 10), -4.0))))
            strength += 1
        elif character.isascii():
            tokens.append(TokenLogprob(letters.get(character, character), -1.0))
        else:
            tokens += [TokenLogprob(told(part), -1.0) for part in (b"1", b"2")]
    assert read_slots(tokens, texts) == pytest.approx([10 / 9 * i for i in range(1, 7)])
