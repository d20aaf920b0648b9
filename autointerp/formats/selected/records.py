"""What a file with selected contexts says of a latent, whichever tool wrote it, and the checks that all of them share."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from autointerp.errors import UserError

MAX_LATENTS = 1 << 22
MAX_TOKENS = 1 << 14
"""Of one context."""
MAX_LIST = 1 << 10
"""Entries of a histogram, of promoted tokens, of neighbours."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the file states of a latent. `histogram`: edges and counts of its activations. `promoted`, `suppressed`: tokens and
    values, strongest first. `neighbours`: latents and cosine similarities of decoder directions, nearest first. `None`, empty:
    not stated."""

    latent: int
    density: float | None = None
    maximum: float | None = None
    histogram: tuple[list[float], list[float]] | None = None
    promoted: list[tuple[str, float]] = field(default_factory=list)
    suppressed: list[tuple[str, float]] = field(default_factory=list)
    neighbours: list[tuple[int, float]] = field(default_factory=list)


class Context(NamedTuple):
    """A context of a latent: its tokens as text, and an activation for each, 0 where the latent is silent."""

    latent: int
    tokens: list[str]
    values: list[float]


@dataclass(frozen=True)
class Source:
    """One coder to be. `read`: everything about its latents, in any order. `absent`: see `CoderInfo`."""

    name: str
    kind: str
    hookpoint: str
    path: str
    config: Mapping[str, Any]
    absent: Mapping[str, str]
    read: Callable[[], Iterator[Figures | Context]]


def index(value: object, what: str) -> int:
    """A latent's number, also as text. Raises UserError."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if type(value) is not int or not 0 <= value < MAX_LATENTS:
        raise UserError(f"{what} is {said(value)}; accepted: whole numbers from 0 to {MAX_LATENTS - 1:,}.")
    return value


def text(value: object, what: str) -> str:
    """A text without what no store can hold. Raises UserError."""
    if not isinstance(value, str):
        raise UserError(f"{what} is {said(value)}; accepted: a string.")
    return clean(value)


def clean(value: str) -> str:
    """Without NUL, and without halves of characters, which UTF-8 cannot hold."""
    return value.replace("\0", "").encode("utf-8", errors="replace").decode("utf-8")


def number(value: object, what: str) -> float | None:
    """A finite number, or `None`. Raises UserError."""
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise UserError(f"{what} is {said(value)}; accepted: a number.")
    return float(value)  # type: ignore[arg-type]


def numbers(value: object, what: str, most: int = MAX_LIST) -> list[float]:
    """A list of finite numbers, empty for `None`. Raises UserError."""
    listed = _listed(value, what, most)
    if set(map(type, listed)) <= {int, float}:  # the rule; the slow way says which is wrong
        with suppress(OverflowError):
            array = np.array(listed, dtype=np.float64)
            if np.isfinite(array).all():
                return array.tolist()
    return [_given(each, what) for each in listed]


def texts(value: object, what: str, most: int = MAX_LIST) -> list[str]:
    """A list of texts, empty for `None`. Raises UserError."""
    listed = _listed(value, what, most)
    if set(map(type, listed)) <= {str}:
        joined = "".join(listed)
        with suppress(UnicodeError):
            joined.encode()
            if "\0" not in joined:
                return listed
    return [text(each, f"an entry of {what}") for each in listed]


def pairs(names: list[Any], values: list[float], what: str) -> list[tuple[Any, float]]:
    """Entries of two lists of one length. Raises UserError."""
    if len(names) != len(values):
        raise UserError(
            f"{what}: {len(names)} entries with {len(values)} values; they must be equal in number."
        )
    return list(zip(names, values, strict=True))


def context(latent: int, tokens: object, values: object, what: str) -> Context:
    """Raises UserError for tokens and values that do not belong together."""
    pieces = texts(tokens, f"tokens of {what}", MAX_TOKENS)
    activations = numbers(values, f"values of {what}", MAX_TOKENS)
    if len(pieces) != len(activations) or not pieces:
        raise UserError(
            f"{what} has {len(pieces)} tokens and {len(activations)} values; they must be equal in number, and at least one."
        )
    return Context(latent, pieces, activations)


def fraction(value: object, what: str) -> float | None:
    """A number from 0 to 1, or `None`. Raises UserError."""
    known = number(value, what)
    if known is not None and not 0 <= known <= 1:
        raise UserError(f"{what} is {known:g}; accepted: 0 to 1.")
    return known


def histogram(centres: list[float], counts: list[float], what: str) -> tuple[list[float], list[float]] | None:
    """Edges and counts from the centres of bins of equal width; `None` without any. Raises UserError."""
    if len(centres) != len(counts):
        raise UserError(f"{what}: {len(counts)} bars at {len(centres)} places; they must be equal in number.")
    if any(count < 0 for count in counts):
        raise UserError(f"{what}: a bar is lower than 0.")
    if len(centres) < 2 or not centres[-1] > centres[0]:
        return None
    width = (centres[-1] - centres[0]) / (len(centres) - 1)
    first = centres[0] - width / 2
    first = 0.0 if first < 1e-4 * width else first  # where the middles were rounded
    return [
        first,
        *((a + b) / 2 for a, b in pairwise(centres)),
        centres[-1] + width / 2,
    ], counts


def said(value: object) -> str:
    """What came, in few characters."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _given(value: object, what: str) -> float:
    known = number(value, f"an entry of {what}")
    if known is None:
        raise UserError(f"an entry of {what} is null; accepted: a number.")
    return known


def _listed(value: object, what: str, most: int) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{what} is {said(value)}; accepted: a list.")
    if len(value) > most:
        raise UserError(f"{what} has {len(value):,} entries; at most {most:,} are accepted.")
    return value
