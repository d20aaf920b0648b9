"""Caching on a real Ray cluster of two nodes on this machine: the same files, whoever dies on the way."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from safetensors.torch import load_file, save_file

from autointerp.caching import cache
from autointerp.errors import BadActivations, ModelLoadError, UserError
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Progress
from tests.caching.conftest import Lab
from tests.models.tiny import save_coder, save_neox

ray = pytest.importorskip("ray")


RAY = Path(sys.executable).with_name("ray")


class Node:
    """A node of a cluster, of one core, with all its processes."""

    def __init__(self, *how: str):
        command = [
            RAY,
            "start",
            "--block",
            "--num-cpus=1",
            "--node-ip-address=127.0.0.1",
            "--disable-usage-stats",
            *how,
        ]
        self._process = psutil.Popen([*command, "--object-store-memory=100000000"], stdout=-3, stderr=-3)

    def kill(self) -> None:
        """At once, as a machine without power."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*self._process.children(recursive=True), self._process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()


@dataclass
class Nodes:
    address: str
    lost: Node
    """May be killed."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """Two nodes of one core each, the program connected to them."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # nobody's token
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    nodes = [Node("--head", f"--port={port}", "--include-dashboard=false")]
    try:
        _wait(lambda: _answers(int(port)))
        nodes.append(Node(f"--address={address}"))
        ray.init(address=address, _node_ip_address="127.0.0.1", log_to_driver=False, logging_level="ERROR")
        _wait(lambda: ray.cluster_resources().get("CPU", 0) == len(nodes))
        yield Nodes(address, nodes[-1])
    finally:
        ray.shutdown()
        for node in reversed(nodes):
            node.kill()


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 150
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def files(path: Path) -> dict[str, list[tuple]]:
    """All rows of all tables of all coders, but for what tells when and where they were made."""
    tables: dict[str, list[tuple]] = {}
    for file in sorted((path / "coders").glob("*.duckdb")):
        with duckdb.connect(str(file), read_only=True) as connection:
            for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                rows = connection.execute(f"SELECT * FROM {table}").fetchall()
                if table == "meta":
                    rows = [row for row in rows if row[0] not in ("info", "versions", "complete")]
                tables[f"{file.name} {table}"] = rows
    return tables


def kill_workers(name: str) -> int:
    """SIGKILL for every process of Ray's that works on a function of this name; how many those were."""
    killed = 0
    for process in psutil.process_iter(["cmdline"]):
        if any(f"ray::{name}" in part for part in process.info["cmdline"] or ()):
            process.send_signal(signal.SIGKILL)
            killed += 1
    return killed


def cached(
    lab: Lab, path: Path, progress: Callable[[Progress], None] = lambda _: None, **options: Any
) -> Path:
    cache(
        path, model=lab.model, coders={**lab.specs, "neurons": "neurons:layers.1.mlp:6"}, text=[lab.text], ctx_len=24,
        batch_size=1, fidelity_tokens=0, progress=progress, **options,
    )  # fmt: skip
    return path


def test_the_cluster_writes_what_one_process_writes_though_workers_are_killed_and_a_node_is_lost(
    lab: Lab, cluster: Nodes, tmp_path: Path
) -> None:
    killed, done = 0, threading.Event()

    def kill() -> None:
        nonlocal killed
        while killed < 2 and not done.is_set():  # loading the model takes seconds: they are seen at it
            killed += kill_workers("_read_range")

    def lose_node(report: Progress) -> None:
        if report.stage == "cache":
            cluster.lost.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        cached(lab, tmp_path / "s", lose_node, ray=cluster.address)
    finally:
        done.set()
        killer.join()
    assert Store.open(tmp_path / "s").n_contexts > 32  # several ranges
    assert killed >= 2
    assert files(tmp_path / "s") == files(cached(lab, tmp_path / "alone"))


def test_an_error_on_a_worker_is_the_error_of_the_command(lab: Lab, cluster: Nodes, tmp_path: Path) -> None:
    folder = save_coder(tmp_path / "layers.1.mlp")
    weights = load_file(folder / "sae.safetensors")
    weights["encoder.weight"][5] = 1e38
    save_file(weights, folder / "sae.safetensors")
    with pytest.raises(BadActivations, match=r"'big'.*context"):
        cache(
            tmp_path / "s", model=lab.model, coders={"big": str(folder)}, text=[lab.text], ctx_len=24, ray=cluster.address
        )  # fmt: skip
    assert Store.open(tmp_path / "s").coders() == []
    assert list((tmp_path / "s" / "coders").iterdir()) == []


def test_a_worker_that_finds_another_model_under_the_name_is_refused(
    lab: Lab, cluster: Nodes, tmp_path: Path
) -> None:
    save_neox(tmp_path / "model", seed=7)

    def replace_model(report: Progress) -> None:
        if report.stage == "write corpus":
            save_neox(tmp_path / "model", seed=8)

    with pytest.raises(ModelLoadError, match="another model on a worker"):
        cache(
            tmp_path / "s", model=tmp_path / "model", coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=24,
            progress=replace_model, ray=cluster.address,
        )  # fmt: skip


def test_a_loaded_model_cannot_be_sent(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give its name or folder"):
        cache(
            tmp_path / "s",
            model=subject,
            coders={"sae": lab.specs["sae"]},
            text=[lab.text],
            ctx_len=24,
            ray="local",
        )
