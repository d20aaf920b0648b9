"""What scorers are built from: models and judges that are loaded once and shared."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.plan import Item
from autointerp.score.resampling import Resamples


class Embedder(Protocol):
    """Turns texts into vectors whose dot product tells likeness (unit length: cosine). `name` is recorded."""

    @property
    def name(self) -> str: ...

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Explanations, Float32[ndarray, "n d"], with the instruction a model wants before queries."""
        ...

    def embed_windows(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """Windows, Float32[ndarray, "n d"]; an implementation may look stored ones up by their place in the corpus."""
        ...


class TextModel(Protocol):
    """Gives log probabilities of texts. `name` is recorded."""

    @property
    def name(self) -> str: ...

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of prefix and text together; `None`: no limit known."""
        ...

    def log_probs(self, prefix: str, texts: Sequence[str]) -> list[float]:
        """log p(text | prefix) in nats, the sum over the text's tokens, for each text."""
        ...


class Resources(Protocol):
    """Of one store. Every method raises UserError where it cannot give what it is asked for."""

    @property
    def resamples(self) -> Resamples: ...

    def offline_judge(self, window: int) -> OfflineJudge: ...

    def embedder(self, name: str) -> Embedder: ...

    def text_model(self) -> TextModel: ...
