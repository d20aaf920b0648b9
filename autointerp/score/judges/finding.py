"""How the offline judge looks at texts: how often a quoted piece or a kind of token stands in one, and whether marks fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from autointerp.sampling import runs
from autointerp.sampling.token_kinds import Kind
from autointerp.sampling.words import full_word, spans, words
from autointerp.score.judges.base import Shown
from autointerp.score.judges.reading import Literal_

INSIDE = 0.05
"""What a piece or a sign counts for where it is only a part of a longer token."""

What = Literal_ | Kind


@dataclass(frozen=True)
class Mark:
    """A marked run: its text, stripped; the whole word around it; its tokens, stripped; what stands before it; and whether it
    continues a word. `low_*`: in lower case."""

    run: str
    word: str
    cores: tuple[str, ...]
    before: str
    inside: bool
    low_run: str
    low_word: str
    low_cores: tuple[str, ...]
    low_before: str


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
        return list(map(core, self.texts))

    @cached_property
    def lower_cores(self) -> list[str]:
        return list(map(_low_core, self.texts))


Count = Callable[[Sequence[Text]], list[float]]
Fit = Callable[[Sequence[Mark]], list[float]]


@lru_cache(maxsize=1024)
def text_of(texts: tuple[str, ...]) -> Text:
    """The same text is judged more than once: by two scorers, and for the floor."""
    return Text(texts)


@lru_cache(maxsize=2048)
def marks_of(shown: Shown) -> tuple[Mark, ...]:
    """The marked runs of a text."""
    return tuple([mark_at(shown.texts, start, end) for start, end in runs(shown.marks or ())])


@lru_cache(maxsize=1 << 16)
def core(text: str) -> str:
    """A token without the blanks around it, unless it is nothing else."""
    return text.strip() or text


@lru_cache(maxsize=1 << 16)
def _low_core(text: str) -> str:
    return core(text).lower()


def mark_at(texts: tuple[str, ...], start: int, end: int) -> Mark:
    """The run of tokens `start` to `end`, as a mark."""
    run = "".join(texts[start:end])
    before = "".join(texts[max(0, start - 8) : start])
    word = full_word(texts, start, end)
    shown = core(run)
    cores = (shown,) if end - start == 1 else tuple([core(text) for text in texts[start:end] if text])
    inside = before[-1:].isalnum() and run[:1].isalnum()
    low = tuple(map(str.lower, cores))
    return Mark(shown, word, cores, before, inside, shown.lower(), word.lower(), low, before.lower())


@lru_cache(maxsize=4096)
def counter(what: What) -> Count:
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
def follower(literal: Literal_) -> Count:
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
def fitter(what: What) -> Fit:
    """How well each of some marks fits a piece or a kind: 1, 0, or `INSIDE` for a piece within a longer token."""
    if isinstance(what, Kind):
        of_kind = what.fits
        return lambda marks: [float(of_kind(mark.run, inside=mark.inside)) for mark in marks]
    literal = what.core
    if what.piece or not (literal[:1].isalnum() or literal[-1:].isalnum()):
        if what.folded:
            return lambda marks: [
                0.0
                if literal not in mark.low_run
                else 1.0
                if literal == mark.low_run or literal in mark.low_cores
                else INSIDE
                for mark in marks
            ]
        return lambda marks: [
            0.0
            if literal not in mark.run
            else 1.0
            if literal == mark.run or literal in mark.cores
            else INSIDE
            for mark in marks
        ]
    if spans(literal) == [literal]:
        if what.folded:
            return lambda marks: [
                float(
                    literal == mark.low_word or (literal in mark.low_run and literal in spans(mark.low_run))
                )
                for mark in marks
            ]
        return lambda marks: [
            float(literal == mark.word or (literal in mark.run and literal in spans(mark.run)))
            for mark in marks
        ]
    find = what.pattern().search
    return lambda marks: [
        float(
            literal == (mark.low_word if what.folded else mark.word)
            or (
                literal in (low := mark.low_run if what.folded else mark.run)
                and (literal == low or find(mark.run) is not None)
            )
        )
        for mark in marks
    ]


@lru_cache(maxsize=4096)
def ender(what: What) -> Fit:
    """Whether a piece or a kind stands right before each of some marks."""
    if isinstance(what, Kind):
        is_in = what.is_in
        tails = _last_signs
        return lambda marks: [float(bool(tail) and is_in(tail)) for tail in tails(marks)]
    literal = what.core
    if what.folded:
        return lambda marks: [float(_ends(mark.low_before, literal)) for mark in marks]
    return lambda marks: [float(_ends(mark.before, literal)) for mark in marks]


def _last_signs(marks: Sequence[Mark]) -> list[str]:
    return [mark.before.rstrip(" \t")[-1:] for mark in marks]


def _ends(before: str, literal: str) -> bool:
    return before.endswith(literal) or before.rstrip().endswith(literal)
