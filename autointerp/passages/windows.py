"""An example together with the text of each of its tokens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.types import Example


@dataclass(frozen=True)
class Window:
    """An example and its display texts, one per token. A character split over several tokens stands on the first of
    them, the others are empty, so the texts joined are the text of the window."""

    example: Example
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.example.token_ids)
        if len(self.texts) != n or len(self.example.activations) != n:
            raise ValueError(
                f"window {example_id(self.example)}: {n} token ids, {len(self.example.activations)} activations and "
                f"{len(self.texts)} texts; the three must be equal in number"
            )

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def id(self) -> str:
        return example_id(self.example)


def example_id(example: Example) -> str:
    """How an example is named everywhere: `context:start:window`."""
    return f"{example.context}:{example.start}:{len(example.token_ids)}"


def make_windows(
    examples: Iterable[Example], decode: Callable[[NDArray[np.int64]], Sequence[str]]
) -> list[Window]:
    """The examples with their texts; `decode` turns the token ids of a window into one text per token."""
    return [Window(example, tuple(decode(example.token_ids))) for example in examples]
