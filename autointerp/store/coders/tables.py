"""What the tables of a coder file (`autointerp.store.coders.schema`) say in SQL.

What a file need not hold is worked out when it is asked for: densities and shares are quotients of counts, and the histogram
and the quantiles of a latent that fires rarely follow from its few activations in less time than reading them from a table
would take. `latents` and `views` give every table with all of its columns and rows, whatever is stored.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autointerp.store.catalog import AttachedCoder
from autointerp.store.coders.definitions import STATISTICS, Statistic
from autointerp.store.coders.schema import latent_type
from autointerp.store.coders.statistics import N_BINS, WINDOW
from autointerp.store.database import quote
from autointerp.types import N_QUANTILES, CoderInfo

PER_UNIT = 2000
"""Similarities, which lie in -1 to 1, are stored as whole numbers of 1/2000: as fine as float16 is near 1, in 11 bits."""


def encode_similarity(values: NDArray[np.floating]) -> NDArray[np.int16]:
    """Similarities as whole numbers of 1 / `PER_UNIT`."""
    return np.rint(np.clip(values, -1.0, 1.0) * PER_UNIT).astype(np.int16)


def decode_similarity(values: NDArray[np.int16]) -> NDArray[np.float32]:
    """The similarities behind `encode_similarity`'s numbers, to within half a step."""
    return values.astype(np.float32) / np.float32(PER_UNIT)


def latents(coder: AttachedCoder, computed: Mapping[str, str] | None = None) -> str:
    """SELECT of the statistics, one row a latent. `computed`: the tables `latent, value` of those that the file does not hold
    and that are wanted."""
    tables = computed or {}
    columns = [
        f"{_expression(statistic, coder.info, tables)} AS {statistic.column}"
        for statistic in STATISTICS.values()
        if statistic.compute is None or statistic.name in tables
    ]
    joins = "".join(f" LEFT JOIN {table} AS {quote(name)} USING (latent)" for name, table in tables.items())
    if coder.info.selected:
        joins += f" LEFT JOIN {coder.alias}.stated AS stated USING (latent)"
    return f"SELECT latent, {', '.join(columns)} FROM {coder.alias}.latents AS held{joins}"


def _expression(statistic: Statistic, info: CoderInfo, tables: Mapping[str, str]) -> str:
    if statistic.name in tables:
        return f"{quote(statistic.name)}.value"
    if info.selected and statistic.selected == "stated":
        return f"stated.{statistic.column}"
    if info.selected and statistic.selected == "unknown":
        return f"NULL::{statistic.stored or 'DOUBLE'}"
    if statistic.sql is not None:
        return statistic.sql.format(n_tokens=max(info.n_tokens, 1), n_contexts=info.n_contexts)
    return f"held.{statistic.column}"


def views(coder: AttachedCoder, computed: Mapping[str, str]) -> dict[str, str]:
    """SELECT of each table that a query may name; `computed` as for `latents`. They use the macro `half` of
    `autointerp.store.sql`."""
    info, alias = coder.info, coder.alias
    grid, scale = info.n_contexts * info.ctx_len, f"{info.scale}::FLOAT"
    return {
        "latents": latents(coder, computed),
        "activations": (
            f"SELECT latent, token, token // {info.ctx_len} AS context, token % {info.ctx_len} AS position, activation FROM "
            f"(SELECT latent, place % {grid} AS token, half(activation) * {scale} AS activation FROM {alias}.activations)"
        ),
        "quantiles": (
            f"SELECT latent, quantile, half(low) * {scale} AS low, half(high) * {scale} AS high "
            f"FROM (FROM {alias}.quantiles UNION ALL {_derived_quantiles(coder)})"
            + (" WHERE false" if info.selected else "")
        ),
        "histograms": _stated_histograms(coder) if info.selected else (
            f"SELECT latent, bin, max_activation * bin / {N_BINS} AS low, max_activation * (bin + 1) / {N_BINS} AS high, n "
            f"FROM (SELECT latent, bin, n, max_activation FROM {alias}.histograms JOIN {_maxima(coder)} USING (latent) "
            f"UNION ALL {_derived_histograms(coder)})"
        ),
        "logits": (
            f"SELECT latent, rank, promoted, token, text, half(bits) * {coder.logit_scale}::FLOAT AS value FROM "
            f"({_logits(alias, 'promoted', 'true')} UNION ALL {_logits(alias, 'suppressed', 'false')}) "
            "LEFT JOIN (SELECT token, text FROM corpus.vocabulary) USING (token)"
        ),
        "neighbours": _neighbours(coder),
    }  # fmt: skip


