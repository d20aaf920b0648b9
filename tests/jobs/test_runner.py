"""Runners: items on threads, ends of every kind, stopping, foreground and background."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from autointerp.errors import Failure, StoreReadOnly, UnknownName, UserError
from autointerp.jobs import Context, Job, JobCancelled, JobKind, JobRunner, Outcome, StopJob
from autointerp.records import Explanation
from autointerp.store.annotations import Annotations
from autointerp.types import Progress

MakeRunner = Callable[..., JobRunner]
PATIENCE = 60.0
"""Seconds that any one step may take on a busy machine; what is at once or never is told apart by whole minutes."""


def explain(latent: int) -> Explanation:
    return Explanation(coder="sae", latent=latent, text="text", explainer="pattern")


def write_one(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    return Outcome(rows=[explain(item)], tokens_in=2, tokens_out=1, cost=0.5)


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_batch_in_the_background(annotations: Annotations, make_runner: MakeRunner) -> None:
    runner = make_runner(JobKind("write", write_one, workers=4)).start()
    job = runner.wait(runner.submit("write", {}, range(300), label="all").id, timeout=PATIENCE)
    assert (job.state, job.n_done, job.tokens_in, job.tokens_out, job.cost) == ("done", 300, 600, 300, 150.0)
    assert annotations.summary("sae")["latent"].to_pylist() == list(range(300))


def test_a_job_in_the_foreground_reports_progress(annotations: Annotations, make_runner: MakeRunner) -> None:
    reports: list[Job] = []
    job = make_runner(JobKind("write", write_one)).run(
        "write", {}, range(50), label="fifty", watch=reports.append
    )
    assert (job.state, job.n_done) == ("done", 50)
    assert (reports[-1].label, reports[-1].n_done, reports[-1].total) == ("fifty", 50, 50)
    assert [r.n_done for r in reports] == sorted(r.n_done for r in reports)
    assert annotations.counts()["sae"]["explanations"] == 50


def test_a_job_in_the_foreground_can_be_watched(annotations: Annotations, make_runner: MakeRunner) -> None:
    seen: list[Job] = []
    job = make_runner(JobKind("write", write_one)).run("write", {}, range(50), watch=seen.append)
    assert {one.id for one in seen} == {job.id}
    assert (seen[0].state, seen[0].n_done) == ("running", 0)
    assert seen[-1] == job
    waiting, _ = annotations.jobs.submit("write", {"second": True}, range(3))
    seen.clear()
    assert make_runner(JobKind("write", write_one)).run_job(waiting.id, watch=seen.append).n_done == 3
    assert seen[-1].state == "done"


def test_items_fail_one_by_one_and_only_they_are_tried_again(
    annotations: Annotations, make_runner: MakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True
    tried: list[int] = []

    def sometimes(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome | None:
        tried.append(item)
        if broken and item == 3:
            raise UserError("too few examples")
        if broken and item == 5:
            raise ZeroDivisionError("oops")
        if broken and item == 7:
            return Outcome(failure=Failure("no answer"), tokens_in=9, cost=None)
        return None

    runner = make_runner(JobKind("sometimes", sometimes, workers=2)).start()
    with caplog.at_level(logging.CRITICAL):
        job = runner.wait(runner.submit("sometimes", {}, range(10)).id, timeout=PATIENCE)
    assert (job.state, job.n_done, job.n_failed, job.tokens_in, job.n_unpriced) == ("done", 7, 3, 9, 1)
    assert job.error == "3 of 10 failed; the first: too few examples"
    errors = {item.item: item.error for item in annotations.jobs.items(job.id, state="failed")}
    assert errors == {3: "too few examples", 5: "unexpected ZeroDivisionError: oops", 7: "no answer"}
    broken, before = False, sorted(tried)
    tried.clear()
    job = runner.wait(runner.retry(job.id).id, timeout=PATIENCE)
    assert (job.state, job.n_done, job.n_failed, job.error) == ("done", 10, 0, None)
    assert before == list(range(10))
    assert sorted(tried) == [3, 5, 7]


def test_a_job_that_cannot_go_on_stops_and_can_be_continued(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    budget = 5

    def spend(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        nonlocal budget
        if budget == 0:
            raise StopJob(Failure("the budget of 5 is spent; raise it in Settings", "budget"))
        budget -= 1
        return Outcome(rows=[explain(item)])

    runner = make_runner(JobKind("spend", spend)).start()
    job = runner.wait(runner.submit("spend", {}, range(20)).id, timeout=PATIENCE)
    assert (job.state, job.n_done, job.n_failed, job.n_left) == ("failed", 5, 0, 15)
    assert "budget" in str(job.error)
    budget = 100
    job = runner.wait(runner.retry(job.id).id, timeout=PATIENCE)
    assert (job.state, job.n_done) == ("done", 20)
    assert annotations.counts()["sae"]["explanations"] == 20


@pytest.mark.parametrize("obedient", [True, False])
def test_cancelling_takes_a_moment(annotations: Annotations, make_runner: MakeRunner, obedient: bool) -> None:
    started, let_go = threading.Event(), threading.Event()
    at_work: list[threading.Thread] = []

    def slow(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        if item < 2:
            return Outcome(rows=[explain(item)])
        at_work.append(threading.current_thread())
        started.set()
        if obedient:
            context.wait(4 * PATIENCE)
        let_go.wait(4 * PATIENCE)  # a call that does not look up
        return Outcome(rows=[explain(item)])

    runner = make_runner(JobKind("slow", slow, workers=2)).start()
    job = runner.submit("slow", {}, range(50))
    assert started.wait(PATIENCE)
    wait_for(lambda: annotations.jobs.get(job.id).n_done == 2)
    with Annotations(annotations.path.parent) as another_process:
        another_process.jobs.cancel(job.id)
    job = runner.wait(job.id, timeout=PATIENCE)
    assert (job.state, job.n_done, job.n_failed) == ("cancelled", 2, 0)
    let_go.set()
    for thread in at_work:
        thread.join(PATIENCE)
    assert annotations.counts()["sae"]["explanations"] == 2, "what comes too late is not stored"


def test_what_finishes_while_stopping_is_kept(annotations: Annotations, make_runner: MakeRunner) -> None:
    """Two replies are on their way when the job is told to stop; the second one comes when the first is stored."""
    at_work = threading.Barrier(3)

    def paid(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        at_work.wait(PATIENCE)
        with suppress(JobCancelled):
            context.wait(PATIENCE)
        if item == 1:
            wait_for(lambda: annotations.jobs.get(job.id).n_done == 1 or not annotations.jobs.active())
        return Outcome(rows=[explain(item)], cost=1.0)

    runner = make_runner(JobKind("paid", paid, workers=2), grace_seconds=PATIENCE).start()
    job = runner.submit("paid", {}, range(10))
    at_work.wait(PATIENCE)
    annotations.jobs.cancel(job.id)
    ended = runner.wait(job.id, timeout=PATIENCE)
    assert (ended.state, ended.n_done, ended.cost) == ("cancelled", 2, 2.0)
    assert annotations.counts()["sae"]["explanations"] == 2


def test_closing_gives_the_job_back(annotations: Annotations, make_runner: MakeRunner) -> None:
    seen: list[int] = []
    enough = threading.Event()

    def slow(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        if item >= 10 and not enough.is_set():
            context.wait(4 * PATIENCE)
        seen.append(item)

    first = make_runner(JobKind("slow", slow), grace_seconds=PATIENCE).start()
    job = first.submit("slow", {}, range(40))
    wait_for(lambda: annotations.jobs.get(job.id).n_done == 10)
    first.close()
    enough.set()
    assert annotations.jobs.get(job.id).state == "queued"
    second = make_runner(JobKind("slow", slow)).start()
    assert second.wait(job.id, timeout=PATIENCE).state == "done"
    assert sorted(seen) == list(range(40)), "none twice"


def test_set_up_once_per_job(annotations: Annotations, make_runner: MakeRunner) -> None:
    events: list[str] = []

    @contextmanager
    def model(payload: Mapping[str, Any], context: Context) -> Iterator[str]:
        if payload["name"] == "missing":
            raise UserError("no such model")
        if payload["name"] == "bug":
            raise RuntimeError("bug")
        events.append("open")
        yield payload["name"]
        events.append("close")

    def use(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        events.append(context.state)

    runner = make_runner(JobKind("use", use, setup=model, workers=lambda payload: 3))
    assert runner.run("use", {"name": "m"}, range(3)).state == "done"
    assert events == ["open", "m", "m", "m", "close"]
    missing = runner.run("use", {"name": "missing"}, range(3))
    assert (missing.state, missing.error, missing.n_left) == ("failed", "no such model", 3)
    logging.disable(logging.CRITICAL)
    try:
        assert runner.run("use", {"name": "bug"}).error == "unexpected RuntimeError: bug"
    finally:
        logging.disable(logging.NOTSET)


def test_progress_inside_one_long_item(annotations: Annotations, make_runner: MakeRunner) -> None:
    go = threading.Event()

    def long(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        context.progress(Progress("embedding", 30, 120, "windows"))
        go.wait(2 * PATIENCE)

    runner = make_runner(JobKind("long", long)).start()
    job = runner.submit("long", {})
    wait_for(lambda: annotations.jobs.get(job.id).stage_done == 30)
    now = annotations.jobs.get(job.id)
    assert (now.stage, now.stage_total, now.stage_unit, now.fraction) == ("embedding", 120, "windows", 0.25)
    go.set()
    assert runner.wait(job.id, timeout=PATIENCE).fraction == 1.0


def test_rate_and_time_left(annotations: Annotations, make_runner: MakeRunner) -> None:
    def steady(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        context.wait(0.01)

    runner = make_runner(JobKind("steady", steady)).start()
    job = runner.submit("steady", {}, range(20_000))
    wait_for(lambda: annotations.jobs.get(job.id).n_done > 40 and annotations.jobs.get(job.id).rate)
    now = annotations.jobs.get(job.id)
    assert now.rate is not None
    assert 0 < now.rate < 500, "100 would be without any pause, and what is counted late counts for less time"
    assert now.eta_seconds == pytest.approx(now.n_left / now.rate)
    annotations.jobs.cancel(job.id)


def test_a_click_does_not_wait_for_a_batch(annotations: Annotations, make_runner: MakeRunner) -> None:
    go = threading.Event()

    def batch(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        go.wait(4 * PATIENCE)

    runner = make_runner(
        JobKind("batch", batch), JobKind("write", write_one), lanes=2, poll_seconds=4 * PATIENCE
    ).start()
    batches = [runner.submit("batch", {"n": n}, range(2)) for n in range(2)]
    click = runner.submit("write", {}, [7], priority=1)
    ended = runner.wait(click.id, timeout=PATIENCE)
    assert ended.state == "done", "own jobs start at once, whatever the polling"
    wait_for(lambda: sorted(annotations.jobs.get(job.id).state for job in batches) == ["queued", "running"])
    go.set()


def test_an_interrupt_cancels_a_foreground_job(annotations: Annotations, make_runner: MakeRunner) -> None:
    def interrupt(job: Job) -> None:
        if job.n_done >= 5:
            raise KeyboardInterrupt

    runner = make_runner(JobKind("write", write_one))
    with pytest.raises(KeyboardInterrupt):
        runner.run("write", {}, range(2000), watch=interrupt)
    (job,) = annotations.jobs.recent()
    assert job.state == "cancelled"
    assert 5 <= job.n_done < 2000
    annotations.jobs.retry(job.id)
    assert runner.run_job(job.id).n_done == 2000
    assert annotations.counts()["sae"]["explanations"] == 2000


def test_a_foreground_job_is_followed_where_it_runs(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    go = threading.Event()

    def held(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        go.wait(2 * PATIENCE)

    app = make_runner(JobKind("held", held)).start()
    job = app.submit("held", {}, range(3))
    wait_for(lambda: annotations.jobs.get(job.id).state == "running")
    followed = make_runner(JobKind("held", held)).run("held", {}, range(3), watch=lambda _: go.set())
    assert (followed.id, followed.state, followed.n_done) == (job.id, "done", 3)


def test_a_kind_that_nobody_knows(annotations: Annotations, make_runner: MakeRunner) -> None:
    runner = make_runner(JobKind("write", write_one)).start()
    for call in (runner.submit, runner.run):
        with pytest.raises(UnknownName, match=r"kind of job.*write"):
            call("wrote", {})
    foreign, _ = annotations.jobs.submit("foreign", {})
    assert (
        runner.wait(runner.submit("write", {}, [1]).id, timeout=PATIENCE).state == "done"
    )  # it passed over the older one
    assert annotations.jobs.get(foreign.id).state == "queued", "it waits for a runner that knows it"
    with pytest.raises(UnknownName):
        runner.run_job(foreign.id)


def test_a_runner_on_a_read_only_store_rests(annotations: Annotations) -> None:
    with Annotations(annotations.path.parent, read_only=True) as reader:
        with JobRunner(reader, [JobKind("write", write_one)]) as runner, pytest.raises(StoreReadOnly):
            runner.submit("write", {})
        assert reader.jobs.recent() == []


def test_a_full_disk_fails_the_job_and_loses_nothing(
    annotations: Annotations, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def big(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
        context.wait(0.002)
        return Outcome(rows=[Explanation(coder="sae", latent=item, text="x" * 8000, explainer="p")])

    runner = make_runner(JobKind("big", big), beat_seconds=9.0)
    annotations.close()  # it opens its connections anew
    connect = sqlite3.connect

    def connect_to_a_small_disk(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 60}")
        return connection

    logging.disable(logging.CRITICAL)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", connect_to_a_small_disk)
            with pytest.raises(StoreReadOnly, match="full"):
                runner.run("big", {}, range(200))
    finally:
        logging.disable(logging.NOTSET)
    (job,) = annotations.jobs.recent()
    assert 0 < job.n_done < 200
    assert annotations.counts()["sae"]["explanations"] == job.n_done
    assert job.state == "failed"
    assert "disk space" in str(job.error)
    annotations.close()  # the disk has room again
    annotations.jobs.retry(job.id)
    assert runner.run_job(job.id).n_done == 200


def test_memory_stays_bounded_over_many_items(annotations: Annotations, make_runner: MakeRunner) -> None:
    import tracemalloc

    def nothing(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        return None

    runner = make_runner(JobKind("nothing", nothing), beat_seconds=1.0)
    tracemalloc.start()
    try:
        job = runner.run("nothing", {}, ({"latent": i, "note": "x" * 100} for i in range(9000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert job.n_done == 9000
    assert peak < 2_500_000, "two chunks of a submission, then pages: as a list the items take 3.3 MB"


def test_a_job_is_over_when_a_handler_cancels_itself(
    annotations: Annotations, make_runner: MakeRunner
) -> None:
    def leave(payload: Mapping[str, Any], item: Any, context: Context) -> None:
        raise JobCancelled("of its own accord")

    job: Job = make_runner(JobKind("leave", leave)).run("leave", {}, range(3))
    assert (job.state, job.error) == ("failed", "3 of 3 were not tried")
