"""What the elements draw, as compact plain records (JSON): every distinct token once in a table, rows as indexes into it.

A row: `t` table indexes, `p` and `v` positions and values of what fires, `k` the peak's position (-1: none fires), `c` the
context, `s` the position of the row's first token in it, `m` the maximum as text. Token text is made visible here and
reaches the page through `textContent` only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.store import Store
from autointerp.types import Example, Histogram
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import MAX_TOKEN, beginning

Decode = Callable[[Sequence[int]], list[str]]


def decile(quantile: int) -> str:
    """How the interface names a quantile (0 to 9 in the data): `decile 1` is the strongest."""
    return f"decile {quantile + 1}"


@dataclass
class TokenTable:
    """Distinct (id, shown text) pairs of one element. `decode` repairs characters split over several tokens, so that one
    id can have several texts; `is_special` marks tokens such as end of text."""

    decode: Decode
    is_special: Callable[[int], bool]
    entries: list[list[Any]] = field(default_factory=list)
    _index: dict[tuple[int, str], int] = field(default_factory=dict)

    def row(self, token_ids: Sequence[int]) -> list[int]:
        """Table indexes of a window's tokens."""
        return [
            self.entry(token, piece) for token, piece in zip(token_ids, self.decode(token_ids), strict=True)
        ]

    def entry(self, token: int, piece: str) -> int:
        """The table index of a token with this text."""
        key = (token, piece)
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self.entries)
            self.entries.append([token, beginning(piece, MAX_TOKEN), 1 if self.is_special(token) else 0])
        return index


def token_table(store: Store) -> TokenTable:
    """An empty one for tokens of the store."""
    return TokenTable(store.decode, store.vocabulary().is_special)


def text_row(
    token_ids: NDArray[np.integer], activations: NDArray[np.floating], table: TokenTable, start: int = 0
) -> dict[str, Any]:
    """Tokens with their activations, from position `start` of their text: a row without a context."""
    fires = np.flatnonzero(activations)
    values = activations[fires]
    return {
        "s": start,
        "t": table.row(token_ids.tolist()),
        "p": fires.tolist(),
        "v": values.tolist(),
        "k": int(fires[values.argmax()]) if len(fires) else -1,
    }


def row(example: Example, table: TokenTable) -> dict[str, Any]:
    """One window as the elements draw it."""
    drawn = text_row(example.token_ids, example.activations, table, int(example.start))
    peak = fmt.activation(max(drawn["v"])) if drawn["v"] else "0"
    return {"c": int(example.context), **drawn, "m": peak}


def intervals(data: Histogram) -> list[str]:
    """The bins by their bounds: `3.04 to 3.47`."""
    ends = [fmt.activation(float(edge)) for edge in data.edges]
    return [f"{low} to {high}" for low, high in pairwise(ends)]


def histogram(data: Histogram) -> dict[str, Any]:
    """Bars and the texts under them."""
    low, high = float(data.edges[0]), float(data.edges[-1])
    return {
        "counts": data.counts.tolist(),
        "names": [
            [name, fmt.plural(int(n), "token")] for name, n in zip(intervals(data), data.counts, strict=True)
        ],
        "low": low,
        "high": high,
        "left": fmt.activation(low),
        "right": fmt.activation(high),
        "title": f"activation, {fmt.plural(int(data.counts.sum()), 'token')}, counts on a log scale",
    }
