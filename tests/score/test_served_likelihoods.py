"""Intervention scores by a language model behind a server: what it is asked over HTTP, how what it gives back is read, and what
becomes of a server that gives nothing of a prompt. The server speaks as vLLM does."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import Cancelled, RequestRejected, UnknownModel, WrongURL
from autointerp.llm.likelihoods import SplitCharacter, likelihood_request
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.effects import kept_effect
from autointerp.pipeline.estimate import estimate_score
from autointerp.pipeline.resources import Resources
from autointerp.records import Score
from autointerp.sampling import one_line
from autointerp.score.intervention import Intervention
from autointerp.score.judges.served import ServedTextModel
from autointerp.score.options import ScoreOptions
from autointerp.score.prompts import intervention as prompt
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.caching.conftest import lab, store, subject
from tests.llm.conftest import as_json, failure
from tests.mock_client import MemoryCache
from tests.pipeline.conftest import score_once, write_once
from tests.score.builders import distinct, explained, log_probs_of
from tests.score.test_intervention import Shouts, common

__all__ = ["lab", "store", "subject"]

QUICK = RetryPolicy(base=0.01, cap=0.05, patience=5.0)
TOKENS = re.compile(r'"\w+|\s?\w+|\s?[^\w\s]|\s')
"""Words with the blank before them; a quotation mark and the word behind it are one token."""


def words(text: str) -> list[str]:
    return TOKENS.findall(text)


def nats(tokens: Sequence[str], place: int) -> float:
    """-3 for each token, and 1 more where its word stands in the last passage."""
    passage = "".join(tokens).rsplit("Passage: ", 1)[1].split("\nMore", 1)[0].split()
    return -3.0 + (tokens[place].strip(' "') in passage)


def given_back(
    prompt: str, *, split: Callable[[str], list[str]] = words, last: str = " and"
) -> dict[str, Any]:
    """The body of a text completion as vLLM writes it: a token at the beginning, the prompt, one new token."""
    tokens = split(prompt)
    values = [None, *(nats(tokens, i) for i in range(len(tokens))), -0.5]
    tokens = ["<s>", *tokens, last]
    top = [None if value is None else {token: value} for token, value in zip(tokens, values, strict=True)]
    logprobs = {
        "tokens": tokens,
        "token_logprobs": values,
        "top_logprobs": top,
        "text_offset": [0] * len(tokens),
    }
    choice = {"index": 0, "text": prompt + last, "logprobs": logprobs, "finish_reason": "length"}
    usage = {"prompt_tokens": len(tokens) - 1, "completion_tokens": 1, "total_tokens": len(tokens)}
    return {"id": "1", "object": "text_completion", "model": "served", "choices": [choice], "usage": usage}


class Server:
    """Answers every text completion with `answer(body)`."""

    def __init__(self, http: HTTPServer):
        self.url = http.url_for("/v1")
        self.bodies: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Response] = lambda body: as_json(given_back(body["prompt"]))
        self.tokenize: Callable[[Request], Response] = lambda request: failure(404, "no such route")
        http.expect_request("/v1/completions", method="POST").respond_with_handler(self._handle)
        http.expect_request("/tokenize", method="POST").respond_with_handler(
            lambda request: self.tokenize(request)
        )

    def _handle(self, request: Request) -> Response:
        body = request.get_json()
        self.bodies.append(body)
        return self.answer(body)


@pytest.fixture
def server(httpserver: HTTPServer) -> Server:
    return Server(httpserver)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client("m", base_url=server.url, retry=QUICK, max_in_flight=4, cache=MemoryCache()) as client:
        yield client


PREFIX = prompt.ENTRY.format(passage="a red fox")


def test_a_text_is_asked_for_with_its_prefix_and_nothing_else(server: Server, client: Client) -> None:
    told = log_probs_of(ServedTextModel(client), [PREFIX, PREFIX.replace("fox", "dog")], 'fox and hen"')
    assert told.values == [-3.0 * 4 + 1, -3.0 * 4]
    assert max(
        server.bodies, key=itemgetter("prompt")
    ) == {  # both are asked at once: either may arrive first
        "model": "m",
        "prompt": 'Passage: a red fox\nMore than expected: "fox and hen"',
        "echo": True,
        "logprobs": 1,
        "max_tokens": 1,
        "temperature": 0.0,
    }
    assert told.usage.prompt_tokens > 20
    assert told.usage.completion_tokens == 2
    assert log_probs_of(ServedTextModel(client), [], "fox").values == []


def test_the_same_question_is_not_paid_for_twice(server: Server, client: Client) -> None:
    judge = ServedTextModel(client)
    first = log_probs_of(judge, [PREFIX, PREFIX], "fox")
    assert log_probs_of(judge, [PREFIX], "fox").values == first.values[:1]
    assert len(server.bodies) == 1
    assert first.usage.prompt_tokens == log_probs_of(judge, [PREFIX], "hen").usage.prompt_tokens


def test_a_text_is_asked_for_when_it_is_its_turn(server: Server, client: Client) -> None:
    told = ServedTextModel(client).log_probs_after([PREFIX, f"{PREFIX}red "], ["fox", "hen"])
    assert not server.bodies
    assert len(next(told).values) == len(server.bodies) == 2
    assert all("fox" in body["prompt"].removeprefix(PREFIX) for body in server.bodies)
    assert len(next(told).values) == 2
    assert next(told, None) is None
    assert len(server.bodies) == 4


def characters(text: str) -> list[str]:
    return list(text)


def bytewise(text: str) -> list[str]:
    """Letters for blanks and line breaks; a character outside ASCII in two pieces that are none."""
    return [
        piece
        for token in words(text)
        for letter in token
        for piece in (
            ["\ufffd", "\ufffd"]
            if ord(letter) > 127
            else [{" ": "\u0120", "\n": "\u010a"}.get(letter, letter)]
        )
    ]


@pytest.mark.parametrize("split", [characters, bytewise])
def test_a_text_is_found_however_its_tokens_are_spelled(
    server: Server, client: Client, split: Callable[[str], list[str]]
) -> None:
    def answer(body: dict[str, Any]) -> Response:
        data = given_back("Passage: \nMore")
        tokens = ["<s>", *split(body["prompt"]), " and"]
        data["choices"][0]["logprobs"] = {
            "tokens": tokens,
            "token_logprobs": [None, *[-1.0] * (len(tokens) - 1)],
        }
        return as_json(data)

    server.answer = answer
    text = "caf\u00e9, caf\u00e9"
    told = log_probs_of(ServedTextModel(client), [f"{text} {text}: "], text)
    assert told.values == [-float(len(split(text)))]


def test_a_server_that_counts_no_tokens_has_written_one(server: Server, client: Client) -> None:
    def answer(body: dict[str, Any]) -> Response:
        data = given_back(body["prompt"])
        del data["usage"]
        return as_json(data)

    server.answer = answer
    assert log_probs_of(ServedTextModel(client), [PREFIX], "hen").values == [-3.0]


class Llama:
    """As llama.cpp's server: it leaves `echo` out without a word, and writes what a grammar lets it write."""

    def __init__(self, server: Server):
        self.known: list[str] = []
        self.grammars = True
        server.answer, server.tokenize = self.answer, self.tokenize

    def tokenize(self, request: Request) -> Response:
        body = request.get_json()
        assert (body["add_special"], body["with_pieces"]) == (False, True)
        rows = []
        for token in words(body["content"]):
            self.known += [] if token in self.known else [token]
            piece = token if token.isascii() or len(token) > 2 else list(token.encode())
            rows.append({"id": self.known.index(token), "piece": piece})
        return as_json({"tokens": rows})

    def answer(self, body: dict[str, Any]) -> Response:
        written = [" and"]
        if "grammar" in body and self.grammars:
            written = [self.known[int(number)] for number in re.findall(r"<\[(\d+)\]>", body["grammar"])]
            assert body["max_tokens"] == len(written)
        before = words(body["prompt"])
        tokens = [*before, *written]
        rows = [
            {"token": tokens[i], "logprob": nats(tokens, i), "top_logprobs": []}
            for i in range(len(before), len(tokens))
        ]
        data = given_back(body["prompt"])
        data["choices"][0] |= {"text": "".join(written), "logprobs": {"content": rows}}
        return as_json(data)


