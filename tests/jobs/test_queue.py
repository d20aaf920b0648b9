"""The job tables: submitting, claiming, reporting, ending, recovering."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autointerp.errors import Failure, UnknownName, UserError
from autointerp.records import Explanation
from autointerp.store.annotations import Annotations, Claim, ClaimLost, Outcome, new_owner
from autointerp.store.annotations.jobs import queue

DEAD = new_owner().split(" ")[0] + " 999999999 1 X"
ELSEWHERE = "elsewhere 1 1 X"


def explain(latent: int) -> Explanation:
    return Explanation(coder="sae", latent=latent, text="text", explainer="pattern")


def ok(*indices: int) -> list[tuple[int, Outcome]]:
    return [(i, Outcome()) for i in indices]


def claimed(annotations: Annotations, owner: str | None = None, n: int = 3) -> Claim:
    annotations.jobs.submit("kind", {"n": n}, range(n))
    claim = annotations.jobs.claim(owner or new_owner(), ["kind"])
    assert claim is not None
    return claim


def test_a_job_waits_runs_and_ends(annotations: Annotations) -> None:
    jobs = annotations.jobs
    job, new = jobs.submit("kind", {"b": 1, "a": [1]}, ["x", {"latent": 3}], label="Two things")
    assert new
    assert (job.state, job.total, job.label, job.payload) == ("queued", 2, "Two things", {"b": 1, "a": [1]})
    assert jobs.claim("someone", ["other"]) is None
    claim = jobs.claim(new_owner(), ["other", "kind"])
    assert claim is not None
    assert (claim.job.id, claim.job.state) == (job.id, "running")
    assert jobs.pending(claim, after=-1, limit=10) == [(0, "x"), (1, {"latent": 3})]
    assert jobs.pending(claim, after=0, limit=10) == [(1, {"latent": 3})]
    result = Outcome(tokens_in=10, tokens_out=2, cost=0.5, rows=[explain(3)])
    assert jobs.complete(claim, [(0, result), (1, Outcome(failure=Failure("no"), cost=None))]) == []
    assert not jobs.beat(claim, rate=2.0, stage=("loading", 1, 4, "files"))
    running = jobs.get(job.id)
    assert (running.n_done, running.n_failed, running.rate, running.stage_total) == (1, 1, 2.0, 4)
    assert (running.tokens_in, running.tokens_out, running.cost, running.n_unpriced) == (10, 2, 0.5, 1)
    assert running.eta_seconds == 0
    ended = jobs.finish(claim)
    assert (ended.state, ended.error, ended.fraction) == ("done", "1 of 2 failed: no", 1.0)
    assert ended.finished
    assert ended.owner is None
    assert [(i.item, i.state, i.error, i.attempts) for i in jobs.items(job.id)] == [
        ("x", "done", None, 1),
        ({"latent": 3}, "failed", "no", 1),
    ]
    assert len(jobs.items(job.id, state="failed")) == 1
    assert annotations.counts()["sae"]["explanations"] == 1
    assert jobs.recent(states=["queued"]) == []
    assert jobs.recent() == [ended]


def test_the_same_work_is_queued_once(annotations: Annotations) -> None:
    jobs = annotations.jobs
    one, _ = jobs.submit("kind", {"a": 1, "b": 2}, range(3))
    assert jobs.submit("kind", {"b": 2, "a": 1}, iter([0, 1, 2])) == (one, False)
    for kind, payload, items in [
        ("kind", {"a": 1, "b": 2}, range(4)),
        ("kind", {"a": 1}, range(3)),
        ("other", {"a": 1, "b": 2}, range(3)),
        ("kind", {"a": 1, "b": 2}, ["0", "1", "2"]),
    ]:
        assert jobs.submit(kind, payload, items)[1]
    long, _ = jobs.submit("kind", {}, range(5000))
    assert jobs.submit("kind", {}, range(5000)) == (long, False)
    assert len(jobs.active()) == 6
    claim = jobs.claim(new_owner(), ["kind"], job_id=one.id)
    assert claim is not None
    jobs.complete(claim, ok(0, 1, 2))
    jobs.finish(claim)
    again, new = jobs.submit("kind", {"a": 1, "b": 2}, range(3))
    assert new, "work that is over may be asked for again"
    with pytest.raises(UserError, match="nothing left"):
        jobs.retry(one.id)
    jobs.cancel(again.id)
    assert jobs.submit("kind", {"a": 1, "b": 2}, range(3))[1]
    with pytest.raises(UserError, match="same work"):
        jobs.retry(again.id)


def test_priority_then_age(annotations: Annotations) -> None:
    jobs = annotations.jobs
    ids = [jobs.submit("kind", {"n": n}, priority=p)[0].id for n, p in enumerate([0, 0, 5, 1, 5])]
    order = [jobs.claim("o", ["kind"], min_priority=1), *(jobs.claim("o", ["kind"]) for _ in range(4))]
    assert [c and ids.index(c.job.id) for c in order] == [2, 4, 3, 0, 1]
    assert jobs.claim("o", ["kind"]) is None


def test_an_interrupted_submission_leaves_nothing(annotations: Annotations) -> None:
    def items() -> Any:
        yield from range(4100)
        assert annotations.jobs.recent()[0].state == "preparing"
        assert annotations.jobs.claim("o", ["kind"]) is None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotations.jobs.submit("kind", {}, items())
    assert annotations.jobs.recent() == []

    def cancelled() -> Any:
        yield from range(4100)
        annotations.jobs.cancel(annotations.jobs.recent()[0].id)
        yield from range(2000)

    with pytest.raises(UserError, match="cancelled"):
        annotations.jobs.submit("kind", {}, cancelled())
    assert annotations.jobs.recent() == []


def test_one_refused_result_does_not_hurt_its_neighbours(annotations: Annotations) -> None:
    claim = claimed(annotations)
    bad = Explanation(coder="sae", latent=1, text="t", explainer="p", reply_ref="nothing")
    results = [
        (0, Outcome(rows=[explain(0)])),
        (1, Outcome(rows=[explain(1), bad])),
        (2, Outcome(rows=[explain(2)])),
    ]
    refused = annotations.jobs.complete(claim, results)
    assert [i for i, _ in refused] == [1]
    assert [item.state for item in annotations.jobs.items(claim.job.id)] == ["done", "failed", "done"]
    assert annotations.summary("sae")["latent"].to_pylist() == [0, 2]
    (failed,) = annotations.jobs.items(claim.job.id, state="failed")
    assert failed.error
    assert "unknown reply" in failed.error


def test_an_item_ends_once(annotations: Annotations) -> None:
    claim = claimed(annotations)
    annotations.jobs.complete(claim, [(0, Outcome(cost=1.0, rows=[explain(0)]))])
    annotations.jobs.complete(
        claim, [(0, Outcome(cost=1.0, rows=[explain(0)])), (1, Outcome(rows=[explain(1)]))]
    )
    job = annotations.jobs.get(claim.job.id)
    assert (job.n_done, job.cost) == (2, 1.0)
    assert annotations.counts()["sae"]["explanations"] == 2


def test_who_lost_the_claim_can_store_nothing(annotations: Annotations) -> None:
    jobs = annotations.jobs
    old = claimed(annotations)
    jobs.release(old)
    new = jobs.claim(new_owner(), ["kind"])
    assert new is not None
    for act in (
        lambda: jobs.complete(old, [(0, Outcome(rows=[explain(0)]))]),
        lambda: jobs.beat(old, rate=None),
        lambda: jobs.finish(old),
    ):
        with pytest.raises(ClaimLost):
            act()
    jobs.release(old)
    assert jobs.get(new.job.id).state == "running"
    assert annotations.counts() == {}
    jobs.complete(new, ok(0, 1, 2))
    assert jobs.finish(new).state == "done"


def test_retry_takes_the_failed_and_the_untried(annotations: Annotations) -> None:
    jobs = annotations.jobs
    claim = claimed(annotations)
    with pytest.raises(UserError, match="is running"):
        jobs.retry(claim.job.id)
    jobs.complete(claim, [(0, Outcome()), (1, Outcome(failure=Failure("no", "transient", True)))])
    failed = jobs.finish(claim, state="failed", failure=Failure("wrong key", "auth"))
    assert (failed.error, failed.error_kind, failed.retryable) == ("wrong key", "auth", False)
    (item,) = jobs.items(claim.job.id, state="failed")
    assert (item.error, item.error_kind, item.retryable) == ("no", "transient", True)
    retried = jobs.retry(claim.job.id)
    assert (retried.state, retried.n_done, retried.n_failed, retried.error) == ("queued", 1, 0, None)
    assert (retried.error_kind, retried.retryable) == (None, False)
    assert {(item.error, item.error_kind, item.retryable) for item in jobs.items(claim.job.id)} == {
        (None, None, False)
    }
    claim = jobs.claim(new_owner(), ["kind"])
    assert claim is not None
    assert [i for i, _ in jobs.pending(claim, after=-1, limit=9)] == [1, 2]
    jobs.complete(claim, ok(1, 2))
    assert jobs.finish(claim).error is None
    assert [item.attempts for item in jobs.items(claim.job.id)] == [1, 2, 1]
    for act in (jobs.get, jobs.cancel, jobs.retry, jobs.items):
        with pytest.raises(UnknownName, match="job"):
            act("nothing")


def test_retry_may_tell_the_job_something_else(annotations: Annotations) -> None:
    """It is the job that somebody else would have started so, and no other one any more."""
    jobs = annotations.jobs
    job, _ = jobs.submit("kind", {"ask": "a"}, range(5000))
    jobs.cancel(job.id)
    jobs.retry(job.id, {"ask": "b"})
    assert jobs.get(job.id).payload == {"ask": "b"}
    assert jobs.submit("kind", {"ask": "b"}, range(5000))[0].id == job.id
    other, new = jobs.submit("kind", {"ask": "a"}, range(5000))
    assert new
    jobs.cancel(other.id)
    with pytest.raises(UserError, match="already queued"):
        jobs.retry(other.id, {"ask": "b"})
    assert jobs.get(other.id).payload == {"ask": "a"}, "who is refused is left as it was"


def test_all_failed_is_a_failed_job_and_none_left_behind_is_done(annotations: Annotations) -> None:
    claim = claimed(annotations, n=2)
    annotations.jobs.complete(claim, [(i, Outcome(failure=Failure("server down"))) for i in range(2)])
    assert annotations.jobs.finish(claim).state == "failed"
    empty = claimed(annotations, n=0)
    assert annotations.jobs.finish(empty).state == "done"
    untried = claimed(annotations, n=3)
    ended = annotations.jobs.finish(untried)
    assert (ended.state, ended.error) == ("failed", "3 of 3 were not tried")


def test_jobs_of_the_dead_go_back_and_those_of_the_living_stay(annotations: Annotations) -> None:
    jobs = annotations.jobs
    mine = claimed(annotations, n=1)
    dead = claimed(annotations, DEAD, n=2)
    far = claimed(annotations, ELSEWHERE, n=3)
    nameless = claimed(annotations, "?", n=4)
    assert {job.id for job in jobs.recover()} == {dead.job.id, nameless.job.id}
    assert jobs.recover() == []
    states = [jobs.get(claim.job.id).state for claim in (mine, dead, far)]
    assert states == ["running", "queued", "running"]
    with closing(sqlite3.connect(annotations.path, isolation_level=None)) as connection:
        connection.execute("UPDATE jobs SET heartbeat = heartbeat - 300")  # as if five minutes had passed
    assert [job.id for job in jobs.recover(silent_seconds=200)] == [far.job.id]
    assert jobs.get(mine.job.id).state == "running", "a living process is trusted ten times longer"


def test_a_job_of_the_dead_that_was_to_stop_stops(annotations: Annotations) -> None:
    claim = claimed(annotations, DEAD)
    assert annotations.jobs.cancel(claim.job.id).state == "cancelled"
    waiting, _ = annotations.jobs.submit("kind", {})
    assert annotations.jobs.cancel(waiting.id).state == "cancelled"
    assert annotations.jobs.cancel(waiting.id).state == "cancelled"


def test_a_job_that_kills_its_process_is_given_up(annotations: Annotations) -> None:
    jobs = annotations.jobs
    job, _ = jobs.submit("kind", {}, range(9))

    def crash(done: int | None = None) -> str:
        claim = jobs.claim(DEAD, ["kind"])
        assert claim is not None
        if done is not None:
            jobs.complete(claim, ok(done))
        jobs.recover()
        return jobs.get(job.id).state

    assert [crash(), crash(), crash(0), crash(), crash(1), crash()] == ["queued"] * 6
    assert crash() == "failed"
    assert f"died {queue.MAX_CRASHES} times" in str(jobs.get(job.id).error)
    assert jobs.retry(job.id).n_left == 7
    assert crash() == "queued"


class QueueMachine(RuleBasedStateMachine):
    """Against a model: any order of actions keeps the counts right, and no item ends twice without a retry."""

    @initialize(n=st.integers(0, 4))
    def begin(self, n: int) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.annotations = Annotations(self.folder.name)
        self.jobs = self.annotations.jobs
        self.id = self.jobs.submit("kind", {}, range(n))[0].id
        self.model = ["pending"] * n
        self.state = "queued"
        self.claim: Claim | None = None
        self.rows = 0

    def teardown(self) -> None:
        self.annotations.close()
        self.folder.cleanup()

    @rule(owner=st.sampled_from([DEAD, new_owner()]))
    def take(self, owner: str) -> None:
        claim = self.jobs.claim(owner, ["kind"])
        assert (claim is not None) == (self.state == "queued")
        if claim is not None:
            self.claim, self.state = claim, "running"

    @precondition(lambda self: self.claim is not None)
    @rule(i=st.integers(0, 3), fails=st.booleans())
    def end_item(self, i: int, fails: bool) -> None:
        assert self.claim is not None
        results = [(i, Outcome(failure=Failure("no") if fails else None, rows=[explain(i)]))]
        if self.state != "running":
            with pytest.raises(ClaimLost):
                self.jobs.complete(self.claim, results)
            return
        self.jobs.complete(self.claim, results)
        if i < len(self.model) and self.model[i] == "pending":
            self.model[i] = "failed" if fails else "done"
            self.rows += 1

    @precondition(lambda self: self.state == "running")
    @rule(how=st.sampled_from(["finish", "release", "stop"]))
    def leave(self, how: str) -> None:
        assert self.claim is not None
        if how == "release":
            self.jobs.release(self.claim)
            self.state = "queued"
        else:
            state = self.jobs.finish(self.claim, state="cancelled" if how == "stop" else None).state
            left, failed = self.model.count("pending"), self.model.count("failed")
            over = "failed" if left or (self.model and failed == len(self.model)) else "done"
            assert state == ("cancelled" if how == "stop" else over)
            self.state = state

    @precondition(lambda self: self.state == "queued")
    @rule()
    def cancel(self) -> None:
        assert self.jobs.cancel(self.id).state == "cancelled"
        self.state = "cancelled"

    @precondition(lambda self: self.state in ("done", "failed", "cancelled"))
    @rule()
    def retry(self) -> None:
        if all(state == "done" for state in self.model):
            with pytest.raises(UserError):
                self.jobs.retry(self.id)
            return
        self.jobs.retry(self.id)
        self.model = ["pending" if state == "failed" else state for state in self.model]
        self.state = "queued"

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "jobs"):
            return
        job = self.jobs.get(self.id)
        assert job.state == self.state
        assert (job.n_done, job.n_failed) == (self.model.count("done"), self.model.count("failed"))
        assert [item.state for item in self.jobs.items(self.id)] == self.model
        counts = self.annotations.counts()
        assert (counts["sae"]["explanations"] if counts else 0) == self.rows


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
