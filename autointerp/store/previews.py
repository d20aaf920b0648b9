"""What a row of a list shows of its latent: the strongest window of all, or the strongest at what was searched for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.coders.firing import Spots, unit_of
from autointerp.store.coders.half import decode
from autointerp.store.coders.statistics import PEAK_REACH
from autointerp.store.queries import LatentRow
from autointerp.store.store import Store
from autointerp.types import Example


def preview_examples(store: Store, rows: Sequence[LatentRow], window: int = 24) -> list[Example | None]:
    """Per row the strongest window of its latent, `None` for a dead one: `window` tokens (at most 64), the peak in the middle,
    moved to stay inside its context. One query per coder, none of them to the activations. Raises UserError."""
    if not 1 <= window <= 2 * PEAK_REACH:
        raise UserError(
            f"a preview window of {window} tokens is not available; accepted: 1 to {2 * PEAK_REACH}."
        )
    generation = store.generation()
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
        max_activation=row.stats.max_activation or float(activations.max()),
        quantile=0,
    )


class Match(NamedTuple):
    """A window around a spot, and the place in it of the spot's token on which the latent is strongest."""

    example: Example
    at: int


def match_examples(store: Store, rows: Sequence[LatentRow], spots: Spots, window: int = 24) -> list[Match]:
    """Per row the window of `window` tokens around the token of `spots` on which its latent is strongest, moved to stay inside
    its context. One query per coder. Each latent must fire there, as those of a query with these spots do."""
    generation = store.generation()
    around: dict[tuple[str, int], Match] = {}
    for name in dict.fromkeys(row.coder for row in rows):
        latents = [row.stats.latent for row in rows if row.coder == name]
        examples = _at_spots(generation, generation.coder(name), latents, spots, window)
        around |= {(name, latent): match for latent, match in examples.items()}
    return [around[row.coder, row.stats.latent] for row in rows]


def _at_spots(
    generation: Generation, coder: AttachedCoder, latents: Sequence[int], spots: Spots, window: int
) -> dict[int, Match]:
    info = coder.info
    with generation.reading() as cursor:
        cursor.register("wanted", pa.table({"spot": np.asarray(spots.ids, dtype=np.uint64)}))
        rows = cursor.execute(
            "WITH fires AS (SELECT latent, (place % $grid)::BIGINT AS token, activation FROM "
            f"{coder.alias}.activations WHERE latent IN ({', '.join(map(str, latents))})), "
            # Of equally strong ones the first.
            "peaks AS (SELECT latent, arg_max(token, (activation::BIGINT << 40) - token) AS peak FROM "
            f"(SELECT latent, token, activation, {unit_of('token', info, spots.width)} AS spot FROM fires) "
            "SEMI JOIN wanted USING (spot) GROUP BY latent) "
            "SELECT latent, token, activation, peak FROM fires JOIN peaks USING (latent) "
            "WHERE abs(token - peak) <= $window AND token // $ctx_len = peak // $ctx_len",
            {"grid": info.n_contexts * info.ctx_len, "window": window, "ctx_len": info.ctx_len},
        ).fetchnumpy()
    latent, token, bits, peak = (np.asarray(rows[name]) for name in ("latent", "token", "activation", "peak"))
    values = decode(bits, info.scale)
    matches = {}
    for each in latents:
        own = latent == each
        context, at = divmod(int(peak[own][0]), info.ctx_len)
        width = min(window, info.ctx_len)
        start = min(max(at - width // 2, 0), info.ctx_len - width)
        position = token[own] - context * info.ctx_len - start
        inside = (position >= 0) & (position < width)
        activations = np.zeros(width, dtype=np.float32)
        activations[position[inside]] = values[own][inside]
        example = Example(
            context=context,
            start=start,
            token_ids=np.array(generation.tokens[context, start : start + width], dtype=np.int64),
            activations=activations,
            max_activation=float(activations.max()),
            quantile=None,
        )
        matches[each] = Match(example, at - start)
    return matches
