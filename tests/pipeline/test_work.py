"""Explaining and scoring on a store, alone and as jobs."""

import json
import threading
from dataclasses import replace

import pytest

from autointerp.errors import UserError
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job, job_kinds, score_job
from autointerp.llm import Budget, ChatReply, ChatRequest, MockClient, PriceTable, Usage
from autointerp.llm.errors import QuotaExceeded
from autointerp.pipeline import (
    ExplainOptions,
    LLMOptions,
    ScoreOptions,
    Workbench,
    live_latents,
    shown_explanations,
    unexplained,
    unscored,
)
from autointerp.pipeline.bench import MAX_TEXT
from autointerp.pipeline.options import KeyGone
from autointerp.pipeline.redirect import redirected
from autointerp.store.annotations import JudgedExample, Record, Score
from tests.pipeline.conftest import CAT, DEAD, DOG, EVERYWHERE, RARE

BOTH = (ScoreOptions(scorer="detection"), ScoreOptions(scorer="fuzzing"))
LLM = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=4)


@pytest.fixture
def runner(bench: Workbench) -> JobRunner:
    return JobRunner(bench.annotations, job_kinds(bench), poll_seconds=0.05)


def use(bench: Workbench, monkeypatch: pytest.MonkeyPatch, script) -> list[MockClient]:
    """Every client that the bench makes follows `script`."""
    made: list[MockClient] = []

    def client(options: LLMOptions, *, budget: Budget | None = None) -> MockClient:
        prices = PriceTable.parse(options.prices)
        made.append(MockClient(script, cache=bench._replies, budget=budget, prices=prices))
        return made[-1]

    monkeypatch.setattr(bench, "client", client)
    return made


def obliging(request: ChatRequest) -> str:
    """Explains, or answers yes where the text holds a cat."""
    question = request.messages[-1].content
    if request.schema and "explanation" in json.dumps(request.schema):
        return json.dumps({"explanation": "The word cat."})
    texts = [line for line in question.splitlines() if line.startswith("[") and line[1].isdigit()]
    return json.dumps([int("cat" in text.split("]", 1)[1]) for text in texts])


