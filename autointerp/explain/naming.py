"""What the `pattern` explainer names: the tokens and kinds of tokens that tell marked tokens best from any token.

Each named thing covers a share of the activation and a share of all tokens; it is worth the difference of the two, and is named
only where the first is a multiple of the second. Named one after the other, each for what the ones before left uncovered.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from autointerp.sampling import Window
from autointerp.sampling.token_kinds import BY_NAME, KINDS, Kind
from autointerp.sampling.words import spans

Form = Literal["word", "text", "piece", "kind"]

_MAX_NAMED = 8
_MIN_GAIN = 0.015  # of the activation, for one more thing named
_LIFT = 2.0  # how much oftener marked than met
_KIND_LIFT = 2.5
_KIND_SHARE = 0.3
_KIND_WORTH = 0.05  # by how much naming kinds must be better than naming tokens alone
_PIECE_WORTH = 1.3  # how much more a piece must cover than the word that is written like it
_FEW = 8
_LINE_BREAKS = "line breaks"


@dataclass(frozen=True)
class Marked:
    """One marked run: its strongest token `text`, that without blanks around it (`core`), the `word` around it, what stands
    `before` that word, whether it is `inside` one, and its `weight`, the share of its window."""

    window: int
    text: str
    core: str
    word: str
    before: str
    inside: bool
    weight: float


@dataclass(frozen=True)
class Named:
    """One thing named. `text`: as it is written, or the kind's name; `share`: of the activation, more than others cover."""

    form: Form
    text: str
    share: float


@dataclass(frozen=True)
class Focus:
    """What is named, in falling order of worth; the share of the activation `covered`; and what that is `worth`, less the
    share of all tokens covered."""

    named: tuple[Named, ...] = ()
    covered: float = 0.0
    worth: float = 0.0


class Usual:
    """How often things are met among the tokens of some windows."""

    def __init__(self, windows: Sequence[Window]):
        self.windows = windows
        self._texts: Counter[str] = Counter()
        for window in windows:
            self._texts.update(window.texts)
        self._texts.pop("", None)
        self.n = max(1, self._texts.total())

    @cached_property
    def text(self) -> str:
        return "\n".join(window.text for window in self.windows)

    @cached_property
    def _cores(self) -> Counter[str]:
        cores: Counter[str] = Counter()
        for text, n in self._texts.items():
            cores[_low_core(text)] += n
        return cores

    @cached_property
    def _spans(self) -> Counter[str]:
        return Counter(spans(self.text.lower()))

    def share(self, form: Form, key: str) -> float:
        """Share of all tokens that are this, drawn a little up: what was not met may still be."""
        seen = self._spans[key] if form == "word" else self._cores[key]
        return (seen + 0.5) / (self.n + 1)

    @cached_property
    def _kinds(self) -> Counter[str]:
        kinds: Counter[str] = Counter()
        for text, n in self._texts.items():
            for kind in _kinds_of(text, False):
                kinds[kind] += n
        return kinds

    def kind_share(self, kind: Kind) -> float:
        """Share of all tokens that are of the kind."""
        if not kind.inside:
            seen = self._kinds[kind.name]
        else:
            seen = sum(
                b[:1].isalnum() and a[-1:].isalnum() and kind.name in _kinds_of(b, True)
                for window in self.windows
                for a, b in zip(window.texts, window.texts[1:], strict=False)
            )
        return (seen + 0.5) / (self.n + 1)


@lru_cache(maxsize=1 << 16)
def core_of(text: str) -> str:
    """A token without the blanks around it; a line break for any that holds one; "" for blanks."""
    return text.strip() or ("\n" if "\n" in text else "")


@lru_cache(maxsize=1 << 16)
def _low_core(text: str) -> str:
    return core_of(text).lower()


@lru_cache(maxsize=1 << 16)
def _kinds_of(text: str, inside: bool) -> tuple[str, ...]:
    """Names of the kinds a token is of."""
    return tuple([kind.name for kind in KINDS if kind.fits(text, inside=inside)])


