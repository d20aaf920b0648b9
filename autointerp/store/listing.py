"""The list of latents over one or several coders: filtered, sorted and paged by DuckDB."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from autointerp.errors import UserError
from autointerp.types import LatentStats

if TYPE_CHECKING:
    from autointerp.store.reader import Store

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
]


@dataclass(frozen=True)
class LatentQuery:
    """What to list. Bounds are inclusive, `None` = no bound; a bound on a
    value that dead latents lack leaves them out. `token`: only latents whose top token it is. `contexts`: only
    latents that fire in one of these. Equal latents come in the order of coders, then latents."""

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
    limit: int = 25
    offset: int = 0


@dataclass(frozen=True)
class LatentRow:
    """A latent in the list. `peak_token`: token index of its strongest activation, -1 for a dead latent."""

    coder: str
    stats: LatentStats
    peak_token: int


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
_SORT_COLUMNS = {"positional": "positional_mi"}  # the bare word is reserved in DuckDB
_COLUMNS = (
    "latent, n_activations, n_contexts, density, context_density, max_activation, mean_activation, top_token, "
    "top_token_share, positional_mi"
)


def list_latents(
    store: "Store", coders: Sequence[str] | None = None, query: LatentQuery | None = None
) -> LatentPage:
    """One page of latents of `coders` (all by default). Raises UnknownName for a coder, UserError for an unknown sort."""
    query = query or LatentQuery()
    if query.sort not in get_args(Sort):
        raise UserError(f"cannot sort by {query.sort!r}. Accepted: {', '.join(get_args(Sort))}.")
    generation = store._catalog.current()
    names = list(generation.coders) if coders is None else list(dict.fromkeys(coders))
    attached = [generation.coder(name) for name in names]
    if not attached:
        return LatentPage(0, 0, [])
    conditions, values = _conditions(query)
    parts, parameters = [], []
    for index, coder in enumerate(attached):
        where = list(conditions)
        parameters += values
        if query.contexts is not None:
            grid = coder.info.n_contexts * coder.info.ctx_len
            where.append(
                f"latent IN (SELECT latent FROM {coder.alias}.activations "
                f"WHERE (place % {grid}) // {coder.info.ctx_len} IN (SELECT unnest(?)))"
            )
            parameters.append([int(context) for context in query.contexts])
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        parts.append(f"SELECT {index} AS coder, {_COLUMNS}, peak_token FROM {coder.alias}.latents{filtered}")
    direction = "DESC" if query.descending else "ASC"
    cursor = generation.cursor()
    listed = " UNION ALL ".join(parts)
    # Counted apart: a window function over all matches would take six times as long as the page.
    counted = cursor.execute(f"SELECT count(*) FROM ({listed})", parameters).fetchone()
    rows = cursor.execute(
        f"SELECT * FROM ({listed}) ORDER BY {_SORT_COLUMNS.get(query.sort, query.sort)} {direction} NULLS LAST, "
        "coder, latent LIMIT ? OFFSET ?",
        [*parameters, max(query.limit, 0), max(query.offset, 0)],
    ).fetchall()
    total = counted[0] if counted else 0
    n_dead = sum(coder.info.n_dead for coder in attached)
    return LatentPage(total, n_dead, [_row(names[row[0]], row[1:]) for row in rows])


def _conditions(query: LatentQuery) -> tuple[list[str], list[Any]]:
    conditions, values = [], []
    if query.only_dead:
        conditions.append("n_activations = 0")
    elif not query.include_dead:
        conditions.append("n_activations > 0")
    for name, condition in _BOUNDS.items():
        bound = getattr(query, name)
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    return conditions, values


def _row(coder: str, values: tuple[Any, ...]) -> LatentRow:
    *stats, peak = values
    return LatentRow(coder, LatentStats(*stats), -1 if peak is None else int(peak))
