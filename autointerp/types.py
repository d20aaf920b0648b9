"""The nouns of the program: small frozen records that every stage shares. numpy only, no torch.

Positions: a corpus is a grid of `n_contexts` rows of `ctx_len` token ids. A *token index* counts through the grid row by
row: `token = context * ctx_len + position`. A *window* is a slice of one row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Relation = Literal["decoder", "encoder", "cofiring"]
Group = Literal["random", "top", "quantiles", "non_activating"]

N_QUANTILES = 10
"""Into how many parts of equal size the windows of a latent are divided by their maximum; 0 is the strongest."""

SELECTED = "selected"
"""What the configuration of a coder says of its `contexts` where they are no corpus."""


@dataclass(frozen=True)
class Progress:
    """One report of a long run; library functions call back with it and never print."""

    stage: str
    done: int
    total: int
    unit: str = "tokens"


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """The callback for callers that want silence."""


def _interval(value: float | None, se: float | None, n: int | None) -> tuple[float, float] | None:
    """95 % interval of a mean over `n` contexts, by Student's t (its quantile to 4 % from 4 contexts on)."""
    if value is None or se is None or n is None or n < 2:
        return None
    t = 1.96 + 2.37 / (n - 1) + 2.82 / (n - 1) ** 2
    return value - t * se, value + t * se


@dataclass(frozen=True)
class Fidelity:
    """How well a coder stands in for its target, measured over `n_tokens` tokens in `n_contexts` contexts of the corpus.

    `fvu`: sum of squared errors over total variance around the mean (1.0 = no better than the mean). `ce_*` in nats per
    predicted token, `None` without a causal model: with the target as it is, replaced by the coder's output, by zeros, by
    its mean, and, where the target contains the residual stream (a block's output), by the residual stream alone, as if the
    block were skipped. Zeros in place of a block's output remove the whole residual stream: compare with `ce_skip` there.
    `*_se`: standard errors over contexts. Older files have neither these nor `n_contexts`, `ce_mean`, `ce_skip`.
    """

    fvu: float
    l0: float
    n_tokens: int
    ce_clean: float | None = None
    ce_spliced: float | None = None
    ce_zero: float | None = None
    n_contexts: int | None = None
    ce_mean: float | None = None
    ce_skip: float | None = None
    fvu_se: float | None = None
    ce_increase_se: float | None = None

    @property
    def fvu_interval(self) -> tuple[float, float] | None:
        """95 % interval of `fvu` over contexts."""
        return _interval(self.fvu, self.fvu_se, self.n_contexts)

    @property
    def ce_increase_interval(self) -> tuple[float, float] | None:
        """95 % interval of `ce_increase` over contexts."""
        return _interval(self.ce_increase, self.ce_increase_se, self.n_contexts)

    @property
    def ce_increase_without(self) -> float | None:
        """Nats added without the module: the block skipped where the target contains the residual stream, else zeros in the
        target's place. Compare within a hookpoint only."""
        return self.ce_increase_zero if self.ce_skip is None else self.ce_increase_skip

    @property
    def ce_increase_skip(self) -> float | None:
        """Nats added when the module's block is skipped: the scale of `ce_increase` where the target contains the residual
        stream."""
        if self.ce_clean is None or self.ce_skip is None:
            return None
        return self.ce_skip - self.ce_clean

    @property
    def ce_increase_mean(self) -> float | None:
        """Nats added when the target's mean replaces it."""
        if self.ce_clean is None or self.ce_mean is None:
            return None
        return self.ce_mean - self.ce_clean

    @property
    def ce_increase(self) -> float | None:
        """Nats added when the coder's output replaces the module's."""
        if self.ce_clean is None or self.ce_spliced is None:
            return None
        return self.ce_spliced - self.ce_clean

    @property
    def ce_increase_zero(self) -> float | None:
        """Nats added when zeros replace the module's output: the scale of `ce_increase`."""
        if self.ce_clean is None or self.ce_zero is None:
            return None
        return self.ce_zero - self.ce_clean


