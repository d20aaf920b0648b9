"""The statistics of a latent, one definition each. From `STATISTICS` follow the columns of a coder file, the SQL table
`latents`, what lists show, sort and filter by, the panel of a feature and `autointerp latent`.

To add one, add its definition with `compute`: it is then worked out once per coder and kept in the store's `derived/`, for old
stores too (see `autointerp.store.coders.computed`). Nothing else needs to know of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from numpy.typing import NDArray

from autointerp.store.coders.spool import LatentBlock
from autointerp.store.coders.statistics import Grid, token_entropy

Format = Literal["count", "density", "share", "activation", "decimal", "token", "place"]
"""How a value is written: a whole number; a fraction as a percentage, precise or in whole percent; an activation; a number with
three decimals; a vocabulary id as its text; a token index as context and position."""
Known = Literal["stated", "held", "unknown"]
"""Where only selected contexts of a latent are known: its file states it, it is of the contexts that are held, or nobody
knows."""
Compute = Callable[[LatentBlock, Grid], NDArray]


@dataclass(frozen=True)
class Statistic:
    """One figure of every latent over the whole corpus. `label` and `help` name and explain it to people.

    Its values come from one of three places: a column of the coder file of the SQL type `stored`, filled when the coder is
    cached; the expression `sql` over such columns, where `{n_tokens}` and `{n_contexts}` are the coder's; or `compute`, which
    takes a block of live latents with all their activations and gives Float64[ndarray, " n_latents"] (NaN: no value). Whoever
    changes what `compute` gives counts its `version` up: values are kept in `derived/` by version.
    """

    name: str
    label: str
    help: str
    format: Format
    stored: str | None = None
    sql: str | None = None
    compute: Compute | None = None
    version: int = 1
    null_when_dead: bool = True
    """Whether a latent that never fires has no value, rather than 0."""
    column: str = ""
    """In SQL, where `name` is a reserved word there."""
    key: str = ""
    """In the app's addresses, `name` by default: `sort=max`, `min_density=1`."""
    of: Literal["n_tokens", "n_contexts"] | None = None
    """For a count: what of the coder it is a part of."""
    beside: str | None = None
    """Another statistic that stands in the same cell, and by which that cell is sorted."""
    short: str = ""
    """Where there is little room (column heads, the panel), `label` by default."""
    unit: str = ""
    in_list: bool = False
    """Whether it has a column in the list of features; without one, the list can still be sorted by it."""
    spacious: bool = False
    """Whether its column gives way where the list shows explanations."""
    sortable: bool = True
    filters: tuple[Literal["min", "max"], ...] = ()
    """Bounds that the list of features offers; a query takes any."""
    in_panel: bool = True
    selected: Known = "unknown"
    """What it is where only selected contexts are known: never computed from them as if they were a corpus."""

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.stored, self.sql, self.compute)) != 1:
            raise ValueError(f"statistic {self.name!r} needs exactly one of stored, sql and compute")
        object.__setattr__(self, "column", self.column or self.name)
        object.__setattr__(self, "key", self.key or self.name)
        object.__setattr__(self, "short", self.short or self.label)


STATISTICS = {
    statistic.name: statistic
    for statistic in (
        Statistic(
            "density", "Density", "Share of the corpus's tokens on which it activates", "density",
            sql="n_activations / {n_tokens}::DOUBLE", null_when_dead=False, in_list=True, filters=("min", "max"),
            selected="stated",
        ),
        Statistic(
            "n_activations", "Active tokens", "Tokens on which it activates", "count",
            stored="UBIGINT", null_when_dead=False, of="n_tokens", selected="held",
        ),
        Statistic(
            "n_contexts", "Active contexts", "Contexts in which it activates at least once, and their share", "count",
            stored="UINTEGER", null_when_dead=False, of="n_contexts", beside="context_density",
            selected="held",
        ),
        Statistic(
            "context_density", "Share of contexts", "Share of contexts in which it activates at least once", "density",
            sql="n_contexts / {n_contexts}::DOUBLE", null_when_dead=False, in_panel=False,
        ),
        Statistic(
            "max_activation", "Maximum activation", "Largest activation in the corpus", "activation",
            stored="FLOAT", null_when_dead=False, key="max", short="Max", in_list=True, filters=("min",),
            selected="stated",
        ),
        Statistic(
            "mean_activation", "Mean activation", "Mean over the tokens on which it activates", "activation",
            stored="FLOAT", null_when_dead=False, key="mean", short="Mean", in_list=True, spacious=True,
        ),
        Statistic(
            "top_token", "Top token", "The token it activates on most often, and its share of the activations", "token",
            stored="UINTEGER", beside="top_token_share", in_list=True, sortable=False,
        ),
        Statistic(
            "top_count", "Activations on the top token", "How often it activates on its top token", "count",
            stored="UBIGINT", in_panel=False, sortable=False,
        ),
        Statistic(
            "top_token_share", "Top token's share", "Share of its activations that are on its top token", "share",
            sql="(top_count / n_activations::DOUBLE)::FLOAT", key="share", in_panel=False, filters=("min",),
        ),
        Statistic(
            "token_entropy", "Token entropy",
            "Entropy of the tokens it activates on, in bits: 0 for a single token, n for 2ⁿ equally frequent tokens. "
            "Separates a feature of two or three tokens from one of many where the top token's share is the same",
            "decimal", compute=token_entropy, unit="bits", filters=("max",),
        ),
        Statistic(
            "positional", "Positional information",
            "Mutual information between whether it activates and the position in the context, 0 when independent",
            "decimal", stored="FLOAT", column="positional_mi", short="Positional", unit="nats", in_list=True, spacious=True,
        ),
        Statistic(
            "peak_token", "Peak", "Where it is strongest: context and position", "place", stored="UBIGINT", sortable=False,
            selected="held",
        ),
    )
}  # fmt: skip


def stored() -> list[Statistic]:
    """Those that are columns of a coder file, in their order there."""
    return [statistic for statistic in STATISTICS.values() if statistic.stored is not None]


def computed_names() -> list[str]:
    """Those that are kept in `derived/`."""
    return [name for name, statistic in STATISTICS.items() if statistic.compute is not None]
