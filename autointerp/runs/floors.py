"""Other explanations of a coder, from which a scorer's floor is drawn."""

import threading
import time

import numpy as np

from autointerp.store.annotations import Annotations

FEW = 100
_REFRESH_FEW, _REFRESH_MANY = 2.0, 60.0  # seconds a pool is kept: a batch changes it with every commit
_FLOOR = 3
_TRIES = 8

_Entry = tuple[int, str, str, str]  # latent, id, explainer, text


class Floors:
    """Draws a random explanation of another latent. Which one depends on the seed, the latent and what exists then; the score
    records it. Thread-safe."""

    def __init__(self, annotations: Annotations):
        self._annotations = annotations
        self._lock = threading.Lock()
        self._pools: dict[str, tuple[float, list[_Entry]]] = {}

    def draw(
        self, coder: str, latent: int, *, text: str, explainer: str, seed: int
    ) -> tuple[str, str] | None:
        """Id and text of the shown explanation of another latent with another text, by the same explainer where there is one;
        `None` when this coder has no other explanation."""
        rng = np.random.default_rng([_FLOOR, seed, latent])
        pool = self._pool(coder)
        found = _draw(pool, latent, text, explainer, rng)
        if found is None:  # a batch that has just begun: its first explanations are there by now
            pool = self._pool(coder, fresh=True)
            found = _draw(pool, latent, text, explainer, rng)
        return found

    def texts(self, coder: str) -> list[str]:
        """The texts that are drawn from now."""
        return [text for *_, text in self._pool(coder)]

    def _pool(self, coder: str, *, fresh: bool = False) -> list[_Entry]:
        now = time.monotonic()
        with self._lock:
            until, pool = self._pools.get(coder, (0.0, []))
            if now < until and not fresh:
                return pool
            # A thousand are as good as all, and cost nothing to go through for every score.
            table = self._annotations.summary(coder)
            if len(table) > 1000:
                table = table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:1000]))
            columns = [table[name].to_pylist() for name in ("latent", "explanation_id", "explainer", "text")]
            pool = list(zip(*columns, strict=True))
            self._pools[coder] = (now + (_REFRESH_FEW if len(pool) < FEW else _REFRESH_MANY), pool)
            return pool


def _draw(
    pool: list[_Entry], latent: int, text: str, explainer: str, rng: np.random.Generator
) -> tuple[str, str] | None:
    for _ in range(_TRIES if pool else 0):  # nearly always the first one will do
        number, id_, by, other = pool[int(rng.integers(len(pool)))]
        if number != latent and other != text and by == explainer:
            return id_, other
    others = [one for one in pool if one[0] != latent and one[3] != text]
    fitting = [one for one in others if one[2] == explainer] or others
    if not fitting:
        return None
    _, id_, _, other = fitting[int(rng.integers(len(fitting)))]
    return id_, other
