"""The activations on a text, and the ranking of the latents that fire. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError

RankBy = Literal["max", "sum", "token"]


@dataclass(frozen=True)
class TextActivations:
    """All firings of one coder on a text, ascending by position.

    `position` Int64[ndarray, " n"] indexes the text's tokens; `latent` Int64[ndarray, " n"]; `activation` Float32[ndarray,
    " n"], all > 0, the float16 values times the coder's scale that caching would store. `masked` Bool[ndarray, " tokens"]:
    positions that caching leaves out for this coder.
    """

    position: NDArray[np.int64]
    latent: NDArray[np.int64]
    activation: NDArray[np.float32]
    masked: NDArray[np.bool_]

    def of(self, latent: int) -> NDArray[np.float32]:
        """One latent's activation on every token, Float32[ndarray, " tokens"], zero where it does not activate."""
        dense = np.zeros(len(self.masked), dtype=np.float32)
        chosen = self.latent == latent
        dense[self.position[chosen]] = self.activation[chosen]
        return dense


@dataclass(frozen=True)
class ProbeResult:
    """A text as the model saw it, and what fired.

    `token_ids` Int64[ndarray, " tokens"] in rows of `ctx_len`: the model sees token i together with those before it in row
    `i // ctx_len` only. `texts`: one display text per token. `n_added`: separator tokens put before the text, 0 or 1. `cut`:
    whether the text went on. `n_replaced`: lone surrogates that became U+FFFD. `coders`: firings by coder.
    """

    token_ids: NDArray[np.int64]
    texts: tuple[str, ...]
    ctx_len: int
    n_added: int
    cut: bool
    n_replaced: int
    coders: Mapping[str, TextActivations]


@dataclass(frozen=True)
class Ranked:
    """A latent in a ranking. `value`: what it is ranked by; `token`: the position where it is strongest (the first of
    equals), or the one asked for."""

    coder: str
    latent: int
    value: float
    token: int


@dataclass(frozen=True)
class Ranking:
    """`rows`: strongest first. `n_firing` counts every latent that fires (on the token asked for), `n_dense` those of them
    left out for their density."""

    rows: list[Ranked]
    n_firing: int
    n_dense: int


def rank(
    result: ProbeResult,
    *,
    by: RankBy = "max",
    token: int | None = None,
    densities: Mapping[str, NDArray[np.floating]] | None = None,
    max_density: float | None = None,
    maxima: Mapping[str, NDArray[np.floating]] | None = None,
    limit: int | None = None,
) -> Ranking:
    """The latents that fire, by their maximum, their sum over the text, or their activation on one token.

    `max_density` (a fraction) leaves out latents that are denser in the corpus, from `densities` per coder and latent. With
    `maxima`, the corpus maxima, values are divided by them (infinite for a latent that is dead in the corpus), so that
    latents and coders of different scale compare. Equal values come in the order of coders, then latents.
    """
    n = len(result.token_ids)
    if by == "token" and (token is None or not 0 <= token < n):
        raise UserError(f"a ranking by one token needs its position, 0 to {n - 1}, not {token}")
    names = list(result.coders)
    parts = []
    n_firing = n_dense = 0
    for index, name in enumerate(names):
        latents, values, where = _scored(result.coders[name], by, token)
        n_firing += len(latents)
        if max_density is not None and densities is not None:
            kept = densities[name][latents] <= max_density
            n_dense += int((~kept).sum())
            latents, values, where = latents[kept], values[kept], where[kept]
        if maxima is not None:
            tops = np.asarray(maxima[name][latents], dtype=np.float64)
            values = np.divide(values, tops, out=np.full(len(tops), np.inf), where=tops > 0)
        parts.append((np.full(len(latents), index), latents, values, where))
    if not parts:
        return Ranking([], 0, 0)
    of, latents, values, where = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((latents, of, -values))[:limit]
    columns = (column[order].tolist() for column in (of, latents, values, where))
    rows = [Ranked(names[coder], *rest) for coder, *rest in zip(*columns, strict=True)]
    return Ranking(rows, n_firing, n_dense)


def _scored(
    activations: TextActivations, by: RankBy, token: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Latents that fire, ascending; the value of each; where it is strongest."""
    position, latent, activation = activations.position, activations.latent, activations.activation
    if by == "token":
        here = position == token
        position, latent, activation = position[here], latent[here], activation[here]
    # Within a latent: strongest first, of equals the earliest.
    order = np.lexsort((position, -activation, latent))
    position, latent, activation = position[order], latent[order], activation[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(latent, prepend=-1))
    values = np.add.reduceat(activation, starts) if by == "sum" and len(starts) else activation[starts]
    return latent[starts], values, position[starts]
