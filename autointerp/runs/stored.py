"""Embedding scores where the vectors of the windows are stored: places in the corpus and numbers are all that is touched.

The same score as the scorer gives to windows that were cut out and decoded (a test compares), in a fraction of the time: this
is what a batch over a whole coder spends its seconds on.
"""

from typing import TYPE_CHECKING

import numpy as np

from autointerp.runs.options import ScoreOptions
from autointerp.runs.records import score_records
from autointerp.score import Embedding, Plan
from autointerp.store.annotations import Explanation, JudgedColumns, Score

if TYPE_CHECKING:
    from autointerp.runs.bench import Workbench


def score_stored(
    bench: "Workbench", scorer: Embedding, explanation: Explanation, options: ScoreOptions, *, seed: int
) -> tuple[Score, JudgedColumns] | None:
    """The embedding score of `explanation` on the held-out windows that `seed` puts in order; `None` where anything is out of
    the ordinary (other negatives, windows that are not embedded, nothing to score), for which there is the long way."""
    ordinary = (options.negatives, options.protocol, explanation.status) == (("random",), "ours", "ok")
    embedded = bench.embedder(options.embedder).windows(options.window) if ordinary else None
    if embedded is None or not explanation.text.strip():
        return None
    found = bench.heldout_places(explanation, options)
    if found is None:
        return None
    drawn, latent_max = found
    n_pos, n = len(drawn.activating), len(drawn.activating) + len(drawn.non_activating)
    order = np.random.default_rng(seed).permutation(n)
    context, start, stop = np.concatenate([drawn.activating, drawn.non_activating])[order].T
    rows = embedded.places.rows(context, start, stop - start)
    if not 0 < n_pos < n or (rows < 0).any():
        return None
    vectors = embedded.take(rows)
    if not np.isfinite(vectors).all():
        return None
    truth = order < n_pos
    quantiles = [*drawn.quantile.tolist(), *[None] * (n - n_pos)]
    quantile = [quantiles[i] for i in order.tolist()]
    floor = bench.floor_of(explanation, options)
    plan = Plan((), latent_max, options.negatives_name, seed)
    result, value = scorer.score_vectors(
        explanation.text, vectors, truth, quantile, plan, floor=floor[1] if floor else None
    )
    if result.value is None or not np.isfinite(value).all():
        return None
    score, _ = score_records(result, explanation.id, options.identity(), floor[0] if floor else None)
    return score, JudgedColumns(
        score_id=score.id,
        context=context.tolist(),
        start=start.tolist(),
        window=(stop - start).tolist(),
        truth=truth.tolist(),
        value=value.tolist(),
        quantile=quantile,
        source=["activating" if one else "random" for one in truth.tolist()],
    )