def test_a_server_that_can_be_held_to_a_text(server: Server, client: Client) -> None:
    Llama(server)
    judge = ServedTextModel(client)
    assert log_probs_of(judge, [PREFIX, PREFIX.replace("fox", "dog")], 'fox and hen"').values == [
        -11.0,
        -12.0,
    ]
    n = len(server.bodies)
    assert n <= 4
    assert log_probs_of(judge, [PREFIX + "hen"], "fox").values == [-2.0]
    assert len(server.bodies) == n + 1  # what it can do is known
    assert server.bodies[-1]["prompt"] == PREFIX + "hen"
    with pytest.raises(SplitCharacter, match="such as an emoji"):
        log_probs_of(judge, [PREFIX], "\U0001f600")
    assert len(server.bodies) == n + 1


def test_a_server_that_splits_texts_and_cannot_be_held_to_them(server: Server, client: Client) -> None:
    Llama(server).grammars = False
    with pytest.raises(RequestRejected, match="does not return"):
        log_probs_of(ServedTextModel(client), [PREFIX], "fox")


def without(*names: str) -> Callable[[dict[str, Any]], Response]:
    def answer(body: dict[str, Any]) -> Response:
        data = given_back(body["prompt"])
        for name in names:
            data["choices"][0]["logprobs"][name] = data["choices"][0]["logprobs"][name][-1:]
        return as_json(data)

    return answer


