"""The list of latents over one or several coders: filtered, sorted and paged by DuckDB.

What people and jobs wrote about the latents comes as Arrow tables, see `annotated`: those a query needs are joined with the
statistics; what a row shows of them is fetched for the rows of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import duckdb
import pyarrow as pa

from autointerp.store.annotated import AnnotatedStore, CoderAnnotations, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.coders import computed
from autointerp.store.coders.definitions import STATISTICS
from autointerp.store.coders.firing import relevance
from autointerp.store.coders.tables import latents
from autointerp.store.queries import (
    JUDGED,
    UNJUDGED,
    Dead,
    Human,
    LatentPage,
    LatentQuery,
    LatentRow,
    ScoreBound,
    ScoreValue,
    State,
)
from autointerp.store.store import Store
from autointerp.types import LatentStats

_DEAD: dict[Dead, str] = {"hide": "n_activations > 0", "show": "true", "only": "n_activations = 0"}
_STATES: dict[State, str] = {
    "explained": "explained",
    "unexplained": "explained IS NOT TRUE",
    "failed": "failed AND NOT explained",
    "unscored": "explained AND score IS NULL",
}
_HUMAN: dict[Human, str] = {"pinned": "pinned", "person": "person"}
_VERDICTS = {JUDGED: "verdict IS NOT NULL", UNJUDGED: "verdict IS NULL"}
_NOTHING = {
    "matched": {"latent": "uint32", "relevance": "float64"},
    "states": {
        "latent": "uint32", "explained": "bool", "failed": "bool", "explainer": "string", "pinned": "bool", "person": "bool",
        "made_by": "string",
    },
    "judged": {"latent": "uint32", "verdict": "string"},
    "ranked": {"latent": "uint32", "rank": "float64"},
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
    with generation.reading() as cursor:
        parts = _selects(cursor, generation, names, query, annotated)
        parameters = [value for part in parts for value in part.parameters]
        # Counted apart: a window function over all matches would take six times as long as the page.
        counted = cursor.execute(
            f"SELECT count(*) FROM ({' UNION ALL '.join(part.counting for part in parts)})", parameters
        ).fetchone()
        # The statistics of the page's rows come afterwards: carried along with all matches they would take twice as long.
        ranked = cursor.execute(
            f"SELECT coder, latent, relevance FROM ({_ordered(parts, query)} LIMIT ? OFFSET ?)",
            [*parameters, max(query.limit, 0), max(query.offset, 0)],
        ).fetchall()
        rows = _with_statistics(cursor, names, parts, ranked)
    return LatentPage(
        counted[0] if counted else 0,
        sum(coder.info.n_dead for coder in attached),
        rows if annotated is None else _described(rows, annotated, query),
    )


def whole_list(
    store: Store, coders: Sequence[str], query: LatentQuery, *, annotations: Annotations | None = None
) -> pa.Table:
    """The whole list whatever the query's limit, in its order: `coder, latent`, the statistics by their names, `relevance`.
    Raises as `list_latents`."""
    query.check()
    generation = store.generation()
    annotated = None if annotations is None else annotated_store(annotations)
    with generation.reading() as cursor:
        parts = _selects(cursor, generation, coders, query, annotated)
        if not parts:
            return pa.table({"coder": pa.array([], pa.string()), "latent": pa.array([], pa.uint32())})
        parameters = [value for part in parts for value in part.parameters]
        table = cursor.sql(_ordered(parts, query), params=parameters).to_arrow_table()
    columns = {"coder": pa.array(list(coders)).take(table["coder"]), "latent": table["latent"]}
    columns |= {
        name: table[each.column] for name, each in STATISTICS.items() if each.column in table.column_names
    }
    return pa.table({**columns, "relevance": table["relevance"]})


def _selects(
    cursor: duckdb.DuckDBPyConnection,
    generation: Generation,
    names: Sequence[str],
    query: LatentQuery,
    annotated: AnnotatedStore | None,
) -> list["_Select"]:
    return [
        _select(
            cursor, generation, generation.coder(name), number,
            None if annotated is None else annotated.coder(name), query,
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def _ordered(parts: Sequence["_Select"], query: LatentQuery) -> str:
    order = STATISTICS[query.sort].column if query.sort in STATISTICS else query.sort
    direction = "DESC" if query.descending else "ASC"
    text = " UNION ALL ".join(part.text for part in parts)
    return f"SELECT * FROM ({text}) ORDER BY {order} {direction} NULLS LAST, coder, latent"


@dataclass(frozen=True)
class _Select:
    """One coder's share of the list. `counting`: the same without what only sorts. `statistics`: of all its latents."""

    statistics: str
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
            table = _nothing(name)
        cursor.register(f"{name}_{number}", table)
        return f" {how} JOIN {name}_{number} USING (latent)"

    if any(part is not None for part in (query.state, query.explainer, query.human, query.made_by)):
        joins.append(join("states", written and written.states, "LEFT"))
    if query.verdict is not None:
        joins.append(join("judged", written and written.said(query.unseen.get(coder.info.coder, ())), "LEFT"))
    if query.uses_scores or query.state == "unscored":
        table = written and (written.any_score if query.kind is None else written.values(query.kind))
        scored = join("scored", table, "LEFT")
        if query.state == "unscored" or not query.bounds.keys().isdisjoint(get_args(ScoreValue)):
            joins.append(scored)
        else:
            only_sorting = scored
    for place, bound in enumerate(query.also):
        name = f"scored_{number}_{place}"
        cursor.register(name, _nothing("scored") if written is None else written.values(bound.kind))
        joins.append(f" SEMI JOIN (SELECT latent FROM {name} WHERE {_between(bound)}) USING (latent)")
    if query.members is not None:
        latents_ = pa.array(query.members.get(coder.info.coder, ()), pa.uint32())
        joins.append(join("members", pa.table({"latent": latents_}), "SEMI"))
    if query.sort == "rank" and query.ranks is not None:
        only_sorting = join("ranked", query.ranks.get(coder.info.coder), "LEFT")
    if query.matches is not None:
        joins.append(join("matched", query.matches.get(coder.info.coder), "INNER"))
        ranked = f"matched_{number}.relevance"
    if query.spots is not None:
        how = "INNER" if query.matches is None else "SEMI"
        joins.append(join("activating", relevance(generation, coder, query.spots), how))
        ranked = ranked if how == "SEMI" else f"activating_{number}.relevance"
    tables = computed.tables(generation, coder, query.computed)
    columns = f"{number} AS coder, statistics.*, {ranked} AS relevance"
    if query.sort in (*get_args(ScoreValue), "rank"):
        columns += f", {query.sort}"
    statistics = latents(coder, tables)
    source = f"({statistics}) AS statistics{''.join(joins)}"
    where = f"WHERE {' AND '.join(conditions)}"
    return _Select(
        statistics,
        f"SELECT {columns} FROM {source}{only_sorting} {where}",
        f"SELECT 1 FROM {source} {where}",
        parameters,
    )


