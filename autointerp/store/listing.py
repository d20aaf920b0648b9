"""The list of latents over one or several coders: filtered, sorted and paged by DuckDB.

What people and jobs wrote about the latents comes as Arrow tables, see `annotated`: those a query needs are joined with the
statistics; what a row shows of them is fetched for the rows of the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from autointerp.errors import UserError
from autointerp.store.annotated import (
    AnnotatedStore,
    CoderAnnotations,
    ScoreKind,
    ShownExplanation,
    ShownScore,
    annotated_store,
)
from autointerp.store.annotations import Annotations
from autointerp.store.catalog import Generation
from autointerp.store.coders.firing import Spots, relevance
from autointerp.store.coders.tables import AttachedCoder, latents
from autointerp.types import LatentStats

if TYPE_CHECKING:
    import duckdb
    import pyarrow

    from autointerp.store.store import Store

Sort = Literal[
    "latent",
    "n_activations",
    "n_contexts",
    "density",
    "context_density",
    "max_activation",
    "mean_activation",
    "top_token_share",
    "positional",
    "score",
    "ci_low",
    "above_floor",
    "relevance",
]
ScoreSort = Literal["score", "ci_low", "above_floor"]
State = Literal["explained", "unexplained", "failed", "unscored"]
Human = Literal["pinned", "person"]


@dataclass(frozen=True)
class LatentQuery:
    """What to list. Bounds are inclusive, `None` = no bound; a bound on a value that a latent lacks leaves it out. Equal
    latents come in the order of coders, then latents; those without the value sorted by come last, either way.

    `token`: only latents whose top token it is. `spots`: only latents that fire there; `matches`: only these latents, a table
    `latent, relevance` for each coder (a coder without one has none). Both give a `relevance` to sort by; with both, `matches`
    does. `contexts` is short for `spots` that are whole contexts.

    `kind`: whose score to show, to sort by ("score"; "ci_low", the lower end of its interval; "above_floor", value minus floor)
    and to bound. Everything about explanations means the shown one. `state`: "failed" has no good explanation and at least one
    failed attempt, "unscored" an explanation without a score of `kind` (of any kind without one). `human`: "pinned" by a
    person, or written by a "person".
    """

    sort: Sort = "density"
    descending: bool = True
    min_density: float | None = None
    max_density: float | None = None
    min_max_activation: float | None = None
    max_max_activation: float | None = None
    min_top_token_share: float | None = None
    max_top_token_share: float | None = None
    min_activations: int | None = None
    min_contexts: int | None = None
    min_positional: float | None = None
    token: int | None = None
    include_dead: bool = False
    only_dead: bool = False
    contexts: Sequence[int] | None = None
    spots: Spots | None = None
    matches: "Mapping[str, pyarrow.Table] | None" = None
    kind: ScoreKind | None = None
    min_score: float | None = None
    max_score: float | None = None
    min_ci_low: float | None = None
    min_above_floor: float | None = None
    state: State | None = None
    explainer: str | None = None
    human: Human | None = None
    limit: int = 25
    offset: int = 0


@dataclass(frozen=True)
class LatentRow:
    """A latent in the list. `peak_token`: token index of its strongest activation, -1 for a dead latent. `error`: of the
    newest attempt at an explanation where there is no good one. `relevance`: where the query gives one."""

    coder: str
    stats: LatentStats
    peak_token: int
    explanation: ShownExplanation | None = None
    score: ShownScore | None = None
    error: str | None = None
    relevance: float | None = None


@dataclass(frozen=True)
class LatentPage:
    """One page. `total` counts all matches, `n_dead` the dead latents of the chosen coders, shown or not."""

    total: int
    n_dead: int
    rows: list[LatentRow]


_BOUNDS = {
    "min_density": "density >= ?",
    "max_density": "density <= ?",
    "min_max_activation": "max_activation >= ?",
    "max_max_activation": "max_activation <= ?",
    "min_top_token_share": "top_token_share >= ?",
    "max_top_token_share": "top_token_share <= ?",
    "min_activations": "n_activations >= ?",
    "min_contexts": "n_contexts >= ?",
    "min_positional": "positional_mi >= ?",
    "token": "top_token = ?",
}
_SCORE_BOUNDS = {
    "min_score": "score >= ?",
    "max_score": "score <= ?",
    "min_ci_low": "ci_low >= ?",
    "min_above_floor": "above_floor >= ?",
}
_STATES: dict[State, str] = {
    "explained": "explained",
    "unexplained": "explained IS NOT TRUE",
    "failed": "failed AND NOT explained",
    "unscored": "explained AND score IS NULL",
}
_HUMAN: dict[Human, str] = {"pinned": "pinned", "person": "person"}
_SORT_COLUMNS = {"positional": "positional_mi"}  # the bare word is reserved in DuckDB
_COLUMNS = (
    "latent, n_activations, n_contexts, density, context_density, max_activation, mean_activation, top_token, "
    "top_token_share, positional_mi"
)


def list_latents(
    store: "Store",
    coders: Sequence[str] | None = None,
    query: LatentQuery | None = None,
    *,
    annotations: Annotations | None = None,
) -> LatentPage:
    """One page of latents of `coders` (all by default); without `annotations` nothing is explained. Raises UnknownName for
    a coder, UserError for a sort or a filter that is unknown, or that lacks what it is about."""
    query = query or LatentQuery()
    _check(query)
    generation = store._catalog.current()
    names = list(generation.coders) if coders is None else list(dict.fromkeys(coders))
    attached = [generation.coder(name) for name in names]
    if not attached:
        return LatentPage(0, 0, [])
    if query.spots is None and query.contexts is not None:
        query = replace(query, spots=Spots.contexts(query.contexts, store.ctx_len))
    kept = None if annotations is None else annotated_store(annotations)
    cursor = generation.cursor()
    counting, listing = _Union(cursor), _Union(cursor)
    for index, (name, coder) in enumerate(zip(names, attached, strict=True)):
        part = _Part(generation, coder, index, None if kept is None else kept.coder(name), query)
        counting.add(*part.select(sorting=False))
        listing.add(*part.select(sorting=True))
    direction = "DESC" if query.descending else "ASC"
    # Counted apart: a window function over all matches would take six times as long as the page.
    counted = cursor.execute(f"SELECT count(*) FROM ({counting.text})", counting.parameters).fetchone()
    rows = cursor.execute(
        f"SELECT * FROM ({listing.text}) ORDER BY {_SORT_COLUMNS.get(query.sort, query.sort)} {direction} NULLS LAST, "
        "coder, latent LIMIT ? OFFSET ?",
        [*listing.parameters, max(query.limit, 0), max(query.offset, 0)],
    ).fetchall()
    total = counted[0] if counted else 0
    n_dead = sum(coder.info.n_dead for coder in attached)
    made = [_row(names[row[0]], row[1:]) for row in rows]
    return LatentPage(total, n_dead, made if kept is None else _described(made, kept, query.kind))


def _check(query: LatentQuery) -> None:
    if query.sort not in get_args(Sort):
        raise UserError(f"cannot sort by {query.sort!r}. Accepted: {', '.join(get_args(Sort))}.")
    if query.state is not None and query.state not in _STATES:
        raise UserError(f"unknown state {query.state!r}. Accepted: {', '.join(_STATES)}.")
    if query.human is not None and query.human not in _HUMAN:
        raise UserError(f"unknown filter {query.human!r}. Accepted: {', '.join(_HUMAN)}.")
    if query.kind is None and (
        query.sort in get_args(ScoreSort) or any(getattr(query, name) is not None for name in _SCORE_BOUNDS)
    ):
        raise UserError("to sort or filter by a score, say which kind of score.")
    if query.sort == "relevance" and query.matches is None and query.spots is None and query.contexts is None:
        raise UserError("to sort by relevance, say what to search for.")


class _Union:
    """SELECTs over all coders as one, with their parameters and their tables registered at the cursor."""

    def __init__(self, cursor: "duckdb.DuckDBPyConnection"):
        self._cursor = cursor
        self._parts: list[str] = []
        self.parameters: list[Any] = []

    def add(self, text: str, parameters: list[Any], tables: "dict[str, pyarrow.Table]") -> None:
        self._parts.append(text)
        self.parameters += parameters
        for name, table in tables.items():
            self._cursor.register(name, table)

    @property
    def text(self) -> str:
        return " UNION ALL ".join(self._parts)


class _Part:
    """One coder's share of the list."""

    def __init__(
        self,
        generation: Generation,
        coder: AttachedCoder,
        index: int,
        written: CoderAnnotations | None,
        query: LatentQuery,
    ):
        self._generation = generation
        self._coder = coder
        self._index = index
        self._written = written
        self._query = query

    def select(self, *, sorting: bool) -> "tuple[str, list[Any], dict[str, pyarrow.Table]]":
        """Text, parameters and the tables it names. Without `sorting`, what only sorts is not joined."""
        query = self._query
        conditions, values = _conditions(query)
        joins: dict[str, str] = {}
        tables: dict[str, pyarrow.Table] = {}

        def join(name: str, table: "pyarrow.Table", how: str) -> None:
            tables[f"{name}_{self._index}"] = table
            joins[name] = f"{how} JOIN {name}_{self._index} USING (latent)"

        bounded = any(getattr(query, name) is not None for name in _SCORE_BOUNDS)
        if query.state is not None or query.explainer is not None or query.human is not None:
            join("states", self._states(), "LEFT")
        if bounded or query.state == "unscored" or (sorting and query.sort in get_args(ScoreSort)):
            join("scored", self._scored(), "LEFT")
        ranked = None
        for name, table in self._ranked().items():
            join(name, table, "INNER" if ranked is None else "SEMI")
            ranked = ranked or f"{name}_{self._index}.relevance"
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        columns = f"{self._index} AS coder, {_COLUMNS}, peak_token, {ranked or 'NULL::DOUBLE'} AS relevance"
        if "scored" in joins and sorting:
            columns += ", score, ci_low, above_floor"
        text = f"SELECT {columns} FROM ({latents(self._coder)}) {' '.join(joins.values())}{where}"
        return text, values, tables

    def _ranked(self) -> "dict[str, pyarrow.Table]":
        """What narrows the list to a search's results, the one that ranks them first."""
        found: dict[str, pyarrow.Table] = {}
        if self._query.matches is not None:
            found["matched"] = _or_empty(self._query.matches.get(self._coder.info.coder), _MATCHES)
        if self._query.spots is not None:
            found["fired"] = relevance(self._generation, self._coder, self._query.spots)
        return found

    def _states(self) -> "pyarrow.Table":
        return _or_empty(None if self._written is None else self._written.states, _STATE_COLUMNS)

    def _scored(self) -> "pyarrow.Table":
        kind, written = self._query.kind, self._written
        if written is None:
            return _or_empty(None, _SCORE_COLUMNS)
        return written.any_score if kind is None else written.values(kind)


