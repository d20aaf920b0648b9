"""Sudden deaths: no acknowledged row is lost, none is doubled, and no paid call is repeated but those in flight.

The commands are the real ones, in processes of their own, killed with SIGKILL while the server is being asked. The server knows
which answers it gave; the store knows which it kept. The difference at each death is what was in flight, and exactly that
may be asked once more.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from autointerp.store.annotations import Annotations
from autointerp.store.annotations.jobs import queue
from tests.batch.conftest import make_store
from tests.batch.served import ScriptedServer, digest
from tests.conftest import StoreFactory
from tests.explained import scores_of
from tests.kills import N_KILLS

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["autointerp.cli.main", "autointerp.pipeline", "autointerp.jobs", "autointerp.store", "openai", "httpx2"]
)

N_LATENTS = 3 * N_KILLS
SCORERS = ("detection", "fuzzing")
N_QUESTIONS = N_LATENTS * (
    1 + len(SCORERS) * 2 * 2
)  # an explanation; two batches for a score and two for its floor
MODEL = ("--llm", "m", "--max-in-flight", "8")
FEW = ("--n-examples", "6", "--n-negatives", "6", "--batch", "6")


def commands(path: str, url: str) -> None:
    """What a person would start again and again: explain, then score."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from autointerp.cli.main import main

    queue.MAX_CRASHES = N_KILLS + 1  # sudden deaths tell nothing about the job here
    model = (*MODEL, "--base-url", url)
    codes = [main(["explain", path, "sae", "--explainer", "default", "--n-examples", "6", *model])]
    codes.append(main(["score", path, "sae", "--scorer", *SCORERS, *FEW, *model]))
    os._exit(max(codes))


def start(path: Path, url: str) -> BaseProcess:
    process = CONTEXT.Process(target=commands, args=(str(path), url), daemon=True)
    process.start()
    return process


class Reader:
    """A look at the file by a reader that knows nothing of our code but the tables."""

    def __init__(self, path: Path):
        self.path = path / "annotations.sqlite"

    def rows(self, query: str) -> list[tuple]:
        if not self.path.exists():
            return []
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # killed before the tables were made
            return []
        finally:
            connection.close()

    def acknowledged(self) -> set[tuple]:
        """Rows, and items that are over."""
        return {
            *(("explanation", id_) for (id_,) in self.rows("SELECT id FROM explanations")),
            *(("score", id_) for (id_,) in self.rows("SELECT id FROM scores")),
            *(("reply", key) for (key,) in self.rows("SELECT key FROM replies")),
            *(("done", job, i) for job, i in self.rows("SELECT job, i FROM job_items WHERE state = 'done'")),
        }


def kept_questions(path: Path) -> set[str]:
    """The questions whose answers the store has, as digests of their messages."""
    keys = [key for (key,) in Reader(path).rows("SELECT key FROM replies")]
    if not keys:
        return set()
    with Annotations(path, read_only=True) as annotations:
        replies = [annotations.replies.get(key) for key in keys]
    return {digest(list(reply.request["messages"])) for reply in replies if reply is not None}


@pytest.mark.timeout(600)
def test_sudden_deaths_of_a_batch(store_factory: StoreFactory, server: ScriptedServer) -> None:
    rng = random.Random(20261121)
    path = make_store(store_factory, N_LATENTS).path
    reader = Reader(path)
    server.latency = 0.05
    server.key = lambda body: digest(body["messages"])

    lost: Counter[str] = Counter()  # answers given but not kept, by question
    acknowledged: set[tuple] = set()
    kinds = Counter[str]()
    for kill in range(N_KILLS):
        # Only a process at work is worth killing: it may ask some questions first, so that deaths come in all of the work.
        # The first one while explaining, which is over soon.
        most = N_LATENTS // 2 if kill == 0 else 2 * N_QUESTIONS // 3 // N_KILLS * 2
        until = server.n_requests + rng.randrange(1, most)
        process = start(path, server.url)
        deadline = time.monotonic() + 60
        while server.n_requests < until:
            assert process.is_alive(), f"the work was over after {kill} deaths: it was meant to last longer"
            assert time.monotonic() < deadline, "nothing was asked in a minute"
            time.sleep(0.001)
        time.sleep(rng.random() * server.latency)
        before = reader.acknowledged()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        server.idle()  # what was in flight is answered, to nobody
        after = reader.acknowledged()
        assert acknowledged <= before <= after, "an acknowledged row was lost"
        acknowledged = after
        kinds[reader.rows("SELECT kind FROM jobs ORDER BY seq DESC LIMIT 1")[0][0]] += 1
        kept = kept_questions(path)
        lost = Counter({question: n - (question in kept) for question, n in server.good.items()})
        assert all(n >= 0 for n in lost.values())

    assert min(kinds["explain"], kinds["score"]) >= 1, "deaths came while explaining and while scoring"

    process = start(path, server.url)
    process.join(240)
    assert process.exitcode == 0
    assert acknowledged <= reader.acknowledged()
    assert reader.rows("PRAGMA integrity_check") == [("ok",)]
    assert reader.rows("PRAGMA foreign_key_check") == []

    # Every row once: one explanation a latent, one score an explanation and scorer, all judged examples.
    with Annotations(path) as annotations:
        explanations = list(annotations.iter_explanations("sae", failed=True))
        assert sorted(one.latent for one in explanations) == list(range(N_LATENTS))
        assert all(one.status == "ok" for one in explanations)
        for one in explanations:
            scores = scores_of(annotations, one.id)
            assert sorted((score.scorer, score.status) for score in scores) == [
                (name, "ok") for name in SCORERS
            ]
            for score in scores:
                assert [judged.i for judged in annotations.judged(score.id)] == list(
                    range(score.n + score.unparsed)
                )
        jobs = annotations.jobs.recent()
        assert not [job for job in jobs if job.is_active], "nothing is left behind"
        assert sum(job.claims for job in jobs) >= N_KILLS, "jobs were taken over from the dead"

    # Paid once, plus once for each time that the answer was in flight at a death.
    kept = kept_questions(path)
    assert set(server.good) == kept, "every answer that was bought is there"
    assert Counter({question: n - 1 for question, n in server.good.items()}) == lost
    assert 0 < sum(lost.values()) <= 8 * N_KILLS, "at most the calls in flight at each death"
