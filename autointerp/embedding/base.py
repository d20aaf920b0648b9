"""What an embedder is."""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autointerp.types import ProgressCallback, no_progress


class TextEmbedder(Protocol):
    """Turns texts into unit vectors, so that a dot product is a cosine. Thread-safe.

    `name` is what files and scores record; `fingerprint` identifies the weights; `precision` is "float32" or "bfloat16".
    """

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def precision(self) -> str: ...

    def embed(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"], unit length, in the order given; any text will do, the empty one too."""
        ...


def clean(text: str) -> str:
    """`text` with U+FFFD for each surrogate, which no tokenizer takes."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
