"""Servers and inputs that cannot work: each ends as a plain message or a recorded failure with its cause, and shows no key."""

import re
import socket
from pathlib import Path

import pytest

from autointerp.cli.main import main
from autointerp.records import Explanation
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.batch.conftest import KEY, N_WORDS, Command, Ran, make_store
from tests.batch.served import ScriptedServer, answer, completion, error, no_faults
from tests.conftest import CoderSpec, StoreFactory, write_coder

FEW = ("--n-examples", "6", "--n-negatives", "6", "--batch", "6")
LATENTS = 4


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    return make_store(store_factory, LATENTS)


@pytest.fixture(autouse=True)
def _no_key_anywhere(tmp_path: Path):
    """After each test: the key is in no file, whole or in part."""
    yield
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert KEY[:12].encode() not in file.read_bytes(), file


def shows_no_key(ran: Ran) -> Ran:
    assert KEY[:8] not in ran.out + ran.err
    assert "Traceback" not in ran.err
    return ran


def explain(command: Command, store: Store, *more: object) -> Ran:
    argv = ("explain", store.path, "sae", "--explainer", "default", "--n-examples", "6", "MODEL")
    return shows_no_key(command(*argv, *more))


def score(command: Command, store: Store, scorer: str, *more: object) -> Ran:
    return shows_no_key(command("score", store.path, "sae", "--scorer", scorer, *FEW, "MODEL", *more))


def write(store: Store, *texts: str) -> list[str]:
    """A person's explanation for latent 0, 1, ...; their ids."""
    made = [
        Explanation(coder="sae", latent=latent, text=text, explainer="person")
        for latent, text in enumerate(texts)
    ]
    with Annotations(store.path) as annotations:
        annotations.add(*made)
    return [one.id for one in made]


