"""Texts of tokens as other tools write them, as a vocabulary: some write what the tokenizer's own files hold (`Ġthe`, `▁the`,
`<0x0A>`), which stands for bytes."""

import re
from collections.abc import Sequence

from autointerp.store.corpus.vocabulary import VocabularyEntry, is_byte_level, piece_bytes

PADDING: VocabularyEntry = ("", b"", True)
_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")
_SPECIAL = re.compile(r"<\|[^|<>\s]+\|>|<(bos|eos|pad|unk|mask|s|/s)>|\[(CLS|SEP|PAD|UNK|MASK|BOS|EOS)\]")


def vocabulary(names: Sequence[str]) -> list[VocabularyEntry]:
    """An entry for each of `names`, in their order. What stands for bytes is taken for them only where all of the names agree:
    `Ġ` where no name has a space or another character that byte-level tokenizers replace, `▁` where none has a space."""
    ordinary = [name for name in names if not _SPECIAL.fullmatch(name)]
    family = _family(ordinary)
    entries: list[VocabularyEntry] = []
    for name in names:
        special = _SPECIAL.fullmatch(name) is not None
        own = "plain" if special else "sentencepiece" if _BYTE.fullmatch(name) else family
        piece = piece_bytes(name, own)
        entries.append((piece.decode("utf-8", errors="replace"), piece, special))
    return entries


def _family(names: Sequence[str]) -> str:
    if any("\u0120" in name for name in names) and all(map(is_byte_level, names)):
        return "byte_level"
    spaced = any(" " in name for name in names)
    return "sentencepiece" if not spaced and any("\u2581" in name for name in names) else "plain"
