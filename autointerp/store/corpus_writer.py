"""Writing a store's corpus: token ids as one array on disk, vocabulary, documents and context texts in DuckDB."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import CorpusError, StoreError
from autointerp.store import migrations
from autointerp.store.accepted import corpus_schema
from autointerp.store.corpus.vocabulary import Vocabulary, VocabularyEntry
from autointerp.store.database import DatabaseWriter
from autointerp.store.files import Workspace, fsync_path, write_atomically, writing
from autointerp.store.manifest import Layout
from autointerp.store.store import Store
from autointerp.types import Progress, ProgressCallback, no_progress

Document = tuple[str, int, int]
"""(name, first token index, number of tokens)"""

_HEADER_BYTES = 128
_CONTEXTS_PER_BATCH = 4096
_PACKAGES = ("autointerp", "duckdb", "numpy", "pyarrow", "torch", "transformers", "eai-sparsify")


class CorpusWriter:
    """Makes a new store from token ids. A context manager: leaving it without `finish` leaves nothing behind.

    `path`: the store folder, new, empty, or with an interrupted corpus in it. `model`, `tokenizer`: what `store.json`
    records of them. `vocabulary`: (text, bytes, special) by id; the bytes count, texts are decoded from them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        model: dict[str, Any],
        tokenizer: dict[str, Any],
        name: str,
        ctx_len: int,
        vocabulary: Sequence[VocabularyEntry],
    ):
        if ctx_len < 1:
            raise CorpusError(f"context length {ctx_len} is impossible: it must be at least 1.")
        if not vocabulary:
            raise CorpusError("the vocabulary is empty: no token id could be valid.")
        self.layout = Layout(Path(path).absolute())
        self._refuse_existing()
        self._model, self._tokenizer, self._name, self._ctx_len = model, tokenizer, name, ctx_len
        self._special = [index for index, entry in enumerate(vocabulary) if entry[2]]
        self._vocabulary = Vocabulary([entry[1] for entry in vocabulary], self._special)
        self._dtype = np.dtype("<u2" if len(vocabulary) <= 1 << 16 else "<u4")
        self._hash = hashlib.sha256()
        self.n_contexts = 0
        self._workspace = Workspace(self.layout.root, "corpus")
        self._folder = self._workspace.path / "corpus"
        try:
            with writing(self.layout.root):
                self._folder.mkdir()
                self._file = open(self._folder / "tokens.npy", "wb")  # noqa: SIM115 - closed by finish() or abort()
                self._file.write(self._header())
        except BaseException:
            self._workspace.close()
            raise

    def append(self, tokens: NDArray[np.integer]) -> None:
        """Adds rows: Int[ndarray, "n ctx_len"]. Raises CorpusError for a wrong width or ids outside the vocabulary."""
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or tokens.shape[1] != self._ctx_len:
            raise CorpusError(f"token rows have shape {tokens.shape}; expected (n, {self._ctx_len}).")
        if not tokens.size:
            return
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= len(self._vocabulary):
            bad = low if low < 0 else high
            raise CorpusError(
                f"token id {bad} is outside the vocabulary of {len(self._vocabulary)} tokens: these ids do not come from "
                "the model's tokenizer."
            )
        data = np.ascontiguousarray(tokens, dtype=self._dtype)
        with writing(self.layout.root):
            self._file.write(data.data.cast("B"))
        self._hash.update(data.data.cast("B"))
        self.n_contexts += len(data)

    def finish(
        self, documents: Iterable[Document] | None = None, progress: ProgressCallback = no_progress
    ) -> Store:
        """Completes the store and opens it. `documents` in corpus order, `None` when unknown (ids only)."""
        if not self.n_contexts:
            self.abort()
            raise CorpusError(
                "the corpus is empty: not one full context. Give more text or a shorter context length."
            )
        try:
            with writing(self.layout.root):
                self._file.seek(0)
                self._file.write(self._header())
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                n_documents = self._write_database(list(documents or ()), progress)
                self._publish(n_documents)
        finally:
            self.abort()
        return Store.open(self.layout.root)

    def abort(self) -> None:
        """Removes whatever was written. Harmless after `finish`."""
        with contextlib.suppress(OSError):  # a full disk: nothing of this file is kept anyway
            self._file.close()
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _refuse_existing(self) -> None:
        if self.layout.manifest.exists():
            raise StoreError(
                f"{self.layout.root} already holds a store. Add coders to it, or choose another folder for a new corpus."
            )
        if self.layout.root.exists() and not self.layout.root.is_dir():
            raise StoreError(f"{self.layout.root} is a file; a store is a folder. Choose another path.")

    def _header(self) -> bytes:
        """A .npy header of fixed length, so that the row count can be filled in at the end."""
        described = {
            "descr": self._dtype.str,
            "fortran_order": False,
            "shape": (self.n_contexts, self._ctx_len),
        }
        body = repr(described).encode("latin1")
        prefix = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
        return prefix + body.ljust(_HEADER_BYTES - 11) + b"\n"

    def _write_database(self, documents: list[Document], progress: ProgressCallback) -> int:
        path = self._folder / "corpus.duckdb"
        with DatabaseWriter(path) as database:
            for statement in corpus_schema():
                database.execute(statement)
            vocabulary = self._vocabulary
            n = len(vocabulary)
            special = np.zeros(n, dtype=bool)
            special[self._special] = True
            pieces = pa.array([vocabulary.bytes(token) for token in range(n)], type=pa.binary())
            ids = np.arange(n, dtype=np.uint32)
            database.insert(
                "vocabulary", {"token": ids, "text": vocabulary.texts, "bytes": pieces, "special": special}
            )
            firsts = np.array([first for _, first, _ in documents], dtype=np.uint64)
            if len(firsts) and (np.diff(firsts.astype(np.int64)) < 0).any():
                raise CorpusError("documents must come in corpus order (rising first token).")
            database.insert(
                "documents",
                {
                    "document": np.arange(len(documents), dtype=np.uint32),
                    "name": pa.array([_valid(name) for name, _, _ in documents], type=pa.string()),
                    "first_token": firsts,
                    "n_tokens": np.array([size for _, _, size in documents], dtype=np.uint64),
                },
            )
            self._write_contexts(database, firsts, progress)
        fsync_path(path)
        return len(documents)

    def _write_contexts(
        self, database: DatabaseWriter, firsts: NDArray[np.uint64], progress: ProgressCallback
    ) -> None:
        tokens = np.load(self._folder / "tokens.npy", mmap_mode="r")
        for start in range(0, self.n_contexts, _CONTEXTS_PER_BATCH):
            rows = tokens[start : start + _CONTEXTS_PER_BATCH].tolist()
            context = np.arange(start, start + len(rows), dtype=np.uint32)
            document = (
                np.searchsorted(firsts, context.astype(np.uint64) * np.uint64(self._ctx_len), side="right")
                - 1
            )
            texts = [self._vocabulary.decode_text(row) for row in rows]
            database.insert(
                "contexts",
                {
                    "context": context,
                    "document": pa.array(np.maximum(document, 0).astype(np.uint32), mask=document < 0),
                    "text": pa.array(texts, type=pa.string()),
                },
            )
            progress(Progress("write corpus", start + len(rows), self.n_contexts, "contexts"))

    def _publish(self, n_documents: int) -> None:
        self._refuse_existing()
        if self.layout.corpus.exists():  # of a build that was interrupted before its store.json
            shutil.rmtree(self.layout.corpus)
        self._workspace.publish("corpus", self.layout.corpus)
        self.layout.coders.mkdir(exist_ok=True)
        meta = {
            "format": migrations.FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": self._model,
            "tokenizer": self._tokenizer,
            "corpus": {
                "name": self._name,
                "n_contexts": self.n_contexts,
                "ctx_len": self._ctx_len,
                "n_tokens": self.n_contexts * self._ctx_len,
                "n_documents": n_documents,
                "vocab_size": len(self._vocabulary),
                "sha256": self._hash.hexdigest(),
            },
            "versions": package_versions(),
        }
        write_atomically(self.layout.manifest, json.dumps(meta, indent=2, ensure_ascii=True) + "\n")


def _valid(text: str) -> str:
    """`text` without lone surrogates, which no UTF-8 column can hold."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a store; those not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
