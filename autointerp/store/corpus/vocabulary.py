"""Token ids to text: bytes per token, and rows of ids decoded with split UTF-8 repaired.

Byte-level tokenizers cut characters in the middle, so a token's own text can be half an emoji. Bytes are the truth here:
a row is decoded from its joined bytes, and each piece is shown on the token that holds its first byte.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from autointerp.errors import CorpusError

_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")
VocabularyEntry = tuple[str, bytes, bool]


class Vocabulary:
    """All tokens of a tokenizer, by id. Immutable."""

    def __init__(self, pieces: Sequence[bytes], special: Iterable[int] = ()):
        self._bytes = list(pieces)
        self._special = frozenset(int(token) for token in special)
        self.texts: list[str] = []
        self._whole: list[bool] = []
        self._broken: set[int] = set()
        for piece in self._bytes:
            text = piece.decode("utf-8", errors="replace")
            self.texts.append(text)
            broken = "\ufffd" in text and piece.decode("utf-8", errors="ignore") != text
            self._whole.append(bool(piece) and not broken)
        self._broken.update(token for token, whole in enumerate(self._whole) if not whole)

    def __len__(self) -> int:
        return len(self._bytes)

    def text(self, token: int) -> str:
        """The token alone as text; bytes that are no character become U+FFFD."""
        return self.texts[self._check(token)]

    def bytes(self, token: int) -> bytes:
        """The bytes the token stands for."""
        return self._bytes[self._check(token)]

    def is_special(self, token: int) -> bool:
        """Whether the tokenizer treats it as a control token (end of text, padding)."""
        return self._check(token) in self._special

    def decode(self, ids: Iterable[int]) -> list[str]:
        """One text per id, `"".join` of which is the decoded joined bytes.

        A character split over tokens is shown on the first of them, the others are "". Undecodable bytes are U+FFFD.
        """
        ids = _as_list(ids)
        if ids:
            self._check(min(ids))
            self._check(max(ids))
        known = self.texts
        texts = [known[token] for token in ids]
        if self._broken.isdisjoint(ids):
            return texts
        whole = self._whole
        at = 0
        while at < len(ids):
            if whole[ids[at]]:
                at += 1
                continue
            # A whole token starts with a lead byte, which ends any open character: runs of broken (or empty) ones stand alone.
            end = at + 1
            while end < len(ids) and not whole[ids[end]]:
                end += 1
            texts[at:end] = _repair([self._bytes[token] for token in ids[at:end]])
            at = end
        return texts

    def decode_text(self, ids: Iterable[int]) -> str:
        """The whole row as one string, equal to `"".join(decode(ids))`."""
        pieces = self._bytes
        return b"".join([pieces[token] for token in _as_list(ids)]).decode("utf-8", errors="replace")

    def _check(self, token: int) -> int:
        if not 0 <= token < len(self._bytes):
            raise CorpusError(
                f"token id {token} is outside the vocabulary of {len(self._bytes)} tokens. If it is in the corpus, its "
                "file is damaged: check with `autointerp info --check`."
            )
        return int(token)


def _as_list(ids: Iterable[int]) -> list[int]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)


def _repair(pieces: list[bytes]) -> list[str]:
    """Texts of consecutive pieces whose characters may cross their borders."""
    joined = b"".join(pieces)
    owner = [index for index, piece in enumerate(pieces) for _ in piece]
    texts = [""] * len(pieces)
    at = 0
    while at < len(joined):
        try:
            valid, bad_end = joined[at:].decode("utf-8"), None
            valid_end = len(joined)
        except UnicodeDecodeError as error:
            valid = joined[at : at + error.start].decode("utf-8")
            valid_end, bad_end = at + error.start, at + error.end
        for character in valid:
            texts[owner[at]] += character
            at += len(character.encode("utf-8"))
        if bad_end is not None:
            texts[owner[valid_end]] += "\ufffd"
            at = bad_end
    return texts


def vocabulary_from_tokenizer(tokenizer: Any, size: int | None = None) -> list[VocabularyEntry]:
    """(text, bytes, special) of every id of a transformers tokenizer: byte-level BPE, SentencePiece, WordPiece or BPE with an
    end-of-word mark. A token stands for what the tokenizer's own decoder makes of it between two others.

    `size`: rows of the model's embedding when there are more than tokens; the unused ids come out empty and special.
    """
    names: dict[int, str] = {index: name for name, index in tokenizer.get_vocab().items()}
    added = {
        int(index): token.content for index, token in getattr(tokenizer, "added_tokens_decoder", {}).items()
    }
    names.update(added)
    special = set(getattr(tokenizer, "all_special_ids", ()))
    family = _family(tokenizer, names.values())
    between = _Between(getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None), family)
    n = max(size or 0, max(names, default=-1) + 1)
    entries: list[VocabularyEntry] = []
    for index in range(n):
        if index not in names:
            entries.append(("", b"", True))
            continue
        name = names[index]
        if index in special:
            piece = _utf8(name)
        else:
            piece = between.bytes(name) or piece_bytes(name, "plain" if index in added else family)
        entries.append((piece.decode("utf-8", errors="replace"), piece, index in special))
    return entries


class _Between:
    """What a tokenizer's decoder makes of a token that stands between two others."""

    def __init__(self, decoder: Any, family: str):
        self._decoder, self._has_bytes = decoder, family == "sentencepiece"
        self._other = "a</w>" if family == "end_of_word" else "a"
        both = "" if decoder is None else decoder.decode([self._other, self._other])
        cut = len(both) - 1 if family == "end_of_word" else 1
        self._before, self._after = both[:cut], both[cut:]

    def bytes(self, name: str) -> bytes | None:
        """`None` where it cannot be told, as for a token that is a part of a character."""
        if self._decoder is None or (self._has_bytes and _BYTE.fullmatch(name)):
            return None
        try:
            whole = self._decoder.decode([self._other, name, self._other])
        except (UnicodeError, TypeError):  # a lone surrogate
            return None
        if not (whole.startswith(self._before) and whole.endswith(self._after)) or "\ufffd" in whole:
            return None
        return _utf8(whole[len(self._before) : len(whole) - len(self._after)])


