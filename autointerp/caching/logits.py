"""Which tokens a latent's decoder direction promotes and suppresses, along the direct path from its module to the logits."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.caching.masking import position_mask
from autointerp.models.coders.coder import SparseCoder
from autointerp.models.coders.topk import group_size, sorted_top_k
from autointerp.models.direct_path import DirectPath, DirectPaths, NoDirectPath
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Progress, ProgressCallback, no_progress

N_TOKENS = 10
BLOCK_BYTES = 64 << 20
SAMPLE_TOKENS = 512
"""Tokens of the text over which the slope of the logits is averaged."""


class PromotedTokens(NamedTuple):
    """Per latent, the tokens whose logit its direction raises and lowers most, strongest first; each [n_latents, m]."""

    promoted: NDArray[np.int32]
    promoted_values: NDArray[np.float32]
    suppressed: NDArray[np.int32]
    suppressed_values: NDArray[np.float32]


def paths_to_logits(
    subject: SubjectModel, coders: Mapping[str, SparseCoder], store: Store, masked: NDArray[np.integer]
) -> dict[str, DirectPath | str]:
    """Of each coder, the direct path that its directions take to the logits, measured on contexts spread over the store's text;
    or why they promote no tokens, as a sentence. `masked`: ids that are not cached."""
    if subject.W_U is None:
        return dict.fromkeys(coders, "The subject model has no language-model head.")
    n = max(1, min(store.n_contexts, SAMPLE_TOKENS // store.ctx_len))
    rows = store.tokens[(np.arange(n) * store.n_contexts) // n].astype(np.int64)
    ids = torch.from_numpy(rows).to(subject.device)
    mask = position_mask(ids, masked)
    tokens = torch.from_numpy(used_ids(store, subject.vocab_size)).to(subject.device)
    paths = DirectPaths(subject, ids, mask, tokens)

    def path(coder: SparseCoder) -> DirectPath | str:
        if coder.W_dec is None or coder.target is None:
            return "The coder's latents have no decoder directions."
        if not mask.any():
            return "The sample of the corpus on which it would be measured contains no text."
        try:
            return paths.find(coder.target, coder.W_dec)
        except NoDirectPath as reason:
            return str(reason)

    return {name: path(coder) for name, coder in coders.items()}


def used_ids(store: Store, size: int) -> NDArray[np.bool_]:
    """Which rows of the unembedding are tokens, Bool[ndarray, " size"]: most models have more rows than tokens."""
    vocabulary = store.vocabulary()
    n = min(size, len(vocabulary))
    used = [bool(vocabulary.bytes(token)) or not vocabulary.is_special(token) for token in range(n)]
    return np.pad(np.array(used, dtype=bool), (0, size - n))


def promoted_tokens(
    subject: SubjectModel,
    coder: SparseCoder,
    path: DirectPath,
    used: NDArray[np.bool_],
    n: int = N_TOKENS,
    progress: ProgressCallback = no_progress,
) -> PromotedTokens:
    """Change of the logits per unit of activation, the mean over the text's tokens. `used`: see `used_ids`.

    Latents are taken in blocks: [n_latents, vocab] would be too large.
    """
    unembedding, directions = subject.W_U, coder.W_dec
    assert unembedding is not None
    assert directions is not None
    unused = torch.from_numpy(~used[: unembedding.shape[0]]).to(unembedding.device).nonzero().ravel()
    n = min(n, unembedding.shape[0] - len(unused))
    matrix = unembedding.float()
    vocab = matrix.shape[0]
    rows = max(16, BLOCK_BYTES // (4 * vocab))
    groups = group_size(vocab, n)
    buffer = torch.empty(min(rows, len(directions)), vocab, device=matrix.device)
    shape = (len(directions), n)
    out = PromotedTokens(
        np.empty(shape, np.int32),
        np.empty(shape, np.float32),
        np.empty(shape, np.int32),
        np.empty(shape, np.float32),
    )
    with torch.inference_mode():
        for start in range(0, len(directions), rows):
            part = slice(start, min(start + rows, len(directions)))
            values = torch.mm(directions[part] @ path.matrix, matrix.T, out=buffer[: part.stop - start])
            values[:, unused] = -torch.inf
            best, tokens = sorted_top_k(values, n, groups)
            out.promoted[part], out.promoted_values[part] = tokens.cpu().numpy(), best.cpu().numpy()
            values.neg_()[:, unused] = -torch.inf
            worst, tokens = sorted_top_k(values, n, groups)
            out.suppressed[part], out.suppressed_values[part] = tokens.cpu().numpy(), -worst.cpu().numpy()
            progress(Progress("promoted tokens", part.stop, len(directions), "latents"))
    return out
