"""Where text comes from: files, data sets of Hugging Face, arrays of token ids."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import CorpusError
from autointerp.reading import expanded, parsing, reading

TextDocument = tuple[str, str | Sequence[int]]
"""(name, text or token ids)"""

CHAT, IDS = ("messages", "conversations", "conversation"), ("input_ids", "token_ids", "tokens")
_HALVES = re.compile("[\ud800-\udfff]")
_ROLES = {"human": "user", "gpt": "assistant"}
"""Names of roles in ShareGPT's format."""


@dataclass(frozen=True)
class Dataset:
    """A data set by hub name or folder. `config`: one of its configurations; `column`: where the text is; `None` = see
    `choose_column` and `_split`."""

    name: str
    config: str | None = None
    split: str | None = None
    column: str | None = None

    def __str__(self) -> str:
        """The name, with what was chosen in brackets."""
        chosen = [part for part in (self.config, self.split, self.column) if part]
        return f"{self.name} ({', '.join(chosen)})" if chosen else self.name


def read_text_files(
    paths: Sequence[str | Path], tokenizer: Any = None, column: str | None = None
) -> Iterator[TextDocument]:
    """One document per file, or per line of a `.jsonl` file (its field `column`, see `choose_column`).

    Raises CorpusError naming the file (and line) that is missing, no UTF-8 or no such JSON.
    """
    for path in map(Path, paths):
        if path.is_dir():
            raise CorpusError(f"text {path}: a folder: give its files, or use it as a dataset")
        with reading(path, "text", CorpusError):
            try:
                if path.suffix == ".jsonl":
                    yield from _read_jsonl(path, tokenizer, column)
                else:
                    yield path.name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"text {path} is not UTF-8 (byte {error.start}). Convert it first."
                ) from error


def _read_jsonl(path: Path, tokenizer: Any, column: str | None) -> Iterator[TextDocument]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            with parsing(f"{where}: not JSON", CorpusError):
                record = json.loads(line)
            if not isinstance(record, dict):
                raise CorpusError(f'{where}: no "text" field with a string')
            column = column or choose_column(record, where)
            if column not in record:
                raise CorpusError(f"{where}: no field {column!r}; it has {', '.join(record)}")
            yield f"{path.name}:{number}", _document(record[column], tokenizer, f"{where}, field {column!r}")


def read_dataset(dataset: Dataset, tokenizer: Any = None) -> Iterator[TextDocument]:
    """The documents of a Hugging Face data set: a hub name, a folder of data files, or one saved with `save_to_disk`."""
    rows = iter(_load(dataset))
    first = next(rows, None)
    name = dataset.name
    if first is None:
        raise CorpusError(f"dataset {name} is empty")
    column = dataset.column or choose_column(first, f"dataset {name}")
    if column not in first:
        raise CorpusError(f"dataset {name} has no column {column!r}; its columns: {', '.join(first)}")
    for number, row in enumerate(chain([first], rows)):
        where = f"dataset {name}, row {number}, column {column!r}"
        yield f"{name}:{number}", _document(row[column], tokenizer, where)


