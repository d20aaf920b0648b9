"""How the offline judge looks at texts: how often a quoted piece or a kind of token stands in one, and whether marks fit."""

from collections.abc import Callable, Sequence
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
        self.lower = self.text.lower()

    @cached_property
    def words(self) -> frozenset[str]:
        """As `passages.words.words`."""
        return frozenset(words(self.text))

    @cached_property
    def spans(self) -> list[str]:
        """Every stretch of letters, digits and underscores."""
        return spans(self.text)

    @cached_property
    def lower_spans(self) -> list[str]:
        return spans(self.lower)

    @cached_property
    def cores(self) -> list[str]:
        """Every token, stripped."""
        return [text.strip() or text for text in self.texts]

    @cached_property
    def lower_cores(self) -> list[str]:
        return [text.strip() or text for text in map(str.lower, self.texts)]


Counter_ = Callable[[Sequence[Text]], list[float]]


@lru_cache(maxsize=1024)
def text_of(texts: tuple[str, ...]) -> Text:
    """The same text is judged more than once: by two scorers, and for the floor."""
    return Text(texts)


@lru_cache(maxsize=2048)
def marks_of(shown: Shown) -> tuple[Mark, ...]:
    """The marked runs of a text."""
    return tuple([mark_at(shown.texts, start, end) for start, end in runs(shown.marks or ())])


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


@lru_cache(maxsize=4096)
def counter(what: What) -> Counter_:
    """How often a piece or a kind of token is found in each of some texts."""
    if isinstance(what, Kind):
        find = what.shape.findall
        return lambda texts: [float(len(find(text.text))) for text in texts]
    literal, folded = what.core, what.folded
    if what.piece or not (literal[:1].isalnum() or literal[-1:].isalnum()):
        # A token of its own counts in full, a part of another one hardly.
        if folded:
            return lambda texts: [
                _mostly(text.lower_cores.count(literal), text.lower.count(literal))
                if literal in text.lower
                else 0.0
                for text in texts
            ]
        return lambda texts: [
            _mostly(text.cores.count(literal), text.text.count(literal)) if literal in text.text else 0.0
            for text in texts
        ]
    if spans(literal) == [literal]:
        if folded:
            return lambda texts: [
                float(text.lower_spans.count(literal)) if literal in text.lower else 0.0 for text in texts
            ]
        return lambda texts: [
            float(text.spans.count(literal)) if literal in text.text else 0.0 for text in texts
        ]
    find = what.pattern().findall
    if folded:
        return lambda texts: [float(len(find(text.text))) if literal in text.lower else 0.0 for text in texts]
    return lambda texts: [float(len(find(text.text))) if literal in text.text else 0.0 for text in texts]


def _mostly(whole: int, anywhere: int) -> float:
    return whole + INSIDE * max(0, anywhere - whole)


@lru_cache(maxsize=4096)
def follower(literal: Literal_) -> Counter_:
    """How often something stands right after the piece, in each of some texts."""
    count = counter(literal)
    own, folded = literal.core, literal.folded

    def follow(texts: Sequence[Text]) -> list[float]:
        return [
            max(0.0, n - 1.0)
            if n and (text.lower if folded else text.text).rstrip(" \t").endswith(own)
            else n
            for n, text in zip(count(texts), texts, strict=True)
        ]

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
