"""From text to rows of token ids.

Documents are packed one after the other and cut into rows of `ctx_len` tokens; the last, partial row is dropped. Each
document begins with one separator token, as in the training of language models and of sparsify's coders: the tokenizer's BOS,
else its EOS, else CLS or SEP. No token is inserted or removed where a row begins inside a document.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.caching.masking import separator
from autointerp.errors import CorpusError

PIECE_CHARS = 1 << 20
BATCH_CHARS = 1 << 20
TextDocument = tuple[str, str]
"""(name, text)"""


@dataclass
class Packer:
    """Packs token lists into rows. `documents` fills up as (name, first token index, number of tokens)."""

    ctx_len: int
    max_rows: int | None
    documents: list[tuple[str, int, int]] = field(default_factory=list)
    n_tokens: int = 0
    _rest: list[NDArray[np.int64]] = field(default_factory=list)
    _rows: int = 0

    @property
    def full(self) -> bool:
        """Whether there are tokens for `max_rows` rows."""
        return self.max_rows is not None and self.n_tokens >= self.max_rows * self.ctx_len

    def add(self, name: str, ids: NDArray[np.int64], *, continued: bool = False) -> None:
        """Add one document's ids, or, with `continued`, more ids of the document before."""
        if continued and self.documents:
            name, first, size = self.documents[-1]
            self.documents[-1] = (name, first, size + len(ids))
        else:
            self.documents.append((name, self.n_tokens, len(ids)))
        self._rest.append(ids)
        self.n_tokens += len(ids)

    def take(self) -> NDArray[np.int64]:
        """The complete rows held so far, Int64[ndarray, "rows ctx_len"]; the remainder is kept."""
        flat = np.concatenate(self._rest) if self._rest else np.zeros(0, np.int64)
        n = len(flat) // self.ctx_len
        if self.max_rows is not None:
            n = min(n, self.max_rows - self._rows)
        self._rows += n
        self._rest = [flat[n * self.ctx_len :]]
        return flat[: n * self.ctx_len].reshape(n, self.ctx_len)

    @property
    def held(self) -> int:
        """Tokens waiting to be taken."""
        return self.n_tokens - self._rows * self.ctx_len

    def placed(self) -> list[tuple[str, int, int]]:
        """Documents that have a token in a taken row, cut at the end of the last row."""
        end = self._rows * self.ctx_len
        return [(name, first, min(size, end - first)) for name, first, size in self.documents if first < end]


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
        texts = [text for _, text, _ in batch]
        encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
        for (name, _, continued), ids in zip(batch, encoded["input_ids"], strict=True):
            prefix = [] if continued or start is None else [start]
            packer.add(name, np.asarray([*prefix, *ids], dtype=np.int64), continued=continued)
        if packer.held >= rows_at_once * packer.ctx_len or packer.full:
            yield packer.take()
        if packer.full:
            return
    if not any_text:
        raise CorpusError("the text is empty: there is nothing to cache")
    yield packer.take()


def _pieces(documents: Iterable[TextDocument]) -> Iterator[tuple[str, str, bool]]:
    """(name, text, continued), empty documents left out; very long ones cut after a line break (or a space)."""
    for name, text in documents:
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


def _batches(pieces: Iterable[tuple[str, str, bool]]) -> Iterator[list[tuple[str, str, bool]]]:
    batch: list[tuple[str, str, bool]] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece[1])
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_text_files(paths: Sequence[str | Path]) -> Iterator[TextDocument]:
    """One document per file, or per line of a `.jsonl` file (its "text" field).

    Raises CorpusError naming the file (and line) that is missing, no UTF-8 or no such JSON.
    """
    for path in map(Path, paths):
        if not path.is_file():
            why = "a folder: give its files, or use it as a dataset" if path.is_dir() else "no such file"
            raise CorpusError(f"text {path}: {why}")
        try:
            if path.suffix == ".jsonl":
                yield from _read_jsonl(path)
            else:
                yield path.name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(f"text {path} is not UTF-8 (byte {error.start}). Convert it first.") from error
        except OSError as error:
            raise CorpusError(f"text {path} cannot be read: {error.strerror}") from error


def _read_jsonl(path: Path) -> Iterator[TextDocument]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise CorpusError(f"{path}, line {number}: not JSON ({error})") from error
            text = record.get("text") if isinstance(record, dict) else None
            if not isinstance(text, str):
                raise CorpusError(f'{path}, line {number}: no "text" field with a string')
            yield f"{path.name}:{number}", text


def read_dataset(name: str, split: str = "train") -> Iterator[TextDocument]:
    """The texts of a Hugging Face dataset: a hub name, a folder of data files, or one saved with `save_to_disk`."""
    import datasets

    folder = Path(name).expanduser()
    try:
        if (folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists():
            loaded: Any = datasets.load_from_disk(str(folder))
            if isinstance(loaded, dict):
                if split not in loaded:
                    raise CorpusError(f"dataset {name} has no split {split!r}; it has {', '.join(loaded)}")
                loaded = loaded[split]
        else:
            loaded = datasets.load_dataset(
                str(folder) if folder.exists() else name, split=split, streaming=True
            )
        rows = iter(loaded)
        first = next(rows, None)
    except CorpusError:
        raise
    except Exception as error:  # datasets raises its own, pyarrow's, fsspec's and httpx's
        raise CorpusError(
            f"dataset {name} cannot be loaded: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    if first is None:
        raise CorpusError(f"dataset {name} is empty")
    columns = [key for key, value in first.items() if isinstance(value, str)]
    if not columns:
        raise CorpusError(f"dataset {name} has no text column; its columns: {', '.join(first)}")
    column = "text" if "text" in columns else columns[0]
    for number, row in enumerate(chain([first], rows)):
        yield f"{name}:{number}", row[column] or ""


def load_token_ids(source: str | Path | NDArray[np.integer], ctx_len: int | None) -> NDArray[np.integer]:
    """Rows of token ids, Int[ndarray, "rows ctx_len"], from a `.npy` file (memory-mapped, never unpickled) or an array.

    One axis: cut into rows of `ctx_len` (default 128), the rest dropped. Two axes: a row is a context.
    """
    if isinstance(source, np.ndarray):
        ids, name = source, "the array"
    else:
        name = str(source)
        try:
            ids = np.load(source, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CorpusError(f"token ids {name}: not a readable .npy array of numbers ({error})") from error
    if not isinstance(ids, np.ndarray) or not np.issubdtype(ids.dtype, np.integer) or ids.ndim not in (1, 2):
        shape = getattr(ids, "shape", "?")
        raise CorpusError(f"token ids {name}: expected whole numbers with one or two axes, got shape {shape}")
    if ids.ndim == 2:
        if ctx_len is not None and ids.shape[1] != ctx_len:
            raise CorpusError(
                f"token ids {name} come in rows of {ids.shape[1]}, but the context length is to be {ctx_len}"
            )
        return ids
    ctx_len = ctx_len or 128
    return ids[: len(ids) // ctx_len * ctx_len].reshape(-1, ctx_len)
