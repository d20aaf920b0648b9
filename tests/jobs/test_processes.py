"""Several processes on one store, and their sudden deaths."""

import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from autointerp.jobs import Context, JobKind, JobRunner, Outcome
from autointerp.records import Explanation, Score
from autointerp.store.annotations import Annotations
from autointerp.store.annotations.jobs import queue
from tests.kills import N_KILLS

# Not a fork server: one that another test began keeps that test's environment, and so another key for the marks of jobs.
CONTEXT = multiprocessing.get_context("spawn")


def note(folder: Path, text: str) -> None:
    """One line in a log, written at once: what a process has done survives it."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{text}\n".encode())
    os.close(log)


def count_replies(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM replies").fetchone()[0]


def noted(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def explain_and_score(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    """A handler that pays for its reply through the cache."""
    folder = Path(payload["folder"])
    note(folder, f"begin {payload['n']} {item}")
    annotations = context.state
    key = f"{payload['n']}/{item}"
    if annotations.replies.get(key) is None:
        note(folder, f"ask {key}")
        context.wait(0.004)
        annotations.replies.put(key, {"latent": item}, {"text": f"about {item}"}, cost=1.0)
    context.wait(0.002)
    explanation = Explanation(
        coder=f"c{payload['n']}", latent=item, text="t", explainer="default", reply_ref=key
    )
    score = Score(explanation_id=explanation.id, scorer="detection", judge="offline", value=0.5)
    return Outcome(rows=[explanation, score], cost=1.0)


def work(folder: Path) -> None:
    # Here a job may lose its process three times before it finishes an item, which tells nothing about the job.
    queue.MAX_CRASHES = N_KILLS + 1
    annotations = Annotations(folder)

    class Opened:
        def __enter__(self) -> Annotations:
            return annotations

        def __exit__(self, *_: object) -> None: ...

    kind = JobKind("explain", explain_and_score, workers=4, setup=lambda payload, context: Opened())
    with JobRunner(annotations, [kind], poll_seconds=0.01, beat_seconds=0.05, silent_seconds=0.2):
        threading.Event().wait()  # until it is killed


def start(folder: Path) -> BaseProcess:
    process = CONTEXT.Process(target=work, args=(folder,), daemon=True)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)


def done_items(path: Path) -> set[tuple[int, int]]:
    """What a reader that knows nothing of our code sees as done."""
    connection = sqlite3.connect(path)
    found = set(connection.execute("SELECT job, i FROM job_items WHERE state = 'done'"))
    connection.close()
    return found


def bought_replies(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {key for (key,) in connection.execute("SELECT key FROM replies")}
    connection.close()
    return found


def test_sudden_deaths(tmp_path: Path) -> None:
    """Two processes work on three jobs; every moment one of them is killed with SIGKILL and another one started."""
    rng = random.Random(20)
    n_items = 30 * N_KILLS  # enough that the deaths come before the end also on a fast machine
    with Annotations(tmp_path) as annotations:
        ids = [
            annotations.jobs.submit("explain", {"folder": str(tmp_path), "n": n}, range(n_items))[0].id
            for n in range(3)
        ]
        processes = [start(tmp_path) for _ in range(2)]
        acknowledged: set[tuple[int, int]] = set()
        before: list[
            tuple[int, set[str]]
        ] = []  # at each death: lines of the log, and what may never be begun again
        for _ in range(N_KILLS):
            # Only a process at work is worth killing: wait until something has been done since the last death.
            seen, deadline = len(done_items(annotations.path)), time.monotonic() + 60
            while len(done_items(annotations.path)) == seen and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.05)
            done, bought = done_items(annotations.path), bought_replies(annotations.path)
            forbidden = {f"begin {seq - 1} {i}" for seq, i in done} | {f"ask {key}" for key in bought}
            before.append((len(noted(tmp_path)), forbidden))
            kill(processes.pop(rng.randrange(len(processes))))
            after = done_items(annotations.path)
            assert acknowledged <= done <= after, "an acknowledged end was lost"
            acknowledged = after
            processes.append(start(tmp_path))
        assert any(annotations.jobs.get(id_).is_active for id_ in ids), (
            "the deaths were meant to come before the end"
        )
        deadline = time.monotonic() + 200
        while any(annotations.jobs.get(id_).is_active for id_ in ids) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in processes:
            kill(process)

        jobs = [annotations.jobs.get(id_) for id_ in ids]
        assert [(job.state, job.n_done, job.n_failed, job.cost) for job in jobs] == [
            ("done", n_items, 0, float(n_items))
        ] * 3
        assert sum(job.claims for job in jobs) > 3, "jobs were taken over"
        for n in range(3):
            assert annotations.counts()[f"c{n}"] == {
                **{"explanations": n_items, "failed_explanations": 0, "latents": n_items},
                **{"scores": n_items, "failed_scores": 0},
            }
        assert count_replies(annotations.path) == 3 * n_items
        log = noted(tmp_path)
        for n_lines, forbidden in before:
            assert not forbidden & set(log[n_lines:]), (
                "a finished item was begun, or a stored reply paid for, again"
            )
        asked = Counter(line for line in log if line.startswith("ask"))
        assert len(asked) == 3 * n_items
        assert sum(asked.values()) - len(asked) <= 4 * N_KILLS, "at most the calls in flight at each death"
        with sqlite3.connect(annotations.path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def add_for_ever(folder: Path, pipe: Any) -> None:
    with Annotations(folder) as annotations:
        while True:
            explanation = Explanation(coder="sae", latent=1, text="t", explainer="person", author="ada")
            score = Score(explanation_id=explanation.id, scorer="detection", judge="offline", value=0.5)
            annotations.add(explanation, score)
            pipe.send((explanation.id, score.id))


def test_no_acknowledged_row_is_lost(tmp_path: Path) -> None:
    rng = random.Random(7)
    acknowledged: list[tuple[str, str]] = []
    for _ in range(N_KILLS):
        receiver, sender = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=add_for_ever, args=(tmp_path, sender), daemon=True)
        process.start()
        sender.close()
        acknowledged.append(receiver.recv())
        time.sleep(rng.random() * 0.03)
        kill(process)
        try:
            while True:
                acknowledged.append(receiver.recv())
        except EOFError:
            receiver.close()
    with Annotations(tmp_path) as annotations:
        stored = {e.id for e in annotations.explanations("sae", 1)}
        scores = {s.id: s.explanation_id for s in annotations.scores_of_latent("sae", 1)}
        assert {e for e, _ in acknowledged} <= stored
        assert {s for _, s in acknowledged} <= set(scores)
        assert set(scores.values()) == stored, "both rows of a transaction, or none"


def claim_all(folder: Path, barrier: Any, results: Any, name: str) -> None:
    with Annotations(folder) as annotations:
        barrier.wait()
        won = []
        while (claim := annotations.jobs.claim(f"here {os.getpid()} - {name}", ["k"])) is not None:
            won.append(claim.job.payload["n"])
            annotations.jobs.complete(claim, [])
        results.put(won)


def test_every_job_is_claimed_once(tmp_path: Path) -> None:
    n_jobs = 60
    with Annotations(tmp_path) as annotations:
        for n in range(n_jobs):
            annotations.jobs.submit("k", {"n": n})
        barrier, results = CONTEXT.Barrier(3), CONTEXT.Queue()
        processes = [
            CONTEXT.Process(target=claim_all, args=(tmp_path, barrier, results, f"p{i}")) for i in range(3)
        ]
        for process in processes:
            process.start()
        won = [results.get(timeout=120) for _ in processes]
        for process in processes:
            process.join(10)
        assert sorted(n for one in won for n in one) == list(range(n_jobs))
        assert all(job.claims == 1 for job in annotations.jobs.recent())


def run_in_foreground(folder: Path, n: int, results: Any) -> None:
    with Annotations(folder) as annotations:
        kind = JobKind("note", note_item, workers=2)
        runner = JobRunner(annotations, [kind], poll_seconds=0.02, beat_seconds=0.05)
        results.put(runner.run("note", {"folder": str(folder), "n": n}, range(40)).state)


HELD = 9
"""The work of that number does not come to its end before it is told to go on."""


def note_item(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    folder = Path(payload["folder"])
    note(folder, f"{payload['n']} {item}")
    while item == 30 and payload["n"] == HELD and not (folder / "go on").exists():
        context.wait(0.01)
    context.wait(0.002)
    return Outcome(rows=[Explanation(coder="sae", latent=item, text="t", explainer="pattern")])


def test_an_app_and_commands_work_side_by_side(tmp_path: Path) -> None:
    """Two commands bring the same work, one brings another, an app does its own and whatever is left: all of it once."""
    results = CONTEXT.Queue()
    with Annotations(tmp_path) as annotations:
        commands = [CONTEXT.Process(target=run_in_foreground, args=(tmp_path, n, results)) for n in (0, 0, 1)]
        kind = JobKind("note", note_item, workers=2)
        with JobRunner(annotations, [kind], poll_seconds=0.01, beat_seconds=0.05) as app:
            for command in commands:
                command.start()
            mine = [app.submit("note", {"folder": str(tmp_path), "n": n}, range(40)) for n in (2, 3, 4)]
            assert [app.wait(job.id, timeout=120).state for job in mine] == ["done"] * 3
            assert [results.get(timeout=120) for _ in commands] == ["done"] * 3
        for command in commands:
            command.join(10)
        lines = Counter(noted(tmp_path))
        expected = {f"{n} {i}" for n in range(5) for i in range(40)}
        assert set(lines) == expected
        twice = {line for line, times in lines.items() if times > 1}
        assert all(line.startswith("0 ") for line in twice), "only what was asked for twice may be done twice"
        jobs = annotations.jobs.recent()
        assert len(jobs) in (5, 6), "the second command joined the first, or came after its end"
        assert len(twice) == (40 if len(jobs) == 6 else 0)


def test_a_followed_job_is_taken_over_when_its_process_dies(tmp_path: Path) -> None:
    results = CONTEXT.Queue()
    with Annotations(tmp_path) as annotations:
        other = CONTEXT.Process(target=run_in_foreground, args=(tmp_path, HELD, results))
        other.start()
        while len(noted(tmp_path)) < 5:
            time.sleep(0.002)
        (job,) = annotations.jobs.recent()
        assert job.state == "running"
        kill(other)
        (tmp_path / "go on").touch()
        kind = JobKind("note", note_item, workers=2)
        runner = JobRunner(annotations, [kind], poll_seconds=0.01, beat_seconds=0.05)
        ended = runner.run("note", {"folder": str(tmp_path), "n": HELD}, range(40))
        assert (ended.id, ended.state, ended.n_done, ended.claims) == (job.id, "done", 40, 2)
        assert annotations.counts()["sae"]["explanations"] == 40
