"""Previews for lists of latents: the strongest window of each, without touching the table of activations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.store.catalog import Generation
from autointerp.store.coders.half import decode
from autointerp.store.coders.statistics import PEAK_REACH
from autointerp.store.queries import LatentRow
from autointerp.types import Example


def preview_examples(generation: Generation, rows: Sequence[LatentRow], window: int) -> list[Example | None]:
    """One example per row, in order: `window` tokens (at most 64) with the peak in the middle, moved to stay inside its
    context. One query per coder."""
    if not 1 <= window <= 2 * PEAK_REACH:
        raise UserError(
            f"a preview window of {window} tokens is not available; accepted: 1 to {2 * PEAK_REACH}."
        )
    near: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    for name in dict.fromkeys(row.coder for row in rows):
        coder = generation.coder(name)
        latents = [row.stats.latent for row in rows if row.coder == name and not row.stats.is_dead]
        if not latents:
            continue
        near_peaks = generation.columns(
            f"SELECT latent, away, activation FROM {coder.alias}.peaks WHERE latent IN ({', '.join(map(str, latents))})"
        )
        values = decode(near_peaks["activation"], coder.info.scale)
        for latent in latents:
            own = near_peaks["latent"] == latent
            near[name, latent] = near_peaks["away"][own].astype(np.int64), values[own]
    return [
        None
        if row.stats.is_dead
        else _preview(generation.tokens, row, *near[row.coder, row.stats.latent], window)
        for row in rows
    ]


def _preview(
    tokens: NDArray[np.unsignedinteger],
    row: LatentRow,
    away: NDArray[np.int64],
    values: NDArray[np.float32],
    window: int,
) -> Example:
    ctx_len = tokens.shape[1]
    context, peak = divmod(row.stats["peak_token"], ctx_len)
    width = min(window, ctx_len)
    start = min(max(peak - width // 2, 0), ctx_len - width)
    # At the end of a context the window reaches further back than activations near the peak are kept.
    start = max(start, peak - PEAK_REACH)
    stop = min(start + width, peak + PEAK_REACH + 1, ctx_len)
    at = away + peak - start
    inside = (at >= 0) & (at < stop - start)
    activations = np.zeros(stop - start, dtype=np.float32)
    activations[at[inside]] = values[inside]
    return Example(
        context=context,
        start=start,
        token_ids=np.array(tokens[context, start:stop], dtype=np.int64),
        activations=activations,
        max_activation=row.stats.max_activation,
        quantile=0,
    )