@dataclass(frozen=True)
class CoderInfo:
    """What a store knows about one sparse coder. `n_tokens` counts the positions that could fire (masked ones excluded);
    `scale` is the power of two that stored activations were divided by. `kind`: see `models.coders.registry.KINDS`. `k`: active
    latents per token, `None` where that varies."""

    coder: str
    kind: str
    hookpoint: str
    n_latents: int
    k: int | None
    d_in: int
    n_tokens: int
    n_contexts: int
    ctx_len: int
    n_activations: int
    n_dead: int
    scale: float
    fidelity: Fidelity | None
    has_logits: bool
    bytes_on_disk: int
    source: str
    created: str
    config: dict = field(default_factory=dict)
    cofiring_share: float | None = None
    """The share of tokens counted for co-firing, 0 to 1; `None` where no older program recorded it."""

    @property
    def l0(self) -> float | None:
        """Mean number of latents that fire on a token: as measured with the fidelity, else over the whole corpus; `None` where
        only selected contexts are known."""
        if self.fidelity is not None:
            return self.fidelity.l0
        if self.selected:
            return None
        return self.n_activations / self.n_tokens if self.n_tokens else None

    @property
    def selected(self) -> bool:
        """Whether only some contexts of each latent are known, those that another tool chose to show, rather than a corpus."""
        return self.config.get("contexts") == SELECTED

    @property
    def absent(self) -> dict[str, str]:
        """Why figures are missing, as sentences, by "fidelity", "promoted_tokens", "decoder" or "encoder" (neighbours)."""
        return self.config.get("absent", {})

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures has to know about the coder, as sentences."""
        return self.config.get("notes", [])

    @property
    def logit_unit(self) -> str:
        """What the values of promoted and suppressed tokens are, per unit of activation."""
        if self.config.get("logit_unit") == "slope":
            return "mean change of the logit per unit of activation"
        return "change of the logit per unit of activation, before the final norm scales it"


@dataclass(frozen=True)
class LatentStats:
    """Statistics of one latent over the whole corpus, by their names in `autointerp.store.STATISTICS`; `None` where a dead
    latent has no value, and where only selected contexts are known and their file does not state it. Those that the program
    itself uses are also attributes."""

    latent: int
    values: Mapping[str, int | float | None]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def n_activations(self) -> int:
        """Tokens on which it activates."""
        return self["n_activations"]

    @property
    def n_contexts(self) -> int:
        """Contexts in which it activates."""
        return self["n_contexts"]

    @property
    def density(self) -> float | None:
        """Share of the corpus's tokens on which it activates, 0 to 1."""
        return self["density"]

    @property
    def max_activation(self) -> float | None:
        """0 for a dead latent."""
        return self["max_activation"]

    @property
    def top_token(self) -> int | None:
        """The vocabulary id on which it activates most often."""
        return self["top_token"]

    @property
    def is_dead(self) -> bool:
        return self.n_activations == 0


@dataclass(frozen=True)
class LatentActivations:
    """All firings of one latent, ascending by token index.

    `token`: Int64[ndarray, " n"]; `activation`: Float32[ndarray, " n"], all > 0, exact float16 values times the scale.
    """

    token: NDArray[np.int64]
    activation: NDArray[np.float32]


@dataclass(frozen=True)
class Histogram:
    """Counts of one latent's activations: `edges` Float32[ndarray, " bins+1"], `counts` Int64[ndarray, " bins"]."""

    edges: NDArray[np.float32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """A window of one context as shown to a person, an explainer or a judge.

    `token_ids` Int64[ndarray, " window"], `activations` Float32[ndarray, " window"] (zero where silent). `quantile` is
    0 for the strongest tenth, `None` for a non-activating window. `n_duplicates` counts near-identical windows that
    stand behind this one. `source`: "activating", "random" or "neighbours" (a hard negative; `neighbour` is the latent
    that fires).
    """

    context: int
    start: int
    token_ids: NDArray[np.int64]
    activations: NDArray[np.float32]
    max_activation: float
    quantile: int | None
    source: str = "activating"
    n_duplicates: int = 0
    neighbour: int | None = None


@dataclass(frozen=True)
class Neighbour:
    """A similar latent: cosine for encoder and decoder, Jaccard of firing tokens for cofiring."""

    latent: int
    value: float


@dataclass(frozen=True)
class TokenLogit:
    """A vocabulary token and how much a latent's decoder direction raises (or lowers) its logit, in `CoderInfo.logit_unit`."""

    token: int
    value: float
