"""Kinds of tokens that have a name in plain English: numbers, closing brackets, line breaks, ...

The `pattern` explainer uses the names, the offline judge reads them; so do people.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`name`: plural, as written in an explanation. `said`: matches ways to say it. `shape`: what such text looks like,
    searched in texts; a token is of the kind when the whole of it, blanks at its ends aside, is; `inside`: and when it goes on
    from a letter or digit before it."""

    name: str
    said: re.Pattern[str]
    shape: re.Pattern[str]
    whole: re.Pattern[str]
    inside: bool = False

    def is_in(self, text: str) -> bool:
        return self.shape.search(text) is not None

    def fits(self, token: str, *, inside: bool = False) -> bool:
        """`inside`: whether the token continues a word."""
        return (inside or not self.inside) and self.whole.fullmatch(token) is not None


def _kind(name: str, said: str, shape: str, whole: str | None = None, *, inside: bool = False) -> Kind:
    around = r"[ \t]*"
    return Kind(
        name,
        re.compile(rf"\b(?:{said})\b", re.IGNORECASE),
        re.compile(shape),
        re.compile(whole or rf"{around}(?:{shape})+{around}"),
        inside,
    )


_FUNCTION_WORDS = (
    "a|an|the|of|in|to|and|or|for|on|at|by|with|from|as|into|than|then|if|it|its|this|that|these|those|which|when|where|be|is|"
    "are|was|were|been|has|have|had|will|would|can|may|must|not|no|but|so|such|each|any|all|some|there"
)

KINDS: tuple[Kind, ...] = (
    _kind("numbers", r"numbers?|digits?|numerals?|integers?", r"\d+(?:[.,]\d+)*"),
    _kind("line breaks", r"line ?breaks?|new ?lines?|ends? of lines?", r"\n", r"[ \t]*\n\s*"),
    _kind(
        "runs of blanks", r"runs of blanks|blanks|indentation|indents?|whitespace", r"(?:  |\t)", r"[ \t]+"
    ),
    _kind("opening brackets", r"(?:opening|open|left) (?:brackets?|parenthes[ei]s|braces?)", r"[(\[{]"),
    _kind("closing brackets", r"(?:closing|close|right) (?:brackets?|parenthes[ei]s|braces?)", r"[)\]}]"),
    _kind("brackets", r"brackets?|parenthes[ei]s|braces?", r"[()\[\]{}]"),
    _kind("quotation marks", r"quotation marks?|quotes?|inverted commas?", r"[\"'`\u2018\u2019\u201c\u201d]"),
    _kind("commas", r"commas?", r","),
    _kind("full stops", r"full stops?|periods?|dots?", r"\."),
    _kind("colons", r"colons?", r":"),
    _kind("hyphens and dashes", r"hyphens?(?: and dashes)?|dash(?:es)?|minus signs?", r"[-\u2010-\u2015]"),
    _kind("underscores", r"underscores?", r"_"),
    _kind("slashes", r"slash(?:es)?", r"/"),
    _kind("backslashes", r"backslash(?:es)?", r"\\"),
    _kind("equals signs", r"equals? signs?|equality signs?", r"="),
    _kind("asterisks", r"asterisks?|stars?", r"\*"),
    _kind(
        "capitalised words",
        r"capitali[sz]ed words?|proper (?:nouns?|names?)|names? of people",
        r"\b[A-Z][a-z]+",
    ),
    _kind(
        "words in capitals",
        r"(?:words? )?in capitals|all[- ]caps|acronyms?|capital letters?|upper ?case",
        r"\b[A-Z]{2,}",
    ),
    _kind(
        "function words",
        r"function words?|stop ?words?|articles and prepositions",
        rf"(?<!\w)(?:{_FUNCTION_WORDS})(?!\w)",
    ),
    _kind(
        "word endings",
        r"word endings?|ends? of (?:longer )?words?|later parts? of (?:longer )?words?|suffix(?:es)?",
        r"(?<=[^\W_]{2})[^\W\d_]{1,4}(?!\w)",
        r"[^\W\d_]+",
        inside=True,
    ),
    _kind("punctuation", r"punctuation(?: marks?)?", r"[^\w\s]"),
)

BY_NAME = {kind.name: kind for kind in KINDS}


def kinds_of(token: str) -> list[Kind]:
    """The kinds a token is of, narrow ones first (as in `KINDS`)."""
    return [kind for kind in KINDS if kind.fits(token)]
