"""Explaining and scoring on a store, alone and as jobs."""

import json

import pytest

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job, score_job
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.estimate import estimate_score
from autointerp.pipeline.explain import MAX_TEXT
from autointerp.pipeline.keys import KeyGone
from autointerp.pipeline.pending import explanations_to_score, live_latents, unexplained, unscored
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.score.options import ScoreOptions
from autointerp.store import copies
from tests.explained import scores_of
from tests.pipeline.conftest import CAT, DEAD, DOG, EVERYWHERE, RARE, explain_once, score_once, write_once
from tests.pipeline.scripted import LLM, obliging, use

BOTH = (ScoreOptions(scorer="detection"), ScoreOptions(scorer="fuzzing"))


def test_pattern_and_offline_find_what_is_plain(resources: Resources):
    for latent, word in ((CAT, "cat"), (DOG, "dog")):
        explanation = explain_once(resources, "sae", latent, ExplainOptions())
        assert word in explanation.text
        resources.annotations.add(explanation)
    explanation = resources.annotations.shown("sae", CAT)
    assert explanation is not None
    for options in BOTH:
        score = score_once(resources, explanation, options)
        resources.annotations.add(score)
        assert score.value is not None
        assert score.value > 0.9
        assert score.floor is not None
        assert score.floor < 0.7
        assert score.floor_explanation_id == resources.annotations.shown("sae", DOG).id  # type: ignore[union-attr]
        assert resources.annotations.score(score.id) == score
        assert resources.annotations.judged(score.id) == score.judged
        assert score.n_pos + score.n_neg + score.unparsed == len(score.judged or ())


def test_no_floor_without_others(resources: Resources):
    explanation = explain_once(resources, "sae", CAT, ExplainOptions())
    resources.annotations.add(explanation)
    score = score_once(resources, explanation, ScoreOptions())
    assert score.value is not None
    assert score.floor is None
    assert score.floor_explanation_id is None
    # The first other one serves at once, not when a pool that was empty has aged.
    other = explain_once(resources, "sae", DOG, ExplainOptions())
    resources.annotations.add(other)
    score = score_once(resources, explanation, ScoreOptions())
    assert score.floor_explanation_id == other.id


def test_failures_are_rows(resources: Resources, runner: JobRunner):
    job = runner.run(**explain_job("sae", [CAT, DEAD, RARE], ExplainOptions(), then=BOTH))
    assert (job.state, job.n_done, job.n_failed) == ("done", 1, 2)
    (dead,) = resources.annotations.explanations("sae", DEAD)
    assert dead.status == "failed"
    assert "never fires" in (dead.error or "")
    assert dead.text == ""
    scores = resources.annotations.scores_of_latent(
        "sae", RARE
    )  # one context: it is held in, nothing is left to score on
    assert {score.status for score in scores} == {"failed"}
    assert all(score.value is None for score in scores)


def test_the_same_failure_for_nothing_is_one_row(resources: Resources, runner: JobRunner):
    for seed in (0, 0, 1):
        job = runner.run(**explain_job("sae", [DEAD], ExplainOptions(seed=seed)))
        assert (job.n_done, job.n_failed) == (0, 1)
    rows = resources.annotations.explanations("sae", DEAD)
    assert [row.seed for row in rows] == [1, 0], "another configuration is another attempt"


def test_batch_skips_what_is_done(resources: Resources, runner: JobRunner):
    latents = live_latents(resources.store, "sae")
    assert latents == [CAT, DOG, RARE, EVERYWHERE]
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions()))
    assert unexplained(resources.annotations, "sae", latents, ExplainOptions()) == [RARE, EVERYWHERE]
    assert unexplained(resources.annotations, "sae", latents, ExplainOptions(seed=1)) == latents
    ids = explanations_to_score(resources.annotations, "sae")
    assert unscored(resources.annotations, "sae", ids, BOTH) == ids
    runner.run(**score_job("sae", ids, BOTH[:1]))
    assert unscored(resources.annotations, "sae", ids, BOTH[:1]) == []
    assert unscored(resources.annotations, "sae", ids, BOTH) == ids


