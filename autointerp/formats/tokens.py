"""Which texts the token ids of an imported corpus stand for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import CorpusError, ModelLoadError, UserError
from autointerp.models.coders.hub import is_hub_name
from autointerp.store import VocabularyEntry, vocabulary_from_tokenizer

_MOST_IDS = 1 << 22


@dataclass(frozen=True)
class Texts:
    """A vocabulary, and what `store.json` says of where it is from. `note`: what a reader has to know, "" for nothing."""

    vocabulary: list[VocabularyEntry]
    tokenizer: dict[str, Any]
    note: str = ""


def find_texts(asked: str | None, recorded: str | None, largest: int, size: int | None = None) -> Texts:
    """The vocabulary of the tokenizer `asked` for, which may be fetched from the hub, else of the model that the files record,
    where its tokenizer is on this machine, else ids in place of texts. `largest`: the largest id of the corpus. `size`: rows of
    the model's embedding, where it is known. Raises UserError: no such tokenizer, or ids that it does not have."""
    if asked is not None:
        return _of_tokenizer(asked, _load(asked, local_only=False), largest, size)
    if recorded and _is_here(recorded):
        try:
            tokenizer = _load(recorded, local_only=True)
        except UserError:
            tokenizer = None
        if tokenizer is not None:
            return _of_tokenizer(recorded, tokenizer, largest, size)
    if largest >= _MOST_IDS:
        raise CorpusError(
            f"token id {largest} cannot be right: no tokenizer has more than {_MOST_IDS:,} tokens."
        )
    return Texts(
        [(f"[{token}]", f"[{token}]".encode(), False) for token in range(largest + 1)],
        {"source": None, "by_id": True},
        "Tokens are shown as ids: no tokenizer was given, and that of the model named in the files is not on this machine. "
        "To see text, import into a new store with --tokenizer.",
    )


def _is_here(name: str) -> bool:
    """Whether it is a folder, or in the hub's local cache; transformers, which would tell too, takes seconds to import."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return True
    files = ("tokenizer.json", "tokenizer_config.json", "vocab.json")
    return is_hub_name(name) and any(isinstance(try_to_load_from_cache(name, file), str) for file in files)


def _load(name: str, *, local_only: bool) -> Any:
    """Raises UserError."""
    from autointerp.models.checkpoint import read_tokenizer

    if not Path(name).exists() and not is_hub_name(name) and "/" in name:
        raise ModelLoadError(f"no tokenizer at {name!r}: no such folder, and not a hub name (owner/name).")
    tokenizer = read_tokenizer(name, {"trust_remote_code": False, "local_files_only": local_only})
    if tokenizer is None:
        raise ModelLoadError(
            f"{name!r} holds no tokenizer (tokenizer.json, tokenizer_config.json, vocab.json)."
        )
    return tokenizer


def _of_tokenizer(name: str, tokenizer: Any, largest: int, size: int | None) -> Texts:
    vocabulary = vocabulary_from_tokenizer(tokenizer, size)
    if largest >= len(vocabulary):
        raise CorpusError(
            f"token id {largest} is outside the vocabulary of {name}, which has {len(vocabulary):,} tokens: the files were "
            "made with another tokenizer. Give that one with --tokenizer."
        )
    return Texts(vocabulary, {"source": name})
