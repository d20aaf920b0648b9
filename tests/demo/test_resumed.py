"""Completing the demo after interruptions, and beside another run: everything is there once, and nobody outlives the run."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from autointerp.cli.shared import complete
from autointerp.cli.shared.batch import score_explanations
from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job, job_kinds, score_job
from autointerp.pipeline.pending import live_latents
from autointerp.pipeline.resources import Resources
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress
from tests.demo.checks import assert_complete
from tests.kills import N_KILLS


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process instead of two: half the time to start them. Not in processes that the test starts itself."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.mark.usefixtures("one_core")
def test_a_job_left_behind_is_continued(tiny_demo: Path):
    store = Store.open(tiny_demo)
    coder = store.coders()[0].coder
    latents = live_latents(store, coder)[:5]
    with Annotations(tiny_demo) as annotations:
        runner = JobRunner(annotations, job_kinds(Resources(store, annotations)))
        job = runner.submit(**explain_job(coder, latents, complete.EXPLAIN))
        persons = runner.submit(**explain_job(coder, latents, ExplainOptions(n_examples=7)))
        complete.complete(tiny_demo)
        assert annotations.jobs.get(job.id).n_left == 0
        assert annotations.jobs.get(persons.id).state == "queued"
    assert_complete(tiny_demo)


@pytest.mark.usefixtures("one_core")
def test_two_runs_at_once_do_the_work_of_one(tiny_demo: Path):
    threads = [threading.Thread(target=complete.complete, args=(tiny_demo,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_complete(tiny_demo)


def _cancelled_for_sae(
    resources: Resources, coder: str, ids: Sequence[str], scorers: Sequence[ScoreOptions], *, quiet: bool
) -> None:
    """Instead of `score_explanations`, in the other process: of one coder, every job is cancelled while it waits."""
    if coder == "sae":
        job, _ = resources.annotations.jobs.submit(**score_job(coder, ids, scorers))
        resources.annotations.jobs.cancel(job.id)
    else:
        score_explanations(resources, coder, ids, scorers, quiet=quiet)


@pytest.mark.usefixtures("one_core")
def test_a_cancelled_job_is_told_and_the_next_run_does_the_rest(tiny_demo: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete, "PART", 8)  # several jobs of each kind
        patch.setattr(complete, "score_explanations", _cancelled_for_sae)
        with pytest.raises(UserError, match="incomplete"):
            complete.complete(tiny_demo)
    with Annotations(tiny_demo) as annotations:
        left = sum(job.n_left for job in annotations.jobs.recent() if job.state == "cancelled")
    assert left > 0
    again = complete.complete(tiny_demo)
    assert again.explained == 0
    assert again.scored == left
    assert_complete(tiny_demo)


def _begun(path: Path, n: int) -> bool:
    with Annotations(path) as annotations:
        counted = annotations.counts().values()
        return sum(rows["explanations"] + rows["scores"] for rows in counted) >= n


@pytest.mark.usefixtures("one_core")
def test_killed_at_random_it_goes_on_and_nobody_outlives_it(tiny_demo: Path):
    def kill_children(step: Progress) -> None:
        if step.stage == "explain":
            for child in psutil.Process().children(recursive=True):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()

    with pytest.raises(UserError, match="was killed"):
        complete.complete(tiny_demo, kill_children)
    spawn = multiprocessing.get_context("spawn")
    rng = random.Random(1)
    kills = 0
    for round_ in range(max(1, N_KILLS // 2)):
        process = spawn.Process(target=complete.complete, args=(tiny_demo,))
        process.start()
        assert process.pid is not None
        deadline = time.monotonic() + 200
        while (
            process.is_alive()
            and not _begun(tiny_demo, 1 + 40 * (round_ % 3))
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
    assert kills >= 1
    complete.complete(tiny_demo)
    assert_complete(tiny_demo)
