"""A second run, and the run after one that was interrupted or killed: each goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autointerp.caching import cache
from autointerp.errors import StoreIncomplete
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Progress
from tests.caching.conftest import Lab
from tests.caching.plain import dense_from_store


def test_second_run_skips_what_is_complete_and_adds_what_is_not(
    lab: Lab, subject: SubjectModel, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    cache(path, model=subject, coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=24)
    before = (path / "coders" / "sae.duckdb").stat()
    reports: list[Progress] = []
    both = {"sae": lab.specs["sae"], "skip": lab.specs["skip"]}
    infos = cache(path, model=subject, coders=both, progress=reports.append)
    assert [info.coder for info in infos] == ["sae", "skip"]
    assert (path / "coders" / "sae.duckdb").stat() == before
    assert {report.stage for report in reports} >= {"cache", "fidelity", "finish"}
    assert not any("sae" in report.stage for report in reports)
    reports.clear()
    assert len(cache(path, model=subject, coders=both, progress=reports.append)) == 2
    assert not reports


KILLED = """
import os, signal, sys
from autointerp.caching import cache
def progress(report):
    if report.stage == {stage!r} and report.done >= {done}:
        os.kill(os.getpid(), signal.SIGKILL)
cache(sys.argv[1], model=sys.argv[2], coders={{"sae": sys.argv[3], "skip": sys.argv[4]}}, text=[sys.argv[5]], ctx_len=24,
      batch_size=4, progress=progress)
"""


@pytest.fixture(scope="module")
def fresh(lab: Lab, subject: SubjectModel, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What an undisturbed run makes."""
    both = {"sae": lab.specs["sae"], "skip": lab.specs["skip"]}
    path = tmp_path_factory.mktemp("fresh") / "s"
    cache(path, model=subject, coders=both, text=[lab.text], ctx_len=24, batch_size=4)
    return Store.open(path)


@pytest.mark.parametrize(("stage", "done"), [("write corpus", 1), ("cache", 200), ("sort skip", 1)])
def test_killed_at_any_moment_the_next_run_goes_on(
    stage: str, done: int, lab: Lab, subject: SubjectModel, fresh: Store, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    arguments = [str(path), str(lab.model), lab.specs["sae"], lab.specs["skip"], str(lab.text)]
    process = subprocess.run(
        [sys.executable, "-c", KILLED.format(stage=stage, done=done), *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=250,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()[-2000:]
    if stage == "write corpus":
        with pytest.raises(StoreIncomplete):
            Store.open(path)
    else:
        assert [info.coder for info in Store.open(path).coders()] == (["sae"] if stage == "sort skip" else [])
    assert list(path.rglob(".*.tmp-*"))
    both = {"sae": lab.specs["sae"], "skip": lab.specs["skip"]}
    infos = cache(path, model=subject, coders=both, text=[lab.text], ctx_len=24, batch_size=4)
    assert not list(path.rglob(".*.tmp-*"))
    assert [info.n_activations for info in infos] == [info.n_activations for info in fresh.coders()]
    for name in both:
        assert np.array_equal(dense_from_store(Store.open(path), name), dense_from_store(fresh, name))


def test_interrupted_leaves_nothing(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    def stop(report: Progress) -> None:
        if report.stage == "cache":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path / "s", model=subject, coders=lab.specs, text=[lab.text], ctx_len=24, progress=stop)
    assert not list((tmp_path / "s").rglob(".*.tmp-*"))