FATAL = {
    "wrong key": (error(401, f"Incorrect API key provided: {KEY}"), "rejected the key"),
    "unknown model": (
        error(404, "The model `m` does not exist", "model_not_found"),
        "does not offer the model",
    ),
    "no credit": (error(402, "insufficient credits"), "no credit left"),
    "not an API": (completion("").__class__("<html>hello</html>", content_type="text/html"), "web page"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("case", FATAL)
def test_what_no_request_survives_stops_the_run_and_a_retry_goes_on(
    case: str, store: Store, server: ScriptedServer, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    response, message = FATAL[case]
    server.fault = lambda question, times: case
    monkeypatch.setattr(server, "fail", lambda fault: response)
    ran = explain(command, store)
    assert ran.code == 2
    assert message in ran.err
    assert "retry" in ran.err, "the way to go on is said"
    document = ran.document
    assert (document["succeeded"], document["left"]) == (0, LATENTS), document["failures"]
    assert message in document["stopped"]
    assert server.n_requests <= LATENTS + 1, "not every latent tries what cannot work"
    server.fault = no_faults
    again = shows_no_key(command("jobs", store.path, "retry", document["jobs"][0]["id"]))
    assert (again.code, again.document["succeeded"]) == (0, LATENTS)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_down_fails_each_latent_and_heals(
    store: Store, server: ScriptedServer, command: Command
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    argv = ("explain", store.path, "sae", "--explainer", "default", "--llm", "m", "--base-url", url)
    ran = shows_no_key(command(*argv))
    assert ran.code == 2
    assert "No server answers" in ran.err
    (cause,) = ran.document["failures"]
    assert (cause["n"], cause["items"]) == (LATENTS, list(range(LATENTS)))
    assert explain(command, store).document["succeeded"] == LATENTS, "with the right address it goes on"


@pytest.mark.usefixtures("impatient")
def test_a_prompt_too_long_is_a_recorded_failure(
    store: Store, server: ScriptedServer, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = error(400, "This model's maximum context length is 512 tokens.", "context_length_exceeded")
    order: dict[str, int] = {}  # every second question, whatever it says
    server.fault = lambda question, times: "too long" if order.setdefault(question, len(order)) % 2 else None
    monkeypatch.setattr(server, "fail", lambda fault: too_long)
    ran = explain(command, store)
    failed = ran.document["failed"]
    assert 0 < failed < LATENTS, "of some, for this test"
    assert ran.code == 0
    assert "The prompt is too long" in ran.document["failures"][0]["error"]
    with Annotations(store.path) as annotations:
        rows = list(annotations.iter_explanations("sae", failed=True))
    assert sum(row.status == "failed" for row in rows) == failed
    assert all(row.error_kind == "too_long" for row in rows if row.status == "failed")


def test_without_log_probabilities_answers_stay_plain(
    store: Store, server: ScriptedServer, command: Command
) -> None:
    write(store, "word1", "word2")
    ran = score(command, store, "detection", "--graded")
    assert (ran.code, ran.document["scorers"][0]["succeeded"]) == (0, 2)
    assert any(body.get("top_logprobs") for body in server.bodies), "they were asked for"
    latent = command("latent", store.path, "sae", 0).document
    (one,) = latent["explanations"][0]["scores"]
    assert one["value"] is not None
    assert one["auroc"] is None


@pytest.mark.usefixtures("impatient")
def test_answers_that_cannot_be_read_are_told_and_redo_asks_for_no_others(
    store: Store, server: ScriptedServer, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    write(store, "cats", "dogs")
    # Three texts a question, so that the others make a score whichever question comes first: six of each kind are asked about.
    small = ("--no-floor", "--batch", "3")
    unlucky: list[str] = []

    def prose_to_the_first(question: str, times: int) -> str | None:
        unlucky.append(question)
        return "prose" if question == unlucky[0] else None

    server.fault = prose_to_the_first
    (first,) = score(command, store, "detection", *small).document["scorers"]
    assert (first["succeeded"], first["answered"], first["unparsed"]) == (2, 21, 3)
    words = ("score", str(store.path), "sae", "--scorer", "detection", *FEW, *small, "--llm", "m")
    assert main([*words, "--base-url", server.url]) == 0
    assert "3 of 24 answers could not be read" in capfd.readouterr().out
    server.fault = no_faults
    before = server.n_requests
    (again,) = score(command, store, "detection", *small, "--redo").document["scorers"]
    assert (again["succeeded"], again["answered"], again["unparsed"]) == (2, 24, 0)
    assert server.n_requests - before == 1


def test_simulation_without_prompt_log_probabilities_asks_for_numbers(
    store: Store, server: ScriptedServer, command: Command
) -> None:
    write(store, "word1", "word2")
    ran = score(command, store, "simulation", "--latents", "0-1")
    assert (ran.code, ran.document["scorers"][0]["succeeded"]) == (0, 2)
    slots, lists = (
        [body for body in server.bodies if bool(body.get("prompt_logprobs")) is wanted]
        for wanted in (True, False)
    )
    assert len(slots) <= 2 * 2, "both that began at once ask, and once more; not once per window"
    assert all("answers" in str(body["response_format"]) for body in lists)


def test_a_latent_with_too_few_examples(
    store_factory: StoreFactory, server: ScriptedServer, command: Command
) -> None:
    store = make_store(store_factory, LATENTS)
    write_coder(store, "sparse", CoderSpec({0: [(5, 1.0)], 1: [(5, 1.0), (9, 2.0)]}, 3))
    argv = ("explain", store.path, "sparse", "--latents", "0-2", "--explainer", "pattern")
    ran = shows_no_key(command(*argv))
    reasons = " ".join(cause["error"] for cause in ran.document["failures"])
    assert ran.document["failed"] >= 1, "latent 2 never fires"
    assert "fire" in reasons
    with Annotations(store.path) as annotations:
        annotations.add(
            *(Explanation(coder="sparse", latent=i, text="t", explainer="person") for i in range(3))
        )
    scored = shows_no_key(command("score", store.path, "sparse", "--scorer", "detection", *FEW))
    result = scored.document["scorers"][0]
    assert (scored.code, result["succeeded"], result["failed"]) == (2, 0, 3)
    assert all("fires" in cause["error"] for cause in result["failures"])
    failures = command("latent", store.path, "sparse", 0).document
    assert all(not explanation["scores"] for explanation in failures["explanations"])
    assert [one["what"] for one in failures["failures"]].count("score") == 1


@pytest.mark.parametrize(
    "text", ["an explanation of ten kilobytes " * 320, "\U0001f408", "\x00\u202e\ud800", "<<>>[1]"]
)
@pytest.mark.parametrize("judge", ["offline", "llm"])
def test_texts_of_any_kind_are_scored_or_failed(
    text: str, judge: str, store: Store, server: ScriptedServer, command: Command
) -> None:
    write(store, text, "word2")
    model = ["MODEL"] if judge == "llm" else []
    ran = shows_no_key(
        command(
            "score", store.path, "sae", "--scorer", "detection", "fuzzing", "--judge", judge, *FEW, *model
        )
    )
    assert ran.code == 0, ran.err
    for result in ran.document["scorers"]:
        assert result["succeeded"] + result["failed"] == 2
    shown = command("latent", store.path, "sae", 0)
    assert shown.code == 0
    assert len(shown.document["explanations"][0]["scores"]) >= 1


def test_the_model_is_told_an_explanation_of_ten_kilobytes_whole(
    store: Store, server: ScriptedServer, command: Command
) -> None:
    write(store, "wordy " * 1700, "word2")
    score(command, store, "detection", "--no-floor", "--latents", 0)
    assert all("wordy " * 1600 in body["messages"][-1]["content"] for body in server.bodies)


@pytest.mark.parametrize(
    ("key", "message"),
    [("has spaces in it", "spaces"), ("line\nbreak-0123456789", "line breaks")],
)
def test_a_key_that_cannot_be_one_is_told_at_once(
    key: str,
    message: str,
    store: Store,
    command: Command,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOINTERP_API_KEY", key)
    ran = explain(command, store)
    assert (ran.code, ran.out, server.n_requests) == (2, "", 0)
    assert message in ran.err
    assert key not in ran.err


def test_a_key_given_as_a_model_is_refused(store: Store, command: Command) -> None:
    ran = command("explain", store.path, "sae", "--explainer", "default", "--llm", "sk-0123456789abcdefghij")
    assert (ran.code, ran.out) == (2, "")
    assert "looks like an API key" in ran.err
    assert "0123456789abcdefghij" not in ran.err


def test_a_budget_stops_the_run_and_keeps_what_was_paid(
    store_factory: StoreFactory, server: ScriptedServer, command: Command
) -> None:
    store = make_store(store_factory, 12)
    guess = explain(command, store, "--latents", 0, "--dry-run").document
    budget = guess["tokens_in"] + guess["tokens_out"] + 600
    ran = explain(command, store, "--budget-tokens", budget, "--price-in", 1.0, "--price-out", 2.0)
    document = ran.document
    assert ran.code == 2
    assert "budget" in ran.err
    assert 0 < document["succeeded"] < 12
    assert document["tokens_in"] + document["tokens_out"] <= budget
    assert document["cost"] == pytest.approx(document["succeeded"] * (100 * 1.0 + 10 * 2.0) / 1e6)
    more = explain(command, store)
    assert (more.code, more.document["already"]) == (0, document["succeeded"])
    assert more.document["succeeded"] == 12 - document["succeeded"]
    assert max(server.good.values()) == 1


def test_a_budget_in_money_without_a_price_says_so(
    store: Store, command: Command, server: ScriptedServer
) -> None:
    ran = explain(command, store, "--budget-cost", 1.0)
    assert (ran.code, server.n_requests) == (2, 0)
    assert "price" in ran.err


def test_the_script_answers_in_the_asked_form() -> None:
    form = {"answers": {"minItems": 3, "items": {"enum": [0, 1]}}}
    body = {"messages": [], "response_format": {"json_schema": {"schema": {"properties": form}}}}
    assert re.fullmatch(r'\{"answers": \[[01], [01], [01]\]\}', answer(body))
    assert N_WORDS > 10
