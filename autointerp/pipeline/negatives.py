"""Hard negatives: windows in which a latent does not fire although a similar one does, or although they read alike. The one
rule for the pages, the command line, the explainers and the scorers: what a page shows as hard is what a scorer would use."""

import numpy as np

from autointerp.errors import UserError
from autointerp.sampling import Places, Request, positive_windows
from autointerp.store import CoderStore, Store
from autointerp.types import Relation

N_NEIGHBOURS = 5
"""Nearest latents whose contexts serve as hard negatives."""
_RELATIONS: tuple[Relation, ...] = ("decoder", "encoder", "cofiring")


def similar_latents(coder: CoderStore, latent: int) -> list[int]:
    """The latents whose contexts serve as hard negatives of `latent`: the nearest by the first relation that the coder has for
    it."""
    for relation in _RELATIONS:
        near = coder.neighbours(latent, relation, N_NEIGHBOURS)
        if near:
            return [neighbour.latent for neighbour in near]
    return []


def near_in_meaning(
    store: Store, request: Request, taken: Places, n: int, *, embedder: str, window: int
) -> Places:
    """Up to `n` windows of the contexts of `request` that read like the activating ones, each text once, and none that stands
    in `taken` or in the windows to avoid. Raises UserError where windows of this size are not embedded."""
    from autointerp.embedding import hard_contexts

    embeddings = store.embeddings(embedder, window=window)
    if embeddings is None:
        raise UserError(
            f"Negatives similar in meaning need embeddings of windows of {window} tokens, and this store has none: "
            "embed it first (Settings page), or choose other negatives."
        )
    assert request.contexts is not None
    acts, ctx_len = request.acts, store.ctx_len
    windows = positive_windows(acts, ctx_len=ctx_len, window=window)
    per_context = -(-ctx_len // window)
    firing = windows.context * per_context + windows.start // window
    # Some more: those whose text is there already are left out.
    rows = hard_contexts(embeddings, firing, ~request.contexts, n + len(taken), request.rng)
    start = rows % per_context * window
    stop = np.minimum(start + window, ctx_len)
    seen = {
        store.tokens[context, first:last].tobytes()
        for spans in (taken.spans, request.avoid)
        for context, first, last in spans.tolist()
    }
    chosen: list[tuple[int, int, int]] = []
    for context, first, last in zip(
        (rows // per_context).tolist(), start.tolist(), stop.tolist(), strict=True
    ):
        text = store.tokens[context, first:last].tobytes()
        if text not in seen and len(chosen) < n:
            seen.add(text)
            chosen.append((context, first, last))
    return Places.negatives(np.array(chosen, dtype=np.int64).reshape(-1, 3), "embedding")
