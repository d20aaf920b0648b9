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
    assert [one.item for one in annotations.jobs.items_at(job.id, [50, 3, 1000])] == ["item 3", "item 50"]
    assert annotations.jobs.items_at(job.id, []) == []
    annotations.jobs.finish(claim)
    annotations.jobs.retry(job.id)
    assert annotations.jobs.causes(job.id) == []


def test_a_job_that_is_none(annotations: Annotations):
    for ask in (annotations.jobs.causes, lambda job_id: annotations.jobs.items_at(job_id, [0])):
        with pytest.raises(UnknownName):
            ask("nothing")
