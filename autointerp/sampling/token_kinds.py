"""Kinds of tokens that have a name in plain English: numbers, closing brackets, line breaks, ..."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, eq=False)
class Kind:
    """`name`: plural, as an explanation writes it; `names`: what else it is called, in the singular. `shape`: what such text
    looks like, searched for in texts. A token is of the kind when `whole` matches all of it and, for a kind of word part
    (`inside`), when it continues a word."""

    name: str
    names: tuple[str, ...]
    shape: re.Pattern[str]
    whole: re.Pattern[str]
    inside: bool = False

    def fits(self, token: str, *, inside: bool = False) -> bool:
        """`inside`: whether the token continues a word."""
        return (inside or not self.inside) and self.whole.fullmatch(token) is not None


def _kind(name: str, names: str, shape: str, whole: str | None = None, *, inside: bool = False) -> Kind:
    blanks = r"[ \t]*"
    pattern = whole or rf"{blanks}(?:{shape})+{blanks}"
    return Kind(name, tuple(names.split("|")), re.compile(shape), re.compile(pattern), inside)


_FUNCTION_WORDS = (
    "a|an|the|of|in|to|and|or|for|on|at|by|with|from|as|into|than|then|if|it|its|this|that|these|those|which|when|where|be|is|"
    "are|was|were|been|has|have|had|will|would|can|may|must|not|no|but|so|such|each|any|all|some|there"
)

KINDS: tuple[Kind, ...] = (
    _kind("numbers", "number|digit|numeral|integer", r"\d+(?:[.,]\d+)*"),
    _kind("line breaks", "line break|linebreak|newline|new line|end of line", r"\n", r"[ \t]*\n\s*"),
    _kind("runs of blanks", "run of blanks|blank|indentation|whitespace", r"(?:  |\t)", r"[ \t]+"),
    _kind("opening brackets", "opening bracket|opening parenthesis|opening parentheses|opening brace", r"[(\[{]"),
    _kind("closing brackets", "closing bracket|closing parenthesis|closing parentheses|closing brace", r"[)\]}]"),
    _kind("brackets", "bracket|parenthesis|parentheses|brace", r"[()\[\]{}]"),
    _kind("quotation marks", "quotation mark|quote|inverted comma", r"[\"'`\u2018\u2019\u201c\u201d]"),
    _kind("commas", "comma", r","),
    _kind("full stops", "full stop|period|dot", r"\."),
    _kind("colons", "colon", r":"),
    _kind("hyphens and dashes", "hyphen|dash|minus sign", r"[-\u2010-\u2015]"),
    _kind("underscores", "underscore", r"_"),
    _kind("slashes", "slash", r"/"),
    _kind("backslashes", "backslash", r"\\"),
    _kind("equals signs", "equals sign|equal sign|equality sign", r"="),
    _kind("asterisks", "asterisk|star", r"\*"),
    _kind(
        "capitalised words",
        "capitalised word|capitalized word|proper noun|proper name|name of people",
        r"\b[A-Z][a-z]+",
    ),
    _kind("words in capitals", "in capitals|all caps|all-caps|acronym|capital letter|uppercase|upper case", r"\b[A-Z]{2,}"),
    _kind("function words", "function word|stop word|stopword", rf"(?<!\w)(?:{_FUNCTION_WORDS})(?!\w)"),
    _kind(
        "word endings",
        "word ending|suffix|end of word",
        r"(?<=[^\W_]{2})[^\W\d_]{1,4}(?!\w)",
        r"[^\W\d_]+",
        inside=True,
    ),
    _kind("punctuation", "punctuation mark|punctuation", r"[^\w\s]"),
)  # fmt: skip

BY_NAME = {kind.name: kind for kind in KINDS}

_CALLED = {name: kind for kind in KINDS for name in kind.names}
# Long names first: "closing brackets" is not "brackets".
_ANY_NAME = re.compile(
    rf"\b({'|'.join(sorted(map(re.escape, _CALLED), key=len, reverse=True))})(?:e?s)?\b", re.IGNORECASE
)


@lru_cache(maxsize=1 << 16)
def kinds_of(token: str, inside: bool) -> tuple[Kind, ...]:
    """The kinds a token is of. `inside`: whether it continues a word."""
    return tuple([kind for kind in KINDS if kind.fits(token, inside=inside)])


def named_in(text: str) -> Iterator[Kind]:
    """The kinds that a sentence names, in its order, each once."""
    return iter(dict.fromkeys(_CALLED[match[1].lower()] for match in _ANY_NAME.finditer(text)))


def without_names(text: str) -> str:
    """The sentence without the kinds it names."""
    return _ANY_NAME.sub(" ", text)
