"""From text to rows of token ids.

Documents are packed one after the other and cut into rows of `ctx_len` tokens; the last, partial row is dropped. Each
document begins with one separator token, as in the training of language models and of sparsify's coders: the tokenizer's BOS,
else its EOS, else CLS or SEP. No token is inserted or removed where a row begins inside a document, unless `Packer` is asked
for a token before every row. Text is encoded as text: where it names a special token (`</s>`), it stays those characters.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.caching.masking import separator
from autointerp.caching.sources import TextDocument, whole
from autointerp.errors import CorpusError

PIECE_CHARS = 1 << 20
BATCH_CHARS = 1 << 20
Piece = tuple[str, "str | list[int]", bool]
"""(name, text or ids, whether it goes on with the document before)"""


@dataclass
class Packer:
    """Packs token lists into rows of `ctx_len`.

    `row_start`: an id that every row begins with (a document that begins with it does not get a second one). Unless `join`,
    a document begins a new row, and what is left of the one before is dropped.
    """

    ctx_len: int
    max_rows: int | None
    row_start: int | None = None
    join: bool = True
    n_tokens: int = 0
    """Tokens added."""
    _documents: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, place in the stream of tokens that are not dropped, number of tokens."""
    _rest: list[NDArray[np.int64]] = field(default_factory=list)
    _ready: list[NDArray[np.int64]] = field(default_factory=list)
    _rows: int = 0
    _starts: list[int] = field(default_factory=list)
    """Where in the stream each row starts, and in `_stream` where the next one will."""
    _inserted: list[bool] = field(default_factory=list)
    _stream: int = 0
    _waiting: int = 0
    """Tokens in `_rest`."""

    @property
    def full(self) -> bool:
        """Whether there are tokens for `max_rows` rows."""
        return self.max_rows is not None and self._rows + self.held // self.ctx_len >= self.max_rows

    def add(self, name: str, ids: NDArray[np.int64], *, continued: bool = False) -> None:
        """Add one document's ids, or, with `continued`, more ids of the document before."""
        if continued and self._documents:
            name, first, size = self._documents[-1]
            self._documents[-1] = (name, first, size + len(ids))
        else:
            if not self.join:
                self._drop_rest()
            self._documents.append((name, self._stream + self._waiting, len(ids)))
        self._rest.append(ids)
        self._waiting += len(ids)
        self.n_tokens += len(ids)

    def take(self) -> NDArray[np.int64]:
        """The complete rows held so far, Int64[ndarray, "rows ctx_len"]; the remainder is kept."""
        self._cut()
        rows = np.concatenate(self._ready) if self._ready else np.zeros((0, self.ctx_len), np.int64)
        n = len(rows) if self.max_rows is None else min(len(rows), self.max_rows - self._rows)
        self._ready = []
        self._rows += n
        return rows[:n]

    @property
    def held(self) -> int:
        """Tokens waiting to be taken."""
        return sum(rows.size for rows in self._ready) + self._waiting

    def placed(self) -> list[tuple[str, int, int]]:
        """(name, first token index, number of tokens) of the documents that have a token in a taken row, cut at its end. A
        token that was put before a row belongs to the document that the row begins with."""
        ends = [*((name, first, first + size) for name, first, size in self._documents)]
        places = self._places(
            np.array([[first, end] for _, first, end in ends], dtype=np.int64).reshape(-1, 2)
        )
        last = self._rows * self.ctx_len
        return [
            (name, int(first), int(min(end, last) - first))
            for (name, _, _), (first, end) in zip(ends, places, strict=True)
            if first < min(end, last)
        ]

    def _places(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Token indices in the grid of places in the stream."""
        if self.row_start is None:
            return at
        starts, inserted = np.array([*self._starts, self._stream]), np.array([*self._inserted, False])
        row = np.searchsorted(starts, at, side="right") - 1
        inside = at - starts[row]
        return row * self.ctx_len + inside + np.where(inside > 0, inserted[row], 0)

    def _cut(self) -> None:
        """Rows from the rest, as far as it goes."""
        flat = np.concatenate(self._rest) if self._rest else np.zeros(0, np.int64)
        at = 0
        if self.row_start is None:
            at = len(flat) // self.ctx_len * self.ctx_len
            self._ready.append(flat[:at].reshape(-1, self.ctx_len))
        else:
            rows = []
            while at < len(flat):
                inserted = bool(flat[at] != self.row_start)
                end = at + self.ctx_len - inserted
                if end > len(flat):
                    break
                rows.append(np.concatenate([[self.row_start] * inserted, flat[at:end]]))
                self._starts.append(self._stream + at)
                self._inserted.append(inserted)
                at = end
            if rows:
                self._ready.append(np.array(rows, dtype=np.int64))
        self._stream += at
        self._rest, self._waiting = [flat[at:]], len(flat) - at

    def _drop_rest(self) -> None:
        self._cut()
        left = self._waiting
        self._rest, self._waiting = [], 0
        if left and self._documents:
            name, first, size = self._documents[-1]
            self._documents[-1] = (name, first, size - left)


def tokenize(
    documents: Iterable[TextDocument], tokenizer: Any, packer: Packer, *, rows_at_once: int = 1024
) -> Iterator[NDArray[np.int64]]:
    """Blocks of rows, until the documents end or the packer is full. Memory holds about a megabyte of text at a time.

    Raises CorpusError when all texts together are empty.
    """
    start = separator(tokenizer)
    any_text = False
    for batch in _batches(_pieces(documents)):
        any_text = True
        for (name, _, continued), ids in zip(batch, _encoded(batch, tokenizer), strict=True):
            begun = continued or start is None or list(ids[:1]) == [start]
            packer.add(
                name, np.asarray([*([] if begun else [start]), *ids], dtype=np.int64), continued=continued
            )
        if packer.held >= rows_at_once * packer.ctx_len or packer.full:
            yield packer.take()
        if packer.full:
            return
    if not any_text:
        raise CorpusError("the text is empty: there is nothing to cache")
    yield packer.take()


def encode(tokenizer: Any, texts: list[str], *, as_text: bool = True) -> list[list[int]]:
    """Token ids of texts, without any that the tokenizer would add. Unless `as_text`, names of special tokens in a text become
    these tokens."""
    options = {"split_special_tokens": True} if as_text else {}
    return tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False, **options)[
        "input_ids"
    ]


def with_row_starts(ids: NDArray[np.int64], ctx_len: int, token: int) -> NDArray[np.int64]:
    """One document's ids with `token` put before every row of `ctx_len` that does not begin with it, the last row shorter."""
    rows, at = [], 0
    while at < len(ids):
        inserted = bool(ids[at] != token)
        end = at + max(1, ctx_len - inserted)
        rows += [[token] * inserted, ids[at:end]]
        at = end
    return np.concatenate(rows).astype(np.int64)


def _encoded(batch: list[Piece], tokenizer: Any) -> list[list[int]]:
    """The ids of each piece: encoded, or as they came."""
    texts = [text for _, text, _ in batch if isinstance(text, str)]
    encoded = iter(encode(tokenizer, texts) if texts else [])
    return [next(encoded) if isinstance(text, str) else text for _, text, _ in batch]


def _pieces(documents: Iterable[TextDocument]) -> Iterator[Piece]:
    """Empty documents left out; very long ones cut after a line break (or a space)."""
    for given, content in documents:
        name = whole(given)
        if not isinstance(content, str):
            if len(content):
                yield name, list(content), False
            continue
        text = whole(content)
        if not text.strip():
            continue
        at = 0
        while at < len(text):
            end = min(at + PIECE_CHARS, len(text))
            if end < len(text):
                for mark in ("\n", " "):
                    cut = text.rfind(mark, at + PIECE_CHARS // 2, end)
                    if cut > 0:
                        end = cut + 1 if mark == "\n" else cut
                        break
            yield name, text[at:end], at > 0
            at = end


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece[1])
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
