"""Activations of one latent after another, read ahead: a batch goes through a coder in order, and one query for many latents
costs little more than one query for one."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from autointerp.store import CoderStore, Store
from autointerp.types import LatentActivations

MAX_LATENTS = 64
MAX_KEPT = 4096
MAX_ROWS = 1 << 20
"""Activations read at once, and kept, at most: 12 MB. A single latent with more is read alone."""

_Key = tuple[str, str, int]  # coder, when it was made, latent


class ActivationCache:
    """Remembers what was read. Who asks for the next live latent gets it with the ones after it, twice as many each time.
    Thread-safe."""

    def __init__(self, store: Store):
        self._store = store
        self._kept: OrderedDict[_Key, LatentActivations] = OrderedDict()
        self._rows = 0
        self._runs: dict[
            tuple[str, str], tuple[int, int]
        ] = {}  # per coder: last live latent read, how many with it
        self._lock = threading.Lock()

    def get(self, coder: CoderStore, latent: int) -> LatentActivations:
        """As `CoderStore.activations`."""
        return self.get_all(coder, [latent])[0]

    def get_all(self, coder: CoderStore, latents: Sequence[int]) -> list[LatentActivations]:
        """`get` of each, one after the other."""
        info = coder.info
        activations = []
        with self._lock:
            for latent in latents:
                key = (info.coder, info.created, latent)
                if key not in self._kept:
                    self._read(coder, key)
                self._kept.move_to_end(key)
                activations.append(self._kept[key])
        return activations

    def _read(self, coder: CoderStore, key: _Key) -> None:
        name, created, latent = key
        table = coder.table()
        at = int(np.searchsorted(table.live, latent))
        last, ahead = self._runs.get((name, created), (-1, 1))
        ahead = min(2 * ahead, MAX_LATENTS) if at == last + 1 else 1
        following = table.live[at : at + ahead]
        if len(following) and following[0] == latent:
            rows = np.cumsum(table.columns["n_activations"][following])
            following = following[: max(1, int(np.searchsorted(rows, MAX_ROWS, side="right")))]
            self._keep(key, coder.activations_between(latent, int(following[-1])))
            self._runs[name, created] = (at + len(following) - 1, ahead)
        else:
            self._keep(key, [coder.activations(latent)])

    def _keep(self, key: _Key, activations: list[LatentActivations]) -> None:
        name, created, first = key
        n_new = 0
        for latent, acts in enumerate(activations, start=first):
            wanted = (
                len(acts.token) > 0 or latent == first
            )  # dead latents between live ones are not asked for
            if wanted and (name, created, latent) not in self._kept:
                self._kept[name, created, latent] = acts
                self._rows += len(acts.token)
                n_new += 1
        # Those just read are never evicted: the caller needs the first of them now.
        while len(self._kept) > n_new and (self._rows > MAX_ROWS or len(self._kept) > MAX_KEPT):
            self._rows -= len(self._kept.popitem(last=False)[1].token)