def test_a_large_batch_leaves_copies_of_the_tables(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    derived = resources.store.path / "derived"
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions(), then=BOTH))
    monkeypatch.setattr(copies, "MIN_ROWS", 2)
    runner.run(**explain_job("sae", [RARE], ExplainOptions()))
    assert not list(derived.glob("annotations*")), "of a small one nobody waits"
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions(seed=1), then=BOTH))
    resources.annotations.close()
    assert {path.name.split(".")[-2] for path in derived.glob("annotations*.sae.*")} == {
        "explanations",
        "scores",
    }


def test_retry_repeats_only_what_failed(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    broken = True

    def script(request: ChatRequest) -> str:
        if broken and "explanation" not in json.dumps(request.schema or ""):
            return "I would rather not say."
        return obliging(request)

    made = use(resources, monkeypatch, script)
    job = runner.run(
        **explain_job(
            "sae",
            [CAT],
            ExplainOptions(explainer="default", llm=LLM),
            then=[BOTH[0], ScoreOptions(judge="llm", llm=LLM)],
        )
    )
    assert (job.state, job.n_failed) == ("failed", 1)
    assert len(resources.annotations.explanations("sae", CAT)) == 1
    broken = False
    runner.retry(job.id)
    job = runner.run_job(job.id)
    assert (job.state, job.n_done) == ("done", 1)
    (explanation,) = resources.annotations.explanations("sae", CAT)  # not explained again
    good = [s for s in scores_of(resources.annotations, explanation.id) if s.status == "ok"]
    assert sorted(s.judge for s in good) == ["llm", "offline"]  # the offline one not scored again
    assert next(s.value for s in good if s.judge == "llm") == 1.0
    assert sum("explanation" in json.dumps(r.schema) for m in made for r in m.requests) == 1


def test_llm_work_is_recorded_whole(resources: Resources, monkeypatch: pytest.MonkeyPatch):
    use(resources, monkeypatch, obliging)
    explanation = explain_once(resources, "sae", CAT, ExplainOptions(explainer="contrastive", llm=LLM))
    resources.annotations.add(explanation)
    assert explanation.text == "The word cat."
    assert explanation.reply_ref is not None
    stored = resources.annotations.replies.get(explanation.reply_ref)
    assert stored is not None
    assert "cat" in json.dumps(dict(stored.request))
    options = ScoreOptions(judge="llm", llm=LLM, batch=7)
    preview = estimate_score(resources, explanation, options)
    score = score_once(resources, explanation, options)
    assert score.value == 1.0
    assert preview.n_requests == len({j.reply_ref for j in score.judged or ()})
    assert {resources.annotations.replies.get(j.reply_ref or "") is not None for j in score.judged or ()} == {
        True
    }
    resources.annotations.add(score)
    again = estimate_score(resources, explanation, options)
    assert (again.from_cache, again.tokens_in) == (preview.n_requests, 0)


def test_a_simulation_is_previewed_by_the_mode_its_server_takes(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    def script(request: ChatRequest) -> str:
        if "explanation" in json.dumps(request.schema or ""):
            return obliging(request)
        n = request.schema["properties"]["answers"]["minItems"] if request.schema else 0
        return json.dumps({"answers": [i % 10 for i in range(n)]})

    made = use(resources, monkeypatch, script)
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions(explainer="default", llm=LLM)))
    explanation = resources.annotations.explanations("sae", CAT)[0]
    options = ScoreOptions(scorer="simulation", llm=LLM)
    before = estimate_score(resources, explanation, options)
    assert before.messages[-1].role == "assistant"  # as the first request is
    assert "finds out" in before.note
    made.clear()
    resources.annotations.add(score_once(resources, explanation, options))
    sent = sum(len(client.requests) for client in made)
    assert sent == before.n_requests
    after = estimate_score(resources, explanation, options)
    assert (after.from_cache, after.tokens_in, after.note) == (after.n_requests, 0, "")
    assert after.messages[-1].role == "user"
    again = score_once(resources, explanation, options)
    assert (again.status, again.tokens_in, again.tokens_out) == ("ok", 0, 0)
    assert sum(len(client.requests) for client in made) == sent


