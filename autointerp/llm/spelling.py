"""How servers spell the tokens of a prompt."""

import re

_ALIKE = re.compile(r"[^\x00-\x7f]+|[\x00-\x7f]")  # runs of characters that may be split, and single ones
_LETTERS = {" ": "[ \u0120]", "\t": "[\t\u0109]", "\n": "[\n\u010a]"}


def spelled(text: str) -> str:
    """A regular expression for `text` as servers spell its tokens. A character split over several tokens comes as replacement
    characters, as letters that stand for its bytes, or not at all; with such letters, blanks, tabs and line breaks are letters
    too."""
    return "".join(
        _LETTERS.get(piece) or (re.escape(piece) if piece.isascii() else r"[^\x00-\x7f]*")
        for piece in _ALIKE.findall(text)
    )
