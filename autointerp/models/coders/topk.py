"""The encoder that all TopK coders share, written for speed: it is most of the time of a caching run with a wide coder.

Three things make it fast, none changes a value: rows are taken in blocks, so that pre-activations live in one reused
buffer that fits in the cache's neighbourhood and are never a (tokens x latents) matrix; the k largest are taken before the
ReLU, which then clamps k values instead of n_latents; and for wide coders a first look at the maxima of groups of
latents leaves only k groups to search (the k largest values lie in the k groups with the largest maxima).
"""

import torch
from torch import Tensor

from autointerp.models.coders.coder import SparseActivations

BUFFER_BYTES = 64 << 20
ROWS = 512


def top_k(pre: Tensor, k: int, groups: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, in no order: values and columns. `groups` = 1 searches everything at once.

    With more, column j belongs to group j mod (width / groups'): a strided split, whose maxima are one vectorised pass.
    """
    if groups == 1:
        return pre.topk(k, dim=-1, sorted=False)
    rows, width = pre.shape
    n = width // groups
    best = pre.view(rows, groups, n).amax(1).topk(k, dim=-1, sorted=False).indices
    columns = (best[:, None, :] + torch.arange(0, width, n, device=pre.device)[:, None]).view(rows, -1)
    values, places = pre.gather(1, columns).topk(k, dim=-1, sorted=False)
    return values, columns.gather(1, places)


def sorted_top_k(pre: Tensor, k: int, groups: int) -> tuple[Tensor, Tensor]:
    """`top_k`, the largest of each row first."""
    values, columns = top_k(pre, k, groups)
    order = values.argsort(dim=1, descending=True, stable=True)
    return values.gather(1, order), columns.gather(1, order)


def group_max(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The largest of each of k contiguous groups of columns: values and columns."""
    values, places = pre.unflatten(-1, (k, -1)).max(dim=-1)
    return values, places + torch.arange(0, pre.shape[1], pre.shape[1] // k, device=pre.device)


def group_size(width: int, k: int) -> int:
    """Columns per group for `top_k`: 1 where a look at group maxima does not pay."""
    size = 1
    while width % (2 * size) == 0 and width // (2 * size) >= 8 * k and size < 16:
        size *= 2
    return size


class TopKEncoder:
    """`encode(x)` = the k largest of relu(W x + b), for x already centred. `groupmax` takes one from each of k groups.

    `weight` Float32[Tensor, "n_latents d_in"], `bias` Float32[Tensor, " n_latents"].
    """

    def __init__(self, weight: Tensor, bias: Tensor, k: int, activation: str = "topk"):
        self.weight, self.bias, self.k = weight, bias, k
        self.groupmax = activation == "groupmax"
        n_latents = weight.shape[0]
        self.rows = max(
            32, min(ROWS if weight.device.type == "cpu" else 8192, BUFFER_BYTES // (4 * n_latents))
        )
        self.group = group_size(n_latents, k)
        self._buffer: Tensor | None = None

    @torch.inference_mode()
    def encode(self, x: Tensor) -> SparseActivations:
        """k activations (>= 0) for each row of `x` Float32[Tensor, "n d_in"]."""
        n = x.shape[0]
        values = torch.empty(n, self.k, device=x.device)
        latents = torch.empty(n, self.k, dtype=torch.int64, device=x.device)
        if self._buffer is None or self._buffer.device != x.device:
            self._buffer = torch.empty(self.rows, self.weight.shape[0], device=x.device)
        for start in range(0, n, self.rows):
            part = slice(start, min(start + self.rows, n))
            pre = self._buffer[: part.stop - start]
            torch.addmm(self.bias, x[part], self.weight.T, out=pre)
            values[part], latents[part] = (
                group_max(pre, self.k) if self.groupmax else top_k(pre, self.k, self.group)
            )
        return SparseActivations(values.clamp_(min=0.0), latents)
