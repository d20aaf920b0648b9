"""An example together with the text of each of its tokens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autointerp.types import Example

Decode = Callable[[NDArray[np.int64]], Sequence[str]]
"""Turns the token ids of a window into one text per token."""


class Window:
    """An example and its display texts, one per token. A character split over several tokens stands on the first of
    them, the others are empty, so the texts joined are the text of the window.

    `texts`: the texts, or how to decode them when they are first asked for: a scorer that looks vectors up never reads them.
    Raises ValueError when texts, token ids and activations are not equal in number.
    """

    __slots__ = ("_texts", "example")

    def __init__(self, example: Example, texts: Sequence[str] | Decode):
        self.example = example
        self._texts: Sequence[str] | Decode = texts
        n = len(example.token_ids)
        if len(example.activations) != n or (not callable(texts) and len(texts) != n):
            raise ValueError(self._uneven(None if callable(texts) else len(texts)))

    @property
    def texts(self) -> tuple[str, ...]:
        """One per token."""
        texts = self._texts
        if not isinstance(texts, tuple):
            texts = tuple(texts(self.example.token_ids) if callable(texts) else texts)
            if len(texts) != len(self.example.token_ids):
                raise ValueError(self._uneven(len(texts)))
            self._texts = texts
        return texts

    def __repr__(self) -> str:
        return f"Window({self.id}: {self.text!r})"

    def _uneven(self, n_texts: int | None) -> str:
        n, n_activations = len(self.example.token_ids), len(self.example.activations)
        texts = "" if n_texts is None else f" and {n_texts} texts"
        return f"window {self.id}: {n} token ids, {n_activations} activations{texts}; they must be equal in number"

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def id(self) -> str:
        return example_id(self.example)


def example_id(example: Example) -> str:
    """How an example is named everywhere: `context:start:window`."""
    return f"{example.context}:{example.start}:{len(example.token_ids)}"


def make_windows(examples: Iterable[Example], decode: Decode) -> list[Window]:
    """The examples with their texts, each decoded when it is first read."""
    return [Window(example, decode) for example in examples]


def up_to_first(window: Window) -> Window:
    """An activating window up to its first activating token, that included: a prompt on which the latent fires at the end."""
    example = window.example
    n = int(np.argmax(example.activations > 0)) + 1
    cut = replace(
        example,
        token_ids=example.token_ids[:n],
        activations=example.activations[:n],
        max_activation=float(example.activations[n - 1]),
    )
    return Window(cut, window.texts[:n])


def distinct_prompts(windows: Iterable[Window]) -> list[Window]:
    """Activating windows up to their first activating token; of those cut to the same tokens only the first: what a model
    writes after a prompt depends on it alone."""
    distinct: dict[tuple[int, ...], Window] = {}
    for window in map(up_to_first, windows):
        distinct.setdefault(tuple(window.example.token_ids.tolist()), window)
    return list(distinct.values())


def random_texts(
    tokens: NDArray[np.integer], decode: Decode, *, window: int, n: int = 300, seed: int = 0
) -> list[tuple[str, ...]]:
    """Token texts of up to `n` random windows of the corpus `tokens` Int[ndarray, "n_contexts ctx_len"]: what an offline judge
    knows about ordinary text."""
    n_contexts, ctx_len = tokens.shape
    width = min(window, ctx_len)
    starts = max(1, ctx_len // width)
    total = n_contexts * starts
    numbers = np.random.default_rng(seed).choice(total, size=min(n, total), replace=False)
    rows = [tokens[i // starts, (i % starts) * width : (i % starts + 1) * width] for i in numbers.tolist()]
    return [tuple(decode(row.astype(np.int64))) for row in rows]
