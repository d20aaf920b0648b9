"""What was paid for or asked for outlives cancelling and sudden death: between an explanation and its scores, and before those
that follow in a job of their own."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.explain.options import ExplainOptions
from autointerp.jobs import Job, JobRunner
from autointerp.jobs.kinds import explain_job, job_kinds
from autointerp.llm.costs import Budget
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from autointerp.records import Score
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations, JobTable
from tests.explained import scores_of
from tests.mock_client import MockClient
from tests.pipeline.conftest import CAT, DOG
from tests.pipeline.scripted import LLM, obliging

DETECTION, FUZZING = ScoreOptions(judge="llm", llm=LLM), ScoreOptions(scorer="fuzzing", judge="llm", llm=LLM)
EXPLAIN = ExplainOptions(explainer="default", llm=LLM)


def is_explanation(request: ChatRequest) -> bool:
    return "explanation" in json.dumps(request.schema or "")


class Server:
    """Clients that share one script, and what they have been charged for."""

    def __init__(self, resources: Resources, script: Callable[[ChatRequest], Any]):
        self.resources = resources
        self.script = script
        self.clients: list[MockClient] = []
        resources.client = self._client  # type: ignore[method-assign]

    def _client(self, options: LLMOptions, *, budget: Budget | None = None) -> MockClient:
        self.clients.append(MockClient(lambda r: self.script(r), cache=self.resources.replies, budget=budget))
        return self.clients[-1]

    @property
    def charged(self) -> int:
        return sum(client.stats.usage.prompt_tokens for client in self.clients)

    @property
    def requests(self) -> list[ChatRequest]:
        return [request for client in self.clients for request in client.requests]


def counted(resources: Resources) -> int:
    """Prompt tokens of all rows."""
    total = 0
    for explanation in resources.annotations.iter_explanations("sae"):
        total += explanation.tokens_in
        total += sum(score.tokens_in for score in scores_of(resources.annotations, explanation.id))
    return total


def quick_runner(resources: Resources) -> JobRunner:
    return JobRunner(resources.annotations, job_kinds(resources), poll_seconds=0.02, beat_seconds=0.05)


@pytest.mark.parametrize("at", ["explanation", "detection", "fuzzing"])
def test_a_cancelled_job_keeps_and_counts_what_was_paid(resources: Resources, at: str):
    held, free = threading.Event(), threading.Event()
    seen: list[str] = []
    answered: list[ChatRequest] = []

    def script(request: ChatRequest) -> Any:
        kind = "explanation" if is_explanation(request) else "judging"
        seen.append(kind)
        n_judged = seen.count("judging")
        # Detection and its floor are two requests each; fuzzing's first is the fifth.
        stop_at = {"explanation": (1, 0), "detection": (1, 2), "fuzzing": (1, 6)}[at]
        if not free.is_set() and (seen.count("explanation"), n_judged) >= stop_at:
            held.set()
            return _never()
        answered.append(request)
        return obliging(request)

    server = Server(resources, script)
    llm = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1)
    work = explain_job(
        "sae",
        [CAT],
        ExplainOptions(explainer="default", llm=llm),
        then=[ScoreOptions(judge="llm", llm=llm), ScoreOptions(scorer="fuzzing", judge="llm", llm=llm)],
    )
    with quick_runner(resources) as runner:
        job = runner.submit(**work)
        assert held.wait(20)
        resources.annotations.jobs.cancel(job.id)
        job = runner.wait(job.id, timeout=20)
        assert (job.state, job.n_left) == ("cancelled", 1)
        explanations = resources.annotations.explanations("sae", CAT)
        scores = [score for one in explanations for score in scores_of(resources.annotations, one.id)]
        expected = {"explanation": (0, []), "detection": (1, []), "fuzzing": (1, ["detection"])}[at]
        assert (len(explanations), [score.scorer for score in scores]) == expected
        assert job.tokens_in == server.charged
        assert (job.tokens_in > 0) == (at != "explanation")
        assert job.tokens_in >= counted(resources)

        free.set()
        runner.retry(job.id)
        job = runner.wait(job.id, timeout=20)
    assert (job.state, job.n_done) == ("done", 1)
    (explanation,) = resources.annotations.explanations("sae", CAT)
    assert sorted(s.scorer for s in scores_of(resources.annotations, explanation.id)) == [
        "detection",
        "fuzzing",
    ]
    assert job.tokens_in == server.charged  # once, whatever it was spent on
    assert len(answered) == len(
        {request.key("", "") for request in answered}
    )  # nothing that was answered is asked again


async def _never() -> Any:
    import asyncio

    await asyncio.sleep(60)


def test_an_undisturbed_job_costs_what_its_rows_cost(resources: Resources):
    server = Server(resources, obliging)
    job = quick_runner(resources).run(**explain_job("sae", [CAT, DOG], EXPLAIN, then=[DETECTION, FUZZING]))
    assert (job.state, job.n_done) == ("done", 2)
    assert job.tokens_in == server.charged == counted(resources) > 0


# Sudden death ------------------------------------------------------------------------------------


def _die() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _run_and_die(path: Path, where: str, work: dict[str, Any]) -> None:
    """Does the job in a process that kills itself: "judging": when a score is first asked for; "before" or "after" the
    transaction that stores an explanation."""
    with Annotations(path) as annotations:
        resources = Resources(Store.open(path), annotations)
        Server(resources, lambda request: obliging(request) if is_explanation(request) else _die())
        if where in ("before", "after"):
            commit = JobTable.complete

            def complete(self: JobTable, *arguments: Any) -> Any:
                if where == "before":
                    _die()
                commit(self, *arguments)
                _die()

            JobTable.complete = complete  # type: ignore[method-assign]
        JobRunner(annotations, job_kinds(resources)).run(**work)


def die(resources: Resources, where: str, work: dict[str, Any]) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_run_and_die, args=(resources.store.path, where, work)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def finish(resources: Resources) -> list[Job]:
    """Do whatever is queued or was left behind, as the next app on the store does; all jobs, oldest first."""
    jobs = resources.annotations.jobs
    runner = quick_runner(resources)
    jobs.recover()
    while active := jobs.active():
        runner.run_job(active[-1].id)
    return list(reversed(jobs.recent()))


def test_a_death_between_an_explanation_and_its_scores_costs_neither(resources: Resources):
    die(resources, "judging", explain_job("sae", [CAT], EXPLAIN, then=[DETECTION]))
    (explanation,) = resources.annotations.explanations("sae", CAT)
    (job,) = resources.annotations.jobs.active()
    assert job.tokens_in == explanation.tokens_in > 0
    server = Server(resources, obliging)
    (job,) = finish(resources)
    assert (job.state, job.n_done) == ("done", 1)
    assert resources.annotations.explanations("sae", CAT) == [explanation]
    assert not any(is_explanation(request) for request in server.requests)
    (score,) = scores_of(resources.annotations, explanation.id)
    assert job.tokens_in == explanation.tokens_in + score.tokens_in


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_death_around_the_explanation_loses_no_score_that_follows(resources: Resources, where: str):
    """By `pattern`, as a click asks for it: the quick score with the explanation, the slow one in a job of its own."""
    work = explain_job(
        "sae", [CAT], ExplainOptions(), [ScoreOptions()], later=[ScoreOptions(scorer="fuzzing")]
    )
    die(resources, where, work)
    stored = resources.annotations.explanations("sae", CAT)
    (job, *followers) = reversed(resources.annotations.jobs.recent())
    assert len(stored) == len(followers) == (0 if where == "before" else 1)
    ended = finish(resources)
    assert [(one.kind, one.state) for one in ended] == [("explain", "done"), ("score", "done")]
    assert ended[1].after == job.id
    (explanation,) = resources.annotations.explanations("sae", CAT)
    scores: list[Score] = scores_of(resources.annotations, explanation.id)
    assert sorted(score.scorer for score in scores) == ["detection", "fuzzing"]


def test_a_paid_explanation_is_followed_once(resources: Resources):
    """Stored before its own scores: what follows is queued then, and not again with the item's end."""
    die(resources, "judging", explain_job("sae", [CAT], EXPLAIN, [DETECTION], later=[FUZZING]))
    Server(resources, obliging)
    ended = finish(resources)
    assert [(one.kind, one.state) for one in ended] == [("explain", "done"), ("score", "done")]
    (explanation,) = resources.annotations.explanations("sae", CAT)
    assert sorted(s.scorer for s in scores_of(resources.annotations, explanation.id)) == [
        "detection",
        "fuzzing",
    ]


def test_later_scores_go_through_the_options_check(resources: Resources):
    from autointerp.errors import UserError

    with pytest.raises(UserError):
        explain_job("sae", [CAT], ExplainOptions(), later=[ScoreOptions(negatives=())])
    assert "later" not in explain_job("sae", [CAT], ExplainOptions())["payload"]
