"""What steering gives. Imports no torch."""

from dataclasses import dataclass

from autointerp.steering.options import SteeringOptions


@dataclass(frozen=True)
class NextToken:
    """A token that may follow the prompt, with its probability by the model as it is and by the steered one."""

    token_id: int
    text: str
    clean: float
    steered: float

    @property
    def change(self) -> float:
        return self.steered - self.clean


@dataclass(frozen=True)
class Continuation:
    """One text, token by token. `log_probs`: by the model that wrote it, in nats; `changes`: that minus what the model as it is
    gives the same token after the same text (0 for the model as it is)."""

    token_ids: tuple[int, ...]
    texts: tuple[str, ...]
    log_probs: tuple[float, ...]
    changes: tuple[float, ...]

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass(frozen=True)
class Steered:
    """At one strength. `asked`: as it was given, `None` for latents held at zero; `added`: what was added to the activation of
    each latent; `kl`: KL(clean || steered) in nats of the token after the prompt; `failed`: why there is nothing."""

    asked: float | None
    added: tuple[float, ...]
    kl: float | None
    raised: tuple[NextToken, ...] = ()
    lowered: tuple[NextToken, ...] = ()
    continuations: tuple[Continuation, ...] = ()
    failed: str | None = None


@dataclass(frozen=True)
class DirectLogit:
    """A token, and how much a latent's decoder direction raises its logit on the direct path (`CoderInfo.logit_unit`)."""

    token_id: int
    text: str
    value: float


@dataclass(frozen=True)
class DirectEffect:
    """The tokens that a latent raises and lowers most on the direct path, strongest first; none where that is not known."""

    latent: int
    raised: tuple[DirectLogit, ...]
    lowered: tuple[DirectLogit, ...]


@dataclass(frozen=True)
class SteeringResult:
    """`prompt_ids` and `prompt_texts`: the prompt as the model saw it, the first `n_added` tokens put before it; `maxima`: each
    latent's largest activation in the corpus; `direct`: of each latent, in `logit_unit`, whatever the prompt."""

    coder: str
    options: SteeringOptions
    prompt_ids: tuple[int, ...]
    prompt_texts: tuple[str, ...]
    n_added: int
    maxima: tuple[float, ...]
    clean: tuple[Continuation, ...]
    steered: tuple[Steered, ...]
    direct: tuple[DirectEffect, ...] = ()
    logit_unit: str = ""
