"""What scorers are built from: models and judges that are loaded once and shared."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from autointerp.llm.cancel import CancelToken
from autointerp.llm.messages import Usage
from autointerp.models.effect import Effect
from autointerp.models.fired import FiredText
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


class Likelihoods(Protocol):
    """Gives log probabilities of texts. `name` is recorded."""

    @property
    def name(self) -> str: ...

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of prefix and text together; `None`: no limit known."""
        ...

    def log_probs(
        self, prefix: str, texts: Sequence[str], *, cancel: CancelToken | None = None
    ) -> list[float]:
        """log p(text | prefix) in nats, the sum over the text's tokens, for each text. Raises Cancelled, too."""
        ...


class LogProbs(NamedTuple):
    """In nats, and what they cost."""

    values: list[float]
    usage: Usage = Usage()


class LikelihoodJudge(Protocol):
    """Tells how likely texts are after each of several others. `name` and `max_tokens` as of `Likelihoods`."""

    @property
    def name(self) -> str: ...

    @property
    def max_tokens(self) -> int | None: ...

    def log_probs_after(
        self, prefixes: Sequence[str], texts: Sequence[str], *, cancel: CancelToken | None = None
    ) -> Iterator[LogProbs]:
        """Of each text, log p(text | prefix), the sum over the text's tokens, for each prefix. What is not taken is not paid
        for; what keeps a text from being judged, Cancelled too, is raised in its turn."""
        ...


class TextModel(Likelihoods, LikelihoodJudge, Protocol):
    """The store's own model."""


class Effects(Protocol):
    """What raising a latent does to what the store's own model writes."""

    def effect(
        self,
        coder: str,
        latent: int,
        prompts: Sequence[Sequence[int]],
        *,
        kl: float,
        n_new: int,
        seed: int,
        cancel: CancelToken | None = None,
    ) -> tuple[Effect, str]:
        """As `autointerp.steering.effects.Effects.effect`, and the key under which it is kept among the store's replies: asked
        again, it is not computed again. Raises Cancelled, too."""
        ...


class Firings(Protocol):
    """Where a latent fires in new texts."""

    def prepare(self, coder: str) -> None:
        """Load what `on` needs, so that nothing is paid for where it cannot run. Raises UserError."""
        ...

    def on(
        self,
        coder: str,
        latent: int,
        texts: Sequence[str],
        *,
        written_by: str,
        cancel: CancelToken | None = None,
    ) -> tuple[Sequence[FiredText], str]:
        """Each of the texts, and the key under which they are kept among the store's replies: asked again, nothing is computed
        again. `written_by`: the key of the reply that they are from. Raises UserError, Cancelled too."""
        ...


class Resources(Protocol):
    """Of one store. Every method raises UserError where it cannot give what it is asked for."""

    @property
    def resamples(self) -> Resamples: ...

    def offline_judge(self, window: int) -> OfflineJudge: ...

    def embedder(self, name: str) -> Embedder: ...

    def text_model(self) -> TextModel: ...

    def effects(self) -> Effects: ...

    def firings(self) -> Firings: ...
