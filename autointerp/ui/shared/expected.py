"""What "best explained" means, for the list and the Overview: the score above its floor that fresh examples may be expected
to give. By the score itself, luck would come first, and scores that any other explanation gets too."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from autointerp.score.population import Z95, expected
from autointerp.score.registry import METRICS, SCORERS
from autointerp.store import CoderAnnotations, LatentPage, LatentQuery, ScoreKind

if TYPE_CHECKING:
    import pyarrow

NAME = "Expected above floor"
HELP = (
    "How far above its floor to expect the score on fresh examples, given score, floor and n, and how much the coder's scores "
    "vary beyond sampling noise. The highest and lowest of many scores owe something to luck and move back towards the mean "
    "when scored again, the more so the fewer the examples. Where no floor was measured: above chance."
)

_kept: "WeakKeyDictionary[CoderAnnotations, dict[tuple[ScoreKind, str | None], pyarrow.Table]]" = (
    WeakKeyDictionary()
)


def expected_above_floor(
    written: CoderAnnotations, kind: ScoreKind, made_by: str | None = None
) -> "pyarrow.Table":
    """`latent, rank` of the shown explanations that have a score of this kind, ascending by latent; with `made_by` only of
    those that were made so. `rank` is the score above floor expected. Kept as long as `written` is.

    How far a difference is off by chance is told by its interval. Of scores from before that was recorded, the floor is taken
    to be as uncertain as the value, and independent of it.
    """
    import pyarrow as pa

    known = _kept.setdefault(written, {})
    if (kind, made_by) not in known:
        numbers = ("value", "ci_low", "ci_high", "floor", "above_low", "n_pos", "n_neg")
        table = written.of_kind(kind, ("latent", *numbers), made_by)
        value, low, high, floor, above_low, n_pos, n_neg = (
            table[name].to_numpy().astype(np.float64) for name in numbers
        )
        unmeasured = np.isnan(floor)
        chance = METRICS[SCORERS[kind.scorer].metric].chance if kind.scorer in SCORERS else 0.0
        above = value - np.where(unmeasured, chance, floor)
        half = (high - low) / 2 * np.where(unmeasured, 1, np.sqrt(2))
        half = np.where(np.isnan(above_low), half, above - above_low)
        rank = expected(above, half / Z95, n_pos + n_neg)
        has = ~np.isnan(rank)
        latent = table["latent"].to_numpy().astype(np.uint32)
        known[kind, made_by] = pa.table({"latent": latent[has], "rank": rank[has]})
    return known[kind, made_by]


def of_page(query: LatentQuery, page: LatentPage) -> dict[tuple[str, int], float]:
    """Of those of the page's features (coder, latent) that have one, where the list is sorted by it."""
    by_coder = {}
    for row in page.rows:
        table = (query.ranks or {}).get(row.coder)
        if table is not None and table.num_rows:
            at = int(np.searchsorted(table["latent"].to_numpy(), row.stats.latent))
            if at < table.num_rows and table["latent"][at].as_py() == row.stats.latent:
                by_coder[row.coder, row.stats.latent] = table["rank"][at].as_py()
    return by_coder
