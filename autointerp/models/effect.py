"""What raising a latent does to what a model writes after some prompts, as records. Imports no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self


class Rise(NamedTuple):
    """A token and by how much its probability rises, in [-1, 1]."""

    text: str
    by: float


@dataclass(frozen=True)
class Continued:
    """A prompt, how the model as it is continues it, and how with the latent raised. `kl`: of the token after the prompt, in
    nats. `rises`: the tokens whose probability rises most there, most first."""

    prompt: str
    clean: str
    raised: str
    kl: float
    rises: tuple[Rise, ...] = ()


@dataclass(frozen=True)
class Effect:
    """Of one latent. `strength`: what is added to its activation; `kl`: the mean over the prompts of the KL divergence that it
    gives, in nats. `rises`: the tokens whose probability after a prompt rises most in the mean over the prompts."""

    strength: float
    kl: float
    prompts: tuple[Continued, ...]
    rises: tuple[Rise, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        prompts = tuple(
            Continued(
                str(each["prompt"]), str(each["clean"]), str(each["raised"]), float(each["kl"]), _rises(each)
            )
            for each in data["prompts"]
        )
        return cls(float(data["strength"]), float(data["kl"]), prompts, _rises(data))


def _rises(data: Mapping[str, Any]) -> tuple[Rise, ...]:
    return tuple(Rise(str(text), float(by)) for text, by in data["rises"])
