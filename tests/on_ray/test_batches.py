"""Batches on a Ray cluster: the rows of one process, whoever dies on the way, and every answer bought once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from autointerp.cli.main import main
from autointerp.jobs.on_ray import workers
from tests.batch.conftest import KEY, make_store
from tests.batch.served import ScriptedServer, digest
from tests.conftest import StoreFactory
from tests.on_ray.conftest import Cluster, kill_workers, wait

N_LATENTS, IN_FLIGHT = 12, 4
MODEL = ("--llm", "m", "--max-in-flight", str(IN_FLIGHT))
EXPLAIN = ("--explainer", "default", "--n-examples", "6")
SCORE = ("--scorer", "detection", "--n-examples", "6", "--n-negatives", "6", "--batch", "6")


@pytest.fixture
def servers(shared_http: HTTPServer) -> Iterator[list[ScriptedServer]]:
    with HTTPServer(threaded=True) as second:
        both = [ScriptedServer(http, latency=0.05) for http in (shared_http, second)]
        for server in both:
            server.key = lambda body: digest(body["messages"])
        yield both
    shared_http.clear()


def make(factory: StoreFactory, path: Path) -> Path:
    return make_store(factory, N_LATENTS, path).path


def arguments(path: Path, *argv: str, servers: list[ScriptedServer], ray: str | None, n: int) -> list[str]:
    command, *options = argv
    urls = [word for server in servers for word in ("--base-url", server.url)]
    where = [] if ray is None else ["--ray", ray, "--workers", str(n)]
    return [command, str(path), "sae", *options, *MODEL, *urls, *where]


def work(path: Path, servers: list[ScriptedServer], ray: str | None = None, n: int = 1) -> None:
    """Explain, then score."""
    for argv in (("explain", *EXPLAIN), ("score", *SCORE)):
        assert main(arguments(path, *argv, servers=servers, ray=ray, n=n)) == 0


def rows(path: Path) -> dict[str, list[dict]]:
    """All that explaining and scoring wrote, but for random ids, their order, and times."""
    queries = {
        "explanations": "SELECT e.*, r.key AS reply FROM explanations e LEFT JOIN replies r ON r.seq = e.reply",
        "scores": "SELECT s.*, e.latent AS explanation, f.latent AS floor_explanation FROM scores s "
        "JOIN explanations e ON e.seq = s.explanation LEFT JOIN explanations f ON f.seq = s.floor_explanation",
        "judged": "SELECT j.*, e.latent AS score, s.scorer, r.key AS reply FROM judged_examples j "
        "JOIN scores s ON s.seq = j.score JOIN explanations e ON e.seq = s.explanation "
        "LEFT JOIN replies r ON r.seq = j.reply",
        "replies": "SELECT * FROM replies",
        "configs": "SELECT * FROM configs",
    }
    found = {}
    connection = sqlite3.connect(path / "annotations.sqlite")
    for name, query in queries.items():
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description]
        table = [dict(zip(names, row, strict=True)) for row in cursor]  # of two of a name, the last
        for row in table:
            for column in ("id", "seq", "created", "duration"):
                row.pop(column, None)
            if name == "replies":
                row["request"] = json.loads(zlib.decompress(row["request"]))
                row["reply"] = {**json.loads(zlib.decompress(row["reply"])), "seconds": None, "created": None}
        found[name] = sorted(table, key=lambda row: json.dumps(row, sort_keys=True))
    connection.close()
    return found


def bought(servers: list[ScriptedServer]) -> Counter[str]:
    """How often each question was answered, by any of the servers; they forget it."""
    for server in servers:
        server.idle()
    total = sum((server.good for server in servers), Counter())
    for server in servers:
        server.good = Counter()
    return total


@pytest.mark.timeout(600)
def test_rows_are_those_of_one_process_though_a_worker_is_killed_and_a_node_is_lost(
    store_factory: StoreFactory, cluster: Cluster, servers: list[ScriptedServer], tmp_path: Path
) -> None:
    first = servers[:1]
    alone = make(store_factory, tmp_path / "alone")
    work(alone, first)
    questions = bought(servers)
    assert set(questions.values()) == {1}
    assert len(questions) > 2 * N_LATENTS

    one = make(store_factory, tmp_path / "one")
    work(one, first, cluster.address)
    assert rows(one) == rows(alone)
    assert bought(servers) == questions

    many = make(store_factory, tmp_path / "many")
    for server in servers:
        server.latency = 0.3

    def interfere() -> None:
        before = servers[1].n_requests
        wait(lambda: servers[1].n_requests >= before + 2)
        assert kill_workers("BatchWorker", most=1) == 1

    killer = threading.Thread(target=interfere)
    killer.start()
    assert main(arguments(many, "explain", *EXPLAIN, servers=servers, ray=cluster.address, n=3)) == 0
    killer.join()
    asked = servers[1].n_requests
    killer = threading.Thread(
        target=lambda: (wait(lambda: servers[1].n_requests >= asked + 2), cluster.lose_a_node())
    )
    killer.start()
    assert main(arguments(many, "score", *SCORE, servers=servers, ray=cluster.address, n=3)) == 0
    killer.join()
    assert rows(many) == rows(alone)
    again = bought(servers)
    assert set(again) == set(questions)
    # A worker, and those of a node: 2 of 3 at most.
    assert 0 <= sum(again.values()) - len(again) <= 3 * IN_FLIGHT
    for server in servers:
        assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    written = [file for file in (*cluster.folder.rglob("*"), *tmp_path.rglob("*")) if file.is_file()]
    assert len(written) > 10
    assert not [file for file in written if KEY.encode() in file.read_bytes()]


@pytest.mark.timeout(600)
def test_a_killed_command_goes_on_when_it_is_run_again(
    store_factory: StoreFactory, cluster: Cluster, servers: list[ScriptedServer], tmp_path: Path
) -> None:
    alone, path = make(store_factory, tmp_path / "alone"), make(store_factory, tmp_path / "s")
    work(alone, servers[:1])
    questions = bought(servers)
    argv = arguments(path, "explain", *EXPLAIN, servers=servers, ray=cluster.address, n=2)
    before = servers[0].n_requests
    process = subprocess.Popen([sys.executable, "-m", "autointerp", *argv], stdout=-3, stderr=-3)
    wait(lambda: servers[0].n_requests >= before + 2 or process.poll() is not None)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with sqlite3.connect(path / "annotations.sqlite") as connection:
        states = connection.execute("SELECT kind, state FROM jobs").fetchall()
    connection.close()
    assert states == [("explain", "running")]
    work(path, servers, cluster.address, n=2)
    assert rows(path) == rows(alone)
    again = bought(servers)
    assert set(again) == set(questions)
    assert sum(again.values()) - len(again) <= 2 * IN_FLIGHT


def test_the_budget_is_one_over_all_workers(
    store_factory: StoreFactory,
    cluster: Cluster,
    servers: list[ScriptedServer],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = make(store_factory, tmp_path / "s")
    assert main(["explain", str(path), "sae"]) == 0
    argv = arguments(path, "score", *SCORE, servers=servers, ray=cluster.address, n=2)
    assert main([*argv, "--budget-tokens", "4000"]) == 2
    assert "budget is used up" in capfd.readouterr().err
    n = sum(bought(servers).values())
    assert 0 < n < 4 * N_LATENTS
    assert 110 * n <= 4000
    connection = sqlite3.connect(path / "annotations.sqlite")
    query = "SELECT state, tokens_in + tokens_out FROM jobs WHERE kind = 'score'"
    ((state, tokens),) = connection.execute(query).fetchall()
    (kept,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    connection.close()
    assert state == "failed"
    assert 110 * kept <= tokens <= 110 * n
    assert n - kept <= 2 * IN_FLIGHT


def test_work_without_a_language_model(store_factory: StoreFactory, cluster: Cluster, tmp_path: Path) -> None:
    alone, path = make(store_factory, tmp_path / "alone"), make(store_factory, tmp_path / "s")
    for store, where in ((alone, []), (path, ["--ray", cluster.address, "--workers", "1"])):
        assert main(["explain", str(store), "sae", *where]) == 0
        assert main(["score", str(store), "sae", "--scorer", "detection", *where]) == 0
    assert rows(path) == rows(alone)


def test_another_store_under_the_path_is_refused(
    store_factory: StoreFactory,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(workers, "fingerprint", lambda store, coder: "of another store")
    path = make(store_factory, tmp_path / "s")
    assert main(["explain", str(path), "sae", "--ray", cluster.address, "--workers", "1"]) == 2
    error = capfd.readouterr().err
    assert "is another one than where the command runs" in error
    assert "folder that all machines share" in error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--workers", "2"), "give --ray too"),
        ((*MODEL, "--base-url", "a", "--base-url", "b", "--explainer", "default"), "several workers"),
        (("--ray", "local", "--workers", "0"), "at least 1"),
    ],
)
def test_what_does_not_go_together_is_said(
    given: tuple[str, ...],
    said: str,
    store_factory: StoreFactory,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", str(make(store_factory, tmp_path / "s")), "sae", *given]) == 2
    assert said in capfd.readouterr().err
