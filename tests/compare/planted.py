"""Explanations whose vectors are known: "a: b" lies near the direction of `a`, by the noise of `b`."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autointerp.records import Explanation
from autointerp.store.annotations import Annotations

DIM = 16
NOISE = 0.6


class PlantedEmbedder:
    """Same text, same vector; counts the texts asked for."""

    name = "all-MiniLM-L6-v2"
    fingerprint = "planted"
    precision = "float32"
    dim = DIM

    def __init__(self) -> None:
        self.n_asked = 0

    def embed(self, texts: Sequence[str], progress: Any = None) -> NDArray[np.float32]:
        self.n_asked += len(texts)
        return np.array([vector(text) for text in texts], dtype=np.float32).reshape(len(texts), DIM)


def vector(text: str) -> NDArray[np.float64]:
    """Unit length."""
    topic, _, rest = text.partition(": ")
    made = _direction(topic) + NOISE * _direction(rest)
    return made / np.linalg.norm(made)


def _direction(text: str) -> NDArray[np.float64]:
    made = np.random.default_rng(zlib.crc32(text.encode("utf-8", "replace"))).normal(size=DIM)
    return made / np.linalg.norm(made)


def write(annotations: Annotations, coder: str, texts: Mapping[int, str] | Sequence[str]) -> None:
    """Explanations of the coder's latents, by latent or from 0 on."""
    by_latent = texts if isinstance(texts, Mapping) else dict(enumerate(texts))
    annotations.add(
        *(Explanation(coder=coder, latent=n, text=text, explainer="pattern") for n, text in by_latent.items())
    )


def use(patch: pytest.MonkeyPatch) -> PlantedEmbedder:
    """It stands for the default embedder."""
    made = PlantedEmbedder()
    patch.setattr("autointerp.embedding.load_embedder", lambda name=None, **more: made)
    return made