def _nothing(name: str) -> pa.Table:
    return pa.table({column: pa.array([], kind) for column, kind in _NOTHING[name].items()})


def _between(bound: ScoreBound) -> str:
    """The condition in SQL; the numbers are finite."""
    sides = ((">=", bound.least), ("<=", bound.most))
    parts = [f"{bound.value} {comparison} {float(side)!r}" for comparison, side in sides if side is not None]
    return " AND ".join([*parts, f"{bound.value} IS NOT NULL"])


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
    if query.verdict in _VERDICTS:
        conditions.append(_VERDICTS[query.verdict])
    elif query.verdict is not None:
        conditions.append("verdict = ?")
        values.append(query.verdict)
    if query.explainer is not None:
        conditions.append("explainer = ?")
        values.append(query.explainer)
    if query.made_by is not None:
        conditions.append("made_by = ?")
        values.append(query.made_by)
    return conditions, values


def _with_statistics(
    cursor: duckdb.DuckDBPyConnection,
    names: Sequence[str],
    parts: Sequence[_Select],
    ranked: Sequence[tuple[int, int, float | None]],
) -> list[LatentRow]:
    """The rows of these coders (their places in `names`), latents and relevances, in this order."""
    stats: dict[tuple[int, int], LatentStats] = {}
    for number in {number for number, _, _ in ranked}:
        wanted = ", ".join(str(latent) for each, latent, _ in ranked if each == number)
        result = cursor.execute(f"SELECT * FROM ({parts[number].statistics}) WHERE latent IN ({wanted})")
        columns = [column[0] for column in result.description]
        for values in result.fetchall():
            value = dict(zip(columns, values, strict=True))
            held = {name: value[each.column] for name, each in STATISTICS.items() if each.column in value}
            stats[number, value["latent"]] = LatentStats(value["latent"], held)
    return [
        LatentRow(names[number], stats[number, latent], relevance) for number, latent, relevance in ranked
    ]


def _described(rows: list[LatentRow], annotated: AnnotatedStore, query: LatentQuery) -> list[LatentRow]:
    """The rows with what is shown of their explanations."""
    kind = query.kind
    described: dict[tuple[str, int], LatentRow] = {}
    for name in dict.fromkeys(row.coder for row in rows):
        written = annotated.coder(name)
        by_latent = {row.stats.latent: row for row in rows if row.coder == name}
        shown = written.shown(list(by_latent))
        scores = {} if kind is None else written.shown_scores(kind, list(by_latent))
        unseen = query.unseen.get(name, ())
        verdicts = written.shown_verdicts([latent for latent in by_latent if latent not in unseen])
        errors = written.errors([latent for latent in by_latent if latent not in shown])
        for latent, row in by_latent.items():
            described[name, latent] = replace(
                row,
                explanation=shown.get(latent),
                score=scores.get(latent),
                verdict=verdicts.get(latent),
                error=errors.get(latent),
            )
    return [described[row.coder, row.stats.latent] for row in rows]
