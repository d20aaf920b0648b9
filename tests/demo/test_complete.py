"""Completing the demo: everything once, the ordinary way, whatever is killed."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from autointerp.demo import complete, crew
from autointerp.demo.complete import complete_demo, missing, missing_in
from autointerp.embedding import coverage
from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job, job_kinds
from autointerp.pipeline.pending import live_latents, unexplained, unscored
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation, Score
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress

SCORERS = ["detection", "embedding", "fuzzing"]


def everything(path: Path) -> dict[tuple[str, int], tuple[Explanation, list[Score]]]:
    """By coder and latent: the one explanation and its scores. Fails where a latent has two."""
    store = Store.open(path)
    found = {}
    with Annotations(path) as annotations:
        for info in store.coders():
            for latent in range(info.n_latents):
                explanations = annotations.explanations(info.coder, latent)
                assert len(explanations) <= 1, f"{info.coder} {latent} was explained twice"
                if explanations:
                    found[info.coder, latent] = (explanations[0], annotations.scores(explanations[0].id))
    return found


def assert_complete(path: Path) -> None:
    store = Store.open(path)
    found = everything(path)
    live = {(info.coder, latent) for info in store.coders() for latent in live_latents(store, info.coder)}
    assert set(found) == live
    for (coder, latent), (explanation, scores) in found.items():
        names = sorted(score.scorer for score in scores)
        assert names == (SCORERS if explanation.status == "ok" else []), f"{coder} {latent}: {names}"
    assert store.embeddings("all-MiniLM-L6-v2") is not None
    assert not missing_in(path)
    with Annotations(path) as annotations:  # search by meaning has nothing to wait for
        known = Resources(store, annotations).embedder()
        covered = coverage(annotations, known, [info.coder for info in store.coders()])
    assert covered.embedded == covered.total > 0


def figures(path: Path) -> dict[Any, Any]:
    """What must not depend on who did it."""
    return {
        key: (
            explanation.text,
            explanation.error,
            {(s.scorer, s.value, s.ci_low, s.ci_high, s.floor, s.n_pos, s.n_neg, s.error) for s in scores},
        )
        for key, (explanation, scores) in everything(path).items()
    }


def test_every_live_latent_is_explained_and_scored_once(tiny_demo: Path):
    assert missing_in(tiny_demo)
    seen: list[Progress] = []
    done = complete_demo(tiny_demo, n_processes=1, progress=seen.append)
    assert_complete(tiny_demo)
    found = everything(tiny_demo)
    assert done.explained == len(found)
    assert done.scored == sum(explanation.status == "ok" for explanation, _ in found.values()) > 0
    ends = {step.stage: step for step in seen}
    assert set(ends) == {"embed", "explain", "score"}
    assert all(step.done == step.total for step in ends.values())
    good = [score for _, scores in found.values() for score in scores if score.status == "ok"]
    assert good
    with Annotations(tiny_demo) as annotations:
        for score in good:
            assert score.floor is not None
            assert score.n_pos > 0
            assert score.n_neg > 0
            assert len(annotations.judged(score.id)) == score.n
            assert score.judge == ("embedder" if score.scorer == "embedding" else "offline")
        before = [annotations.version(coder) for coder in annotations.counts()], annotations.jobs.recent()
        again = complete_demo(tiny_demo, n_processes=1)
        assert not again.worked
        assert before == (
            [annotations.version(coder) for coder in annotations.counts()],
            annotations.jobs.recent(),
        )


def test_a_batch_run_finds_nothing_left_to_do(tiny_demo: Path):
    complete_demo(tiny_demo, n_processes=1)
    store = Store.open(tiny_demo)
    with Annotations(tiny_demo) as annotations:
        for info in store.coders():
            kept = annotations.iter_explanations(info.coder)
            good = {one.latent: one.id for one in kept}
            assert unexplained(annotations, info.coder, good, ExplainOptions()) == []
            for scorer in ("detection", "fuzzing", "embedding"):
                failed = {
                    s.explanation_id
                    for id_ in good.values()
                    for s in annotations.scores(id_)
                    if s.scorer == scorer and s.status == "failed"
                }
                left = unscored(annotations, info.coder, good.values(), [ScoreOptions(scorer=scorer)])
                assert set(left) == failed


def test_two_processes_come_to_the_same(tiny_demo: Path, tmp_path: Path):
    import shutil

    other = shutil.copytree(tiny_demo, tmp_path / "other")
    complete_demo(tiny_demo, n_processes=1)
    seen: list[Progress] = []
    complete_demo(other, n_processes=2, progress=seen.append)
    assert_complete(other)
    assert figures(other) == figures(tiny_demo)
    assert {step.stage for step in seen if step.done == step.total} == {"embed", "explain", "score"}


def test_what_failed_is_tried_once(tiny_demo: Path):
    with Annotations(tiny_demo) as annotations:
        store = Store.open(tiny_demo)
        coder = store.coders()[0].coder
        latent = live_latents(store, coder)[0]
        annotations.add(
            Explanation(
                coder=coder, latent=latent, text="", explainer="pattern", config=crew.EXPLAIN.identity(),
                status="failed", error="no reason",
            )
        )  # fmt: skip
        assert latent not in missing(store, annotations).explain[coder]
        annotations.add(Explanation(coder=coder, latent=latent, text="By hand.", explainer="person"))
        assert latent not in missing(store, annotations).explain[coder]
        assert missing(store, annotations).score == {}


def test_a_job_left_behind_is_continued(tiny_demo: Path):
    store = Store.open(tiny_demo)
    coder = store.coders()[0].coder
    latents = live_latents(store, coder)[:5]
    with Annotations(tiny_demo) as annotations:
        runner = JobRunner(annotations, job_kinds(Resources(store, annotations)))
        job = runner.submit(**explain_job(coder, latents, crew.EXPLAIN))
        persons = runner.submit(**explain_job(coder, latents, ExplainOptions(n_examples=7)))
        complete_demo(tiny_demo, n_processes=1)
        assert annotations.jobs.get(job.id).n_left == 0
        assert annotations.jobs.get(persons.id).state == "queued"
    assert_complete(tiny_demo)


def test_two_runs_at_once_do_the_work_of_one(tiny_demo: Path):
    threads = [
        threading.Thread(target=complete_demo, args=(tiny_demo,), kwargs={"n_processes": 1}) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_complete(tiny_demo)


def test_a_cancelled_job_is_told_and_the_next_run_does_the_rest(
    tiny_demo: Path, monkeypatch: pytest.MonkeyPatch
):
    def cancelled(worker: Any, task: Any, report: Any) -> None:
        if task.stage != "score":
            original(worker, task, report)

    original = crew._Worker.do
    with monkeypatch.context() as patch:
        patch.setattr(crew._Worker, "do", cancelled)
        with pytest.raises(UserError, match="not complete"):
            complete_demo(tiny_demo, n_processes=1)
    assert complete_demo(tiny_demo, n_processes=1).explained == 0
    assert_complete(tiny_demo)


def _complete(path: Path) -> None:
    complete_demo(path, n_processes=2)


def _begun(path: Path, n: int) -> bool:
    with Annotations(path) as annotations:
        counted = annotations.counts().values()
        return sum(one["explanations"] + one["scores"] for one in counted) >= n


def test_killed_at_random_it_goes_on_and_nobody_outlives_it(tiny_demo: Path):
    spawn = multiprocessing.get_context("spawn")
    rng = random.Random(1)
    kills = 0
    for round_ in range(3):
        process = spawn.Process(target=_complete, args=(tiny_demo,))
        process.start()
        assert process.pid is not None
        deadline = time.monotonic() + 200
        while process.is_alive() and not _begun(tiny_demo, 1 + 40 * round_) and time.monotonic() < deadline:
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
    assert kills >= 2
    complete_demo(tiny_demo, n_processes=1)
    assert_complete(tiny_demo)


def test_a_killed_process_of_the_crew_is_told(tiny_demo: Path):
    def kill(step: Progress) -> None:
        if step.stage == "explain":
            for child in psutil.Process().children(recursive=True):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()

    with pytest.raises(UserError, match="was killed"):
        complete_demo(tiny_demo, n_processes=2, progress=kill)
    complete_demo(tiny_demo, n_processes=1)
    assert_complete(tiny_demo)


def test_tasks_cover_everything_in_even_parts():
    left = complete.Missing(True, {"a": [1, 2]}, {"a": [str(i) for i in range(1700)], "b": ["x"]})
    tasks = complete._scoring(left)
    assert Counter(id_ for task in tasks for id_ in task.items if task.coder == "a") == Counter(
        str(i) for i in range(1700)
    )
    assert [len(task.items) for task in tasks] == [567, 567, 566, 1]
