"""Statistics of latents from their sorted activations, a block at a time, without a loop over latents.

Quantiles are taken over *windows*: each context row is cut into windows of `WINDOW` tokens from its start (the last may be
shorter), and the maxima of the windows in which the latent activates are ranked, strongest first. Quantile q holds the
windows with `rank * 10 // n == q`, so all quantiles hold equally many, up to one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.store.coders.half import decode
from autointerp.store.coders.spool import LatentBlock, stable_order
from autointerp.types import N_QUANTILES

WINDOW = 32
N_BINS = 40
DERIVED_UP_TO = 4096
"""Latents that fire more often have their histogram and quantiles stored; for the others the same functions work them out
from the activations when they are asked for, in well under a millisecond."""
PEAK_REACH = 32
"""Activations this near to a latent's peak are kept apart, for previews without a look into the big table."""
_MAX_POSITION_BINS = 128


@dataclass(frozen=True)
class Grid:
    """The corpus as the statistics see it. `tokens`: UInt[ndarray, " n_contexts*ctx_len"], the vocabulary id of every token."""

    tokens: NDArray[np.unsignedinteger]
    ctx_len: int
    vocab_size: int


@dataclass(frozen=True)
class BlockStatistics:
    """Rows for the tables of a coder file. `latents`: columns with one entry per latent of the block; the others are narrow
    tables, by latent; quantiles and histograms of those that fire more than `DERIVED_UP_TO` times. Values of activations
    are float16 bits, as in the activations table."""

    latents: dict[str, NDArray]
    live: NDArray[np.bool_]
    quantiles: dict[str, NDArray]
    histograms: dict[str, NDArray]
    peaks: dict[str, NDArray]


def block_statistics(block: LatentBlock, grid: Grid, position_counts: NDArray[np.int64]) -> BlockStatistics:
    """Everything that a coder file holds about the latents of `block`. `position_counts` Int[ndarray, " ctx_len"]: how many
    contexts could activate at each position."""
    counts, n = block.counts, block.n_latents
    live = counts > 0
    alive = np.flatnonzero(live)
    starts = block.offsets[:-1][alive]
    local, activation = block.local, block.activation
    token = block.token.astype(np.int64)
    context = token // grid.ctx_len
    position = token - context * grid.ctx_len

    max_bits = _spread(np.maximum.reduceat(block.bits, starts) if len(alive) else block.bits[:0], alive, n)
    is_peak = np.flatnonzero(block.bits == np.repeat(max_bits, counts))
    peak_row = is_peak[np.flatnonzero(np.diff(local[is_peak], prepend=-1))]  # the first of equal maxima
    peak = _spread(token[peak_row], alive, n)
    sums = np.add.reduceat(activation, starts, dtype=np.float64) if len(alive) else np.zeros(0)
    means = _spread(sums, alive, n) / np.maximum(counts, 1)

    new_context = np.empty(len(token), dtype=np.int64)
    new_context[1:] = context[1:] != context[:-1]
    new_context[starts] = 1
    n_contexts = _spread(np.add.reduceat(new_context, starts) if len(alive) else new_context[:0], alive, n)
    top_token, top_count = (_spread(values, alive, n) for values in _most_frequent(block.live, grid))
    ids = np.flatnonzero(counts > DERIVED_UP_TO)
    frequent = _part(block, ids)
    ids += block.first

    return BlockStatistics(
        latents={
            "latent": np.arange(block.first, block.first + n, dtype=np.uint32),
            "n_activations": counts.astype(np.uint64),
            "n_contexts": n_contexts.astype(np.uint32),
            "max_activation": decode(max_bits, block.scale),
            "mean_activation": means.astype(np.float32),
            "top_token": top_token.astype(np.uint32),
            "top_count": top_count.astype(np.uint64),
            "positional_mi": _positional(local, position, n, position_counts).astype(np.float32),
            "peak_token": peak,
        },
        live=live,
        quantiles=_by_id(quantiles(frequent, grid.ctx_len), ids),
        histograms=_by_id(histograms(frequent), ids),
        peaks=_peaks(block, local, token, context, peak, grid.ctx_len),
    )


def _part(block: LatentBlock, ids: NDArray[np.intp]) -> LatentBlock:
    """The latents `ids` (places in `block`, rising), numbered anew from 0."""
    counts = block.counts
    chosen = np.zeros(block.n_latents, dtype=bool)
    chosen[ids] = True
    rows = np.flatnonzero(np.repeat(chosen, counts)) if len(ids) else slice(0)
    offsets = np.concatenate([[0], np.cumsum(counts[ids])])
    return LatentBlock(0, offsets, block.token[rows], block.bits[rows], block.scale)


def _by_id(rows: dict[str, NDArray], ids: NDArray[np.intp]) -> dict[str, NDArray]:
    """Rows of a `_part`, with the latents' own numbers."""
    return rows | {"latent": ids[rows["latent"]].astype(np.uint32)}


def _spread(values: NDArray, alive: NDArray[np.intp], n: int) -> NDArray:
    """`values` of the live latents at their places among all `n`, zero elsewhere."""
    full = np.zeros(n, dtype=values.dtype)
    full[alive] = values
    return full


