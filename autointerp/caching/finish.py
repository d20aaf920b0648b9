"""What is computed once per coder when its activations are all there, and the publishing of its file."""

import numpy as np
from numpy.typing import NDArray

from autointerp.caching.gather import Gatherer
from autointerp.caching.logits import promoted_tokens
from autointerp.caching.neighbours import Neighbours, nearest_by_cosine
from autointerp.models import SubjectModel
from autointerp.types import CoderInfo, Fidelity, Progress, ProgressCallback, Relation


def finish_coder(
    gatherer: Gatherer,
    subject: SubjectModel,
    *,
    position_counts: NDArray[np.int64],
    fidelity: Fidelity | None,
    logits: bool,
    progress: ProgressCallback,
) -> CoderInfo:
    """Promoted tokens, neighbours, statistics, file. Progress stages carry the coder's name."""

    def named(report: Progress) -> None:
        progress(Progress(f"{report.stage} {gatherer.name}", report.done, report.total, report.unit))

    tokens = promoted_tokens(subject, gatherer.coder, progress=named) if logits else None
    return gatherer.writer().finish(
        n_tokens=int(position_counts.sum()),
        position_counts=position_counts,
        logits=tokens,
        neighbours=_neighbours(gatherer, named),
        fidelity=fidelity,
        progress=named,
    )


def _neighbours(gatherer: Gatherer, progress: ProgressCallback) -> dict[Relation, Neighbours]:
    if gatherer.cofiring is None:
        return {}
    coder, live = gatherer.coder, gatherer.live
    found: dict[Relation, Neighbours] = {"cofiring": gatherer.cofiring.nearest()}
    progress(Progress("neighbours", 1, 3, "relations"))
    if coder.W_dec is not None:
        found["decoder"] = nearest_by_cosine(coder.W_dec, live)
    progress(Progress("neighbours", 2, 3, "relations"))
    if coder.W_enc is not None:
        same = coder.kind == "random" and "decoder" in found  # its rows point the same way
        found["encoder"] = found["decoder"] if same else nearest_by_cosine(coder.W_enc, live)
    progress(Progress("neighbours", 3, 3, "relations"))
    return found
