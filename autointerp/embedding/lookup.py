"""`StoreEmbedder`: an embedder that remembers. Windows come from the store's embeddings, other texts are embedded once."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autointerp.embedding.base import TextEmbedder
from autointerp.errors import StoreReadOnly
from autointerp.sampling import Spans, Window
from autointerp.store import Store
from autointerp.store.embeddings.reader import WindowEmbeddings
from autointerp.store.embeddings.texts import TextVectors
from autointerp.types import Progress, ProgressCallback, no_progress

_IN_MEMORY = 50_000
BATCH = 512
"""Texts embedded between two writes: what a stop or a kill may cost, a few seconds' work."""
_STAGE, _UNIT = "embed", "texts"


class HasWindow(Protocol):
    """Such as `autointerp.score.Item`."""

    @property
    def window(self) -> Window: ...


class StoreEmbedder:
    """One embedder on one store; implements `autointerp.score.Embedder`. Thread-safe.

    All vectors are rounded to float16, stored or not, so that a score does not depend on what was stored when. `texts`: the
    kept vectors of texts other than windows.
    """

    def __init__(self, store: Store, embedder: TextEmbedder):
        self.store = store
        self.embedder = embedder
        self.texts = TextVectors(store.path, embedder.name, embedder.fingerprint, embedder.dim)
        self._kept: OrderedDict[str, NDArray[np.float16]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.embedder.name

    def windows(self, window: int) -> WindowEmbeddings | None:
        """The store's embeddings of windows of `window` tokens by these very weights; `None` before they are complete."""
        embeddings = self.store.embeddings(self.name, window=window)
        same = embeddings is not None and embeddings.fingerprint == self.embedder.fingerprint
        return embeddings if same else None

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"]: explanations or queries, each embedded once per store."""
        distinct = list(dict.fromkeys(texts))
        with self._lock:
            vectors = {text: self._kept[text] for text in distinct if text in self._kept}
        rest = [text for text in distinct if text not in vectors]
        vectors |= self.texts.get(rest)
        missing = [text for text in rest if text not in vectors]
        for at in range(0, len(missing), BATCH):
            new = self._embed(missing[at : at + BATCH])
            self.texts.put(new)
            vectors |= new
        with self._lock:
            self._kept.update(vectors)
            while len(self._kept) > _IN_MEMORY:
                self._kept.popitem(last=False)
        rows = np.array([vectors[text] for text in texts], dtype=np.float32)
        return rows.reshape(len(texts), self.embedder.dim)

    def embed_ahead(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> int:
        """Embed and keep what is not kept yet, a batch at a time, and return how many texts that were.

        Reports "embed" in different texts, those kept already included. `progress` may raise to stop: all but the current
        batch is kept. Raises StoreReadOnly where nothing can be kept.
        """
        missing = self.texts.missing(texts)
        total = len(set(texts))
        done, n_embedded = total - len(missing), 0
        progress(Progress(_STAGE, done, total, _UNIT))
        for at in range(0, len(missing), BATCH):
            batch = missing[at : at + BATCH]
            new = self.texts.missing(batch)  # another process may be embedding the same texts

            def report(step: Progress, before: int = done + len(batch) - len(new)) -> None:
                progress(Progress(_STAGE, before + step.done, total, _UNIT))

            if new and not self.texts.put(self._embed(new, report)):
                raise StoreReadOnly(
                    f"Text vectors cannot be written to {str(self.texts.path)!r}. Check permissions and free disk space; a "
                    "damaged file can be deleted and will be rebuilt."
                )
            n_embedded += len(new)
            done += len(batch)
            progress(Progress(_STAGE, done, total, _UNIT))
        return n_embedded

    def embed_windows(self, items: Sequence[HasWindow]) -> NDArray[np.float32]:
        """`embed_places` of the windows of `items`."""
        examples = [item.window.example for item in items]
        spans = [(e.context, e.start, e.start + len(e.token_ids)) for e in examples]
        return self.embed_places(np.array(spans, dtype=np.int64).reshape(-1, 3))

    def embed_places(self, places: Spans) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"]: stored vectors where the window at a place is one of the store's, others embedded now."""
        context, start, stop = places.T
        sizes = stop - start
        vectors = np.zeros((len(places), self.embedder.dim), dtype=np.float32)
        is_stored = np.zeros(len(places), dtype=bool)
        for size in set(sizes.tolist()):
            embeddings = self.windows(size)
            if embeddings is not None:
                alike = np.flatnonzero(sizes == size)
                rows = embeddings.places.rows(context[alike], start[alike], sizes[alike])
                stored = alike[rows >= 0]
                vectors[stored] = embeddings.take(rows[rows >= 0])
                is_stored[stored] = True
        missing = np.flatnonzero(~is_stored)
        if len(missing):
            tokens = self.store.tokens
            texts = ["".join(self.store.decode(tokens[c, a:b])) for c, a, b in places[missing].tolist()]
            vectors[missing] = self.embedder.embed(texts).astype(np.float16).astype(np.float32)
        return vectors

    def _embed(
        self, texts: Sequence[str], progress: ProgressCallback = no_progress
    ) -> dict[str, NDArray[np.float16]]:
        return dict(zip(texts, self.embedder.embed(texts, progress).astype(np.float16), strict=True))
