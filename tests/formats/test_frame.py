"""Choosing a format, its options, and what an import that fails leaves."""

from pathlib import Path

import numpy as np
import pytest

from autointerp.formats.registry import EXPORTS, IMPORTS
from autointerp.formats.summary import Summary
from autointerp.store import Store
from tests.cli.conftest import RunError, RunJson, RunText
from tests.conftest import StoreFactory
from tests.formats.delphi_files import write_cache

DOCS = (Path(__file__).parent.parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
TOKENS = np.arange(32).reshape(4, 8)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    rows = [(0, 1, 0, 1.5), (0, 1, 4, 2.0), (2, 7, 0, 0.5)]
    write_cache(tmp_path / "run" / "latents" / "layers.0.mlp", TOKENS, rows, [(0, 2), (3, 5)])
    return tmp_path / "run"


@pytest.mark.parametrize("form", [*IMPORTS.values()], ids=lambda form: form.name)
def test_every_import_is_documented_with_a_command(form):
    assert f"autointerp import {form.name} " in DOCS


@pytest.mark.parametrize("form", [*EXPORTS.values()], ids=lambda form: form.name)
def test_every_export_is_documented_with_a_command(form):
    assert f"autointerp export {form.name} " in DOCS


def test_auto_says_which_format_it_is(cache: Path, tmp_path: Path, run_text: RunText):
    code, out, err = run_text("import", "auto", cache, "--store", tmp_path / "store")
    assert code == 0
    assert f"{cache}: delphi" in err
    assert "3 activations, 1 coder." in out


def test_auto_names_the_formats_where_none_fits(tmp_path: Path, run_error: RunError):
    (tmp_path / "empty").mkdir()
    message = run_error("import", "auto", tmp_path / "empty", "--store", tmp_path / "store")
    assert "in none of the formats" in message
    assert "delphi: the folder of a run" in message
    assert "no file or folder" in run_error("import", "auto", tmp_path / "no", "--store", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_an_unknown_format_or_a_value_that_is_not_accepted_is_refused(
    cache: Path, tmp_path: Path, run_error: RunError
):
    assert "Nearest: delphi" in run_error("import", "delfi", cache, "--store", tmp_path / "store")
    assert "unknown export format" in run_error(
        "export", "delfi", "--store", tmp_path / "store", "--to", tmp_path / "out"
    )


def test_a_folder_that_is_no_store_is_not_touched(cache: Path, tmp_path: Path, run_error: RunError):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "letters.txt").write_text("mine")
    assert "exists and is not a store" in run_error("import", "delphi", cache, "--store", tmp_path / "store")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["letters.txt"]


def test_a_failed_import_leaves_no_new_store_and_an_old_one_as_it_was(
    cache: Path, tmp_path: Path, run_json: RunJson, run_error: RunError
):
    run_json("import", "delphi", cache, "--store", tmp_path / "store")
    before = files(tmp_path)
    write_cache(cache / "latents" / "layers.1.mlp", TOKENS, [(0, 1, 0, 1.0)], [(0, 1)])
    write_cache(cache / "latents" / "layers.2.mlp", TOKENS, [(0, 1, 0, float("nan"))], [(0, 1)])
    assert "NaN" in run_error("import", "delphi", cache, "--store", tmp_path / "new")
    assert "NaN" in run_error("import", "delphi", cache, "--store", tmp_path / "store")
    assert files(tmp_path) == before
    assert [info.coder for info in Store.open(tmp_path / "store").coders()] == ["layers.0.mlp"]


def files(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its content, but for those of the source."""
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in paths if path.relative_to(root).parts[0] != "run"}


def test_a_store_of_another_text_is_refused(cache: Path, store_factory: StoreFactory, run_error: RunError):
    store = store_factory([[0, 1], [1, 0]])
    assert "a different text" in run_error("import", "delphi", cache, "--store", store.path)


def test_a_summary_adds_up():
    summary = Summary("delphi", "there")
    summary.take("scores", 2)
    summary.take("scores", 3, known=1)
    summary.leave("scores", "too new", 2)
    summary.leave("scores", "too new", 5)
    summary.leave("prompts", "delphi keeps none")
    assert summary.as_dict() == {
        "format": "delphi",
        "path": "there",
        "taken": {"scores": 5},
        "known": {"scores": 1},
        "left_out": [
            {"what": "scores", "reason": "too new", "n": 7},
            {"what": "prompts", "reason": "delphi keeps none", "n": None},
        ],
        "notes": [],
    }
