"""Two stored scores of one latent, held against each other."""

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.pipeline import draw
from autointerp.pipeline.records import score_result
from autointerp.score import Difference, Resamples, difference
from autointerp.score.results import JudgedItem
from autointerp.store import Store
from autointerp.store.annotations import Annotations


def compare(
    store: Store, annotations: Annotations, first: str, second: str, resamples: Resamples
) -> Difference:
    """How much better the second score's explanation did than the first's, on the examples both were asked about. Raises
    UserError when the two cannot be compared."""
    scores = [annotations.score(id_) for id_ in (first, second)]
    about = [annotations.explanation(one.explanation_id) for one in scores]
    if (about[0].coder, about[0].latent) != (about[1].coder, about[1].latent):
        raise UserError("Only scores of one feature can be compared: these are of two.")
    results = [score_result(one, annotations.judged(one.id)) for one in scores]

    def activations(item: JudgedItem) -> NDArray[np.float32]:
        stop = item.start + item.window
        return draw.cut(acts, store.tokens, item.context, item.start, stop, quantile=None).activations

    acts = store.coder(about[0].coder).activations(about[0].latent)
    return difference(results[0], results[1], resamples, activations)
