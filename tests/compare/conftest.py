"""A store of one tiny model with coders to compare: an SAE, its rows permuted, another seed, transcoders, controls."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.caching import cache
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.models.tiny import TEXT, save_coder, save_neox

torch.set_num_threads(1)

ORDER = np.random.default_rng(5).permutation(64)
"""Row i of `permuted` is row `ORDER[i]` of `sae`."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store; its weights lie beside it."""
    root = tmp_path_factory.mktemp("compare")
    save_neox(root / "model")
    sae = save_coder(root / "sae" / "layers.1.mlp", seed=1)
    save_coder(root / "other" / "layers.1.mlp", seed=11, n_latents=48)
    save_coder(root / "transcoder" / "layers.1.mlp", transcode=True, seed=2)
    save_coder(root / "skip" / "layers.1.mlp", transcode=True, skip=True, seed=3)
    save_coder(root / "residual" / "layers.0", n_latents=100, k=7, seed=4)
    shutil.copytree(root / "sae", root / "permuted")
    weights = load_file(sae / "sae.safetensors")
    order = torch.from_numpy(ORDER)
    rows = {name: value[order] if len(value) == 64 else value for name, value in weights.items()}
    save_file(
        {name: value.contiguous() for name, value in rows.items()},
        root / "permuted" / "layers.1.mlp" / "sae.safetensors",
    )
    (root / "text.txt").write_text(TEXT * 12, encoding="utf-8")
    names = ("sae", "permuted", "other", "transcoder", "skip", "residual")
    specs = {name: str(root / name) for name in names}
    specs |= {"neurons": "neurons:layers.1.mlp:6", "random": "random:layers.1.mlp:48:3"}
    cache(root / "store", model=str(root / "model"), coders=specs, text=[root / "text.txt"], ctx_len=24)
    return root / "store"


@pytest.fixture
def resources(built: Path) -> Iterator[Resources]:
    annotations = Annotations(built)
    yield Resources(Store.open(built), annotations)
    annotations.close()