def choose(found: Sequence[Marked], usual: Usual) -> Focus:
    """The best things to name, kinds among them where they say clearly more than tokens do."""
    total = sum(mark.weight for mark in found) or 1.0
    tokens = _tokens(found, usual)
    alone = _greedy(tokens, found, total)
    kinds = _kinds(found, usual, total)
    if not kinds:
        return alone
    mixed = _greedy([*kinds, *tokens], found, total)
    return mixed if mixed.worth >= alone.worth + _KIND_WORTH else alone


@dataclass
class _Candidate:
    form: Form
    text: str
    marks: list[int]
    usual: float
    left: float = 0.0


def _tokens(found: Sequence[Marked], usual: Usual) -> list[_Candidate]:
    """Words, signs and pieces that are marked in two windows at least, where there are many marks."""
    where: defaultdict[tuple[Form, str], list[int]] = defaultdict(list)
    breaks = []
    for i, mark in enumerate(found):
        if mark.core == "\n":
            breaks.append(i)
        elif mark.core:
            where["word" if mark.word.isalnum() else "text", mark.word.lower()].append(i)
            where["piece", mark.core.lower()].append(i)
    least = 1 if len(found) < _FEW else 2
    made = []
    for (form, key), marks in where.items():
        if len(marks) < least or len({found[i].window for i in marks}) < least:
            continue
        if form == "piece":
            alike = where.get(("word", key)) or where.get(("text", key)) or []
            if len(alike) == len(marks):
                continue
            if _weight(found, marks) < _PIECE_WORTH * _weight(found, alike):
                continue
        spelled = {found[i].core if form == "piece" else found[i].word for i in marks}
        # One spelling stays as it is, which makes the case matter to the reader; several become lower case.
        written = spelled.pop() if len(spelled) == 1 else key
        made.append(_Candidate(form, written, marks, usual.share(form, key)))
    if len({found[i].window for i in breaks}) >= least:
        kind = BY_NAME[_LINE_BREAKS]
        made.append(_Candidate("kind", kind.name, breaks, usual.kind_share(kind)))
    return made


def _weight(found: Sequence[Marked], marks: Iterable[int]) -> float:
    return sum([found[i].weight for i in marks])


def _kinds(found: Sequence[Marked], usual: Usual, total: float) -> list[_Candidate]:
    members: dict[str, list[int]] = {kind.name: [] for kind in KINDS}
    for i, mark in enumerate(found):
        for name in _kinds_of(mark.text, mark.inside):
            members[name].append(i)
    made = []
    for name, marks in members.items():
        if name == _LINE_BREAKS:
            continue
        share = _weight(found, marks) / total
        if share < _KIND_SHARE or len({found[i].text for i in marks}) < 3:
            continue
        base = usual.kind_share(BY_NAME[name])
        if share >= _KIND_LIFT * base:
            made.append(_Candidate("kind", name, marks, base))
    return made


def _greedy(candidates: Iterable[_Candidate], found: Sequence[Marked], total: float) -> Focus:
    left = list(candidates)
    holding: defaultdict[int, list[_Candidate]] = defaultdict(list)
    for one in left:
        one.left = _weight(found, one.marks) / total
        for i in one.marks:
            holding[i].append(one)
    open_ = set(holding)
    named: list[Named] = []
    covered = usual = 0.0
    while len(named) < _MAX_NAMED:
        fit = [one for one in left if one.left >= max(_MIN_GAIN, _LIFT * one.usual)]
        if not fit:
            break
        best = max(fit, key=lambda one: (one.left - one.usual, one.form != "piece", one.text))
        named.append(Named(best.form, best.text, best.left))
        covered += best.left
        usual += best.usual
        for i in open_.intersection(best.marks):
            for one in holding[i]:
                one.left -= found[i].weight / total
        open_.difference_update(best.marks)
        left.remove(best)
    return Focus(tuple(named), covered, covered - usual)
