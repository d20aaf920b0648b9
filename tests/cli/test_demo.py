"""`autointerp demo`: the command around `autointerp.demo.build`."""

from pathlib import Path
from typing import Any

import pytest

from autointerp import settings
from autointerp.demo import build
from autointerp.demo.build import DemoBuild
from tests.cli.conftest import RunJson, RunText


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, bool]]:
    """What the command asked to be built; nothing is."""
    made: list[tuple[Path, bool]] = []

    def fake(path: Path, *, force: bool, **_: Any) -> DemoBuild:
        made.append((path, force))
        return DemoBuild(path, force, 1.5, ["sae"])

    monkeypatch.setattr(build, "build_demo", fake)
    return made


def test_the_store_is_the_checkouts_unless_named(
    calls: list[tuple[Path, bool]], tmp_path: Path, run_json: RunJson
):
    assert run_json("demo") == {
        "store": str(settings.demo_store()),
        "built": False,
        "seconds": 1.5,
        "coders": ["sae"],
    }
    run_json("demo", "--store", tmp_path / "d", "--force")
    assert calls == [(settings.demo_store(), False), (tmp_path / "d", True)]


@pytest.mark.usefixtures("calls")
def test_a_complete_store_is_said_to_be(tmp_path: Path, run_text: RunText):
    assert "already complete" in run_text("demo")[1]
    assert f"autointerp serve {tmp_path}" in run_text("demo", "--store", tmp_path)[1]


def test_a_folder_of_someone_else_is_2(tmp_path: Path, run_text: RunText):
    (tmp_path / "thesis.tex").write_text("years of work")
    code, out, err = run_text("demo", "--store", tmp_path, "--force")
    assert (code, out) == (2, "")
    assert "--store" in err