def silent(body: dict[str, Any]) -> Response:
    data = given_back(body["prompt"])
    data["choices"][0]["logprobs"] = None
    return as_json(data)


def holes(body: dict[str, Any]) -> Response:
    data = given_back(body["prompt"])
    data["choices"][0]["logprobs"]["token_logprobs"][-2] = None
    return as_json(data)


def another(body: dict[str, Any]) -> Response:
    return as_json(given_back("Passage: \nMore than expected: nothing"))


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (
            without("tokens", "token_logprobs"),
            RequestRejected,
            "does not return the likelihood of a given text",
        ),
        (without("tokens"), RequestRejected, "does not return"),
        (silent, RequestRejected, "vLLM and llama.cpp do"),
        (holes, RequestRejected, "does not return"),
        (another, RequestRejected, "does not return"),
        (
            lambda body: failure(400, "echo is not supported with logprobs"),
            RequestRejected,
            "echo is not supported",
        ),
        (lambda body: failure(404, "no such route"), WrongURL, "No text completions at"),
        (
            lambda body: failure(404, "The model `m` does not exist"),
            UnknownModel,
            "does not offer the model 'm'",
        ),
        (lambda body: as_json({"object": "list"}), WrongURL, "not with text completions"),
    ],
)
def test_a_server_that_tells_nothing_is_asked_no_more(
    server: Server,
    client: Client,
    answer: Callable[[dict[str, Any]], Response],
    error: type[Exception],
    said: str,
) -> None:
    server.answer = answer
    with pytest.raises(error, match=said):
        log_probs_of(ServedTextModel(client), [PREFIX + str(i) for i in range(50)], "fox")
    assert len(server.bodies) < 20
    server.answer = lambda body: as_json(given_back(body["prompt"]))  # nothing is remembered against it
    assert log_probs_of(ServedTextModel(client), [PREFIX], "fox").values == [-2.0]


