"""Where in the corpus the examples of a score stand, which delphi records by their tokens' texts and activations alone."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autointerp.store import Store
from autointerp.types import LatentActivations

_BASE = np.uint64(0x9E3779B97F4A7C15)
_AT_ONCE = 1 << 22


def plain(text: str) -> str:
    """Without blanks and replacement characters: what tokenizers, and their versions, differ in."""
    return "".join(text.split()).replace("\ufffd", "")


class Finder:
    """Finds windows of `width` tokens that begin at multiples of it."""

    def __init__(self, store: Store, width: int):
        self._store, self.width = store, width
        self._by_id = bool(store.meta["tokenizer"].get("by_id"))
        self._texts = [plain(text) for text in store.vocabulary().texts]

    def by_text(self, text: str) -> NDArray[np.int64]:
        """The token indices at which windows with this text begin, ascending."""
        if self._by_id or self._store.ctx_len % self.width:
            return np.zeros(0, np.int64)
        hashes, order = self._windows
        wanted = plain(text)
        value = _hash(wanted)[0]
        low, high = np.searchsorted(hashes, value, "left"), np.searchsorted(hashes, value, "right")
        starts = np.sort(order[low:high]) * self.width
        return np.array([start for start in starts.tolist() if self._text(start) == wanted], np.int64)

    def by_activations(
        self, acts: LatentActivations, activations: NDArray[np.float32], text: str
    ) -> int | None:
        """The token index of the first window in which the latent has just these activations; among several, one with this text
        is preferred. It may begin anywhere in a row."""
        nonzero = np.flatnonzero(activations)
        if not len(nonzero):
            return None
        ctx_len, first = self._store.ctx_len, int(nonzero[0])
        at = np.flatnonzero(acts.activation == activations[first])
        starts = acts.token[at] - first
        fits = (starts % ctx_len + self.width <= ctx_len) & (starts // ctx_len == acts.token[at] // ctx_len)
        matching = [
            int(start)
            for start in starts[fits & (starts >= 0)]
            if np.array_equal(cut(acts, int(start), self.width), activations)
        ]
        if len(matching) > 1 and not self._by_id:
            matching = [start for start in matching if self._text(start) == plain(text)] or matching
        return matching[0] if matching else None

    def _text(self, start: int) -> str:
        ids = self._store.tokens.reshape(-1)[start : start + self.width].tolist()
        return "".join([self._texts[token] for token in ids])

    @cached_property
    def _windows(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hashes of all windows' texts, ascending, and the window of each. The hash of joined texts follows from those of the
        parts, so no text is joined."""
        values, powers = map(np.array, zip(*(_hash(text) for text in self._texts), strict=True))
        tokens, width = self._store.tokens.reshape(-1), self.width
        hashes = np.zeros(len(tokens) // width, np.uint64)
        step = max(1, _AT_ONCE // width)
        for first in range(0, len(hashes), step):
            rows = np.asarray(tokens[first * width : (first + step) * width]).reshape(-1, width)
            joined = hashes[first : first + step]
            for column in rows.T:
                joined *= powers[column]
                joined += values[column]
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order


def cut(acts: LatentActivations, start: int, width: int) -> NDArray[np.float32]:
    """The latent's activations on `width` tokens from `start`, zero where it is silent."""
    low, high = np.searchsorted(acts.token, (start, start + width))
    activations = np.zeros(width, np.float32)
    activations[acts.token[low:high] - start] = acts.activation[low:high]
    return activations


def first_silent(
    acts: LatentActivations, starts: Sequence[int] | NDArray[np.int64], width: int
) -> int | None:
    """The first of these windows in which the latent does not fire."""
    low, high = np.searchsorted(acts.token, starts), np.searchsorted(acts.token, np.asarray(starts) + width)
    silent = np.flatnonzero(low == high)
    return int(starts[silent[0]]) if len(silent) else None


def _hash(text: str) -> tuple[np.uint64, np.uint64]:
    """A hash of the text, and what a hash before it is multiplied by."""
    value, power = 0, 1
    for character in text:
        value = (value * int(_BASE) + ord(character) + 1) & 0xFFFFFFFFFFFFFFFF
        power = (power * int(_BASE)) & 0xFFFFFFFFFFFFFFFF
    return np.uint64(value), np.uint64(power)
