"""What the offline judge looks for and how: quoted texts, kinds of tokens and stems of words, in texts and at marked tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple, Protocol

from autointerp.sampling import runs
from autointerp.sampling.token_kinds import Kind
from autointerp.sampling.words import full_word, spans, words
from autointerp.score.judges.base import Shown

_PART = 0.05
"""What a piece or a sign counts for where it is only a part of a longer token."""


class Written:
    """The tokens of a text in one spelling: as they are, or in lower case (`folded`)."""

    def __init__(self, text: str, tokens: Sequence[str], *, folded: bool):
        self.text = text
        self._tokens = tokens
        self._core = _low_core if folded else _core

    @cached_property
    def cores(self) -> list[str]:
        """Every token, stripped."""
        return list(map(self._core, self._tokens))

    @cached_property
    def spans(self) -> list[str]:
        """As `sampling.words.spans`."""
        return spans(self.text)


class Text:
    """A text, with what is looked for in it worked out once."""

    def __init__(self, tokens: tuple[str, ...]):
        text = "".join(tokens)
        self.tokens = tokens
        self.exact = Written(text, tokens, folded=False)
        self.lower = Written(text.lower(), tokens, folded=True)

    @cached_property
    def words(self) -> frozenset[str]:
        """As `sampling.words.words`."""
        return frozenset(words(self.exact.text))


class Mark(NamedTuple):
    """A marked run: its text, stripped; that with the rest of the word it is inside of; its tokens, stripped; whether it
    continues a word; and what stands `before`. `low_*`: in lower case."""

    text: str
    word: str
    cores: tuple[str, ...]
    low_text: str
    low_word: str
    low_cores: tuple[str, ...]
    inside: bool
    before: str


@lru_cache(maxsize=1024)
def text_of(tokens: tuple[str, ...]) -> Text:
    """The same text is judged more than once: by two scorers, and for the floor."""
    return Text(tokens)


@lru_cache(maxsize=2048)
def marks_of(shown: Shown) -> tuple[Mark, ...]:
    """The marked runs of a text."""
    return tuple([mark_at(shown.texts, start, end) for start, end in runs(shown.marks or ())])


def mark_at(tokens: Sequence[str], start: int, end: int) -> Mark:
    """The tokens `start` to `end` as a mark."""
    run = "".join(tokens[start:end])
    before = "".join(tokens[max(0, start - 8) : start])
    text = _core(run)
    word = full_word(tokens, start, end) or text
    cores = (text,) if end - start == 1 else tuple([_core(token) for token in tokens[start:end] if token])
    inside = before[-1:].isalnum() and run[:1].isalnum()
    low_cores = tuple([core.lower() for core in cores])
    return Mark(text, word, cores, text.lower(), word.lower(), low_cores, inside, before)


@lru_cache(maxsize=1 << 16)
def _core(token: str) -> str:
    """A token without the blanks around it, unless it is nothing else."""
    return token.strip() or token


@lru_cache(maxsize=1 << 16)
def _low_core(token: str) -> str:
    return _core(token).lower()


class Thing(Protocol):
    """Something to look for; hashable."""

    def count_in(self, texts: Sequence[Text]) -> list[float]:
        """How often it stands in each text."""
        ...

    def fit(self, marks: Sequence[Mark]) -> list[float]:
        """Whether each mark is such a thing, 0 to 1."""
        ...

    def precede(self, marks: Sequence[Mark]) -> list[float]:
        """Whether it stands right before each mark, 0 or 1."""
        ...

    def places(self, text: Text) -> list[tuple[int, int]]:
        """Where it stands in a text, as stretches of characters: what `count_in` counts, without mere parts of tokens."""
        ...


class Quote:
    """A text to be found as written, in any case unless it has capitals: as `whole` words, or, for signs and pieces of words,
    inside longer ones too, where it hardly counts unless it is a token of its own. Equal quotes are one object."""

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(text: str, *, piece: bool = False) -> "Quote":
        return Quote(text.strip() or text, piece=piece)

    def __init__(self, text: str, *, piece: bool):
        self.text = text
        self.folded = text == text.lower()
        self.whole = not piece and (text[:1].isalnum() or text[-1:].isalnum())
        self._is_span = spans(text) == [text]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        start = r"(?<!\w)" if self.text[:1].isalnum() else ""
        end = r"(?!\w)" if self.text[-1:].isalnum() else ""
        return re.compile(start + re.escape(self.text) + end)

    def count_in(self, texts: Sequence[Text]) -> list[float]:
        written = [text.lower if self.folded else text.exact for text in texts]
        return [self._count(tokens) if self.text in tokens.text else 0.0 for tokens in written]

    def _count(self, written: Written) -> float:
        if not self.whole:
            n = written.cores.count(self.text)
            return n + _PART * max(0, written.text.count(self.text) - n)
        if self._is_span:
            return float(written.spans.count(self.text))
        return float(len(self._pattern.findall(written.text)))

    def places(self, text: Text) -> list[tuple[int, int]]:
        written = text.lower if self.folded else text.exact
        if self.whole:
            return [match.span() for match in self._pattern.finditer(written.text)]
        ends = list(accumulate(map(len, text.tokens)))
        pairs = zip(written.cores, text.tokens, ends, strict=True)
        return [(end - len(token), end) for core, token, end in pairs if core == self.text]

    def fit(self, marks: Sequence[Mark]) -> list[float]:
        text, fit = self.text, self._fit
        if self.folded:
            return [
                fit(mark.low_text, mark.low_word, mark.low_cores) if text in mark.low_word else 0.0
                for mark in marks
            ]
        return [fit(mark.text, mark.word, mark.cores) if text in mark.word else 0.0 for mark in marks]

    def _fit(self, text: str, word: str, cores: Sequence[str]) -> float:
        if self.whole:
            return float(self.text == word or self._pattern.search(text) is not None)
        return 1.0 if self.text in cores or self.text == text else _PART if self.text in text else 0.0

    def precede(self, marks: Sequence[Mark]) -> list[float]:
        befores = [mark.before.lower() for mark in marks] if self.folded else [mark.before for mark in marks]
        return [float(before.rstrip().endswith(self.text)) for before in befores]


@dataclass(frozen=True)
class OfKind:
    """Any token of a kind."""

    kind: Kind

    def count_in(self, texts: Sequence[Text]) -> list[float]:
        find = self.kind.shape.findall
        return [float(len(find(text.exact.text))) for text in texts]

    def places(self, text: Text) -> list[tuple[int, int]]:
        return [match.span() for match in self.kind.shape.finditer(text.exact.text)]

    def fit(self, marks: Sequence[Mark]) -> list[float]:
        return [float(self.kind.fits(mark.text, inside=mark.inside)) for mark in marks]

    def precede(self, marks: Sequence[Mark]) -> list[float]:
        search = self.kind.shape.search
        return [float(search(mark.before.rstrip(" \t")[-1:]) is not None) for mark in marks]


@dataclass(frozen=True)
class Stem:
    """Any word that starts so."""

    text: str

    def count_in(self, texts: Sequence[Text]) -> list[float]:
        return [float(any(word.startswith(self.text) for word in text.words)) for text in texts]

    def places(self, text: Text) -> list[tuple[int, int]]:
        words = re.finditer(r"[^\W_]+", text.lower.text)
        return [match.span() for match in words if match[0].startswith(self.text)]

    def fit(self, marks: Sequence[Mark]) -> list[float]:
        return [float(mark.low_word.startswith(self.text)) for mark in marks]

    def precede(self, marks: Sequence[Mark]) -> list[float]:
        return [0.0] * len(marks)


def stem_of(word: str) -> Stem:
    """A crude stem: enough to find plurals and participles."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return Stem(word[: -len(ending)])
    return Stem(word)