def _load(dataset: Dataset) -> Any:
    """Its rows, streamed where it is not saved on disk."""
    import datasets

    name, folder = dataset.name, expanded(dataset.name)
    try:
        if (folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists():
            loaded: Any = datasets.load_from_disk(str(folder))
        else:
            source = str(folder) if folder.exists() else name
            loaded = datasets.load_dataset(source, dataset.config, streaming=True)
    except Exception as error:  # datasets raises its own, pyarrow's, fsspec's and httpx's
        if "Config name is missing" in str(error):
            names = str(error).partition("available configs: ")[2].split("\n")[0] or str(error)
            raise CorpusError(
                f"dataset {name} has several configurations, choose one with --config: {names[:300]}"
            ) from error
        raise CorpusError(
            f"dataset {name} cannot be loaded: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    return _split(dataset, loaded) if isinstance(loaded, dict) else loaded


def _split(dataset: Dataset, splits: Mapping[str, Any]) -> Any:
    """The split asked for, else "train", else the only one."""
    wanted = dataset.split or ("train" if "train" in splits or len(splits) != 1 else next(iter(splits)))
    if wanted not in splits:
        raise CorpusError(
            f"dataset {dataset.name} has no split {wanted!r}; it has {', '.join(splits)}. Choose one with --split."
        )
    return splits[wanted]


def choose_column(record: Mapping[str, Any], where: str) -> str:
    """The field that holds the text: `text`, else messages of a chat, else token ids, else the only field with a string.

    Raises CorpusError, asking for the column, where none or several could be it.
    """
    if isinstance(record.get("text"), str):
        return "text"
    for names in (CHAT, IDS):
        for name in names:
            if isinstance(record.get(name), (list, tuple, np.ndarray)):
                return name
    strings = [name for name, value in record.items() if isinstance(value, str)]
    if not strings:
        raise CorpusError(f'{where}: no "text" column with a string; it has {", ".join(record)}')
    if len(strings) > 1:
        raise CorpusError(
            f"{where}: which column is the text? Choose one with --column: {', '.join(strings)}"
        )
    return strings[0]


def _document(value: Any, tokenizer: Any, where: str) -> str | list[int]:
    """What a field holds, as text or as token ids: messages through the tokenizer's chat template."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        if not all(type(each) is int and 0 <= each < 1 << 31 for each in value):
            raise CorpusError(f"{where} holds numbers that are not token ids")
        return value
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return _chat(value, tokenizer, where)
    raise CorpusError(f"{where} holds {type(value).__name__}, not a string, messages or token ids")


def _chat(messages: list[dict[str, Any]], tokenizer: Any, where: str) -> list[int]:
    if not getattr(tokenizer, "chat_template", None):
        raise CorpusError(f"{where} holds messages, but the model's tokenizer has no chat template")
    plain = [
        {
            "role": _ROLES.get(each.get("from", ""), each.get("from"))
            if "role" not in each
            else each["role"],
            "content": each.get("content", each.get("value")) or "",
        }
        for each in messages
    ]
    try:
        text = tokenizer.apply_chat_template(plain, tokenize=False)
    except Exception as error:  # a template may raise anything
        raise CorpusError(f"{where}: the chat template does not accept its messages ({error})") from error
    return tokenizer(whole(text), add_special_tokens=False, verbose=False)["input_ids"]


def whole(text: str) -> str:
    """Without halves of characters, which no tokenizer takes and JSON of the web is full of: each becomes U+FFFD."""
    return _HALVES.sub("\ufffd", text)


def load_token_ids(source: str | Path | NDArray[np.integer], ctx_len: int | None) -> NDArray[np.integer]:
    """Rows of token ids, Int[ndarray, "rows ctx_len"], from a `.npy` file (memory-mapped, never unpickled) or an array.

    One axis: cut into rows of `ctx_len` (default 128), the rest dropped. Two axes: a row is a context.
    """
    if isinstance(source, np.ndarray):
        ids, name = source, "the array"
    else:
        name = str(source)
        with reading(source, "a .npy array of token ids", CorpusError):
            ids = np.load(source, mmap_mode="r", allow_pickle=False)
    if not isinstance(ids, np.ndarray) or not np.issubdtype(ids.dtype, np.integer) or ids.ndim not in (1, 2):
        shape = getattr(ids, "shape", "?")
        raise CorpusError(f"token ids {name}: expected whole numbers with one or two axes, got shape {shape}")
    if ids.ndim == 2:
        if ctx_len is not None and ids.shape[1] != ctx_len:
            raise CorpusError(
                f"token ids {name} come in rows of {ids.shape[1]}, but the context length is {ctx_len}"
            )
        return ids
    ctx_len = ctx_len or 128
    return ids[: len(ids) // ctx_len * ctx_len].reshape(-1, ctx_len)
