"""Runners: many quick items are read ahead and share transactions."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from autointerp.errors import UserError
from autointerp.jobs import Context, JobKind, JobRunner, Outcome
from autointerp.records import Explanation
from autointerp.store.annotations import JobTable

MakeRunner = Callable[..., JobRunner]


def write_one(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    return Outcome(rows=[Explanation(coder="sae", latent=item, text="text", explainer="pattern")])


def test_told_of_items_before_they_are_handled(make_runner: MakeRunner) -> None:
    events: list[object] = []

    def ahead(payload: Mapping[str, Any], items: Sequence[Any], context: Context) -> None:
        assert context.state == "opened"
        events.append(list(items))

    @contextmanager
    def setup(payload: Mapping[str, Any], context: Context) -> Iterator[str]:
        yield "opened"

    def handle(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        events.append(item)

    kind = JobKind("write", handle, setup=setup, ahead=ahead)
    job = make_runner(kind).run("write", {}, range(600))
    assert (job.state, job.n_done) == ("done", 600)
    told: set[int] = set()
    for event in events:
        if isinstance(event, list):
            assert told.isdisjoint(event)
            told.update(event)
        else:
            assert event in told
    assert told == set(range(600))
    events.clear()
    make_runner(kind).run("write", {"one": True}, [7])
    assert events == [7], "a single item needs no announcement"


@pytest.mark.parametrize("error", [UserError("no"), ValueError("a bug")])
def test_what_goes_wrong_ahead_is_left_to_the_items(
    make_runner: MakeRunner, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def ahead(payload: Mapping[str, Any], items: Sequence[Any], context: Context) -> None:
        raise error

    with caplog.at_level(logging.ERROR):
        job = make_runner(JobKind("write", write_one, ahead=ahead)).run("write", {}, range(5))
    assert (job.state, job.n_done, job.n_failed) == ("done", 5, 0)
    assert ("look ahead" in caplog.text) == isinstance(error, ValueError)


def test_quick_items_share_transactions(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    complete = JobTable.complete

    def counted(self: JobTable, claim: Any, results: Any) -> Any:
        sizes.append(len(results))
        return complete(self, claim, results)

    monkeypatch.setattr(JobTable, "complete", counted)
    make_runner(JobKind("write", write_one)).run("write", {}, range(200))
    assert sum(sizes) == 200
    assert len(sizes) < 100
