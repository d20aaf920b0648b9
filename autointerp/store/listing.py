"""The list of latents over one or several coders: filtered, sorted and paged by DuckDB.

What people and jobs wrote about the latents comes as Arrow tables, see `annotated`: those a query needs are joined with the
statistics; what a row shows of them is fetched for the rows of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.store.annotated import AnnotatedStore, CoderAnnotations, ScoreKind, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.coders import computed
from autointerp.store.coders.definitions import STATISTICS
from autointerp.store.coders.firing import relevance
from autointerp.store.coders.half import decode
from autointerp.store.coders.statistics import PEAK_REACH
from autointerp.store.coders.tables import latents
from autointerp.store.queries import Dead, Human, LatentPage, LatentQuery, LatentRow, ScoreValue, State
from autointerp.store.store import Store
from autointerp.types import Example, LatentStats

_DEAD: dict[Dead, str] = {"hide": "n_activations > 0", "show": "true", "only": "n_activations = 0"}
_STATES: dict[State, str] = {
    "explained": "explained",
    "unexplained": "explained IS NOT TRUE",
    "failed": "failed AND NOT explained",
    "unscored": "explained AND score IS NULL",
}
_HUMAN: dict[Human, str] = {"pinned": "pinned", "person": "person"}
_NOTHING = {
    "matched": {"latent": "uint32", "relevance": "float64"},
    "states": {
        "latent": "uint32", "explained": "bool", "failed": "bool", "explainer": "string", "pinned": "bool", "person": "bool",
    },
    "scored": {"latent": "uint32", "score": "float64", "ci_low": "float64", "above_floor": "float64"},
}  # fmt: skip
"""Columns of the joined tables, for a coder that has none."""


def list_latents(
    store: Store,
    coders: Sequence[str] | None = None,
    query: LatentQuery | None = None,
    *,
    annotations: Annotations | None = None,
) -> LatentPage:
    """One page of latents of `coders` (all by default); without `annotations` nothing is explained. The first list that needs a
    computed statistic works it out, see `coders.computed`. Raises UnknownName for a coder, UserError for a query that makes no
    sense."""
    query = query or LatentQuery()
    query.check()
    generation = store.generation()
    names = list(generation.coders) if coders is None else list(dict.fromkeys(coders))
    attached = [generation.coder(name) for name in names]
    if not attached:
        return LatentPage(0, 0, [])
    annotated = None if annotations is None else annotated_store(annotations)
    cursor = generation.cursor()
    parts = [
        _select(
            cursor, generation, coder, number, None if annotated is None else annotated.coder(name), query
        )
        for number, (name, coder) in enumerate(zip(names, attached, strict=True))
    ]
    text = " UNION ALL ".join(part.text for part in parts)
    parameters = [value for part in parts for value in part.parameters]
    # Counted apart: a window function over all matches would take six times as long as the page.
    counted = cursor.execute(
        f"SELECT count(*) FROM ({' UNION ALL '.join(part.counting for part in parts)})", parameters
    ).fetchone()
    order = STATISTICS[query.sort].column if query.sort in STATISTICS else query.sort
    direction = "DESC" if query.descending else "ASC"
    result = cursor.execute(
        f"SELECT * FROM ({text}) ORDER BY {order} {direction} NULLS LAST, coder, latent LIMIT ? OFFSET ?",
        [*parameters, max(query.limit, 0), max(query.offset, 0)],
    )
    columns = [column[0] for column in result.description]
    rows = [_row(names, dict(zip(columns, values, strict=True))) for values in result.fetchall()]
    return LatentPage(
        counted[0] if counted else 0,
        sum(coder.info.n_dead for coder in attached),
        rows if annotated is None else _described(rows, annotated, query.kind),
    )


@dataclass(frozen=True)
class _Select:
    """One coder's share of the list. `counting`: the same without what only sorts."""

    text: str
    counting: str
    parameters: list[Any]


