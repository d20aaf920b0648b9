"""Weights in the shape of `data/demo`, only tiny, and the store that is built of them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.demo import corpus
from autointerp.demo.build import DemoBuild, build_demo
from autointerp.demo.corpus import Document
from autointerp.demo.subjects import DOCSTRINGS
from tests.models.tiny import save_coder, save_neox

N_TOKENS = 128 * 20
TINY = replace(DOCSTRINGS, n_latents=32, k=2)

Build = Callable[..., DemoBuild]


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subject whose MLP in layer 2 has width 16, and an SAE on it."""
    weights = tmp_path_factory.mktemp("weights")
    save_neox(weights / "model", ctx=128)
    save_coder(weights / "coders" / "sae" / "layers.2.mlp", d=16)
    return weights


@contextmanager
def little() -> Iterator[None]:
    """Little text."""
    text = "Returns the number of items in the array, or None when it is empty. >>> f(2)\n3\n" * 3
    documents = [Document(f"module:f{i}", f"{text}{i}") for i in range(100)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            corpus, "iter_documents", lambda split: iter(documents) if split == "heldout" else 1 / 0
        )
        yield


@pytest.fixture
def build_tiny(tiny_weights: Path, tmp_path: Path) -> Iterator[Build]:
    """`build_demo` on tiny weights and a little text, into `tmp_path / "demo"` unless told."""

    def run(path: Path = tmp_path / "demo", **options: object) -> DemoBuild:
        return build_demo(path, **{"subject": TINY, "weights": tiny_weights, "n_tokens": N_TOKENS, **options})  # type: ignore[arg-type]

    with little():
        yield run


@pytest.fixture(scope="session")
def _tiny_demo(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with little():
        return build_demo(
            tmp_path_factory.mktemp("built") / "demo", subject=TINY, weights=tiny_weights, n_tokens=N_TOKENS
        ).path


@pytest.fixture
def tiny_demo(_tiny_demo: Path, tmp_path: Path) -> Path:
    """A built demo store without explanations, a copy of its own for each test."""
    return shutil.copytree(_tiny_demo, tmp_path / "demo")
