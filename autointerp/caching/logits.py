"""Which tokens a latent's decoder direction promotes and suppresses, read off the unembedding."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autointerp.models.coders.coder import SparseCoder
from autointerp.models.coders.topk import group_size, sorted_top_k
from autointerp.models.subject import SubjectModel
from autointerp.types import Progress, ProgressCallback, no_progress

N_TOKENS = 10
BLOCK_BYTES = 64 << 20
FINAL_NORMS = ("final_layer_norm", "ln_f", "norm_f", "final_layernorm", "final_norm", "norm")


class PromotedTokens(NamedTuple):
    """Per latent, the tokens whose logit its direction raises and lowers most, strongest first; each [n_latents, m]."""

    promoted: NDArray[np.int32]
    promoted_values: NDArray[np.float32]
    suppressed: NDArray[np.int32]
    suppressed_values: NDArray[np.float32]


def why_no_promoted_tokens(subject: SubjectModel, coder: SparseCoder) -> str | None:
    """Why a latent of `coder` promotes no tokens, as a sentence; `None` where it does."""
    if not isinstance(getattr(subject.unembedding, "weight", None), Tensor):
        return "The subject model has no language-model head."
    if coder.W_dec is None or coder.target is None:
        return "The coder's latents have no decoder directions."
    if coder.target.side == "input" or coder.d_out != subject.d_model:
        return "The coder's decoder does not write to the residual stream."
    return None


def promoted_tokens(
    subject: SubjectModel, coder: SparseCoder, n: int = N_TOKENS, progress: ProgressCallback = no_progress
) -> PromotedTokens:
    """Logits per unit of activation, before the final norm divides by the size of the residual stream.

    Only where `why_no_promoted_tokens` finds no reason against it. Latents are taken in blocks: [n_latents, vocab] would be
    too large.
    """
    head, directions = subject.unembedding, coder.W_dec
    assert head is not None
    assert directions is not None
    unembedding = head.weight
    assert isinstance(unembedding, Tensor)
    fold = final_norm_gain(subject)
    n = min(n, unembedding.shape[0])
    matrix = unembedding.float()
    if fold is not None:
        gain, centred = fold
        # gain * (v - mean v) dotted with a row u = v dotted with (gain * u) minus its mean: fold into the matrix once.
        matrix = matrix * gain
        if centred:
            matrix = matrix - matrix.mean(dim=1, keepdim=True)
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
            values = torch.mm(directions[part], matrix.T, out=buffer[: part.stop - start])
            best, tokens = sorted_top_k(values, n, groups)
            out.promoted[part], out.promoted_values[part] = tokens.cpu().numpy(), best.cpu().numpy()
            worst, tokens = sorted_top_k(values.neg_(), n, groups)
            out.suppressed[part], out.suppressed_values[part] = tokens.cpu().numpy(), -worst.cpu().numpy()
            progress(Progress("promoted tokens", part.stop, len(directions), "latents"))
    return out


def final_norm_gain(subject: SubjectModel) -> tuple[Tensor, bool] | None:
    """Gain Float32[Tensor, " d_model"] of the norm before the unembedding, and whether it subtracts the mean.

    Measured by running the norm, not read from its weight: Gemma's gain is 1 + weight, and other families may differ.
    `None` for a model that has none.
    """
    norm = _find_final_norm(subject)
    if norm is None:
        return None
    d = subject.d_model
    weight = next((p for p in norm.parameters() if p.numel() == d), None)
    dtype = weight.dtype if weight is not None else torch.float32
    with torch.inference_mode():
        zero = norm(torch.zeros(1, d, device=subject.device, dtype=dtype)).float()
        constant = norm(torch.full((1, d), 1e3, device=subject.device, dtype=dtype)).float() - zero
        centred = bool(constant.abs().max() < 1e-2)
        # Alternating signs have mean 0 (d even) and size 1, so that the norm's output is the gain itself.
        probe = torch.ones(1, d, device=subject.device, dtype=dtype)
        probe[:, 1::2] = -1
        probe = probe - probe.mean() if centred else probe
        size = probe.float().pow(2).mean().sqrt()
        response = norm(probe * 1e2).float() - zero
    return (response * size / probe.float())[0], centred


def _find_final_norm(subject: SubjectModel) -> nn.Module | None:
    base = subject.base
    for holder in (base, getattr(base, "decoder", None), getattr(base, "language_model", None)):
        for name in FINAL_NORMS:
            norm = getattr(holder, name, None)
            if isinstance(norm, nn.Module) and "norm" in type(norm).__name__.lower():
                return norm
    return None