def is_byte_level(name: str) -> bool:
    """Whether byte-level tokenizers could call a token so: all characters stand for bytes."""
    return all(character in _byte_level_table() for character in name)


def piece_bytes(name: str, family: str) -> bytes:
    """What a token of this name stands for, in a tokenizer of this family: "byte_level", "sentencepiece", "wordpiece",
    "end_of_word" or "plain"."""
    if family == "byte_level":
        table = _byte_level_table()
        if all(character in table for character in name):
            return bytes(table[character] for character in name)
        return _utf8(name)
    if family == "sentencepiece":
        if byte := _BYTE.fullmatch(name):
            return bytes([int(byte[1], 16)])
        return _utf8(name.replace("\u2581", " "))
    if family == "wordpiece":
        return _utf8(name[2:] if name.startswith("##") else " " + name)
    if family == "end_of_word":
        return _utf8(name[:-4] + " " if name.endswith("</w>") else name)
    return _utf8(name)


def _utf8(text: str) -> bytes:
    # "surrogatepass" keeps a lone surrogate as its three bytes, which decode to U+FFFD like any broken character.
    return text.encode("utf-8", errors="surrogatepass")


def _family(tokenizer: Any, names: Iterable[str]) -> str:
    """How token names stand for bytes, read from the tokenizer's own decoder, else guessed from the names."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    if decoder is not None:
        state = decoder.__getstate__()
        described = json.dumps(json.loads(state)) if isinstance(state, bytes | str) else str(decoder)
        for mark, family in (
            ("ByteLevel", "byte_level"),
            ("WordPiece", "wordpiece"),
            ("BPEDecoder", "end_of_word"),
            ("\\u2581", "sentencepiece"),
        ):
            if mark in described:
                return family
        if "Metaspace" in described or "ByteFallback" in described:
            return "sentencepiece"
    for name in names:
        if name.startswith("\u0120"):
            return "byte_level"
        if name.startswith("\u2581"):
            return "sentencepiece"
        if name.startswith("##") and len(name) > 2:
            return "wordpiece"
        if name.endswith("</w>") and len(name) > 4:
            return "end_of_word"
    return "plain"


@cache
def _byte_level_table() -> dict[str, int]:
    """Character to byte in GPT-2's scheme: printable Latin-1 stands for itself, the other bytes for U+0100 upwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(0x100 + index): byte for index, byte in enumerate(others)})
    return table
