"""delphi's activation cache of one hookpoint: a folder of shards, each with the activations of a range of latents.

A shard `{first}_{last}.safetensors` holds `locations` [n, 3] (row of the text, position in it, latent - first), ascending,
`activations` [n] and, every one of them or the first, the whole `tokens` [rows, ctx_len].
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import BadActivations, UserError
from autointerp.formats.delphi.tensors import TensorSlice, open_tensors

_NAME = re.compile(r"(\d{1,9})_(\d{1,9})")
_MOST_CONFIG_BYTES = 1 << 20
AT_ONCE = 1 << 20
"""Activations read at once, over all shards."""
_TOKENS_AT_ONCE = 1 << 22


class Firings(NamedTuple):
    """Activations in consecutive contexts: latents, token indices, values (0 and negative ones too), each [n]; by latent,
    tokens ascend."""

    latent: NDArray[np.int64]
    token: NDArray[np.int64]
    activation: NDArray[np.floating]

    def of(self, rows: slice | NDArray) -> "Firings":
        """Some of them."""
        return Firings(self.latent[rows], self.token[rows], self.activation[rows])


def joined(parts: Sequence[Firings]) -> Firings:
    """One after the other."""
    latents, tokens, activations = zip(*parts, strict=True)
    return Firings(np.concatenate(latents), np.concatenate(tokens), np.concatenate(activations))


@dataclass(frozen=True)
class Shard:
    """Activations of the latents `first` to `last`."""

    path: Path
    first: int
    last: int
    locations: TensorSlice
    activations: TensorSlice
    tokens: TensorSlice | None

    @property
    def n(self) -> int:
        return self.activations.shape[0]


@dataclass(frozen=True)
class Cache:
    """The cache of one hookpoint, all shards of one text. `config`: its `config.json`, empty without one."""

    hookpoint: str
    folder: Path
    shards: tuple[Shard, ...]
    config: dict[str, Any]

    @property
    def n_latents(self) -> int:
        return self.shards[-1].last + 1

    @property
    def n_activations(self) -> int:
        return sum(shard.n for shard in self.shards)

    @cached_property
    def _text(self) -> TensorSlice:
        return next(shard.tokens for shard in self.shards if shard.tokens is not None)

    @property
    def n_contexts(self) -> int:
        return self._text.shape[0]

    @property
    def ctx_len(self) -> int:
        return self._text.shape[1]

    def tokens(self) -> Iterator[NDArray[np.integer]]:
        """The text by some rows at a time, as the first shard has it."""
        yield from _rows(self._text)

    def check_tokens(self) -> None:
        """Raises UserError unless every shard that has a text has the same."""
        for shard in self.shards:
            if shard.tokens is None or shard.tokens is self._text:
                continue
            for own, first in zip(_rows(shard.tokens), _rows(self._text), strict=True):
                if not np.array_equal(own, first):
                    raise UserError(
                        f"{str(shard.path)!r} holds a different text from {self._text.path.name!r}: they are not from one "
                        "run. Cache "
                        "again into an empty folder."
                    )

    def activations(self, at_once: int = AT_ONCE) -> Iterator[Firings]:
        """Everything, context by context, a bounded part at a time. Raises UserError for what no run of delphi writes: rows
        that do not ascend or come twice, places outside the text or the shard, NaN and infinity."""
        piece = max(at_once // len(self.shards), 1 << 12)
        readers = [_Reader(self, shard, piece) for shard in self.shards if shard.n]
        while readers:
            # Up to the context that every shard has been read to; the next pieces may hold more of it.
            border = min([reader.border() for reader in readers])
            yield joined([reader.take(border) for reader in readers])
            readers = [reader for reader in readers if not reader.done]


class _Reader:
    """Goes through one shard once. The file is opened for each piece: there may be more shards than a process may open."""

    def __init__(self, cache: Cache, shard: Shard, piece: int):
        self._cache, self._shard, self._piece = cache, shard, piece
        self._at = 0
        self._last_key = -1
        nothing = np.zeros(0, np.int64)
        self._held = Firings(nothing, nothing, np.zeros(0, shard.activations.dtype))

    @property
    def done(self) -> bool:
        return self._at == self._shard.n and not len(self._held.token)

    def border(self) -> int:
        """The first token index of which not everything may be in memory; reads on where nothing before it is."""
        ctx_len = self._cache.ctx_len
        while self._at < self._shard.n:
            token = self._held.token
            if len(token) and token[0] // ctx_len < token[-1] // ctx_len:
                return int(token[-1] // ctx_len * ctx_len)
            self._read()
        return self._cache.n_contexts * ctx_len

    def take(self, border: int) -> Firings:
        """What is held of the tokens before `border`; no longer held."""
        n = int(np.searchsorted(self._held.token, border))
        taken, self._held = self._held.of(slice(n)), self._held.of(slice(n, None))
        return taken

    def _read(self) -> None:
        shard, at = self._shard, self._at
        self._at = min(at + self._piece, shard.n)
        with shard.path.open("rb") as file:
            locations = shard.locations.rows(file, at, self._at)
            activation = shard.activations.rows(file, at, self._at)
        row, position, local = (locations[:, column].astype(np.int64) for column in range(3))
        size = shard.last - shard.first + 1
        bounds = (
            (row, self._cache.n_contexts, "row"),
            (position, self._cache.ctx_len, "position"),
            (local, size, "latent"),
        )
        for values, bound, what in bounds:
            low, high = int(values.min()), int(values.max())
            if low < 0 or high >= bound:
                raise self._bad(at, f"{what} {low if low < 0 else high}, and only 0 to {bound - 1} exist")
        token = row * self._cache.ctx_len + position
        key = token * size + local
        if key[0] <= self._last_key or (np.diff(key) <= 0).any():
            raise self._bad(
                at, "rows that are repeated, or are not in ascending order of row, position and latent"
            )
        self._last_key = int(key[-1])
        if not np.isfinite(activation).all():
            raise BadActivations(
                f"{str(shard.path)!r} holds NaN or infinity: delphi rounds to float16, whose largest number is 65504. Scale "
                "the coder's activations down and cache them again."
            )
        new = Firings(local + shard.first, token, activation)
        self._held = joined([self._held, new]) if len(self._held.token) else new

    def _bad(self, at: int, what: str) -> UserError:
        return UserError(
            f"{str(self._shard.path)!r} is damaged or not written by delphi: from entry {at:,} on it holds {what}."
        )


def _rows(tokens: TensorSlice) -> Iterator[NDArray[np.integer]]:
    n, ctx_len = tokens.shape
    step = max(1, _TOKENS_AT_ONCE // ctx_len)
    with tokens.path.open("rb") as file:
        for first in range(0, n, step):
            yield tokens.rows(file, first, min(first + step, n))


def is_cache(folder: Path) -> bool:
    """Whether the folder has a shard in it."""
    return any(_NAME.fullmatch(path.stem) for path in folder.glob("*.safetensors"))


def open_cache(folder: Path) -> Cache:
    """Raises UserError for shards that are damaged, missing, overlapping, or of different texts' sizes."""
    shards = []
    for path in folder.glob("*.safetensors"):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise UserError(
                f"{str(path)!r} is not a delphi shard: those are named after their first and last latent, such as "
                "0_6552.safetensors. Move it elsewhere."
            )
        shards.append(_open_shard(path, int(match[1]), int(match[2])))
    shards.sort(key=lambda shard: (shard.first, shard.last))
    if not shards:
        raise UserError(f"{str(folder)!r} holds no delphi shards ({{first}}_{{last}}.safetensors).")
    expected = 0
    for shard in shards:
        if shard.first > expected:
            raise UserError(
                f"{str(folder)!r}: the shard with the latents {expected} to {shard.first - 1} is missing. Copy it there, or "
                "cache again."
            )
        if shard.first < expected:
            raise UserError(
                f"{str(shard.path)!r} overlaps the shard before it, which ends with latent {expected - 1}: they are from "
                "different runs. Remove those of one run."
            )
        expected = shard.last + 1
    _check_texts(folder, shards)
    return Cache(folder.name, folder, tuple(shards), _read_config(folder / "config.json"))


