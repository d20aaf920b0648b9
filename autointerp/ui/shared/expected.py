"""What the features of a coder may be expected to score on fresh examples: how the list and the Overview rank the best and the
worst, so that luck does not come first."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from autointerp.score.population import expected
from autointerp.score.registry import METRICS, SCORERS
from autointerp.store import CoderAnnotations, ScoreKind

if TYPE_CHECKING:
    import pyarrow

_kept: "WeakKeyDictionary[CoderAnnotations, dict[tuple[ScoreKind, str | None], pyarrow.Table]]" = (
    WeakKeyDictionary()
)


def expected_scores(
    written: CoderAnnotations, kind: ScoreKind, made_by: str | None = None
) -> "pyarrow.Table":
    """`latent, rank` of the shown explanations that have a score of this kind with an interval, ascending by latent; with
    `made_by` only of those that were made so. `rank` is the score expected. Kept as long as `written` is."""
    import pyarrow as pa

    known = _kept.setdefault(written, {})
    if (kind, made_by) not in known:
        table = written.of_kind(kind)
        if made_by is not None:
            made = np.array([way == made_by for way in table["made_by"].to_pylist()], bool)
            table = table.filter(pa.array(made))
        value, low, high, n_pos, n_neg = (
            table[name].to_numpy().astype(np.float64)
            for name in ("value", "ci_low", "ci_high", "n_pos", "n_neg")
        )
        lowest = METRICS[SCORERS[kind.scorer].metric].low if kind.scorer in SCORERS else 0.0
        rank = expected(value, low, high, n_pos + n_neg, np.zeros(len(value), np.int64), lowest)
        has = ~(np.isnan(low) | np.isnan(rank))
        latent = table["latent"].to_numpy().astype(np.uint32)
        known[kind, made_by] = pa.table({"latent": latent[has], "rank": rank[has]})
    return known[kind, made_by]
