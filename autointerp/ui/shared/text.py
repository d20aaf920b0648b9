"""Untrusted token text made safe to look at: what would be invisible or would reorder a line becomes a symbol."""

import re
import unicodedata

KEPT = frozenset("\n\t ")  # the page draws these itself, as glyphs when whitespace is made visible
MAX_SHOWN = 4_000
"""Characters of a text that a page draws at most, see `beginning`."""
MAX_DRAWN = 16_000
"""The same of whatever is shown at all; what is longer than `MAX_SHOWN` is cut where it is known what it is."""
MAX_TOKEN = 400
"""The same of a token; the longest real ones have some hundred."""
_JOINERS = frozenset("\u200c\u200d")  # inside a longer token they shape emoji and scripts


def visible(text: str) -> str:
    """Token text as shown: control, format, bidirectional and surrogate characters become symbols; everything else,
    line breaks, tabs and spaces included, stays. The result holds no character that reorders or hides its neighbours,
    is always encodable as UTF-8, and ends after `MAX_DRAWN` characters: a browser stands still over a megabyte."""
    if len(text) > MAX_DRAWN:
        text = f"{text[:MAX_DRAWN]}…"
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(_symbol(char, alone=len(text) == 1) for char in text)
    return f"\u25cc{shown}" if shown and unicodedata.combining(shown[0]) else shown


def beginning(text: str, limit: int = MAX_SHOWN) -> str:
    """Text as shown, cut where it is longer than `limit` characters."""
    return visible(text if len(text) <= limit else f"{text[:limit]}…")


def _symbol(char: str, *, alone: bool) -> str:
    if char in KEPT:
        return char
    code = ord(char)
    match unicodedata.category(char):
        case "Cs":
            return "\ufffd"
        case "Cc" if code < 0x20:
            return chr(0x2400 + code)
        case "Cc" if code == 0x7F:
            return "\u2421"
        case "Cf" if char in _JOINERS and not alone:
            return char
        case "Cc" | "Cf" | "Zl" | "Zp" | "Cn" | "Co":
            return f"\u27e8{code:04X}\u27e9"
        case _:
            return char


_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str, limit: int = 300) -> str:
    """Text for a place that renders Markdown, as itself: one line, no markup, links, images, formulas or icons."""
    shown = " ".join(beginning(text, 8 * limit).split())
    return _PUNCTUATION.sub(r"\\\1", shown if len(shown) <= limit else shown[: limit - 1] + "…")


_OPENINGS = frozenset({
    "a", "an", "each", "it", "latent", "no", "nothing", "seed", "strength", "target", "temperature", "that", "the", "there",
    "this",
})  # fmt: skip


def sentence(error: object, limit: int = 300) -> str:
    """An error's message as a sentence of its own, for a place that renders Markdown: a command line prints it after the
    program's name, in lower case; a page begins with a capital. Names stay as they are."""
    said = str(error)
    return plain(said[:1].upper() + said[1:] if said.split(" ", 1)[0] in _OPENINGS else said, limit)


def quoted(text: str) -> str:
    """One line of token text for titles and captions: breaks and tabs as glyphs, an empty piece as a dash."""
    shown = beginning(text, MAX_TOKEN).replace("\n", "↵").replace("\t", "→")
    return shown.replace(" ", "␣") if not shown.strip() and shown else shown or "∅"


def token_name(text: str, raw: bytes) -> str:
    """A token's own text; where its bytes are no text by themselves (a piece of a character), its bytes: `\\xf0\\x9f`."""
    return "".join(f"\\x{byte:02x}" for byte in raw) if "\ufffd" in text and raw else text
