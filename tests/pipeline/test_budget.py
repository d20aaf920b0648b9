"""What a job may cost, and what was paid for before it stopped."""

import json
import threading
from dataclasses import replace

import pytest

from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job
from autointerp.jobs.llm import redirected
from autointerp.llm.errors import QuotaExceeded
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.pending import unexplained
from autointerp.pipeline.resources import Resources
from autointerp.score.options import ScoreOptions
from tests.explained import scores_of
from tests.pipeline.conftest import CAT, DOG, EVERYWHERE
from tests.pipeline.scripted import obliging, use


def no_credit_for_answers(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is set, explanations are written and no question is answered."""
    broke = threading.Event()
    broke.set()

    def script(request: ChatRequest) -> str:
        if broke.is_set() and "explanation" not in json.dumps(request.schema):
            raise QuotaExceeded("no credit left")
        return obliging(request)

    use(resources, monkeypatch, script)
    return broke


def test_budget_stops_the_job_and_keeps_what_was_paid(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    use(resources, monkeypatch, obliging)
    small = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1, max_tokens=4000)
    job = runner.run(
        **explain_job("sae", [CAT, DOG, EVERYWHERE], ExplainOptions(explainer="default", llm=small))
    )
    assert job.state == "failed"
    assert "budget" in (job.error or "")
    assert job.n_left > 0
    assert job.n_done == len(list(resources.annotations.iter_explanations("sae")))


@pytest.mark.parametrize("again", ["retried", "taken over"])
def test_a_budget_is_the_jobs_however_often_it_is_begun(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch, again: str
):
    made = use(resources, monkeypatch, obliging)
    small = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1, max_tokens=4000)
    work = explain_job("sae", [CAT, DOG, EVERYWHERE], ExplainOptions(explainer="default", llm=small))
    job = runner.run(**work)
    spent = job.tokens_in + job.tokens_out
    assert 0 < spent <= 4000
    for _ in range(2):
        runner.retry(job.id)
        if again == "taken over":  # by the next app, from one that died
            assert resources.annotations.jobs.claim("dead 999999999 1 X", ["explain"]) is not None
            assert resources.annotations.jobs.recover(silent_seconds=-1.0)
        job = runner.run_job(job.id)
        assert (job.state, job.tokens_in + job.tokens_out) == ("failed", spent)
        assert f"{spent:,} of 4,000 tokens" in (job.error or "")
        assert "--budget-tokens" in (job.error or "")
    assert sum(len(client.requests) for client in made) == job.n_done

    larger = replace(small, max_tokens=40_000)
    options = ExplainOptions(explainer="default", llm=larger)
    left = unexplained(resources.annotations, "sae", [CAT, DOG, EVERYWHERE], options)
    assert len(left) == job.n_left  # a new job would do the rest
    runner.retry(job.id, redirected(job.payload, larger, limits=True))
    job = runner.run_job(job.id)
    assert (job.state, job.n_done) == ("done", 3)
    assert job.tokens_in + job.tokens_out > 4000


def test_a_budget_in_money_counts_what_the_job_has_cost(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    charged: list[float] = []

    def script(request: ChatRequest) -> ChatReply:
        charged.append(0.6)
        return ChatReply(obliging(request), "mock", usage=Usage(10, 5, cost=0.6))

    use(resources, monkeypatch, script)
    prices = {"mock": {"prompt": 1.0, "completion": 1.0}}
    small = LLMOptions(
        model="mock", base_url="http://mock.invalid/v1", max_in_flight=1, max_cost=1.0, prices=prices
    )
    job = runner.run(
        **explain_job("sae", [CAT, DOG, EVERYWHERE], ExplainOptions(explainer="default", llm=small))
    )
    for _ in range(2):
        assert job.cost == pytest.approx(sum(charged))
        assert "of 1.0000 in cost" in (job.error or "")
        assert sum(charged) < 1.3
        runner.retry(job.id)
        job = runner.run_job(job.id)


def test_what_was_paid_before_the_job_stopped_is_kept_and_counted(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    broke = no_credit_for_answers(resources, monkeypatch)
    llm = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1)
    work = explain_job(
        "sae",
        [CAT, DOG],
        ExplainOptions(explainer="default", llm=llm),
        then=[ScoreOptions(scorer="fuzzing"), ScoreOptions(judge="llm", llm=llm)],
    )
    job = runner.run(**work)
    assert (job.state, job.n_done, job.n_failed, job.n_left) == ("failed", 0, 1, 1)
    assert "no credit left" in (job.error or "")
    (explanation,) = resources.annotations.explanations("sae", CAT)
    assert explanation.tokens_in > 0
    assert job.tokens_in == explanation.tokens_in
    assert [one.status for one in scores_of(resources.annotations, explanation.id)] == ["failed", "ok"]
    assert resources.annotations.explanations("sae", DOG) == []

    broke.clear()
    runner.retry(job.id)
    job = runner.run_job(job.id)
    assert (job.state, job.n_done, job.n_failed) == ("done", 2, 0)
    assert len(resources.annotations.explanations("sae", CAT)) == 1
    spent = [*resources.annotations.iter_explanations("sae")]
    scores = [score for one in spent for score in scores_of(resources.annotations, one.id)]
    assert job.tokens_in == sum(one.tokens_in for one in [*spent, *scores])
    assert sorted((s.scorer, s.status) for s in scores if s.explanation_id == explanation.id) == [
        ("detection", "failed"), ("detection", "ok"), ("fuzzing", "ok"),
    ]  # fmt: skip


def test_a_retry_by_another_model_scores_what_the_first_one_explained(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    broke = no_credit_for_answers(resources, monkeypatch)
    llm = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1)
    options = ExplainOptions(explainer="default", llm=llm)
    other = replace(llm, model="other")
    job = runner.run(**explain_job("sae", [CAT, DOG], options, then=[ScoreOptions(judge="llm", llm=llm)]))
    assert (job.state, job.n_left) == ("failed", 2)
    broke.clear()
    payload = redirected(redirected(job.payload, replace(llm, model="third")), other)
    runner.retry(job.id, payload)
    assert [one["model"] for one in payload["earlier"]] == ["mock", "third"]
    assert redirected(payload, other)["earlier"] == payload["earlier"]
    job = runner.run_job(job.id)
    assert (job.state, job.n_done) == ("done", 2)
    (first,), (second,) = (resources.annotations.explanations("sae", latent) for latent in (CAT, DOG))
    assert [one.config["llm"]["model"] for one in (first, second)] == ["mock", "other"]
    for one in (first, second):
        good = [score for score in scores_of(resources.annotations, one.id) if score.status == "ok"]
        assert [score.config["llm"]["model"] for score in good] == ["other"]
