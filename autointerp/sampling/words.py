"""Words around tokens."""

import re
from collections.abc import Sequence

_LONG_WORD = re.compile(r"[^\W\d_][\w'\u2019]+[^\W_]")
_TAIL = re.compile(r"[^\W_]*\Z")
_HEAD = re.compile(r"[^\W_]*")
_UNIT = re.compile(r"[^\W_]+|[^\w\s]+|_+")
_SPAN = re.compile(r"\w+")


def words(text: str) -> set[str]:
    """The distinct words of a text, lower case, of at least three characters."""
    return set(_LONG_WORD.findall(text.lower()))


def spans(text: str) -> list[str]:
    """Every stretch of letters, digits and underscores, in order."""
    return _SPAN.findall(text)


def full_word(texts: Sequence[str], start: int, end: int) -> str:
    """The word that the tokens `start` to `end` are a part of; their own text, stripped, when they are not inside one word."""
    piece = "".join(texts[start:end])
    core = piece.strip()
    if not core or not core.isalnum():
        return core
    before = after = ""
    if piece[0] == core[0] and start > 0 and not _ends_apart(texts[start - 1]):
        tail = _TAIL.search("".join(texts[max(0, start - 8) : start]))
        before = tail[0] if tail else ""
    if piece[-1] == core[-1] and end < len(texts) and not _starts_apart(texts[end]):
        head = _HEAD.match("".join(texts[end : end + 8]))
        after = head[0] if head else ""
    return before + core + after


def unit_before(text: str) -> str:
    """The last word, number or run of signs of a text; "" when there is none. A line break at the end counts as one."""
    tail = text[-60:]
    if tail.rstrip(" \t").endswith("\n"):
        return "\n"
    units = _UNIT.findall(tail)
    return units[-1] if units else ""


def _ends_apart(text: str) -> bool:
    return bool(text) and not text[-1].isalnum()


def _starts_apart(text: str) -> bool:
    return bool(text) and not text[0].isalnum()
