"""The reference pipeline's summary over latents, of scores made by its protocol."""

from collections.abc import Iterable, Iterator, Sequence

from autointerp.pipeline.records import score_result
from autointerp.score import JudgedItem, delphi
from autointerp.store import Store
from autointerp.store.annotations import Annotations


def pooled_scores(
    store: Store, annotations: Annotations, coder: str, score_ids: Iterable[str]
) -> tuple[delphi.Pooled, float]:
    """All judged examples of these scores of one coder thrown together, and the mean F1 of its latents weighted by how often
    each fires. Raises UnknownName."""
    counts = store.coder(coder).table().columns["n_activations"]

    def latents() -> Iterator[tuple[int, Sequence[JudgedItem]]]:
        for id_ in ids:
            score = annotations.score(id_)
            latent = annotations.explanation(score.explanation_id).latent
            yield int(counts[latent]), score_result(score, annotations.judged(id_)).judged

    ids = list(score_ids)
    found = delphi.pooled(item for _, judged in latents() for item in judged)
    return found, delphi.frequency_weighted_f1(latents())
