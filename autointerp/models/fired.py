"""A text with what one latent did on it, as a record. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

LARGEST = 3.4028234663852886e38
"""Of the numbers of 32 bits."""


@dataclass(frozen=True)
class FiredText:
    """`token_ids`: of the text alone, without what caching puts before it; empty for a text without tokens. `activations`: one
    a token, 0 where the latent does not fire."""

    text: str
    token_ids: tuple[int, ...] = ()
    activations: tuple[float, ...] = ()

    @property
    def maximum(self) -> float:
        return max(self.activations, default=0.0)


@dataclass(frozen=True)
class FiredTexts:
    """Texts of one reply. `written_by`: the key of that reply among the store's replies."""

    written_by: str
    texts: tuple[FiredText, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        texts = tuple(
            FiredText(str(each["text"]), _of(int, each["token_ids"]), _of(float, each["activations"]))
            for each in data["texts"]
        )
        for each in texts:
            if len(each.token_ids) != len(each.activations):
                raise ValueError("not one activation a token")
            if min(each.token_ids, default=0) < 0 or not all(
                0 <= value <= LARGEST for value in each.activations
            ):
                raise ValueError("ids and activations are at least 0, and finite in 32 bits")
        return cls(str(data["written_by"]), texts)


def _of(kind: Any, values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(kind(value) for value in values)