def _select(
    cursor: duckdb.DuckDBPyConnection,
    generation: Generation,
    coder: AttachedCoder,
    number: int,
    written: CoderAnnotations | None,
    query: LatentQuery,
) -> _Select:
    """Registers the tables it names at `cursor`."""
    conditions, parameters = _conditions(query)
    joins: list[str] = []
    only_sorting = ""
    ranked = "NULL::DOUBLE"

    def join(name: str, table: pa.Table | None, how: str) -> str:
        if table is None:
            table = pa.table({column: pa.array([], kind) for column, kind in _NOTHING[name].items()})
        cursor.register(f"{name}_{number}", table)
        return f" {how} JOIN {name}_{number} USING (latent)"

    if query.state is not None or query.explainer is not None or query.human is not None:
        joins.append(join("states", written and written.states, "LEFT"))
    if query.uses_scores or query.state == "unscored":
        table = written and (written.any_score if query.kind is None else written.values(query.kind))
        scored = join("scored", table, "LEFT")
        if query.state == "unscored" or not query.bounds.keys().isdisjoint(get_args(ScoreValue)):
            joins.append(scored)
        else:
            only_sorting = scored
    if query.matches is not None:
        joins.append(join("matched", query.matches.get(coder.info.coder), "INNER"))
        ranked = f"matched_{number}.relevance"
    if query.spots is not None:
        how = "INNER" if query.matches is None else "SEMI"
        joins.append(join("activating", relevance(generation, coder, query.spots), how))
        ranked = ranked if how == "SEMI" else f"activating_{number}.relevance"
    tables = computed.tables(generation, coder, query.computed)
    columns = f"{number} AS coder, statistics.*, {ranked} AS relevance"
    if query.sort in get_args(ScoreValue):
        columns += f", {query.sort}"
    source = f"({latents(coder, tables)}) AS statistics{''.join(joins)}"
    where = f"WHERE {' AND '.join(conditions)}"
    return _Select(
        f"SELECT {columns} FROM {source}{only_sorting} {where}", f"SELECT 1 FROM {source} {where}", parameters
    )


def _conditions(query: LatentQuery) -> tuple[list[str], list[Any]]:
    conditions, values = [_DEAD[query.dead]], []
    for name, (least, largest) in query.bounds.items():
        column = STATISTICS[name].column if name in STATISTICS else name
        for comparison, bound in ((">=", least), ("<=", largest)):
            if bound is not None:
                conditions.append(f"{column} {comparison} ?")
                values.append(bound)
    if query.state is not None:
        conditions.append(_STATES[query.state])
    if query.human is not None:
        conditions.append(_HUMAN[query.human])
    if query.explainer is not None:
        conditions.append("explainer = ?")
        values.append(query.explainer)
    return conditions, values


def _row(coders: list[str], value: dict[str, Any]) -> LatentRow:
    values = {
        name: value[statistic.column] for name, statistic in STATISTICS.items() if statistic.column in value
    }
    return LatentRow(coders[value["coder"]], LatentStats(value["latent"], values), value["relevance"])


def _described(rows: list[LatentRow], annotated: AnnotatedStore, kind: ScoreKind | None) -> list[LatentRow]:
    """The rows with what is shown of their explanations."""
    described: dict[tuple[str, int], LatentRow] = {}
    for name in dict.fromkeys(row.coder for row in rows):
        written = annotated.coder(name)
        by_latent = {row.stats.latent: row for row in rows if row.coder == name}
        shown = written.shown(list(by_latent))
        scores = {} if kind is None else written.shown_scores(kind, list(by_latent))
        errors = written.errors([latent for latent in by_latent if latent not in shown])
        for latent, row in by_latent.items():
            described[name, latent] = replace(
                row, explanation=shown.get(latent), score=scores.get(latent), error=errors.get(latent)
            )
    return [described[row.coder, row.stats.latent] for row in rows]


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
        max_activation=row.stats.max_activation,
        quantile=0,
    )