def _open_shard(path: Path, first: int, last: int) -> Shard:
    if last < first:
        raise UserError(f"{str(path)!r}: its name says that it ends with a latent before its first.")
    tensors = open_tensors(path)
    missing = {"locations", "activations"} - tensors.keys()
    if missing:
        raise UserError(f"{str(path)!r} has no {' and no '.join(sorted(missing))}: it is not a delphi shard.")
    locations, activations, tokens = tensors["locations"], tensors["activations"], tensors.get("tokens")
    if (
        locations.dtype.kind not in "ui"
        or activations.dtype != np.float16
        or (tokens and tokens.dtype.kind not in "ui")
    ):
        raise UserError(
            f"{str(path)!r} holds locations of {locations.dtype.name}, activations of {activations.dtype.name}"
            f"{f', tokens of {tokens.dtype.name}' if tokens else ''}; accepted: integers, float16, integers."
        )
    if len(activations.shape) != 1 or locations.shape != (*activations.shape, 3):
        raise UserError(
            f"{str(path)!r} holds locations of shape {locations.shape} and activations of shape {activations.shape}; expected "
            "(n, 3) and (n)."
        )
    if tokens is not None and (len(tokens.shape) != 2 or not all(tokens.shape)):
        raise UserError(
            f"{str(path)!r} holds tokens of shape {tokens.shape}; expected (rows, context length)."
        )
    return Shard(path, first, last, locations, activations, tokens)


def _check_texts(folder: Path, shards: list[Shard]) -> None:
    shapes = {shard.tokens.shape: shard.path.name for shard in shards if shard.tokens is not None}
    if not shapes:
        raise UserError(
            f"{str(folder)!r} holds no token ids: it was written by delphi before February 2025, or without them. Cache again "
            "with a newer delphi."
        )
    if len(shapes) > 1:
        sizes = ", ".join(f"{name} {shape[0]:,} x {shape[1]:,}" for shape, name in shapes.items())
        raise UserError(
            f"{str(folder)!r} holds shards of different texts ({sizes}): they are not from one run."
        )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    return read_json_object(path, _MOST_CONFIG_BYTES)


def read_json_object(path: Path, most: int = _MOST_CONFIG_BYTES) -> dict[str, Any]:
    """The one JSON object in a small file. Raises UserError."""
    try:
        if path.stat().st_size > most:
            raise ValueError(f"it has more than {most:,} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} cannot be read: {error}.") from error
    return value
