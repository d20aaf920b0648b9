"""What explainers take and return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from autointerp.sampling import Window

Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Evidence:
    """What is known about one latent when it is to be explained: held-in examples only.

    `latent_max`: its largest activation in the corpus, to which activations are set in proportion. `promoted`, `suppressed`:
    texts of the tokens whose logits its decoder direction raises and lowers most, strongest first.
    """

    activating: Sequence[Window]
    latent_max: float
    non_activating: Sequence[Window] = ()
    promoted: Sequence[str] = ()
    suppressed: Sequence[str] = ()


@dataclass(frozen=True)
class ExplanationResult:
    """An explanation, or why there is none: a failure has status "failed", an `error` and an empty text.

    `example_ids` name the examples that were shown (`context:start:window`), activating ones first. `reasoning`: the steps the
    model wrote first, when asked to. `reply_ref`: key of the reply in the client's cache, which holds the exact prompt too.
    Tokens and `cost` (`None` = price unknown) are what this call paid. `retryable`: whether the same may work later.
    """

    text: str
    explainer: str
    model: str | None = None
    prompt_version: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    example_ids: tuple[str, ...] = ()
    reasoning: str | None = None
    reply_ref: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    duration: float | None = None
    status: Status = "ok"
    error: str | None = None
    retryable: bool = False
