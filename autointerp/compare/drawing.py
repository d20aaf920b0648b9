"""Equal numbers of latents of several coders, drawn at random with a seed; if asked, equally many of each density."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
BINS_PER_DECADE = 4
"""Widths of the density bins within which equal numbers are drawn: a factor of 1.8 from edge to edge."""


def draw(latents: Mapping[str, Int], n: int, seed: int) -> dict[str, Int]:
    """`n` of each coder's `latents`, ascending. What is drawn of one coder depends on it and the seed alone; fewer are a part
    of more. Raises ValueError where a coder has not as many."""
    drawn = {}
    for coder, among in latents.items():
        if len(among) < n:
            raise ValueError(f"{coder} has {len(among)} latents, not {n}")
        drawn[coder] = np.sort(_shuffled(coder, among, seed)[:n])
    return drawn


def draw_matched(
    latents: Mapping[str, Int], densities: Mapping[str, NDArray[np.floating]], n: int | None, seed: int
) -> tuple[dict[str, Int], int]:
    """As `draw`, with equally many of every coder in each bin of log density: as many as the coder with the fewest has there,
    or, where those are more than `n`, that share of them. Returns also in how many bins there are any. `densities`: of all
    latents of each coder, by latent."""
    bins = {
        coder: np.floor(np.round(np.log10(densities[coder][among]) * BINS_PER_DECADE, 9)).astype(np.int64)
        for coder, among in latents.items()
    }
    every = np.unique(np.concatenate(list(bins.values()))) if bins else np.zeros(0, np.int64)
    most = np.array([min(int((of == each).sum()) for of in bins.values()) for each in every], dtype=np.int64)
    take = most if n is None else _shares(most, n)
    drawn = {}
    for coder, among in latents.items():
        shuffled = _shuffled(coder, among, seed)
        place = np.searchsorted(among, shuffled)
        parts = [shuffled[bins[coder][place] == each][:k] for each, k in zip(every, take, strict=True)]
        drawn[coder] = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
    return drawn, int((take > 0).sum())


def _shares(most: Int, n: int) -> Int:
    """`n` shared out in proportion to `most`, by largest remainders; `most` itself where it sums to no more."""
    total = int(most.sum())
    if total <= n:
        return most
    exact = most * (n / total)
    shares = np.floor(exact).astype(np.int64)
    rest = np.argsort(shares - exact, kind="stable")[: n - int(shares.sum())]
    shares[rest] += 1
    return shares


def _shuffled(coder: str, among: Int, seed: int) -> Int:
    name = int.from_bytes(hashlib.sha256(coder.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, name]).permutation(among)
