"""A TopK coder's forward pass whose gradients read and write only the k active latents of each token.

Of five dense products a batch (encoding, decoding and their three gradients) one is left. The result is that of
`coders.dense_forward` and of the modules' own forward; `coders.initialise` checks the gradients of the first batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from sparsify import SparseCoder
from torch import Tensor


class Forward(NamedTuple):
    """`out` [n, width]; `acts`, `indices` [n, k]: the active latents; `bias` [latents]: what the encoder adds to its product
    with the coder's input."""

    out: Tensor
    acts: Tensor
    indices: Tensor
    bias: Tensor


def forward(coder: SparseCoder, x: Tensor) -> Forward:
    """What the coder makes of its input x [n, width]."""
    bias = coder.encoder.bias
    if not coder.cfg.transcode:  # W (x - b_dec) + b
        bias = bias - coder.encoder.weight @ coder.b_dec
    acts, indices = _Encode.apply(x, coder.encoder.weight, bias, coder.cfg.k)
    assert coder.W_dec is not None
    out = F.embedding_bag(indices, coder.W_dec, per_sample_weights=acts, mode="sum") + coder.b_dec
    if coder.W_skip is not None:
        out = out + x @ coder.W_skip.mT
    return Forward(out, acts, indices, bias)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor]:
        acts, indices = F.linear(x, weight, bias).topk(k, sorted=False)
        acts = acts.relu().float()
        ctx.save_for_backward(x, acts, indices)
        ctx.mark_non_differentiable(indices)
        ctx.n_latents = len(weight)
        return acts, indices

    @staticmethod
    def backward(ctx, *of_outputs: Tensor):
        of_acts, _of_indices = of_outputs
        x, acts, indices = ctx.saved_tensors
        of_acts = of_acts * (acts > 0)
        of_bias = of_acts.new_zeros(ctx.n_latents).index_add_(0, indices.flatten(), of_acts.flatten())
        return None, weighted_rows(of_acts, indices, x, ctx.n_latents), of_bias, None


def weighted_rows(weights: Tensor, indices: Tensor, rows: Tensor, n_latents: int) -> Tensor:
    """Per latent the sum of the rows [n, width] of the tokens it is active at, weighted: [latents, width]."""
    order = indices.flatten().argsort(stable=True)
    counts = torch.bincount(indices.flatten(), minlength=n_latents)
    return F.embedding_bag(
        order // indices.shape[1],
        rows,
        counts.cumsum(0) - counts,
        per_sample_weights=weights.flatten()[order],
        mode="sum",
    )