def no_credit_for_answers(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is set, explanations are written and no question is answered."""
    broke = threading.Event()
    broke.set()

    def script(request: ChatRequest) -> str:
        if broke.is_set() and "explanation" not in json.dumps(request.schema):
            raise QuotaExceeded("no credit left")
        return obliging(request)

    use(bench, monkeypatch, script)
    return broke


def test_pattern_and_offline_find_what_is_plain(bench: Workbench):
    for latent, word in ((CAT, "cat"), (DOG, "dog")):
        explanation = bench.explain("sae", latent, ExplainOptions())
        assert word in explanation.text
        bench.annotations.add(explanation)
    explanation = bench.annotations.shown("sae", CAT)
    assert explanation is not None
    for options in BOTH:
        score, judged = bench.score(explanation, options)
        bench.annotations.add(score, *judged)
        assert score.value is not None
        assert score.value > 0.9
        assert score.floor is not None
        assert score.floor < 0.7
        assert score.floor_explanation_id == bench.annotations.shown("sae", DOG).id  # type: ignore[union-attr]
        assert bench.annotations.score(score.id) == score
        assert bench.annotations.judged(score.id) == judged
        assert score.n_pos + score.n_neg + score.unparsed == len(judged)


def test_no_floor_without_others(bench: Workbench):
    explanation = bench.explain("sae", CAT, ExplainOptions())
    bench.annotations.add(explanation)
    score, _ = bench.score(explanation, ScoreOptions())
    assert score.value is not None
    assert score.floor is None
    assert score.floor_explanation_id is None
    # The first other one serves at once, not when a pool that was empty has aged.
    other = bench.explain("sae", DOG, ExplainOptions())
    bench.annotations.add(other)
    score, _ = bench.score(explanation, ScoreOptions())
    assert score.floor_explanation_id == other.id


def test_failures_are_rows(bench: Workbench, runner: JobRunner):
    job = runner.run(**explain_job("sae", [CAT, DEAD, RARE], ExplainOptions(), then=BOTH))
    assert (job.state, job.n_done, job.n_failed) == ("done", 1, 2)
    (dead,) = bench.annotations.explanations("sae", DEAD)
    assert dead.status == "failed"
    assert "never fires" in (dead.error or "")
    assert dead.text == ""
    scores = bench.annotations.scores_of_latent(
        "sae", RARE
    )  # one context: it is held in, nothing is left to score on
    assert {score.status for score in scores} == {"failed"}
    assert all(score.value is None for score in scores)


def test_batch_skips_what_is_done(bench: Workbench, runner: JobRunner):
    latents = live_latents(bench.store, "sae")
    assert latents == [CAT, DOG, RARE, EVERYWHERE]
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions()))
    assert unexplained(bench.annotations, "sae", latents, ExplainOptions()) == [RARE, EVERYWHERE]
    assert unexplained(bench.annotations, "sae", latents, ExplainOptions(seed=1)) == latents
    ids = shown_explanations(bench.annotations, "sae")
    assert unscored(bench.annotations, "sae", ids, BOTH) == ids
    runner.run(**score_job("sae", ids, BOTH[:1]))
    assert unscored(bench.annotations, "sae", ids, BOTH[:1]) == []
    assert unscored(bench.annotations, "sae", ids, BOTH) == ids


def test_retry_repeats_only_what_failed(bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch):
    broken = True

    def script(request: ChatRequest) -> str:
        if broken and "explanation" not in json.dumps(request.schema or ""):
            return "I would rather not say."
        return obliging(request)

    made = use(bench, monkeypatch, script)
    job = runner.run(
        **explain_job(
            "sae",
            [CAT],
            ExplainOptions(explainer="default", llm=LLM),
            then=[BOTH[0], ScoreOptions(judge="llm", llm=LLM)],
        )
    )
    assert (job.state, job.n_failed) == ("failed", 1)
    assert len(bench.annotations.explanations("sae", CAT)) == 1
    broken = False
    runner.retry(job.id)
    job = runner.run_job(job.id)
    assert (job.state, job.n_done) == ("done", 1)
    (explanation,) = bench.annotations.explanations("sae", CAT)  # not explained again
    good = [s for s in bench.annotations.scores(explanation.id) if s.status == "ok"]
    assert sorted(s.judge for s in good) == ["llm", "offline"]  # the offline one not scored again
    assert next(s.value for s in good if s.judge == "llm") == 1.0
    assert sum("explanation" in json.dumps(r.schema) for m in made for r in m.requests) == 1


def test_llm_work_is_recorded_whole(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    use(bench, monkeypatch, obliging)
    explanation = bench.explain("sae", CAT, ExplainOptions(explainer="contrastive", llm=LLM))
    bench.annotations.add(explanation)
    assert explanation.text == "The word cat."
    assert explanation.reply_ref is not None
    stored = bench.reply(explanation.reply_ref)
    assert stored is not None
    assert "cat" in json.dumps(dict(stored.request))
    options = ScoreOptions(judge="llm", llm=LLM, batch=7)
    preview = bench.preview_score(explanation, options)
    score, judged = bench.score(explanation, options)
    assert score.value == 1.0
    assert preview.n_requests == len({j.reply_ref for j in judged})
    assert {bench.reply(j.reply_ref or "") is not None for j in judged} == {True}
    bench.annotations.add(score, *judged)
    again = bench.preview_score(explanation, options)
    assert (again.from_cache, again.tokens_in) == (preview.n_requests, 0)


def test_budget_stops_the_job_and_keeps_what_was_paid(
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    use(bench, monkeypatch, obliging)
    small = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1, max_tokens=4000)
    job = runner.run(
        **explain_job("sae", [CAT, DOG, EVERYWHERE], ExplainOptions(explainer="default", llm=small))
    )
    assert job.state == "failed"
    assert "budget" in (job.error or "")
    assert job.n_left > 0
    assert job.n_done == len(list(bench.annotations.iter_explanations("sae")))


def test_a_simulation_is_previewed_by_the_mode_its_server_takes(
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    def script(request: ChatRequest) -> str:
        if "explanation" in json.dumps(request.schema or ""):
            return obliging(request)
        n = request.schema["properties"]["answers"]["minItems"] if request.schema else 0
        return json.dumps({"answers": [i % 10 for i in range(n)]})

    made = use(bench, monkeypatch, script)
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions(explainer="default", llm=LLM)))
    explanation = bench.annotations.explanations("sae", CAT)[0]
    options = ScoreOptions(scorer="simulation", llm=LLM)
    before = bench.preview_score(explanation, options)
    assert before.messages[-1].role == "assistant"  # as the first request is
    assert "finds out" in before.note
    made.clear()
    bench.annotations.add(*_flat(bench.score(explanation, options)))
    sent = sum(len(client.requests) for client in made)
    assert sent == before.n_requests
    after = bench.preview_score(explanation, options)
    assert (after.from_cache, after.tokens_in, after.note) == (after.n_requests, 0, "")
    assert after.messages[-1].role == "user"
    again, _ = bench.score(explanation, options)
    assert (again.status, again.tokens_in, again.tokens_out) == ("ok", 0, 0)
    assert sum(len(client.requests) for client in made) == sent


def _flat(scored: tuple[Score, list[JudgedExample]]) -> list[Record]:
    return [scored[0], *scored[1]]


def test_what_could_not_be_used_is_there_to_be_read(
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    use(bench, monkeypatch, obliging)
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions(explainer="default", llm=LLM)))
    good = bench.annotations.explanations("sae", CAT)[0]
    made = use(bench, monkeypatch, lambda request: f"Certainly! {len(request.messages)}")
    runner.run(**explain_job("sae", [EVERYWHERE], ExplainOptions(explainer="default", llm=LLM)))
    (failed,) = bench.annotations.explanations("sae", EVERYWHERE)
    stored = bench.reply(failed.reply_ref or "")
    assert stored is not None
    n = len(stored.request["messages"])
    assert (failed.status, stored.reply["discarded"], stored.reply["text"]) == (
        "failed",
        [f"Certainly! {n}"],
        f"Certainly! {n + 2}",
    )
    assert (stored.tokens_in, stored.tokens_out) == (failed.tokens_in, failed.tokens_out)

    runner.run(**score_job("sae", [good.id], [ScoreOptions(judge="llm", llm=LLM)]))
    (score,) = bench.annotations.scores(good.id)
    judged = bench.annotations.judged(score.id)
    assert (score.status, score.unparsed) == ("failed", len(judged))
    stored = bench.reply(judged[0].reply_ref or "")
    assert stored is not None
    assert good.text in stored.request["messages"][-1]["content"]
    sent = sum(len(client.requests) for client in made)
    runner.run(**explain_job("sae", [EVERYWHERE], ExplainOptions(explainer="default", llm=LLM)))
    assert sum(len(client.requests) for client in made) == sent + 2  # no failure is taken for an answer


@pytest.mark.parametrize("again", ["retried", "taken over"])
def test_a_budget_is_the_jobs_however_often_it_is_begun(
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch, again: str
):
    made = use(bench, monkeypatch, obliging)
    small = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1, max_tokens=4000)
    work = explain_job("sae", [CAT, DOG, EVERYWHERE], ExplainOptions(explainer="default", llm=small))
    job = runner.run(**work)
    spent = job.tokens_in + job.tokens_out
    assert 0 < spent <= 4000
    for _ in range(2):
        runner.retry(job.id)
        if again == "taken over":  # by the next app, from one that died
            assert bench.annotations.jobs.claim("dead 999999999 1 X", ["explain"]) is not None
            assert bench.annotations.jobs.recover(silent_seconds=-1.0)
        job = runner.run_job(job.id)
        assert (job.state, job.tokens_in + job.tokens_out) == ("failed", spent)
        assert f"{spent:,} of 4,000 tokens" in (job.error or "")
        assert "--budget-tokens" in (job.error or "")
    assert sum(len(client.requests) for client in made) == job.n_done

    larger = replace(small, max_tokens=40_000)
    options = ExplainOptions(explainer="default", llm=larger)
    left = unexplained(bench.annotations, "sae", [CAT, DOG, EVERYWHERE], options)
    assert len(left) == job.n_left  # a new job would do the rest
    runner.retry(job.id, redirected(job.payload, larger, limits=True))
    job = runner.run_job(job.id)
    assert (job.state, job.n_done) == ("done", 3)
    assert job.tokens_in + job.tokens_out > 4000


def test_a_budget_in_money_counts_what_the_job_has_cost(
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    charged: list[float] = []

    def script(request: ChatRequest) -> ChatReply:
        charged.append(0.6)
        return ChatReply(obliging(request), "mock", usage=Usage(10, 5, cost=0.6))

    use(bench, monkeypatch, script)
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
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    broke = no_credit_for_answers(bench, monkeypatch)
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
    (explanation,) = bench.annotations.explanations("sae", CAT)
    assert explanation.tokens_in > 0
    assert job.tokens_in == explanation.tokens_in
    assert [one.status for one in bench.annotations.scores(explanation.id)] == ["failed", "ok"]
    assert bench.annotations.explanations("sae", DOG) == []

    broke.clear()
    runner.retry(job.id)
    job = runner.run_job(job.id)
    assert (job.state, job.n_done, job.n_failed) == ("done", 2, 0)
    assert len(bench.annotations.explanations("sae", CAT)) == 1
    spent = [*bench.annotations.iter_explanations("sae")]
    scores = [score for one in spent for score in bench.annotations.scores(one.id)]
    assert job.tokens_in == sum(one.tokens_in for one in [*spent, *scores])
    assert sorted((s.scorer, s.status) for s in scores if s.explanation_id == explanation.id) == [
        ("detection", "failed"), ("detection", "ok"), ("fuzzing", "ok"),
    ]  # fmt: skip


def test_a_retry_by_another_model_scores_what_the_first_one_explained(
    bench: Workbench, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    broke = no_credit_for_answers(bench, monkeypatch)
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
    (first,), (second,) = (bench.annotations.explanations("sae", latent) for latent in (CAT, DOG))
    assert [one.config["llm"]["model"] for one in (first, second)] == ["mock", "other"]
    for one in (first, second):
        good = [score for score in bench.annotations.scores(one.id) if score.status == "ok"]
        assert [score.config["llm"]["model"] for score in good] == ["other"]


def test_a_key_that_is_gone_stops_the_job(bench: Workbench, runner: JobRunner):
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref="key-gone")
    options = ExplainOptions(explainer="default", llm=llm)
    with pytest.raises(KeyGone, match="Type it again"):
        bench.explain("sae", CAT, options)
    job = runner.run(**explain_job("sae", [CAT, DOG], options))
    assert (job.state, job.n_done, job.n_failed) == ("failed", 0, 0)
    assert "Type it again" in (job.error or "")
    assert bench.annotations.explanations("sae", CAT) == []


def test_work_that_asks_nobody_needs_no_language_model(bench: Workbench, runner: JobRunner):
    """One that is chosen all the same gives it no threads, and its key and address go into no job."""
    llm = LLMOptions(model="m", base_url="http://ada:secret@host/v1", max_in_flight=16, key_ref="key-gone")
    explain, score = ExplainOptions(llm=llm), ScoreOptions(llm=llm)
    arguments = explain_job("sae", [CAT], explain, then=[score])
    assert arguments == explain_job("sae", [CAT], ExplainOptions(), then=[ScoreOptions()])
    assert score_job("sae", ["id"], [score]) == score_job("sae", ["id"], [ScoreOptions()])
    job = runner.run(**arguments)
    assert (job.state, job.n_done) == ("done", 1)


def test_compare_pairs_the_same_examples(bench: Workbench):
    first = bench.write("sae", CAT, "The word dog.", author="me")
    second = bench.write("sae", CAT, 'The word "cat".', author="me", parent=first.id)
    ids = []
    for explanation in (first, second):
        score, judged = bench.score(explanation, ScoreOptions(scorer="fuzzing"))
        bench.annotations.add(score, *judged)
        ids.append(score.id)
    found = bench.compare(*ids)
    assert found.unpaired == 0
    assert found.value is not None
    assert found.value > 0.3
    assert found.ci_low is not None
    assert found.ci_low > 0
    back = bench.compare(*reversed(ids))
    assert back.value == pytest.approx(-found.value)


@pytest.mark.parametrize("text", ["", "   \n", "x" * (MAX_TEXT + 1)])
def test_what_nobody_should_write(bench: Workbench, text: str):
    with pytest.raises(UserError):
        bench.write("sae", CAT, text, author="me")
    assert bench.annotations.explanations("sae", CAT) == []