_MATCHES = {"latent": "uint32", "relevance": "float64"}
_STATE_COLUMNS = {
    "latent": "uint32", "explained": "bool", "failed": "bool", "explainer": "string", "pinned": "bool", "person": "bool",
}  # fmt: skip
_SCORE_COLUMNS = {"latent": "uint32", "score": "float64", "ci_low": "float64", "above_floor": "float64"}


def _or_empty(table: "pyarrow.Table | None", columns: dict[str, str]) -> "pyarrow.Table":
    import pyarrow as pa

    return pa.table({name: pa.array([], kind) for name, kind in columns.items()}) if table is None else table


def _conditions(query: LatentQuery) -> tuple[list[str], list[Any]]:
    conditions, values = [], []
    if query.only_dead:
        conditions.append("n_activations = 0")
    elif not query.include_dead:
        conditions.append("n_activations > 0")
    for name, condition in (_BOUNDS | _SCORE_BOUNDS).items():
        bound = getattr(query, name)
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    if query.state is not None:
        conditions.append(_STATES[query.state])
    if query.human is not None:
        conditions.append(_HUMAN[query.human])
    if query.explainer is not None:
        conditions.append("explainer = ?")
        values.append(query.explainer)
    return conditions, values


def _row(coder: str, values: tuple[Any, ...]) -> LatentRow:
    stats, peak, relevance = values[:10], values[10], values[11]
    return LatentRow(coder, LatentStats(*stats), -1 if peak is None else int(peak), relevance=relevance)


def _described(rows: list[LatentRow], kept: AnnotatedStore, kind: ScoreKind | None) -> list[LatentRow]:
    """The rows with what is shown of their explanations."""
    made: dict[tuple[str, int], LatentRow] = {}
    for name in dict.fromkeys(row.coder for row in rows):
        written = kept.coder(name)
        mine = {row.stats.latent: row for row in rows if row.coder == name}
        shown = written.shown(list(mine))
        scores = {} if kind is None else written.shown_scores(kind, list(mine))
        errors = written.errors([latent for latent in mine if latent not in shown])
        for latent, row in mine.items():
            made[name, latent] = replace(
                row, explanation=shown.get(latent), score=scores.get(latent), error=errors.get(latent)
            )
    return [made[row.coder, row.stats.latent] for row in rows]
