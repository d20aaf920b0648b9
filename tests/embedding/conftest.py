"""A cheap embedder that needs no model, and the real one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from autointerp.embedding import TextEmbedder, load_embedder
from autointerp.types import Progress, ProgressCallback, no_progress


@dataclass
class HashEmbedder:
    """Each text gets a random direction of its own. Counts what it is asked."""

    name: str = "hash"
    dim: int = 16
    fingerprint: str = "hash-1"
    precision: str = "float32"
    asked: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> NDArray[np.float32]:
        self.asked += texts
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for i, text in enumerate(texts):
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            vectors[i] = np.random.default_rng(list(digest)).standard_normal(self.dim)
        progress(Progress("embed", len(texts), len(texts), "texts"))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def hashed() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture(scope="session")
def minilm() -> TextEmbedder:
    return load_embedder()


MakeEmbedder = Callable[..., HashEmbedder]
