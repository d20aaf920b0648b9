"""`autointerp demo`: the command around `autointerp.demo.build`."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autointerp import settings
from autointerp.cli import demo
from autointerp.cli.shared import complete
from autointerp.cli.shared.complete import Completion, Missing
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


@dataclass
class Rest:
    """A stand-in for explanations and scores: whether they are missing, and who was asked to write them."""

    missing: bool = False
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Rest:
    state = Rest()

    def fake_complete(path: Path, progress: Any) -> Completion:
        state.asked.append("here")
        done = Completion(explained=7, scored=6, seconds=2.0) if state.missing else Completion()
        state.missing = False
        return done

    monkeypatch.setattr(complete, "complete", fake_complete)
    monkeypatch.setattr(complete, "missing_in", lambda path: Missing(state.missing, {}, {}))
    monkeypatch.setattr(demo, "leave_to_background", lambda path, subject: state.asked.append("background"))
    return state


@pytest.mark.usefixtures("rest")
def test_the_store_is_the_checkouts_unless_named(
    calls: list[tuple[Path, bool]], tmp_path: Path, run_json: RunJson
):
    assert run_json("demo") == {
        "store": str(settings.demo_store()),
        "built": False,
        "seconds": 1.5,
        "coders": ["sae"],
        "complete": True,
        "in_background": False,
        "explained": 0,
        "scored": 0,
    }
    run_json("demo", "--store", tmp_path / "d", "--force")
    assert calls == [(settings.demo_store(), False), (tmp_path / "d", True)]


@pytest.mark.usefixtures("calls", "rest")
def test_a_complete_store_is_said_to_be(tmp_path: Path, run_text: RunText):
    assert "already complete" in run_text("demo")[1]
    assert f"autointerp serve {tmp_path}" in run_text("demo", "--store", tmp_path)[1]


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("flags", "asked", "left"),
    [([], ["here"], False), (["--no-scores"], [], True), (["--background"], ["background"], True)],
)
def test_who_writes_explanations_and_scores(
    flags: list[str], asked: list[str], left: bool, rest: Rest, run_json: RunJson, run_text: RunText
):
    rest.missing = True
    document = run_json("demo", *flags)
    assert rest.asked == asked
    assert document["complete"] is not left
    assert document["in_background"] is ("background" in asked)
    assert document["explained"] == (0 if left else 7)
    text = run_text("demo", *flags)[1]
    assert ("the Jobs page shows progress" in text) is ("--background" in flags)
    assert ("Explanations and scores are missing" in text) is ("--no-scores" in flags)


@pytest.mark.usefixtures("calls")
def test_nothing_runs_in_the_background_when_nothing_is_missing(rest: Rest, run_json: RunJson):
    assert run_json("demo", "--background")["in_background"] is False
    assert rest.asked == []


def test_the_process_in_the_background_is_this_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[list[str]] = []

    class Child:
        pid = os.getpid()

        def __init__(self, args: list[str], **options: Any):
            assert options["stdin"] == options["stdout"] == options["stderr"] == subprocess.DEVNULL
            started.append(args)

    lowered: list[int] = []
    monkeypatch.setattr(subprocess, "Popen", Child)
    monkeypatch.setattr(os, "setpriority", lambda which, pid, level: lowered.append(level))
    demo.leave_to_background(tmp_path, "smollm2")
    assert started == [
        [sys.executable, "-m", "autointerp", "demo", "--subject", "smollm2", "--store", str(tmp_path)]
    ]
    assert [level > 0 for level in lowered] == [True]


def test_a_folder_of_someone_else_is_2(tmp_path: Path, run_text: RunText):
    (tmp_path / "thesis.tex").write_text("years of work")
    code, out, err = run_text("demo", "--store", tmp_path, "--force")
    assert (code, out) == (2, "")
    assert "--store" in err
