"""Intruder questions to a server: each paid for once whatever is explained, failures recorded, and a judge that guesses looks
like one."""

from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.score_text import standing
from tests.batch.conftest import Command, make_store
from tests.batch.served import ScriptedServer
from tests.conftest import StoreFactory

N, QUESTIONS = 6, 5
SCORE = ("--scorer", "intruder", "--window", 16, "--n-questions", QUESTIONS, "MODEL")


def _store(factory: StoreFactory, command: Command) -> Store:
    store = make_store(factory, N)
    assert command("explain", store.path, "sae", "--explainer", "pattern").code == 0
    return store


def test_a_guessing_judge_is_paid_once_and_not_above_chance(
    store_factory: StoreFactory, server: ScriptedServer, command: Command
) -> None:
    store = _store(store_factory, command)
    (done,) = command("score", store.path, "sae", *SCORE).document["scorers"]
    assert (done["succeeded"], done["judge"], done["median_floor"]) == (N, "llm", None)
    assert server.n_requests == sum(server.good.values()) == N * QUESTIONS
    assert all("word" in body["messages"][-1]["content"] for body in server.bodies)
    with Annotations(store.path) as annotations:
        scores = [score for latent in range(N) for score in annotations.scores_of_latent("sae", latent)]
        hits = [row.answer for score in scores for row in annotations.judged(score.id) if row.truth]
    assert len(hits) == N * QUESTIONS
    assert 0 < sum(map(bool, hits)) < 15, "a fifth would be 6"
    assert sum(standing(score, None) in ("near_chance", "at_chance") for score in scores) >= N - 1
    command("explain", store.path, "sae", "--explainer", "pattern", "--redo")
    (again,) = command("score", store.path, "sae", *SCORE, "--all-versions").document["scorers"]
    assert (again["succeeded"], again["already"]) == (N, N), "another version's is recorded"
    assert server.n_requests == N * QUESTIONS, "but not asked for again"


def test_a_server_that_fails_leaves_failures_and_no_score(
    store_factory: StoreFactory, server: ScriptedServer, command: Command, impatient: None
) -> None:
    store = _store(store_factory, command)
    server.fault = lambda question, times: "prose"
    assert command("score", store.path, "sae", "--latents", "0-1", *SCORE).code == 2
    with Annotations(store.path) as annotations:
        scores = [score for latent in (0, 1) for score in annotations.scores_of_latent("sae", latent)]
    assert [(score.status, score.value, score.error_kind, score.retryable) for score in scores] == [
        ("failed", None, "unparsed", True)
    ] * 2
