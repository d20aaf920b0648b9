"""Parts of items that are stored before their end, jobs that follow from items, and what is spent on items without an end."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from autointerp.errors import UnknownName, UserError
from autointerp.jobs import Context, JobKind, JobRunner
from autointerp.records import Explanation, Score
from autointerp.store.annotations import Annotations, Claim, ClaimLost, NewJob, Outcome, new_owner

MakeRunner = Callable[..., JobRunner]


def nothing(payload: Mapping[str, Any], item: Any, context: Context) -> None:
    return None


NEXT = NewJob(kind="score", payload={"how": "slowly"}, items=("e1",), label="score it", priority=1)


def explanation(latent: int = 1) -> Explanation:
    return Explanation(coder="sae", latent=latent, text="text", explainer="pattern")


def orphan() -> Score:
    return Score(explanation_id="nobody's", scorer="detection", judge="offline", value=0.5)


def claimed(annotations: Annotations, items: Any = (1, 2)) -> Claim:
    job, _ = annotations.jobs.submit("explain", {"n": time.monotonic()}, items)
    claim = annotations.jobs.claim(new_owner(), ["explain"], job_id=job.id)
    assert claim is not None
    return claim


def test_what_follows_is_queued_with_the_rows(annotations: Annotations) -> None:
    claim = claimed(annotations)
    assert annotations.jobs.followers(claim.job.id) == []
    made = explanation()
    annotations.jobs.complete(claim, [(0, Outcome(follow=(NEXT,), rows=[made]))])
    (follower,) = annotations.jobs.followers(claim.job.id)
    assert (follower.kind, follower.state, follower.total, follower.priority) == ("score", "queued", 1, 1)
    assert (follower.label, follower.after) == ("score it", claim.job.id)
    assert follower.payload == {"how": "slowly", "after": claim.job.id}
    assert [item.item for item in annotations.jobs.items(follower.id)] == ["e1"]
    assert claim.job.after is None
    assert annotations.explanation(made.id) == made
    # A commit repeated after an interrupt queues nothing twice; another item's follower is another job.
    annotations.jobs.complete(claim, [(0, Outcome(follow=(NEXT,), rows=[made]))])
    assert len(annotations.jobs.followers(claim.job.id)) == 1
    annotations.jobs.complete(claim, [(1, Outcome(follow=(replace(NEXT, items=("e2",)),)))])
    assert len(annotations.jobs.followers(claim.job.id)) == 2


def test_nothing_follows_from_what_is_not_stored(annotations: Annotations) -> None:
    claim = claimed(annotations)
    ((_, refusal),) = annotations.jobs.complete(claim, [(0, Outcome(follow=(NEXT,), rows=[orphan()]))])
    assert isinstance(refusal, UnknownName)
    with pytest.raises(UnknownName):
        annotations.jobs.keep(claim, Outcome(cost=1.0, follow=(NEXT,), rows=[orphan()]))
    annotations.jobs.release(claim)
    with pytest.raises(ClaimLost):
        annotations.jobs.complete(claim, [(1, Outcome(follow=(NEXT,), rows=[explanation()]))])
    with pytest.raises(ClaimLost):
        annotations.jobs.keep(claim, Outcome(follow=(NEXT,), rows=[explanation()]))
    assert annotations.jobs.followers(claim.job.id) == []
    assert annotations.jobs.get(claim.job.id).cost == 0


def test_nothing_follows_from_a_job_that_was_asked_to_stop(annotations: Annotations) -> None:
    claim = claimed(annotations)
    annotations.jobs.cancel(claim.job.id)
    annotations.jobs.complete(claim, [(0, Outcome(follow=(NEXT,), rows=[explanation()]))])
    annotations.jobs.keep(claim, Outcome(follow=(NEXT,), rows=[explanation(2)]))
    assert annotations.jobs.followers(claim.job.id) == []
    assert annotations.counts()["sae"]["explanations"] == 2  # it was paid for


def test_a_part_is_stored_and_counted_and_its_item_goes_on(annotations: Annotations) -> None:
    claim = claimed(annotations)
    made = explanation()
    part = Outcome(tokens_in=10, tokens_out=3, cost=0.5, follow=(NEXT,), rows=[made])
    annotations.jobs.keep(claim, part)
    job = annotations.jobs.get(claim.job.id)
    assert (job.n_done, job.n_failed, job.n_left) == (0, 0, 2)
    assert (job.tokens_in, job.tokens_out, job.cost, job.n_unpriced) == (10, 3, 0.5, 0)
    assert annotations.explanation(made.id) == made
    assert len(annotations.jobs.followers(claim.job.id)) == 1
    annotations.jobs.complete(claim, [(0, Outcome(tokens_in=1, cost=None))])
    job = annotations.jobs.get(claim.job.id)
    assert (job.tokens_in, job.cost, job.n_unpriced, job.n_done) == (11, 0.5, 1, 1)


def test_a_stored_part_is_progress(annotations: Annotations) -> None:
    """A job whose process dies again and again inside long items gets on, part by part: it is not given up."""
    jobs = annotations.jobs
    job, _ = jobs.submit("explain", {}, [1])
    dead = new_owner().split(" ")[0] + " 999999999 1 X"
    for latent in range(6):
        claim = jobs.claim(dead, ["explain"])
        assert claim is not None
        jobs.keep(claim, Outcome(tokens_in=10, rows=[explanation(latent)]))
        jobs.recover()
    assert (jobs.get(job.id).state, jobs.get(job.id).tokens_in) == ("queued", 60)
    for _ in range(2):  # the third in a row, with the death after the last part
        assert jobs.claim(dead, ["explain"]) is not None
        jobs.recover()
    job = jobs.get(job.id)
    assert job.state == "failed"
    assert "without storing a result" in (job.error or "")


def test_jobs_and_what_they_are_about_come_together(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    made = explanation()
    jobs = [replace(NEXT, items=(made.id,)), replace(NEXT, payload={"how": "fast"}, items=(made.id,))]
    with pytest.raises(UnknownName):
        annotations.jobs.submit_all(jobs, [made, orphan()])
    with pytest.raises(UnknownName):
        make_runner(JobKind("explain", nothing)).submit_all(jobs, [made])
    assert annotations.jobs.recent() == []
    assert annotations.explanations("sae", 1) == []
    queued = make_runner(JobKind("score", nothing)).submit_all(jobs, [made])
    assert [job.payload["how"] for job in queued] == ["slowly", "fast"]
    assert annotations.explanations("sae", 1) == [made]
    (again,) = annotations.jobs.submit_all(jobs[:1])
    assert again.id == queued[0].id  # the same work, waiting already


# In a runner -------------------------------------------------------------------------------------


class Till:
    """What a fake server has charged."""

    def __init__(self) -> None:
        self.spent = 0
        self.lock = threading.Lock()

    def pay(self, amount: int) -> int:
        with self.lock:
            self.spent += amount
        return amount

    @contextmanager
    def setup(self, payload: Mapping[str, Any], context: Context) -> Iterator[None]:
        before = self.spent
        context.meter = lambda: Outcome(
            tokens_in=self.spent - before, tokens_out=0, cost=0.1 * (self.spent - before)
        )
        yield


def test_what_an_item_without_an_end_cost_is_counted_once(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    till, free = Till(), threading.Event()

    def work(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        context.keep(Outcome(rows=[explanation(item)], tokens_in=till.pay(5), cost=0.5))
        till.pay(2)  # calls of a score that may not come to its end
        if item and not free.is_set():
            while True:
                context.wait(0.01)
        return Outcome(tokens_in=2, cost=0.2)

    runner = make_runner(JobKind("explain", work, setup=till.setup))
    with runner:
        job = runner.submit("explain", {}, range(3))
        deadline = time.monotonic() + 60
        while till.spent < 14:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        runner.annotations.jobs.cancel(job.id)
        job = runner.wait(job.id, timeout=60)
        assert (job.state, job.n_done, job.n_left) == ("cancelled", 1, 2)
        assert job.tokens_in == till.spent == 14
        assert job.cost == pytest.approx(1.4)
        assert annotations.counts()["sae"]["explanations"] == 2
        free.set()
        runner.retry(job.id)
        job = runner.wait(job.id, timeout=60)
    assert (job.state, job.n_done) == ("done", 3)
    assert job.tokens_in == till.spent
    assert job.cost == pytest.approx(0.1 * till.spent)


def test_a_kept_part_that_is_refused_fails_its_item(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    def work(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        context.keep(Outcome(rows=[orphan()] if item else [explanation()], tokens_in=1))
        return Outcome()

    job = make_runner(JobKind("explain", work)).run("explain", {}, range(2))
    assert (job.state, job.n_done, job.n_failed, job.tokens_in) == ("done", 1, 1, 1)
    with pytest.raises(UserError):
        annotations.jobs.retry("nothing")


def test_a_follower_is_begun_at_once_by_the_same_runner(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    def first(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        return Outcome(follow=[NEXT])

    done: list[Any] = []

    def second(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        done.append(item)

    kinds = (JobKind("explain", first), JobKind("score", second))
    with make_runner(*kinds, poll_seconds=600) as runner:
        job = runner.wait(runner.submit("explain", {}).id, timeout=60)
        (follower,) = annotations.jobs.followers(job.id)
        assert runner.wait(follower.id, timeout=60).state == "done"
    assert done == ["e1"]
