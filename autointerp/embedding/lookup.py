"""`StoreEmbedder`: an embedder that remembers. Windows come from the store's embeddings, other texts are embedded once."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autointerp.embedding.base import TextEmbedder
from autointerp.errors import StoreReadOnly
from autointerp.sampling import Window
from autointerp.store import Store
from autointerp.store.embeddings.reader import WindowEmbeddings
from autointerp.store.embeddings.texts import TextVectors
from autointerp.types import Progress, ProgressCallback, no_progress

_IN_MEMORY = 50_000
_BATCH = 512
"""Texts that are embedded before they are kept: what a stop or a kill may cost, a few seconds' work."""
_STAGE, _UNIT = "embed", "texts"


class HasWindow(Protocol):
    """Such as `autointerp.score.Item`."""

    @property
    def window(self) -> Window: ...


class StoreEmbedder:
    """One embedder on one store; implements `autointerp.score.Embedder`. Thread-safe.

    All vectors are rounded to float16, stored or not, so that a score does not depend on what was stored when.
    """

    def __init__(self, store: Store, embedder: TextEmbedder):
        self.store = store
        self.embedder = embedder
        self._texts = TextVectors(store.path, embedder.name, embedder.fingerprint, embedder.dim)
        self._kept: OrderedDict[str, NDArray[np.float16]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.embedder.name

    def windows(self, window: int) -> WindowEmbeddings | None:
        """The store's embeddings of windows of `window` tokens by these very weights; `None` before they are complete."""
        found = self.store.embeddings(self.name, window=window)
        return found if found is not None and found.fingerprint == self.embedder.fingerprint else None

    def embed_queries(
        self, texts: Sequence[str], progress: ProgressCallback = no_progress
    ) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"]: explanations or queries, each embedded once per store."""
        distinct = list(dict.fromkeys(texts))
        with self._lock:
            known = {text: self._kept[text] for text in distinct if text in self._kept}
        if texts and len(known) == len(distinct):
            return np.array([known[text] for text in texts], dtype=np.float32)
        known |= self._texts.get([text for text in distinct if text not in known])
        new = [text for text in distinct if text not in known]
        for at in range(0, len(new), _BATCH):

            def report(step: Progress, before: int = at) -> None:
                progress(Progress(step.stage, before + step.done, len(new), step.unit))

            part = new[at : at + _BATCH]
            made = dict(zip(part, self.embedder.embed(part, report).astype(np.float16), strict=True))
            self._texts.put(made)
            known |= made
        with self._lock:
            self._kept.update(known)
            while len(self._kept) > _IN_MEMORY:
                self._kept.popitem(last=False)
        if not texts:
            return np.zeros((0, self.embedder.dim), dtype=np.float32)
        return np.stack([known[text] for text in texts]).astype(np.float32)

    def known(self, texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """(place, Float16[ndarray, " d"]) of the texts that have been embedded and kept, by whichever process, in no order.
        Every text once; nothing is embedded."""
        return self._texts.find(texts)

    def known_state(self) -> object:
        """Differs once there may be more that is `known`."""
        return self._texts.state()

    def embed_ahead(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> int:
        """Embed and keep what is not kept yet, a batch at a time; how many that were. Reports "embed" in different texts,
        those known before counted. `progress` may raise to stop: what was embedded by then is kept, but for one batch. Raises
        StoreReadOnly where nothing can be kept."""
        missing = self._texts.missing(texts)
        total = len(dict.fromkeys(texts))
        done, made = total - len(missing), 0
        progress(Progress(_STAGE, done, total, _UNIT))
        for at in range(0, len(missing), _BATCH):
            batch = missing[at : at + _BATCH]
            part = self._texts.missing(batch)  # another process may be at the same

            def report(step: Progress, before: int = done + len(batch) - len(part)) -> None:
                progress(Progress(_STAGE, before + step.done, total, _UNIT))

            if part:
                vectors = self.embedder.embed(part, report).astype(np.float16)
                if not self._texts.put(dict(zip(part, vectors, strict=True))):
                    raise StoreReadOnly(
                        f"vectors of texts cannot be kept in {str(self._texts.path)!r}. Check permissions and free disk space; "
                        "a damaged file may be deleted, it is made again."
                    )
                made += len(part)
            done += len(batch)
            progress(Progress(_STAGE, done, total, _UNIT))
        return made

    def embed_windows(self, items: Sequence[HasWindow]) -> NDArray[np.float32]:
        """Float32[ndarray, "n d"]: stored vectors where the window is one of the store's, others embedded now."""
        examples = [item.window.example for item in items]
        shape = (len(items), 3)
        places = np.array([(e.context, e.start, len(e.token_ids)) for e in examples], dtype=np.int64).reshape(
            shape
        )
        vectors = np.zeros((len(items), self.embedder.dim), dtype=np.float32)
        known = np.zeros(len(items), dtype=bool)
        for length in set(places[:, 2].tolist()):
            embeddings = self.windows(length)
            if embeddings is not None:
                alike = np.flatnonzero(places[:, 2] == length)
                rows = embeddings.places.rows(*places[alike].T)
                found = alike[rows >= 0]
                vectors[found] = embeddings.take(rows[rows >= 0])
                known[found] = True
        missing = np.flatnonzero(~known).tolist()
        if missing:
            texts = [items[i].window.text for i in missing]
            vectors[missing] = self.embedder.embed(texts).astype(np.float16).astype(np.float32)
        return vectors