def _rare(coder: AttachedCoder) -> str:
    """Activations of the latents whose histogram and quantiles are not stored, with their maximum."""
    maxima = _maxima(coder, f" WHERE n_activations <= {coder.derived_up_to}")
    return f"(SELECT latent, place, activation, max_activation FROM {coder.alias}.activations JOIN {maxima} USING (latent))"


def _maxima(coder: AttachedCoder, where: str = "") -> str:
    latent = f"latent::{latent_type(coder.info.n_latents)} AS latent"
    return f"(SELECT {latent}, max_activation FROM {coder.alias}.latents{where})"


def _stated_histograms(coder: AttachedCoder) -> str:
    """Of a coder of which selected contexts are known: what its file states."""
    bins = "unnest(range(len(counts)))::UTINYINT AS bin"
    return (
        f"SELECT latent::{latent_type(coder.info.n_latents)} AS latent, {bins}, unnest(edges[:len(counts)]) AS low, "
        f"unnest(edges[2:]) AS high, unnest(counts)::UBIGINT AS n FROM {coder.alias}.stated"
    )


def _derived_histograms(coder: AttachedCoder) -> str:
    # In single precision and in this order, as `statistics.histograms` does it: a bin's edge belongs to the same bin.
    share = f"half(activation) * {coder.info.scale}::FLOAT * ({N_BINS}::FLOAT / max_activation)"
    return (
        f"SELECT latent, least(floor({share}), {N_BINS - 1})::UTINYINT AS bin, count(*)::UBIGINT AS n, "
        f"max_activation FROM {_rare(coder)} GROUP BY ALL"
    )


def _derived_quantiles(coder: AttachedCoder) -> str:
    info = coder.info
    grid = info.n_contexts * info.ctx_len
    windows = (
        f"SELECT latent, max(activation) AS bits FROM {_rare(coder)} "
        f"GROUP BY latent, place % {grid} // {info.ctx_len}, place % {info.ctx_len} // {WINDOW}"
    )
    ranked = (
        "SELECT latent, bits, row_number() OVER (PARTITION BY latent ORDER BY bits DESC) - 1 AS rank, "
        f"count(*) OVER (PARTITION BY latent) AS n FROM ({windows})"
    )
    return (
        f"SELECT latent, (rank * {N_QUANTILES} // n)::UTINYINT AS quantile, min(bits) AS low, max(bits) AS high "
        f"FROM ({ranked}) GROUP BY ALL"
    )


def _logits(alias: str, column: str, promoted: str) -> str:
    return (
        f"SELECT latent, unnest(range(len({column})))::UTINYINT AS rank, {promoted} AS promoted, unnest({column}) AS token, "
        f"unnest({column}_value) AS bits FROM {alias}.logits"
    )


def _neighbours(coder: AttachedCoder) -> str:
    parts = [
        f"SELECT latent, '{relation}' AS relation, unnest(range(len({column})))::UTINYINT AS rank, "
        f"unnest({column}) AS neighbour, unnest({column}_value) / {PER_UNIT}::FLOAT AS value FROM {coder.alias}.neighbours"
        for relation, column in coder.relations.items()
    ]
    empty = (
        "SELECT 0::UINTEGER AS latent, '' AS relation, 0::UTINYINT AS rank, 0::UINTEGER AS neighbour, "
        "0::FLOAT AS value WHERE false"
    )
    return " UNION ALL ".join(parts or [empty])
