"""The demo's explanations and scores: each once, as the commands make them, whatever is killed."""

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from autointerp.cli.main import main
from autointerp.cli.shared import complete
from autointerp.cli.shared.complete import Completion, missing, missing_in
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
from tests.kills import N_KILLS


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process instead of two: half the time to start them."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


SCORERS = ["detection", "embedding", "fuzzing"]


def everything(path: Path) -> dict[tuple[str, int], tuple[Explanation, list[Score]]]:
    """By coder and latent: the one explanation and its scores. Fails where a latent has two."""
    store = Store.open(path)
    explained = {}
    with Annotations(path) as annotations:
        for info in store.coders():
            for latent in range(info.n_latents):
                explanations = annotations.explanations(info.coder, latent)
                assert len(explanations) <= 1, f"{info.coder} {latent} was explained twice"
                if explanations:
                    explained[info.coder, latent] = (explanations[0], annotations.scores(explanations[0].id))
    return explained


def assert_complete(path: Path) -> None:
    store = Store.open(path)
    explained = everything(path)
    live = {(info.coder, latent) for info in store.coders() for latent in live_latents(store, info.coder)}
    assert set(explained) == live
    for (coder, latent), (explanation, scores) in explained.items():
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


@pytest.fixture(scope="session")
def completed(
    _tiny_demo: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Completion, list[Progress]]:
    """A complete store, made in small parts; what was returned and reported. Not to be written to."""
    path = shutil.copytree(_tiny_demo, tmp_path_factory.mktemp("completed") / "demo")
    seen: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete, "PART", 10)
        return path, complete.complete(path, seen.append), seen


def test_every_live_latent_is_explained_and_scored_once(completed: tuple[Path, Completion, list[Progress]]):
    path, done, seen = completed
    assert_complete(path)
    explained = everything(path)
    assert done.explained == len(explained)
    assert done.scored == sum(explanation.status == "ok" for explanation, _ in explained.values()) > 0
    ends = {step.stage: step for step in seen}
    assert set(ends) == {"embed", "explain", "score"}
    assert all(step.done == step.total for step in ends.values())
    good = [score for _, scores in explained.values() for score in scores if score.status == "ok"]
    assert good
    with Annotations(path) as annotations:
        for score in good:
            assert score.floor is not None
            assert score.n_pos > 0
            assert score.n_neg > 0
            assert len(annotations.judged(score.id)) == score.n
            assert score.judge == ("embedder" if score.scorer == "embedding" else "offline")


def test_a_complete_store_is_left_alone(completed: tuple[Path, Completion, list[Progress]]):
    path = completed[0]
    with Annotations(path) as annotations:
        before = [annotations.version(coder) for coder in annotations.counts()], annotations.jobs.recent()
        again = complete.complete(path)
        assert (again.explained, again.scored) == (0, 0)
        assert before == (
            [annotations.version(coder) for coder in annotations.counts()],
            annotations.jobs.recent(),
        )


def test_it_is_what_the_commands_make(
    tiny_demo: Path, completed: tuple[Path, Completion, list[Progress]], capsys: pytest.CaptureFixture[str]
):
    for info in Store.open(tiny_demo).coders():
        assert main(["explain", str(tiny_demo), info.coder]) == 0
        assert (
            main(["score", str(tiny_demo), info.coder, "--scorer", "detection", "fuzzing", "embedding"]) == 0
        )
    assert not missing_in(tiny_demo)
    assert figures(tiny_demo) == figures(completed[0])


def test_a_batch_run_finds_nothing_left_to_do(completed: tuple[Path, Completion, list[Progress]]):
    path = completed[0]
    store = Store.open(path)
    with Annotations(path) as annotations:
        for info in store.coders():
            good = {
                explanation.latent: explanation.id
                for explanation in annotations.iter_explanations(info.coder)
            }
            assert unexplained(annotations, info.coder, good, ExplainOptions()) == []
            for scorer in SCORERS:
                failed = {
                    score.explanation_id
                    for id_ in good.values()
                    for score in annotations.scores(id_)
                    if score.scorer == scorer and score.status == "failed"
                }
                left = unscored(annotations, info.coder, good.values(), [ScoreOptions(scorer=scorer)])
                assert set(left) == failed


def test_what_failed_is_tried_once(tiny_demo: Path):
    store = Store.open(tiny_demo)
    with Annotations(tiny_demo) as annotations:
        resources = Resources(store, annotations)
        coder = store.coders()[0].coder
        latent = live_latents(store, coder)[0]
        annotations.add(
            Explanation(
                coder=coder, latent=latent, text="", explainer="pattern", config=complete.EXPLAIN.identity(),
                status="failed", error="no reason",
            )
        )  # fmt: skip
        assert latent not in missing(resources).latents[coder]
        annotations.add(Explanation(coder=coder, latent=latent, text="By hand.", explainer="person"))
        assert latent not in missing(resources).latents[coder]
        assert missing(resources).explanations == {}


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


@pytest.mark.usefixtures("one_core")
def test_a_cancelled_job_is_told_and_the_next_run_does_the_rest(
    tiny_demo: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(complete, "_scoring", lambda left: [])
        with pytest.raises(UserError, match="incomplete"):
            complete.complete(tiny_demo)
    assert complete.complete(tiny_demo).explained == 0
    assert_complete(tiny_demo)


def _begun(path: Path, n: int) -> bool:
    with Annotations(path) as annotations:
        counted = annotations.counts().values()
        return sum(rows["explanations"] + rows["scores"] for rows in counted) >= n


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
