"""The read side of a store: opens a folder, checks it, hands out coders, vocabulary, text search and SQL."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store.catalog import Generation, catalog_of
from autointerp.store.coders.reader import CoderStore
from autointerp.store.corpus.search import ContextHits, search_contexts
from autointerp.store.corpus.vocabulary import Vocabulary
from autointerp.store.derived import Derivation
from autointerp.store.embeddings.reader import (
    Places,
    WindowEmbeddings,
    folder_of,
    prefix_of,
    read_embeddings,
)
from autointerp.store.manifest import Layout, read_manifest
from autointerp.store.sql import run_query, write_query
from autointerp.types import CoderInfo


class Document(NamedTuple):
    """A document of the corpus: tokens `first_token` to `first_token + n_tokens`, counted through all contexts."""

    name: str
    first_token: int
    n_tokens: int


class Store:
    """A store folder, read-only. Cheap to open, safe to share between threads; sees new coder files at the next call.

    `meta`: the content of `store.json`. `tokens`: UInt[ndarray, "n_contexts ctx_len"], mapped from disk.
    """

    def __init__(self, path: Path, meta: dict[str, Any]):
        self.path = path
        self.meta = meta
        self.layout = Layout(path)
        corpus = meta["corpus"]
        self.n_contexts: int = corpus["n_contexts"]
        self.ctx_len: int = corpus["ctx_len"]
        self._catalog = catalog_of(self.layout, meta)
        self.tokens: NDArray[np.unsignedinteger] = self.generation().tokens
        self._vocabulary: Vocabulary | None = None
        self._embeddings: dict[str, tuple[Any, WindowEmbeddings | None]] = {}

    @staticmethod
    def open(path: str | os.PathLike[str]) -> "Store":
        """Opens the store at `path`. Raises StoreMissing, StoreIncomplete, StoreTooNew, StoreTooOld or StoreDamaged."""
        root = Path(path).absolute()
        return Store(root, read_manifest(root))

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def generation(self) -> Generation:
        """The files as they are now, for the rest of this package."""
        return self._catalog.current()

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.generation().vocab_size

    def coders(self) -> list[CoderInfo]:
        """All complete coders, `layers.2` before `layers.10`; unreadable files are in `problems()`."""
        return [coder.info for coder in self.generation().coders.values()]

    def coder(self, name: str) -> CoderStore:
        """Raises UnknownName with the nearest names."""
        return CoderStore(self._catalog, name)

    def problems(self) -> list[str]:
        """What is wrong with the files, one sentence each with its way out; empty for a sound store."""
        return list(self.generation().problems)

    def vocabulary(self) -> Vocabulary:
        """Token texts and bytes, read once."""
        if self._vocabulary is None:
            columns = self.generation().columns("SELECT bytes, special FROM corpus.vocabulary ORDER BY token")
            pieces = [bytes(piece) for piece in columns["bytes"].tolist()]
            self._vocabulary = Vocabulary(pieces, np.flatnonzero(columns["special"]).tolist())
        return self._vocabulary

    def decode(self, ids: Iterable[int]) -> list[str]:
        """One display text per id, characters split over tokens repaired; see `Vocabulary.decode`."""
        return self.vocabulary().decode(ids)

    def context_text(self, context: int) -> str:
        """The whole context as text."""
        return self.vocabulary().decode_text(self.tokens[context])

    def text_lengths(self) -> NDArray[np.int64] | None:
        """Int64[ndarray, " n_contexts"]: how many tokens of each context are text, where padding follows; `None` without
        any."""
        padding = self.meta["tokenizer"].get("padding")
        if padding is None:
            return None
        memo = self.generation().memo
        if "text_lengths" not in memo:
            memo["text_lengths"] = (np.asarray(self.tokens) != padding).sum(axis=1, dtype=np.int64)
        return memo["text_lengths"]

    def document_of(self, token: int) -> Document | None:
        """The document that the token at this index of the corpus belongs to; `None` where that is not recorded."""
        columns = self.generation().columns(
            "SELECT name, first_token, n_tokens FROM corpus.documents WHERE first_token <= ? AND n_tokens > 0 "
            "ORDER BY first_token DESC LIMIT 1",
            [token],
        )
        rows = zip(*(columns[name].tolist() for name in ("name", "first_token", "n_tokens")), strict=True)
        document = next((Document(*row) for row in rows), None)
        return document if document is not None and token < document.first_token + document.n_tokens else None

    def search_contexts(self, pattern: str, *, regex: bool = False, limit: int = 50) -> ContextHits:
        """Contexts whose text holds `pattern`: literal regardless of case, or a regular expression (RE2) as written."""
        return search_contexts(self.generation(), pattern, regex=regex, limit=limit)

    def window_places(self, window: int, stride: int | None = None) -> Places:
        """Where the windows of `window` tokens lie, one at every `stride` (default: side by side). Raises UserError."""
        if window < 1:
            raise UserError(
                f"a window of {window} tokens is impossible; accepted: 1 to the context's {self.ctx_len}."
            )
        width = min(window, self.ctx_len)
        step = width if stride is None else stride
        if not 1 <= step <= width:
            raise UserError(f"a stride of {step} tokens is impossible; accepted: 1 to the window's {width}.")
        return Places(self.n_contexts, self.ctx_len, width, step)

    def embeddings(
        self, embedder: str, *, window: int = DEFAULT_WINDOW, stride: int | None = None
    ) -> WindowEmbeddings | None:
        """The vectors of all windows by `embedder`; `None` until every one is written. Costs a look at one file."""
        places = self.window_places(window, stride)
        prefix = prefix_of(embedder, places.window, places.stride)
        try:
            status = os.stat(folder_of(self.path) / f"{prefix}.json")
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            return None
        kept = self._embeddings.get(prefix)
        if kept is None or kept[0] != seen or kept[1] is None:
            vectors = read_embeddings(self.path, embedder, places, self.meta["corpus"]["sha256"])
            kept = self._embeddings[prefix] = (seen, vectors)
        return kept[1]

    def derivation(
        self,
        what: str,
        version: int,
        coders: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Derivation:
        """What names a result computed from these coders as their files are now, for `result` and `keep_result`. `inputs`: by
        coder, a hash of what else of it went in, such as its explanations: where it changes, the old result goes as the new one
        is kept. Raises UnknownName."""
        generation, more = self.generation(), inputs or {}
        identities = {
            name: ".".join([generation.coder(name).identity, *([more[name]] if name in more else [])])
            for name in coders
        }
        return Derivation(what, version, identities, dict(parameters or {}))

    def result(self, derivation: Derivation) -> pa.Table | None:
        """A result kept before, by this process or another."""
        memo, path = self.generation().memo, derivation.path(self.path)
        if path not in memo:
            table = derivation.load(self.path)
            if table is None:
                return None
            memo[path] = table
        return memo[path]

    def keep_result(self, derivation: Derivation, table: pa.Table) -> None:
        """For `result`; in a read-only store for as long as this process lasts."""
        self.generation().memo[derivation.path(self.path)] = table
        derivation.save(self.path, table)

    def sql(self, query: str, *, limit: int | None = None, seconds: float | None = None) -> pa.Table:
        """One read-only query over everything in the store, stopped after `seconds`; see `autointerp.store.sql`."""
        return run_query(self.generation(), query, limit=limit, seconds=seconds)

    def write_sql(
        self, query: str, path: Path, *, limit: int | None = None, seconds: float | None = None
    ) -> int:
        """The result of a query as a file, however large; see `autointerp.store.sql.write_query`."""
        return write_query(self.generation(), query, path, limit=limit, seconds=seconds)
