"""What the `pattern` explainer names: the tokens and kinds of tokens that tell marked tokens best from any token.

Each name covers a share of the activation and a share of all tokens; it is worth the difference of the two, and is chosen only
where the first is a multiple of the second. Chosen one after the other, each for what the ones before left uncovered.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from autointerp.parts import Form
from autointerp.sampling import Window
from autointerp.sampling.token_kinds import BY_NAME, Kind, kinds_of
from autointerp.sampling.words import spans

_MAX_NAMES = 8
_MIN_GAIN = 0.015  # of the activation, for one more name
_LIFT = 2.0  # how much oftener among marked tokens than among all
_KIND_LIFT = 2.5
_KIND_SHARE = 0.3
_KIND_WORTH = 0.05  # by how much naming kinds must be better than naming tokens alone
_PIECE_WORTH = 1.3  # how much more a piece must cover than the word that is written like it
_FEW = 8  # peaks, of which one is enough for a name
_LINE_BREAKS = "line breaks"


@dataclass(frozen=True)
class Peak:
    """The strongest token of a marked run: its `text`, that without blanks around it (`core`), the `word` around it, what
    stands `before` that word, whether it continues one (`inside`), and its `weight`: a share of its window's activation, times
    how much the window counts."""

    window: int
    text: str
    core: str
    word: str
    before: str
    inside: bool
    weight: float


@dataclass
class Name:
    """Something that could be named. `text`: as it is written, or the kind's name; `peaks`: those it fits; `usual`: its share
    of all tokens; `gain`: the share of the activation that it covers and no name chosen before it does."""

    form: Form
    text: str
    peaks: Sequence[int]
    usual: float
    gain: float = 0.0


@dataclass(frozen=True)
class Selection:
    """The names in falling order of worth; the share of the activation `covered`; and what that is `worth`, less the share of
    all tokens covered."""

    names: tuple[Name, ...]
    covered: float
    worth: float


class Frequencies:
    """How often things are met among the `n` tokens of some windows. Shares are drawn a little up: what was not met may be."""

    def __init__(self, windows: Sequence[Window]):
        self.windows = windows
        self._tokens = Counter(text for window in windows for text in window.texts if text)
        self.n = max(1, self._tokens.total())

    @cached_property
    def text(self) -> str:
        return "\n".join(window.text for window in self.windows)

    def of_word(self, word: str) -> float:
        return self._share(self._words[word])

    def of_token(self, core: str) -> float:
        return self._share(self._cores[core])

    def of_kind(self, kind: Kind) -> float:
        return self._share(self._inside[kind] if kind.inside else self._kinds[kind])

    def _share(self, n: int) -> float:
        return (n + 0.5) / (self.n + 1)

    @cached_property
    def _words(self) -> Counter[str]:
        return Counter(spans(self.text.lower()))

    @cached_property
    def _cores(self) -> Counter[str]:
        cores: Counter[str] = Counter()
        for text, n in self._tokens.items():
            cores[_low_core(text)] += n
        return cores

    @cached_property
    def _kinds(self) -> Counter[Kind]:
        kinds: Counter[Kind] = Counter()
        for text, n in self._tokens.items():
            for kind in kinds_of(text, False):
                kinds[kind] += n
        return kinds

    @cached_property
    def _inside(self) -> Counter[Kind]:
        return Counter(
            kind
            for window in self.windows
            for before, text in zip(window.texts, window.texts[1:], strict=False)
            if text[:1].isalnum() and before[-1:].isalnum()
            for kind in kinds_of(text, True)
        )


@lru_cache(maxsize=1 << 16)
def core_of(text: str) -> str:
    """A token without the blanks around it; a line break for any that holds one; "" for blanks."""
    return text.strip() or ("\n" if "\n" in text else "")


@lru_cache(maxsize=1 << 16)
def _low_core(text: str) -> str:
    return core_of(text).lower()


def select(peaks: Sequence[Peak], usual: Frequencies) -> Selection:
    """The best things to name, kinds among them where they say clearly more than tokens do."""
    tokens, kinds = _tokens(peaks, usual), _kinds(peaks, usual)
    alone = _greedy(tokens, peaks)
    if not kinds:
        return alone
    mixed = _greedy([*kinds, *tokens], peaks)
    return mixed if mixed.worth >= alone.worth + _KIND_WORTH else alone


def _tokens(peaks: Sequence[Peak], usual: Frequencies) -> list[Name]:
    """Words, texts and pieces, and line breaks, that are marked in two windows at least where there are many peaks."""
    where: defaultdict[tuple[Form, str], list[int]] = defaultdict(list)
    for i, peak in enumerate(peaks):
        if peak.core == "\n":
            where["kind", _LINE_BREAKS].append(i)
        elif peak.core:
            where["word" if peak.word.isalnum() else "text", peak.word.lower()].append(i)
            where["piece", peak.core.lower()].append(i)
    least = 1 if len(peaks) < _FEW else 2
    names = []
    for (form, key), places in where.items():
        if len({peaks[i].window for i in places}) < least:
            continue
        if form == "kind":
            names.append(Name(form, key, places, usual.of_kind(BY_NAME[key])))
            continue
        if form == "piece":
            alike = where.get(("word", key)) or where.get(("text", key)) or []
            if len(alike) == len(places):
                continue
            if _weight(peaks, places) < _PIECE_WORTH * _weight(peaks, alike):
                continue
        spelled = {peaks[i].core if form == "piece" else peaks[i].word for i in places}
        # One spelling stays as it is, which makes the case matter to the reader; several become lower case.
        text = spelled.pop() if len(spelled) == 1 else key
        names.append(Name(form, text, places, usual.of_word(key) if form == "word" else usual.of_token(key)))
    return names


def _kinds(peaks: Sequence[Peak], usual: Frequencies) -> list[Name]:
    """Kinds that clearly more of the activation is of than of all tokens, in three different tokens at least."""
    where: defaultdict[Kind, list[int]] = defaultdict(list)
    for i, peak in enumerate(peaks):
        for kind in kinds_of(peak.text, peak.inside):
            where[kind].append(i)
    total = _weight(peaks, range(len(peaks))) or 1.0
    names = []
    for kind, places in where.items():
        share = _weight(peaks, places) / total
        if kind.name == _LINE_BREAKS or share < _KIND_SHARE or len({peaks[i].text for i in places}) < 3:
            continue
        if share >= _KIND_LIFT * (expected := usual.of_kind(kind)):
            names.append(Name("kind", kind.name, places, expected))
    return names


def _weight(peaks: Sequence[Peak], places: Iterable[int]) -> float:
    return sum([peaks[i].weight for i in places])


def _greedy(candidates: Iterable[Name], peaks: Sequence[Peak]) -> Selection:
    """Chooses by gain less usual share until nothing is worth naming."""
    total = _weight(peaks, range(len(peaks))) or 1.0
    left = list(candidates)
    fitting: defaultdict[int, list[Name]] = defaultdict(list)
    for name in left:
        name.gain = _weight(peaks, name.peaks) / total
        for i in name.peaks:
            fitting[i].append(name)
    uncovered = set(fitting)
    chosen: list[Name] = []
    covered = usual = 0.0
    while len(chosen) < _MAX_NAMES:
        worthy = [name for name in left if name.gain >= max(_MIN_GAIN, _LIFT * name.usual)]
        if not worthy:
            break
        best = max(worthy, key=lambda name: (name.gain - name.usual, name.form != "piece", name.text))
        chosen.append(best)
        covered += best.gain
        usual += best.usual
        for i in uncovered.intersection(best.peaks):
            for name in fitting[i]:
                name.gain -= peaks[i].weight / total
        uncovered.difference_update(best.peaks)
        left.remove(best)
    return Selection(tuple(chosen), covered, covered - usual)
