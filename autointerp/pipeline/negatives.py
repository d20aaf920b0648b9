"""Hard negatives: windows in which a latent does not fire although a similar one does, or although they read alike. The one
rule for the pages, the command line, the explainers and the scorers: what a page shows as hard is what a scorer would use."""

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.sampling import Places, Request, positive_windows
from autointerp.store import CoderStore, Store
from autointerp.store.embeddings.reader import WindowEmbeddings, nearest_first
from autointerp.types import Relation

N_NEIGHBOURS = 5
"""Nearest latents whose contexts serve as hard negatives."""
MAX_ANCHORS = 64
"""Activating windows that are compared with the corpus; more of them change little and cost time."""
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
    if request.lengths is not None:
        stop = np.minimum(stop, request.lengths[rows // per_context])
    for context, first, last in zip(
        (rows // per_context).tolist(), start.tolist(), stop.tolist(), strict=True
    ):
        text = store.tokens[context, first:last].tobytes()
        if text not in seen and len(chosen) < n and first < last:
            seen.add(text)
            chosen.append((context, first, last))
    return Places.negatives(np.array(chosen, dtype=np.int64).reshape(-1, 3), "embedding")


def hard_contexts(
    embeddings: WindowEmbeddings,
    activating_rows: NDArray[np.integer],
    forbidden: NDArray[np.bool_],
    n: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Rows of `n` windows nearest in meaning to the activating ones, one per context; fewer where there are no more.

    Activating windows, in random order, take turns: each gives the nearest window not yet given. So every kind of text on
    which a latent fires has its like among the negatives. No activating window is ever given, though each is the nearest to
    itself. `forbidden` Bool[ndarray, " n_contexts"]: contexts to leave out, above all those shown to the explainer.
    """
    rows = np.unique(np.asarray(activating_rows, dtype=np.int64))
    if not len(rows) or forbidden.all() or n <= 0:
        return np.zeros(0, dtype=np.int64)
    anchors = embeddings.take(rng.permutation(rows)[:MAX_ANCHORS])
    per_context = embeddings.places.per_context
    # No anchor needs more than this: each turn uses up one context.
    depth = n * per_context
    allowed_rows = np.repeat(~forbidden, per_context)
    allowed_rows[rows] = False
    lists = _nearest(embeddings, anchors, allowed_rows, depth)
    used = np.zeros(len(forbidden), dtype=bool)
    chosen: list[int] = []
    at = [0] * len(lists)
    while len(chosen) < n:
        before = len(chosen)
        for which, near in enumerate(lists):
            while at[which] < len(near) and used[near[at[which]] // per_context]:
                at[which] += 1
            if at[which] < len(near) and len(chosen) < n:
                row = int(near[at[which]])
                used[row // per_context] = True
                chosen.append(row)
        if len(chosen) == before:
            break
    return np.array(chosen, dtype=np.int64)


def _nearest(
    embeddings: WindowEmbeddings, anchors: NDArray[np.float32], allowed: NDArray[np.bool_], depth: int
) -> list[NDArray[np.int64]]:
    """For each anchor the `depth` nearest allowed rows, nearest first, a block of the corpus at a time."""
    best: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = [
        (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)) for _ in anchors
    ]
    for first, block in embeddings.similarities(anchors):
        keep = np.flatnonzero(allowed[first : first + len(block)])
        rows, block = first + keep, np.ascontiguousarray(block[keep].T)
        for which, values in enumerate(block):
            top = nearest_first(values, depth)
            nearest = np.concatenate([best[which][0], rows[top]])
            cosine = np.concatenate([best[which][1], values[top]])
            top = nearest_first(cosine, depth)
            best[which] = (nearest[top], cosine[top])
    return [rows for rows, _ in best]
