"""The corpus of a store: tokenized once, used by every later coder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.caching.masking import separator
from autointerp.caching.sources import Dataset, TextDocument, load_token_ids, read_dataset, read_text_files
from autointerp.caching.tokenize import Packer, tokenize
from autointerp.errors import CorpusError, ModelLoadError, StoreError
from autointerp.models.subject import SubjectModel
from autointerp.store import CorpusWriter, Store, vocabulary_from_tokenizer
from autointerp.types import Progress, ProgressCallback

DEFAULT_CTX_LEN = 128
DEFAULT_N_TOKENS = 1_000_000
MODEL_KEYS = [
    "name",
    "source",
    "revision",
    "d_model",
    "n_layers",
    "vocab_size",
    "architecture",
    "fingerprint",
    "dtype",
]
"""What a store records of its subject model."""


@dataclass(frozen=True)
class CorpusRequest:
    """What a corpus should be; `None` = not stated. At most one of the four sources is given.

    `column`: where the text is in the lines of `.jsonl` files. `bos_every_row`, `join`: see `tokenize.Packer`.
    """

    text: Sequence[str | Path] | None = None
    dataset: Dataset | None = None
    token_ids: str | Path | NDArray[np.integer] | None = None
    documents: Iterable[TextDocument] | None = None
    name: str | None = None
    n_tokens: int | None = None
    ctx_len: int | None = None
    column: str | None = None
    bos_every_row: bool | None = None
    join: bool | None = None

    def source_name(self) -> str | None:
        """What the corpus is called in the store; `None` when no source is given."""
        if self.name is not None:
            return self.name
        if self.text is not None:
            return ", ".join(Path(path).name for path in self.text)
        if self.dataset is not None:
            return str(self.dataset)
        if self.token_ids is not None:
            return "token ids" if isinstance(self.token_ids, np.ndarray) else Path(self.token_ids).name
        return "documents" if self.documents is not None else None


def open_or_make(
    path: Path, subject: SubjectModel, request: CorpusRequest, progress: ProgressCallback
) -> Store:
    """The store at `path`: the one there, if it agrees with the request, else a new one.

    Raises StoreError for a request that contradicts the store, CorpusError for text that cannot be cached.
    """
    sources = (request.text, request.dataset, request.token_ids, request.documents)
    n_given = sum(source is not None for source in sources)
    if n_given > 1:
        raise CorpusError("give one source of text: files, a dataset, token ids or documents, not several")
    if (path / "store.json").exists():
        store = Store.open(path)
        _check_agreement(store, subject, request)
        return store
    if not n_given:
        raise CorpusError(f"{path} holds no store yet, so its text is needed: files, a dataset or token ids")
    return _make(path, subject, request, progress)


def _check_agreement(store: Store, subject: SubjectModel, request: CorpusRequest) -> None:
    model, corpus, tokenizer = store.meta["model"], store.meta["corpus"], store.meta["tokenizer"]
    if tokenizer.get("by_name"):
        raise StoreError(
            f"{store.path} was imported with the texts of tokens but not their ids, so no coder can be cached on its text. "
            "Choose another folder."
        )
    if model.get("fingerprint", subject.fingerprint) != subject.fingerprint:
        raise StoreError(
            f"{store.path} holds activations of {model.get('name')}, not of {subject.name} (its weights differ). Choose "
            "another folder for this model."
        )
    if model.get("dtype", subject.dtype) != subject.dtype:
        raise StoreError(
            f"{store.path} holds activations in {model['dtype']}, not in {subject.dtype}. Omit the dtype, or choose another "
            "folder."
        )
    if request.ctx_len is not None and request.ctx_len != store.ctx_len:
        raise StoreError(
            f"{store.path} has contexts of {store.ctx_len} tokens, not {request.ctx_len}. Omit the context length, or choose "
            "another folder."
        )
    name = request.source_name()
    if name is not None and name != corpus.get("name"):
        raise StoreError(
            f"{store.path} already holds the text {corpus.get('name')!r}, not {name!r}. Omit the text to add coders to "
            "this store, or choose another folder."
        )
    for asked, stored, what in (
        (request.bos_every_row, tokenizer.get("row_start") is not None, "with BOS before every row"),
        (request.join, tokenizer.get("joined", True), "with documents joined"),
    ):
        if asked is not None and asked != stored:
            raise StoreError(
                f"{store.path} holds its text {what if stored else what.replace('with', 'without', 1)}. Omit the option, or "
                "choose another folder."
            )
    # Asking again for the same number, of which the text had fewer, is no conflict.
    n, asked_before = request.n_tokens, tokenizer.get("n_tokens_asked")
    if n is not None and n != asked_before and n // store.ctx_len != store.n_contexts:
        raise StoreError(
            f"{store.path} holds {corpus['n_tokens']:,} tokens, not {n:,}. Omit the number to use them, or "
            "choose another folder."
        )


def _make(path: Path, subject: SubjectModel, request: CorpusRequest, progress: ProgressCallback) -> Store:
    n_asked = request.n_tokens or (DEFAULT_N_TOKENS if request.token_ids is None else None)
    rows = None if request.token_ids is None else load_token_ids(request.token_ids, request.ctx_len)
    ctx_len = (
        rows.shape[1]
        if rows is not None
        else request.ctx_len or min(DEFAULT_CTX_LEN, subject.max_ctx_len or DEFAULT_CTX_LEN)
    )
    if ctx_len < 1:
        raise CorpusError(f"context length {ctx_len}: at least 1 token is needed")
    subject.check_ctx_len(ctx_len)
    if n_asked is not None and n_asked < ctx_len:
        raise CorpusError(f"{n_asked} tokens do not fill one context of {ctx_len}")
    if subject.tokenizer is None:
        raise ModelLoadError(
            f"{subject.name} comes without a tokenizer, so its tokens cannot be shown as text"
        )
    max_rows = None if n_asked is None else n_asked // ctx_len
    row_start = _row_start(subject) if request.bos_every_row else None
    joined = request.join is not False
    packer = Packer(ctx_len, max_rows, row_start, joined)
    writer = CorpusWriter(
        path,
        model={key: getattr(subject, key) for key in MODEL_KEYS},
        tokenizer={
            "source": subject.tokenizer_source,
            "separator": separator(subject.tokenizer),
            "bos": subject.bos_token_id,
            "special_as_text": True,
            "row_start": row_start,
            "joined": joined,
            "n_tokens_asked": n_asked,
        },
        name=request.source_name() or "",
        ctx_len=ctx_len,
        vocabulary=vocabulary_from_tokenizer(subject.tokenizer, subject.vocab_size),
    )
    with writer:
        blocks = (
            _row_blocks(rows, max_rows)
            if rows is not None
            else tokenize(_texts(request, subject.tokenizer), subject.tokenizer, packer)
        )
        done = 0
        for block in blocks:
            subject.check_ids(block)
            writer.append(block)
            done += block.size
            progress(
                Progress("tokenize", done, max(done, n_asked or (rows.size if rows is not None else done)))
            )
        progress(Progress("tokenize", done, done))
        if not done:
            if not joined and packer.n_tokens >= ctx_len:
                raise CorpusError(
                    f"no document fills one context of {ctx_len} tokens, and joining is off. Choose a shorter context "
                    "length, or let documents be joined."
                )
            raise CorpusError(
                f"the text has {packer.n_tokens:,} tokens, less than one context of {ctx_len}. Give more text or a shorter "
                "context length."
            )
        return writer.finish(packer.placed() or None, progress)


def _row_start(subject: SubjectModel) -> int:
    token = subject.bos_token_id if subject.bos_token_id is not None else separator(subject.tokenizer)
    if token is None:
        raise CorpusError(f"the tokenizer of {subject.name} has no BOS token to put before every row")
    return token


def _texts(request: CorpusRequest, tokenizer: Any) -> Iterable[TextDocument]:
    if request.text is not None:
        return read_text_files(request.text, tokenizer, request.column)
    if request.dataset is not None:
        return read_dataset(request.dataset, tokenizer)
    assert request.documents is not None
    return request.documents


def _row_blocks(rows: NDArray[np.integer], max_rows: int | None) -> Iterator[NDArray[np.integer]]:
    n = len(rows) if max_rows is None else min(len(rows), max_rows)
    if not n:
        raise CorpusError(
            "the token ids do not fill one context. Give more of them, or a shorter context length."
        )
    for start in range(0, n, 4096):
        yield np.asarray(rows[start : min(start + 4096, n)])
