"""How the offline judge looks at texts: how often a quoted piece or a kind of token stands in one, and whether marks fit."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from autointerp.passages import runs
from autointerp.passages.kinds import Kind
from autointerp.passages.words import full_word, spans, words
from autointerp.score.judges.base import Shown
from autointerp.score.judges.reading import Literal_

INSIDE = 0.05
"""What a piece or a sign counts for where it is only a part of a longer token."""

What = Literal_ | Kind


@dataclass(frozen=True)
class Mark:
    """A marked run: its text, stripped; the whole word around it; its tokens, stripped; what stands before it; and whether it
    continues a word."""

    run: str
    word: str
    cores: tuple[str, ...]
    before: str
    inside: bool


class Text:
    """The tokens of a text, with what is looked for in it worked out once."""

    def __init__(self, texts: tuple[str, ...]):
        self.texts = texts
        self.text = "".join(texts)

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def words(self) -> frozenset[str]:
        """As `passages.words.words`."""
        return frozenset(words(self.text))

    @cached_property
    def spans(self) -> Counter[str]:
        """Every stretch of letters, digits and underscores, counted."""
        return Counter(spans(self.text))

    @cached_property
    def lower_spans(self) -> Counter[str]:
        return Counter(spans(self.lower))

    @cached_property
    def cores(self) -> Counter[str]:
        """Every token, stripped, counted."""
        return Counter([core(text) for text in self.texts if text])

    @cached_property
    def lower_cores(self) -> Counter[str]:
        return Counter([core(text).lower() for text in self.texts if text])


@lru_cache(maxsize=1024)
def text_of(texts: tuple[str, ...]) -> Text:
    """The same text is judged more than once: by two scorers, and for the floor."""
    return Text(texts)


def core(text: str) -> str:
    """A token without the blanks around it, unless it is nothing else."""
    return text.strip() or text


def mark_at(texts: tuple[str, ...], start: int, end: int) -> Mark:
    """The run of tokens `start` to `end`, as a mark."""
    run = "".join(texts[start:end])
    before = "".join(texts[max(0, start - 8) : start])
    return Mark(
        core(run),
        full_word(texts, start, end),
        tuple([core(text) for text in texts[start:end] if text]),
        before,
        before[-1:].isalnum() and run[:1].isalnum(),
    )


def marks_of(shown: Shown) -> list[Mark]:
    return [mark_at(shown.texts, start, end) for start, end in runs(shown.marks or ())]


@lru_cache(maxsize=4096)
def counter(what: What) -> Callable[[Text], float]:
    """How often a piece or a kind of token is found in a text."""
    if isinstance(what, Kind):
        return lambda text: float(len(what.shape.findall(text.text)))
    literal = what.core
    if what.piece or not (literal[:1].isalnum() or literal[-1:].isalnum()):
        if what.folded:
            return lambda text: _in_pieces(text.lower_cores, text.lower, literal)
        return lambda text: _in_pieces(text.cores, text.text, literal)
    if spans(literal) == [literal]:
        if what.folded:
            return lambda text: float(text.lower_spans.get(literal, 0))
        return lambda text: float(text.spans.get(literal, 0))
    pattern = what.pattern()
    if what.folded:
        return lambda text: float(len(pattern.findall(text.text))) if literal in text.lower else 0.0
    return lambda text: float(len(pattern.findall(text.text))) if literal in text.text else 0.0


def _in_pieces(cores: Counter[str], text: str, literal: str) -> float:
    exact = cores.get(literal, 0)
    return exact + INSIDE * max(0, text.count(literal) - exact)


@lru_cache(maxsize=4096)
def follower(literal: Literal_) -> Callable[[Text], float]:
    """How often something stands right after the piece."""
    count = counter(literal)
    own = literal.core if not literal.folded else literal.core.lower()

    def follow(text: Text) -> float:
        found = count(text)
        if not found:
            return 0.0
        tail = text.lower if literal.folded else text.text
        return max(0.0, found - 1.0) if tail.rstrip(" \t").endswith(own) else found

    return follow


@lru_cache(maxsize=4096)
def fitter(what: What) -> Callable[[Mark], float]:
    """How well marks fit a piece or a kind: 1, 0, or `INSIDE` for a piece within a longer token."""
    if isinstance(what, Kind):
        return lambda mark: float(what.fits(mark.run, inside=mark.inside))
    literal, folded, pattern = what.core, what.folded, what.pattern()
    piece = what.piece or not (literal[:1].isalnum() or literal[-1:].isalnum())

    def fit(mark: Mark) -> float:
        run = mark.run.lower() if folded else mark.run
        if piece:
            if run == literal or any((one.lower() if folded else one) == literal for one in mark.cores):
                return 1.0
            return INSIDE if literal in run else 0.0
        if run == literal or (mark.word.lower() if folded else mark.word) == literal:
            return 1.0
        return float(len(run) > len(literal) and literal in run and pattern.search(mark.run) is not None)

    return fit


@lru_cache(maxsize=4096)
def ender(what: What) -> Callable[[Mark], float]:
    """Whether a piece or a kind stands right before the mark."""
    if isinstance(what, Kind):

        def kind_end(mark: Mark) -> float:
            tail = mark.before.rstrip(" \t")[-1:]
            return float(bool(tail) and what.is_in(tail))

        return kind_end
    literal, folded = what.core, what.folded

    def end(mark: Mark) -> float:
        before = mark.before.lower() if folded else mark.before
        return float(before.endswith(literal) or before.rstrip().endswith(literal))

    return end
