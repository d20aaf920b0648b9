"""Matching the rows of two matrices by cosine: one to one where that can be done exactly, nearest rows always (Paulo and
Belrose, "Sparse Autoencoders Trained on the Same Data Learn Different Features", section 2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

EXACT_LATENTS = 8192
"""Up to so many rows on the larger side the assignment is exact: 8 s and 1.7 GB for two times 8,192. It grows with the cube."""
BLOCK_BYTES = 256 << 20
N_RANDOM = 512
"""Random directions whose nearest rows are the floor."""

Method = Literal["exact", "mutual"]
"""The assignment with the largest sum of cosines, or pairs of which each is the other's nearest."""


@dataclass(frozen=True)
class Nearest:
    """For each row of one matrix the row of the other with the largest cosine: `index` Int64[ndarray, " n"], `cosine`
    Float32[ndarray, " n"]."""

    index: NDArray[np.int64]
    cosine: NDArray[np.float32]


@dataclass(frozen=True)
class Matched:
    """Two matrices of `n` and `m` rows matched by cosine. `partner` Int64[ndarray, " n"]: each first row's partner among the
    second, -1 for none; `cosine` Float32[ndarray, " n"]: with the partner, NaN for none. `there`, `back`: nearest rows of the
    second for the first, and the other way. `floors`: mean largest cosine of random directions with the rows of the second, and
    of the first.
    """

    method: Method
    partner: NDArray[np.int64]
    cosine: NDArray[np.float32]
    there: Nearest
    back: Nearest
    floors: tuple[float, float]


@torch.inference_mode()
def match(
    first: Tensor,
    second: Tensor,
    *,
    exact_up_to: int = EXACT_LATENTS,
    apart: NDArray[np.int64] | None = None,
    seed: int = 0,
    done: Callable[[int], None] = lambda rows: None,
) -> Matched:
    """`first` Float[Tensor, "n d"], `second` Float[Tensor, "m d"]; a row of zeros has cosine 0 with every other. `apart`
    Int64[ndarray, " n"]: for each first row the second row that it is never matched with, such as itself. Memory: the two
    matrices normalised, and `BLOCK_BYTES`; for the exact assignment 12 n m bytes more. `done` is called with the number of
    rows of `first` that have been compared."""
    a, b = normalize(first.float(), dim=1), normalize(second.float(), dim=1)
    n, m = len(a), len(b)
    exact = max(n, m) <= exact_up_to
    cosines = np.empty((n, m), np.float32) if exact else None

    def keep(start: int, block: Tensor) -> None:
        if cosines is not None:
            cosines[start : start + len(block)] = block.clamp(-1.0, 1.0).numpy()
        done(start + len(block))

    there, back = nearest(a, b, keep, apart)
    generator = torch.Generator().manual_seed(seed)
    random = normalize(torch.randn(N_RANDOM, a.shape[1], generator=generator), dim=1).to(b.device)
    floors = (float(nearest(random, b)[0].cosine.mean()), float(nearest(random, a)[0].cosine.mean()))
    if cosines is not None:
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(cosines, maximize=True)
        partner = np.full(n, -1)
        partner[rows] = columns
        cosine = np.where(partner < 0, np.nan, cosines[np.arange(n), partner])
    else:
        mutual = back.index[there.index] == np.arange(n)
        partner = np.where(mutual, there.index, -1)
        cosine = np.where(mutual, there.cosine, np.nan)
    return Matched("exact" if exact else "mutual", partner, cosine.astype(np.float32), there, back, floors)


@torch.inference_mode()
def nearest(
    a: Tensor,
    b: Tensor,
    each: Callable[[int, Tensor], None] = lambda start, block: None,
    apart: NDArray[np.int64] | None = None,
) -> tuple[Nearest, Nearest]:
    """Nearest rows of `b` for those of `a` and of `a` for those of `b`, both Float32[Tensor, "n d"] with rows of unit length.
    `each(start, block)` sees every block of cosines, Float32[Tensor, "rows m"], on the CPU.

    The best of a column is looked for in the columns alone that a block improves: an index for all of them in every block
    costs a third of the product itself.
    """
    n, m = len(a), len(b)
    rows = max(16, min(n, BLOCK_BYTES // (4 * max(m, 1))))
    buffer = torch.empty(rows, m, device=a.device)
    best, at = torch.empty(n), torch.empty(n, dtype=torch.int64)
    best_back, at_back = (
        torch.full((m,), -2.0, device=a.device),
        torch.zeros(m, dtype=torch.int64, device=a.device),
    )
    for start in range(0, n, rows):
        block = torch.mm(a[start : start + rows], b.T, out=buffer[: min(rows, n - start)])
        if apart is not None:
            block[torch.arange(len(block)), torch.from_numpy(apart[start : start + rows])] = -1.0
        best[start : start + rows], at[start : start + rows] = (part.cpu() for part in block.max(1))
        top = block.amax(0)
        better = (top > best_back).nonzero()[:, 0]
        at_back[better] = block[:, better].argmax(0) + start
        best_back[better] = top[better]
        each(start, block.cpu())
    return (
        Nearest(at.numpy(), best.clamp_(-1.0, 1.0).numpy()),
        Nearest(at_back.cpu().numpy(), best_back.clamp_(-1.0, 1.0).cpu().numpy()),
    )


def from_second(matched: Matched, m: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`partner` and `cosine` as the second matrix's `m` rows see them."""
    partner = np.full(m, -1)
    has = matched.partner >= 0
    partner[matched.partner[has]] = np.flatnonzero(has)
    return partner, np.where(partner < 0, np.nan, matched.cosine[partner]).astype(np.float32)