def _most_frequent(block: LatentBlock, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per latent, all live, the token id it fires on most often (the smallest of equals) and how often."""
    owner, ids, times = _token_counts(block, grid)
    first_run = np.flatnonzero(np.diff(owner, prepend=-1))
    count = np.maximum.reduceat(times, first_run) if len(first_run) else times
    best = np.flatnonzero(times == count[owner])
    best = best[np.flatnonzero(np.diff(owner[best], prepend=-1))]
    return ids[best].astype(np.int64), count


def _token_counts(
    block: LatentBlock, grid: Grid
) -> tuple[NDArray[np.intp], NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Latent, token id and number of activations of each pair that occurs, by latent, then token id."""
    if "token_counts" not in block.memo:
        ids, local = grid.tokens[block.token], block.local
        order = stable_order(ids, grid.vocab_size)
        order = order[stable_order(local[order].astype(np.uint32), block.n_latents)]
        ids, local = ids[order], local[order]
        begins = np.ones(len(ids), dtype=bool)
        begins[1:] = (ids[1:] != ids[:-1]) | (local[1:] != local[:-1])
        begin = np.flatnonzero(begins)
        block.memo["token_counts"] = local[begin], ids[begin], np.diff(begin, append=len(ids))
    return block.memo["token_counts"]


def token_entropy(block: LatentBlock, grid: Grid) -> NDArray[np.float64]:
    """Entropy in bits of the tokens that each latent activates on, every activation counted once; no latent is dead."""
    owner, _, times = _token_counts(block, grid)
    expected = np.bincount(owner, times * np.log2(times)) / block.counts
    return np.maximum(np.log2(block.counts) - expected, 0.0)


def _positional(
    local: NDArray[np.intp], position: NDArray[np.int64], n: int, position_counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mutual information in nats between activating and position in the context, per latent.

    Positions of long contexts are taken together in 128 bins of equal width.
    """
    ctx_len = len(position_counts)
    width = -(-ctx_len // _MAX_POSITION_BINS)
    bins = -(-ctx_len // width)
    fired = (
        np.bincount(local * bins + (position // width if width > 1 else position), minlength=n * bins)
        .reshape(n, bins)
        .astype(np.float64)
    )
    possible = np.bincount(np.arange(ctx_len) // width, weights=position_counts, minlength=bins)
    total = max(float(possible.sum()), 1.0)
    inactive = np.maximum(possible - fired, 0.0)
    information = np.zeros(n)
    for joint, share in ((fired, fired.sum(axis=1) / total), (inactive, inactive.sum(axis=1) / total)):
        expected = np.outer(share, possible)
        ratio = np.divide(joint, expected, out=np.ones_like(joint), where=(joint > 0) & (expected > 0))
        information += (joint * np.log(ratio)).sum(axis=1) / total
    return np.maximum(information, 0.0)


def quantiles(block: LatentBlock, ctx_len: int) -> dict[str, NDArray]:
    """Columns `latent, quantile, low, high`: the lowest and highest window maximum of each quantile that is not empty."""
    local = block.local
    context, position = np.divmod(block.token.astype(np.int64), ctx_len)
    part = position // WINDOW
    begins = np.ones(len(local), dtype=bool)
    begins[1:] = (local[1:] != local[:-1]) | (context[1:] != context[:-1]) | (part[1:] != part[:-1])
    begin = np.flatnonzero(begins)
    if not len(begin):
        empty = np.zeros(0, dtype=np.uint32)
        return {"latent": empty, "quantile": empty, "low": empty, "high": empty}
    maxima, owner = np.maximum.reduceat(block.bits, begin), local[begin]
    windows = np.bincount(owner, minlength=block.n_latents)
    first = np.cumsum(windows) - windows
    quantile = np.arange(N_QUANTILES + 1)
    border = -(-quantile * windows[:, None] // N_QUANTILES)  # first rank with rank * 10 // n == q
    low, high = border[:, 1:] - 1, border[:, :-1]
    latent, which = np.nonzero(low >= high)
    places = np.concatenate([first[latent] + high[latent, which], first[latent] + low[latent, which]])
    order = stable_order(~maxima, 1 << 16)  # falling: inverted bits rise
    ranked = maxima[order[stable_order(owner[order].astype(np.uint32), block.n_latents)]]
    high_bits, low_bits = np.split(ranked[places], 2)
    return {
        "latent": (latent + block.first).astype(np.uint32),
        "quantile": which.astype(np.uint8),
        "low": low_bits,
        "high": high_bits,
    }


def histograms(block: LatentBlock) -> dict[str, NDArray]:
    """Columns `latent, bin, n`: counts in `N_BINS` bins of equal width from 0 to the latent's maximum; empty bins are left
    out."""
    counts = block.counts
    alive = np.flatnonzero(counts)
    top = np.zeros(block.n_latents, dtype=np.float32)
    if len(alive):
        top[alive] = decode(np.maximum.reduceat(block.bits, block.offsets[:-1][alive]), block.scale)
    per_unit = np.divide(np.float32(N_BINS), top, out=np.zeros_like(top), where=top > 0)
    index = (block.activation * np.repeat(per_unit, counts)).astype(np.int64)
    np.minimum(index, N_BINS - 1, out=index)
    index += block.local * N_BINS
    counted = np.bincount(index, minlength=block.n_latents * N_BINS)
    filled = np.flatnonzero(counted)
    return {
        "latent": (filled // N_BINS + block.first).astype(np.uint32),
        "bin": (filled % N_BINS).astype(np.uint8),
        "n": counted[filled].astype(np.uint64),
    }


def _peaks(
    block: LatentBlock,
    local: NDArray[np.intp],
    token: NDArray[np.int64],
    context: NDArray[np.int64],
    peak: NDArray[np.int64],
    ctx_len: int,
) -> dict[str, NDArray]:
    """Activations in the peak's context, at most `PEAK_REACH` tokens from the peak, with their distance from it."""
    away = token - np.repeat(peak, block.counts)
    near = np.flatnonzero(np.abs(away) <= PEAK_REACH)
    near = near[context[near] == peak[local[near]] // ctx_len]
    return {
        "latent": (local[near] + block.first).astype(np.uint32),
        "away": away[near].astype(np.int8),
        "activation": block.bits[near],
    }
