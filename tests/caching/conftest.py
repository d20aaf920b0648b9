"""One tiny model with coders of each kind, cached once for the tests that only read."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from autointerp.caching import cache
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.store import Store
from tests.models.tiny import TEXT, save_coder, save_neox

# Threads that wait for each other over tensors of a kilobyte are most of these tests' time on a busy machine.
torch.set_num_threads(1)


@dataclass(frozen=True)
class Lab:
    """Folders of a subject model, its coders, a text, and a store of them all."""

    root: Path
    model: Path
    text: Path
    specs: dict[str, str]

    def path(self, name: str) -> Path:
        return Path(self.specs[name]) / self.hookpoint(name)

    def hookpoint(self, name: str) -> str:
        return next(Path(self.specs[name]).iterdir()).name


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("lab")
    save_neox(root / "model")
    save_coder(root / "sae" / "layers.1.mlp", seed=1)
    save_coder(root / "transcoder" / "layers.1.mlp", transcode=True, seed=2)
    save_coder(root / "skip" / "layers.1.mlp", transcode=True, skip=True, seed=3)
    save_coder(root / "residual" / "layers.0", n_latents=100, k=7, seed=4)
    (root / "text.txt").write_text(TEXT * 12, encoding="utf-8")
    (root / "more.txt").write_text(TEXT[::-1] * 9, encoding="utf-8")
    specs = {name: str(root / name) for name in ("sae", "transcoder", "skip", "residual")}
    return Lab(root, root / "model", root / "text.txt", specs)


@pytest.fixture(scope="session")
def subject(lab: Lab) -> SubjectModel:
    return load_subject(str(lab.model))


@pytest.fixture(scope="session")
def store(lab: Lab, subject: SubjectModel) -> Store:
    specs = {**lab.specs, "neurons": "neurons:layers.1.mlp:6", "random": "random:layers.1.mlp:48:3"}
    path = lab.root / "store"
    cache(path, model=subject, coders=specs, text=[lab.text, lab.root / "more.txt"], ctx_len=24, batch_size=5)
    return Store.open(path)
