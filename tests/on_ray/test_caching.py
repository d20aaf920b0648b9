"""Caching on a Ray cluster: the same files, whoever dies on the way."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from safetensors.torch import load_file, save_file

from autointerp.caching import cache
from autointerp.errors import BadActivations, ModelLoadError, UserError
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Progress
from tests.caching.conftest import Lab
from tests.models.tiny import save_coder, save_neox
from tests.on_ray.conftest import Cluster, kill_workers


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


def cached(
    lab: Lab, path: Path, progress: Callable[[Progress], None] = lambda _: None, **options: Any
) -> Path:
    cache(
        path, model=lab.model, coders={**lab.specs, "neurons": "neurons:layers.1.mlp:6"}, text=[lab.text], ctx_len=24,
        batch_size=1, fidelity_tokens=0, progress=progress, **options,
    )  # fmt: skip
    return path


def test_the_cluster_writes_what_one_process_writes_though_a_worker_is_killed_and_a_node_is_lost(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    killed, done = 0, threading.Event()

    def kill() -> None:
        nonlocal killed
        while not killed and not done.is_set():  # loading the model takes seconds: it is seen at it
            killed += kill_workers("_read_range")

    def lose_node(report: Progress) -> None:
        if report.stage == "cache":
            cluster.lose_a_node()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        cached(lab, tmp_path / "s", lose_node, ray=cluster.address)
    finally:
        done.set()
        killer.join()
    assert Store.open(tmp_path / "s").n_contexts > 32  # several ranges
    assert killed
    assert files(tmp_path / "s") == files(cached(lab, tmp_path / "alone"))


def test_an_error_on_a_worker_is_the_error_of_the_command(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
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
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    save_neox(tmp_path / "model", seed=7)

    def replace_model(report: Progress) -> None:
        if report.stage == "write corpus":
            save_neox(tmp_path / "model", seed=8)

    with pytest.raises(ModelLoadError, match="a different model on a worker"):
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
