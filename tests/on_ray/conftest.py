"""A real Ray cluster of two nodes on this machine, one for all tests that need it."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.batch.conftest import _no_settings_of_ours, shared_http  # noqa: F401  fixtures
from tests.caching.conftest import lab, subject  # noqa: F401  fixtures

RAY = Path(sys.executable).with_name("ray")


class Node:
    """A node of a cluster, of one core, with all its processes."""

    def __init__(self, folder: Path, *how: str):
        command = [RAY, "start", "--block", "--num-cpus=1", "--node-ip-address=127.0.0.1"]
        command += [*how, "--object-store-memory=100000000", "--disable-usage-stats"]
        # In a folder of its own, so that no other program takes this cluster for its own. As a cluster of somebody else's, it
        # knows no key of ours.
        environment = {**os.environ, "RAY_TMPDIR": str(folder)}
        environment.pop("AUTOINTERP_API_KEY", None)
        self._process = psutil.Popen(command, stdout=-3, stderr=-3, env=environment)

    def kill(self) -> None:
        """At once, as a machine without power."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*self._process.children(recursive=True), self._process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()


class Cluster:
    """`folder`: what Ray writes."""

    def __init__(self, folder: Path):
        import ray

        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._nodes = [Node(folder, "--head", f"--port={port}", "--include-dashboard=false")]
        wait(lambda: self._answers(port))
        ray.init(
            address=self.address,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    def two_nodes(self) -> None:
        import ray

        if len(self._nodes) < 2:
            self._nodes.append(Node(self.folder, f"--address={self.address}"))
        wait(lambda: ray.cluster_resources().get("CPU", 0) == 2)

    def lose_a_node(self) -> None:
        if len(self._nodes) > 1:
            self._nodes.pop().kill()

    def close(self) -> None:
        import ray

        ray.shutdown()
        for node in reversed(self._nodes):
            node.kill()

    def _answers(self, port: int) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", port)) == 0


def wait(ready: Callable[[], bool], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_workers(name: str, most: int = 100) -> int:
    """SIGKILL for processes of Ray's that work on a function or an actor of this name; how many those were."""
    killed = 0
    for process in psutil.process_iter(["cmdline"]):
        if killed < most and any(f"ray::{name}" in part for part in process.info["cmdline"] or ()):
            process.send_signal(signal.SIGKILL)
            killed += 1
    return killed


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("ray")
    os.environ["RAY_AUTH_MODE"] = "disabled"  # nobody's token
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: sockets lie in it
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """Of two nodes with one core each, this process connected to it."""
    started.two_nodes()
    return started
