"""Weights in the shape of `data/demo`, only tiny."""

from pathlib import Path

import pytest

from tests.models.tiny import save_coder, save_neox


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subject whose MLP in layer 2 has width 16, and an SAE on it."""
    weights = tmp_path_factory.mktemp("weights")
    save_neox(weights / "model", ctx=128)
    save_coder(weights / "coders" / "sae" / "layers.2.mlp", d=16)
    return weights
