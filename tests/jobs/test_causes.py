"""Why a job's items failed, counted where they are stored."""

import pytest

from autointerp.errors import Failure, UnknownName
from autointerp.store.annotations import Annotations, Outcome, new_owner


def test_causes_are_counted_with_their_first_items(annotations: Annotations):
    job, _ = annotations.jobs.submit("kind", {}, [f"item {i}" for i in range(100)])
    other, _ = annotations.jobs.submit("kind", {"other": 1}, range(5))
    claim = annotations.jobs.claim(new_owner(), ["kind"], job_id=job.id)
    assert claim is not None
    errors = ["rare" if i == 50 else "often" if i % 2 else None for i in range(100)]
    annotations.jobs.complete(
        claim,
        [
            (i, Outcome(failure=Failure(error, error, error == "often") if error else None))
            for i, error in enumerate(errors)
        ],
    )
    often, rare = annotations.jobs.causes(job.id)
    assert often == (Failure("often", "often", True), 50, tuple(range(1, 41, 2)))
    assert rare == (Failure("rare", "rare"), 1, (50,))
    assert annotations.jobs.causes(job.id, limit=1) == [often]
    assert annotations.jobs.causes(other.id) == []
    assert annotations.jobs.failure_kinds(job.id) == {"often": True, "rare": False}
    assert annotations.jobs.failure_kinds(other.id) == {}
    assert [one.item for one in annotations.jobs.items_at(job.id, [50, 3, 1000])] == ["item 3", "item 50"]
    assert annotations.jobs.items_at(job.id, []) == []
    annotations.jobs.finish(claim)
    annotations.jobs.retry(job.id)
    assert annotations.jobs.causes(job.id) == []


def test_a_job_that_is_none(annotations: Annotations):
    for ask in (annotations.jobs.causes, lambda job_id: annotations.jobs.items_at(job_id, [0])):
        with pytest.raises(UnknownName):
            ask("nothing")


def test_the_same_cause_is_said_with_its_count(annotations: Annotations):
    for errors, said in ((["x", "x"], "2 of 2 failed: x"), (["x", "y"], "2 of 2 failed; the first: x")):
        annotations.jobs.submit("kind", {"said": said}, range(2))
        claim = annotations.jobs.claim(new_owner(), ["kind"])
        assert claim is not None
        annotations.jobs.complete(
            claim, [(i, Outcome(failure=Failure(error))) for i, error in enumerate(errors)]
        )
        assert annotations.jobs.finish(claim).error == said


def test_the_time_that_a_job_ran_is_that_of_its_parts(
    annotations: Annotations, monkeypatch: pytest.MonkeyPatch
):
    clock = [1000.0]
    monkeypatch.setattr("time.time", lambda: clock[0])
    jobs = annotations.jobs
    job, _ = jobs.submit("kind", {}, range(2))

    def claimed(owner: str | None = None):
        claim = jobs.claim(owner or new_owner(), ["kind"])
        assert claim is not None
        assert claim.job.claimed == clock[0]
        return claim

    clock[0] += 500  # it waits
    claim = claimed()
    clock[0] += 10
    jobs.release(claim)
    assert (jobs.get(job.id).ran, jobs.get(job.id).claimed) == (10, None)
    clock[0] += 500
    claim = claimed()
    clock[0] += 5
    jobs.complete(claim, [(0, Outcome()), (1, Outcome(failure=Failure("x")))])
    jobs.finish(claim)
    assert jobs.get(job.id).ran == 15
    clock[0] += 500
    jobs.retry(job.id)
    claim = claimed("a process that is gone")
    clock[0] += 7
    jobs.beat(claim, rate=None)
    clock[0] += 9999  # its process died: what it did after its last sign of life does not count
    jobs.recover()
    assert (jobs.get(job.id).ran, jobs.get(job.id).state) == (22, "queued")
    other, _ = jobs.submit("kind", {"n": 1}, [1], owner=new_owner())
    assert (other.ran, other.claimed) == (0, clock[0])
