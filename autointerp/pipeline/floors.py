"""Other explanations of a coder, from which a scorer's floor is drawn."""

import hashlib
import threading
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from autointerp.records import Explanation, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.store.annotations import Annotations

FEW = 200
MANY = 1000
_REFRESH_SECONDS = 60.0
_LAST = np.uint64(2**64 - 1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Pool:
    """Shown explanations of a coder. `hashes`: UInt64[ndarray, " n"], of what they say about which latent: not of their ids,
    which are random, so that the same explanations give the same floors in every store."""

    explanations: list[Explanation]
    hashes: NDArray[np.uint64]


class Floors:
    """Chooses a random explanation of another latent: the one whose hash with latent and seed is least, so that a further
    explanation rarely changes a draw, and asking again is mostly free. The score records it. Thread-safe.

    While there are few, every draw looks at what there is by then: in a batch that explains and scores, an item's floor comes
    from those before it.
    """

    def __init__(self, annotations: Annotations):
        self._annotations = annotations
        self._stored = lru_cache(MANY)(annotations.explanation)  # with its parts, which the list leaves out
        self._lock = threading.Lock()
        self._pools: dict[str, tuple[float, _Pool]] = {}

    def choose(self, explanation: Explanation, options: ScoreOptions) -> Explanation | None:
        """The random other explanation that `explanation` is held against: of another latent with other words,
        by the same explainer where there is one. `None` where `options` want none, where the scorer reads no explanation, or
        when this coder has no other.

        A language model is asked about the same one as the last time, whatever has been explained since: those answers are
        paid for.
        """
        if not options.floor or options.entry.explanation_free:
            return None
        if options.needs_llm:
            used = self._annotations.floor_used(explanation.id, config_hash(options.identity()))
            if used is not None:
                return used
        pool = self._pool(explanation.coder)
        hashes = _mixed(pool.hashes, options.seed, explanation.latent)
        second = None
        for _ in range(len(hashes)):
            i = int(hashes.argmin())
            other = pool.explanations[i]
            if other.latent != explanation.latent and _words(other) != _words(explanation):
                if other.explainer == explanation.explainer:
                    return self._stored(other.id)
                second = second or other
            hashes[i] = _LAST
        return None if second is None else self._stored(second.id)

    def texts(self, coder: str) -> list[str]:
        """The texts that are drawn from now."""
        return [explanation.text for explanation in self._pool(coder).explanations]

    def _pool(self, coder: str) -> _Pool:
        now = time.monotonic()
        with self._lock:
            until, pool = self._pools.get(coder, (0.0, None))
            if pool is None or now >= until:
                pool = self._read(coder)
                self._pools[coder] = (
                    now + (_REFRESH_SECONDS if len(pool.explanations) >= FEW else 0.0),
                    pool,
                )
            return pool

    def _read(self, coder: str) -> _Pool:
        table = self._annotations.summary(coder)
        pairs = zip(table["latent"].to_pylist(), table["text"].to_pylist(), strict=True)
        hashes = np.array([_hash(f"{latent}:{text}") for latent, text in pairs], dtype=np.uint64)
        if len(hashes) > MANY:
            # A thousand are as good as all. Which ones, their hashes say: the same ones next time, but for a few.
            kept = np.sort(np.argpartition(hashes, MANY)[:MANY])
            table, hashes = table.take(kept), hashes[kept]
        known = ("latent", "text", "explainer", "model", "author", "created")
        return _Pool(
            [
                Explanation(coder=coder, id=row["explanation_id"], **{name: row[name] for name in known})
                for row in table.to_pylist()
            ],
            hashes,
        )


def _words(explanation: Explanation) -> list[str]:
    """What it says, however it is spaced and capitalized: a judge reads it the same way."""
    return explanation.text.casefold().split()


def _hash(text: str) -> int:
    data = text.encode("utf-8", errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _mixed(hashes: NDArray[np.uint64], seed: int, latent: int) -> NDArray[np.uint64]:
    """Another random order of the candidates for every seed and latent, in which each keeps its place when others come."""
    mixed = hashes ^ np.uint64(_hash(f"{seed}:{latent}"))
    for shift in (32, 29):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * _MIX
    return mixed ^ (mixed >> np.uint64(32))
