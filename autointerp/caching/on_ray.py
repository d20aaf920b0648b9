"""Model and coders on a Ray cluster. Workers take ranges of contexts, each with a model of its own, and what fires comes back
to one recorder.

A worker's batches hold the same contexts as those of one process and are recorded in the same order, so the files are the same,
whatever the number of workers. A range whose worker dies is done again by another one.
"""

from collections import deque
from collections.abc import Generator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.caching.loading import Recipe
from autointerp.caching.reading import Batch, Reader
from autointerp.cluster import connected, task
from autointerp.errors import UserError

BATCHES_IN_RANGE = 8
RANGES_AHEAD = 2
"""For each worker: one that it works on, and one that waits, so that none is idle while a slower one is awaited."""


def read_all(
    address: str, recipe: Recipe, tokens: NDArray[np.integer], batch_size: int
) -> Generator[Batch, None, None]:
    """All contexts of `tokens` Int[ndarray, "n ctx_len"], in order. Close it to stop. Raises UserError: no such cluster, or
    what a worker raised."""
    on_gpu = torch.device(recipe.sources.device).type != "cpu"
    with connected(address) as cluster:
        read_range = task(_read_range, n_gpus=1 if on_gpu else 0)
        shared = cluster.put(recipe)
        n_contexts = BATCHES_IN_RANGE * batch_size
        starts = iter(range(0, len(tokens), n_contexts))
        ahead: deque[Any] = deque()
        try:
            while True:
                while len(ahead) < RANGES_AHEAD * cluster.n_workers(on_gpu):
                    start = next(starts, None)
                    if start is None:
                        break
                    rows = np.ascontiguousarray(tokens[start : start + n_contexts])
                    ahead.append(read_range(shared, rows, start, batch_size))
                if not ahead:
                    return
                yield from cluster.get(ahead.popleft())
        finally:
            cluster.cancel(ahead)


def _read_range(
    recipe: Recipe, rows: NDArray[np.integer], start: int, batch_size: int
) -> list[Batch] | UserError:
    """On a worker."""
    try:
        return list(_reader(_Kept(recipe)).read_all(rows, start, batch_size))
    except UserError as error:  # as a value: Ray would wrap it in a class of its own
        return error


class _Kept:
    """A recipe as a key: the same one, sent again, is another object."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self._key = repr(
            (recipe.sources, recipe.fingerprint, sorted(recipe.checksums.items()), recipe.masked.tolist())
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=1)
def _reader(kept: _Kept) -> Reader:
    """Loaded once in a worker's life."""
    torch.set_num_threads(1)  # a worker has reserved one core
    return kept.recipe.reader()
