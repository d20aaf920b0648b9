"""A map of all explained latents of some coders: two dimensions in which explanations alike in meaning lie close together, by
t-SNE (van der Maaten and Hinton, 2008; Linderman et al., 2019, for the time it takes) of their embeddings.

The neighbours are exact, the start is given by the two first principal components, and the same explanations give the same map
on any number of cores. Neighbourhoods mean something on it; distances between far places, sizes and gaps mean little.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.compare.explanations import embedder_of, explained, hashes
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.types import Progress, ProgressCallback

Float = NDArray[np.float32]

PERPLEXITY = 30
NEIGHBOURS = 90
LEAST = 5
"""Fewer explanations make no map."""
ON_GRID = 10_000
"""From so many points on, repulsions are interpolated on a grid: the time then grows with their number only."""
BLOCK_BYTES = 128 << 20
EARLY, LATE = 250, 500
"""Steps with exaggerated attractions, which find the large structure, and without."""
REPORT_EVERY = 10


@dataclass(frozen=True)
class Map:
    """`owner` Int64[ndarray, " n"]: which of `coders`; `latent` Int64[ndarray, " n"]; `x`, `y` Float32[ndarray, " n"]. By coder
    as in `coders`, then by latent."""

    coders: tuple[str, ...]
    owner: NDArray[np.int64]
    latent: NDArray[np.int64]
    x: Float
    y: Float


def is_quick(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> bool:
    """See `registry`."""
    return False


def inputs(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, str]:
    """See `registry`."""
    return hashes(resources, coders)


def compute(
    resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any], progress: ProgressCallback
) -> pa.Table:
    """See `registry`: the table that `read` reads. `parameters`: "embedder"."""
    sets = explained(resources, coders, embedder_of(parameters), progress)
    vectors = np.concatenate([explanations.vectors for explanations in sets])
    if len(vectors) < LEAST:
        raise UserError(
            f"There are {len(vectors)} explanations; a map needs at least {LEAST}. Explain more latents."
        )
    places = arrange(vectors, progress)
    return pa.table(
        {
            "owner": np.repeat(np.arange(len(sets)), [len(each.latents) for each in sets]).astype(np.int32),
            "latent": np.concatenate([each.latents for each in sets]).astype(np.int32),
            "x": places[:, 0],
            "y": places[:, 1],
        }
    )


def read(table: pa.Table, coders: Sequence[str]) -> Map:
    """What `compute` gave for these coders."""
    return Map(
        tuple(coders),
        *(table[name].to_numpy().astype(np.int64) for name in ("owner", "latent")),
        *(table[name].to_numpy() for name in ("x", "y")),
    )


def arrange(vectors: Float, progress: ProgressCallback) -> Float:
    """Float32[ndarray, "n 2"] for Float32[ndarray, "n d"] of unit length, at least `LEAST`. Memory: the neighbours' indices and
    weights, about 5 kB a row, beside `BLOCK_BYTES`."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    n = len(vectors)
    cores = _cores(n)
    index, distance = _neighbours(vectors, min(NEIGHBOURS, n - 1), progress)
    affinities = PerplexityBasedNN(
        knn_index=PrecomputedNeighbors(index, distance),
        perplexity=max(1, min(PERPLEXITY, (n - 1) // 3)),
        n_jobs=cores,
    )
    method = "bh" if n < ON_GRID else "fft"
    places = TSNEEmbedding(
        _start(vectors), affinities, negative_gradient_method=method, n_jobs=cores, random_state=0
    )

    def report(before: int) -> Callable[[int, float, Any], None]:
        return lambda step, error, _: progress(Progress("arrange", before + step, EARLY + LATE, "steps"))

    same: dict[str, Any] = {"inplace": True, "n_jobs": cores, "callbacks_every_iters": REPORT_EVERY}
    places.optimize(EARLY, exaggeration=12, momentum=0.5, callbacks=report(0), **same)
    places.optimize(LATE, momentum=0.8, callbacks=report(EARLY), **same)
    return np.asarray(places, dtype=np.float32)


def _cores(n: int) -> int:
    """A second core is waited for more than used where there is little to do."""
    import torch

    return 1 if n < 20_000 else torch.get_num_threads()


def _neighbours(
    vectors: Float, k: int, progress: ProgressCallback
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `k` others with the largest cosine for each row, and 1 minus that cosine."""
    import torch

    rows = torch.from_numpy(vectors)
    n = len(rows)
    index, distance = np.empty((n, k), np.int64), np.empty((n, k))
    size = max(16, BLOCK_BYTES // (4 * n))
    for start in range(0, n, size):
        block = rows[start : start + size] @ rows.T
        block[torch.arange(len(block)), torch.arange(start, start + len(block))] = -2.0
        cosine, at = block.topk(k, dim=1)
        index[start : start + size] = at.numpy()
        distance[start : start + size] = (1 - cosine.double()).clamp(min=0.0).numpy()
        progress(Progress("find neighbours", min(start + size, n), n, "explanations"))
    return index, distance


def _start(vectors: Float) -> NDArray[np.float64]:
    """The two first principal components, small; their signs are fixed by their largest coordinate."""
    mean = vectors.mean(0, dtype=np.float64)
    spread = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), 4096):
        centred = vectors[start : start + 4096] - mean
        spread += centred.T @ centred
    directions = np.linalg.eigh(spread)[1][:, :-3:-1]
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), [0, 1]])
    places = vectors @ directions - mean @ directions
    return 1e-4 * places / max(float(places[:, 0].std()), 1e-12)


def inside(x: Float, y: Float, corners: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Which places lie in a region: two opposite corners of a box, or the corners of a polygon (even-odd rule)."""
    if len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        return (min(x0, x1) <= x) & (x <= max(x0, x1)) & (min(y0, y1) <= y) & (y <= max(y0, y1))
    within = np.zeros(len(x), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            within ^= crosses & (x < x0 + (x1 - x0) * (y - y0) / (y1 - y0))
    return within
