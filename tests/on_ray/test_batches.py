"""Batches on a Ray cluster: the rows of one process, whoever dies on the way, and every answer bought once."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from autointerp.cli.main import main
from tests.batch.conftest import KEY, make_store
from tests.batch.rows import rows
from tests.batch.served import ScriptedServer, digest
from tests.conftest import StoreFactory
from tests.on_ray.conftest import Cluster, kill_workers, wait

N_LATENTS, IN_FLIGHT = 30, 4  # more than three workers take at once
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


def rows_of(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path / "annotations.sqlite")) as connection:
        return connection.execute(query).fetchall()


def bought(servers: list[ScriptedServer]) -> Counter[str]:
    """How often each question was answered, by any of the servers; they forget it."""
    for server in servers:
        server.idle()
    total = sum((server.good for server in servers), Counter())
    for server in servers:
        server.good = Counter()
    return total


@contextmanager
def meanwhile(servers: list[ScriptedServer], act: Callable[[], object]) -> Iterator[None]:
    """`act` once each server has been asked; until then none answers."""
    acted = threading.Event()
    asked = [server.n_requests + 2 for server in servers]

    def hold(question: str, times: int) -> None:
        acted.wait(100)

    def interfere() -> None:
        wait(lambda: all(server.n_requests >= n for server, n in zip(servers, asked, strict=True)))
        act()
        acted.set()

    for server in servers:
        server.fault = hold
    thread = threading.Thread(target=interfere)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert acted.is_set()


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
    with meanwhile(servers, lambda: kill_workers("BatchWorker", most=1)):
        assert main(arguments(many, "explain", *EXPLAIN, servers=servers, ray=cluster.address, n=3)) == 0
    with meanwhile(servers, cluster.lose_a_node):
        assert main(arguments(many, "score", *SCORE, servers=servers, ray=cluster.address, n=3)) == 0
    assert rows(many, interrupted=True) == rows(alone, interrupted=True)
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
def test_a_killed_command_goes_on_when_it_is_run_again_and_has_one_budget(
    store_factory: StoreFactory,
    cluster: Cluster,
    servers: list[ScriptedServer],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    alone, path = make(store_factory, tmp_path / "alone"), make(store_factory, tmp_path / "s")
    work(alone, servers[:1])
    questions = bought(servers)
    argv = arguments(path, "explain", *EXPLAIN, servers=servers, ray=cluster.address, n=2)
    process = subprocess.Popen([sys.executable, "-m", "autointerp", *argv], stdout=-3, stderr=-3)
    with meanwhile(servers, process.kill):
        assert process.wait() == -signal.SIGKILL
    assert rows_of(path, "SELECT kind, state FROM jobs") == [("explain", "running")]
    assert main(argv) == 0

    argv = arguments(path, "score", *SCORE, servers=servers, ray=cluster.address, n=2)
    asked = sum(server.n_requests for server in servers)
    assert main([*argv, "--budget-tokens", "4000"]) == 2
    assert "budget is used up" in capfd.readouterr().err
    n = sum(server.n_requests for server in servers) - asked
    assert 0 < n < 4 * N_LATENTS
    assert 110 * n <= 4000, "one budget over all workers"
    ((state, tokens),) = rows_of(path, "SELECT state, tokens_in + tokens_out FROM jobs WHERE kind = 'score'")
    assert state == "failed"
    assert 110 * (n - 2 * IN_FLIGHT) <= tokens <= 110 * n

    assert main(argv) == 0
    assert rows(path, interrupted=True) == rows(alone, interrupted=True)
    again = bought(servers)
    assert set(again) == set(questions)
    assert (
        sum(again.values()) - len(again) <= 2 * 2 * IN_FLIGHT
    )  # in flight when it was killed, and when the budget was used up