def test_what_could_not_be_used_is_there_to_be_read(
    resources: Resources, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
):
    use(resources, monkeypatch, obliging)
    runner.run(**explain_job("sae", [CAT, DOG], ExplainOptions(explainer="default", llm=LLM)))
    good = resources.annotations.explanations("sae", CAT)[0]
    made = use(resources, monkeypatch, lambda request: f"Certainly! {len(request.messages)}")
    runner.run(**explain_job("sae", [EVERYWHERE], ExplainOptions(explainer="default", llm=LLM)))
    (failed,) = resources.annotations.explanations("sae", EVERYWHERE)
    stored = resources.annotations.replies.get(failed.reply_ref or "")
    assert stored is not None
    n = len(stored.request["messages"])
    assert (failed.status, stored.reply["discarded"], stored.reply["text"]) == (
        "failed",
        [f"Certainly! {n}"],
        f"Certainly! {n + 2}",
    )
    assert (stored.tokens_in, stored.tokens_out) == (failed.tokens_in, failed.tokens_out)

    runner.run(**score_job("sae", [good.id], [ScoreOptions(judge="llm", llm=LLM)]))
    (score,) = scores_of(resources.annotations, good.id)
    judged = resources.annotations.judged(score.id)
    assert (score.status, score.unparsed) == ("failed", len(judged))
    stored = resources.annotations.replies.get(judged[0].reply_ref or "")
    assert stored is not None
    assert good.text in stored.request["messages"][-1]["content"]
    sent = sum(len(client.requests) for client in made)
    runner.run(**explain_job("sae", [EVERYWHERE], ExplainOptions(explainer="default", llm=LLM)))
    assert sum(len(client.requests) for client in made) == sent + 2  # no failure is taken for an answer


def test_a_key_that_is_gone_stops_the_job(resources: Resources, runner: JobRunner):
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref="key-gone")
    options = ExplainOptions(explainer="default", llm=llm)
    with pytest.raises(KeyGone, match="Enter it again"):
        explain_once(resources, "sae", CAT, options)
    job = runner.run(**explain_job("sae", [CAT, DOG], options))
    assert (job.state, job.n_done, job.n_failed) == ("failed", 0, 0)
    assert "Enter it again" in (job.error or "")
    assert resources.annotations.explanations("sae", CAT) == []


def test_work_that_asks_nobody_needs_no_language_model(resources: Resources, runner: JobRunner):
    """One that is chosen all the same gives it no threads, and its key and address go into no job."""
    llm = LLMOptions(model="m", base_url="http://ada:secret@host/v1", max_in_flight=16, key_ref="key-gone")
    explain, score = ExplainOptions(llm=llm), ScoreOptions(llm=llm)
    arguments = explain_job("sae", [CAT], explain, then=[score])
    assert arguments == explain_job("sae", [CAT], ExplainOptions(), then=[ScoreOptions()])
    assert score_job("sae", ["id"], [score]) == score_job("sae", ["id"], [ScoreOptions()])
    job = runner.run(**arguments)
    assert (job.state, job.n_done) == ("done", 1)


def test_compare_pairs_the_same_examples(resources: Resources):
    first = write_once(resources, "sae", CAT, "The word dog.", author="me")
    second = write_once(resources, "sae", CAT, 'The word "cat".', author="me", parent=first.id)
    ids = []
    for explanation in (first, second):
        score = score_once(resources, explanation, ScoreOptions(scorer="fuzzing"))
        resources.annotations.add(score)
        ids.append(score.id)
    found = compare_scores(resources, *ids)
    assert found.unpaired == 0
    assert found.value is not None
    assert found.value > 0.3
    assert found.ci_low is not None
    assert found.ci_low > 0
    back = compare_scores(resources, *reversed(ids))
    assert back.value == pytest.approx(-found.value)


@pytest.mark.parametrize("text", ["", "   \n", "x" * (MAX_TEXT + 1)])
def test_what_nobody_should_write(resources: Resources, text: str):
    with pytest.raises(UserError):
        write_once(resources, "sae", CAT, text, author="me")
    assert resources.annotations.explanations("sae", CAT) == []