def test_a_cancel_sends_no_more(server: Server, client: Client) -> None:
    cancel = CancelToken()

    def answer(body: dict[str, Any]) -> Response:
        if len(server.bodies) == 3:
            cancel.cancel()
        return as_json(given_back(body["prompt"]))

    server.answer = answer
    told = ServedTextModel(client).log_probs_after(
        [PREFIX + str(i) for i in range(50)], ["fox", "hen"], cancel=cancel
    )
    with pytest.raises(Cancelled):
        next(told)
    assert len(server.bodies) < 20


def test_a_chat_request_is_keyed_as_before() -> None:
    request = ChatRequest.of("hi", prompt_logprobs=1)
    assert "likelihood" not in request.to_dict()
    assert request.key("host", "m") == "3fc81c576498b0003a5d56377a5029999d5aa5926b8bc933ef24d22b5f84e6c6"
    assert json.loads(json.dumps(likelihood_request("a", "b").to_dict()))["likelihood"] is True


def test_a_true_explanation_is_told_from_another(client: Client) -> None:
    scorer = Intervention(ServedTextModel(client), Shouts())
    score = scorer.run(explained("WORD"), distinct(20), seed=0, floor=explained("rest"))
    assert score.value == pytest.approx(0.8)
    assert score.floor == pytest.approx(-0.8)
    assert score.above_low is not None
    assert score.above_low > 0
    assert (scorer.prompt_version, scorer.model) == (prompt.VERSION, "m")


@pytest.fixture
def resources(store: Store, tmp_path: Path) -> Iterator[Resources]:
    with Annotations(tmp_path) as annotations:
        yield Resources(store, annotations)


def options(server: Server, **more: Any) -> ScoreOptions:
    llm = LLMOptions(model="m", base_url=server.url, **more)
    return ScoreOptions(
        scorer="intervention", n_examples=6, window=8, extra={"kl": 0.3, "text_model": "llm"}, llm=llm
    )


def test_a_score_over_a_store(server: Server, store: Store, resources: Resources) -> None:
    latent = common(store, "sae")
    mine = write_once(resources, "sae", latent, "the fox", author="me")
    write_once(resources, "sae", (latent + 1) % 8, "an array", author="me")
    asked = options(server)
    assert asked.needs_llm
    estimate = estimate_score(resources, mine, asked)
    score = score_once(resources, mine, asked)
    assert score.status == "ok", score.error
    assert score.judged is not None
    assert estimate.n_requests == 2 * 2 * len(score.judged)  # with the floor
    assert 0 < score.tokens_in <= estimate.tokens_in
    reply = resources.replies.get(str(score.judged[0].reply_ref))
    effect = kept_effect(reply)
    assert effect is not None

    def expected(passage: str) -> float:
        text = prompt.ENTRY.format(passage=one_line(passage).strip()) + 'the fox"'
        tokens = words(text)
        return sum(nats(tokens, i) for i in range(len(tokens) - 3, len(tokens)))

    values = [
        expected(each.prompt + each.raised) - expected(each.prompt + each.clean) for each in effect.prompts
    ]
    assert [example.value for example in score.judged] == pytest.approx(values)
    assert score.value == pytest.approx(sum(values) / len(values))
    assert (score.judge, score.model, score.prompt_version) == ("language model", "m", prompt.VERSION)
    assert score.config["llm"]["model"] == "m"
    assert score.config["text_model"] == "llm"
    again: Score = score_once(resources, mine, asked)
    assert (again.value, again.tokens_in) == (score.value, 0)


def test_a_server_that_tells_nothing_makes_a_failure(
    server: Server, store: Store, resources: Resources
) -> None:
    mine = write_once(resources, "sae", common(store, "sae"), "the fox", author="me")
    server.answer = silent
    score = score_once(resources, mine, options(server))
    assert (score.status, score.value, score.error_kind) == ("failed", None, "rejected")


def test_the_stores_own_model_is_identified_as_before() -> None:
    own = ScoreOptions(scorer="intervention", extra={"kl": 1.0, "text_model": "own"})
    assert own.identity() == ScoreOptions(scorer="intervention").identity()
    assert not own.needs_llm
