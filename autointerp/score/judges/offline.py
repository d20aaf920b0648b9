"""The offline judge: matches the words of the explanation with the text, no model behind it.

It sees what a language model would see, the explanation and the texts as shown, and weighs how much likelier what it finds is
in a right text than in any text. How common things are in any text it takes from background windows of the corpus, which carry
no labels: nothing about the latent but its explanation enters. Answers are yes when the odds are better than even.

It is a stand-in: it knows no synonyms, no grammar and no world. It favours explanations that quote what to look for.
"""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.passages import runs
from autointerp.passages.kinds import Kind
from autointerp.passages.words import full_word, words
from autointerp.score.judges.base import Shown, Task
from autointerp.score.judges.reading import Literal_, Reading, read
from autointerp.score.results import Verdict, Verdicts

VERSION = "offline-1"

Similarity = Callable[[str, Sequence[str]], NDArray[np.float32]]
"""Likeness of an explanation to each of some texts, larger is nearer; from an embedder."""

_FOUND = 0.9  # how often a right text holds the focus that the explanation names
_FOUND_HEDGED = 0.7
_BEFORE = 0.8  # how often what should stand before does
_WORD = 0.3  # how often a right text holds one of the context words
_TOPIC = 0.15  # ... or one of the other words of the explanation
_CONTEXT_CAP = 2.0  # nats that all context words together may add or take away: they come in clusters
_SHIFT = 0.8  # by how many standard deviations right texts are nearer to the explanation than others
_CACHED = 20_000


@dataclass(frozen=True)
class _Text:
    """A shown text with its marked runs: (token text, whole word around it, what stands before)."""

    text: str
    marked: tuple[tuple[str, str, str], ...] = ()

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(words(self.text))


class OfflineJudge:
    """Matches words. `background`: a few hundred windows' token texts drawn at random from the corpus; `similarity`: an
    optional embedder's word on detection. Thread-safe."""

    name = "offline"
    model = None

    def __init__(self, background: Sequence[Sequence[str]] = (), *, similarity: Similarity | None = None):
        self._background = [_Text("".join(texts)) for texts in background]
        self._tokens = [
            (texts[i].strip() or texts[i], full_word(texts, i, i + 1), "".join(texts[max(0, i - 8) : i]))
            for texts in background[:100]
            for i in range(len(texts))
            if texts[i]
        ]
        self._distinct = Counter((run, word, "") for run, word, _ in self._tokens)
        self._similarity = similarity
        self._rates: OrderedDict[object, float] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def config(self) -> Mapping[str, Any]:
        return {"n_background": len(self._background), "similarity": self._similarity is not None}

    def prompt_version(self, task: Task) -> str | None:
        return VERSION

    def judge(self, task: Task, explanation: str, shown: Sequence[Shown]) -> Verdicts:
        reading = read(explanation)
        texts = [_text(one) for one in shown]
        if task == "fuzzing":
            evidence = self._marks(reading, texts)
        else:
            evidence = self._texts(reading, texts) + self._likeness(explanation, texts)
        return Verdicts(tuple(Verdict(answer=bool(e > 0), value=_sigmoid(float(e))) for e in evidence))

    def _texts(self, reading: Reading, texts: Sequence[_Text]) -> NDArray[np.float64]:
        """Evidence, in nats, that the latent fires somewhere in each text."""
        total = np.zeros(len(texts))
        focus = [*(one for one in reading.focus if not (one.piece and reading.examples)), *reading.examples]
        finders = [*((one, _finder(one)) for one in focus), *((kind, kind.is_in) for kind in reading.kinds)]
        rate = _FOUND_HEDGED if reading.hedged else _FOUND
        if finders:
            key = ("text", *(_key(what) for what, _ in finders))
            total += self._weigh(key, rate, texts, lambda one: any(find(one.text) for _, find in finders))
        if reading.before or reading.before_kinds:
            before = [*map(_followed, reading.before)]
            key = ("text-before", *reading.before, *(kind.name for kind in reading.before_kinds))
            kinds = reading.before_kinds
            total += self._weigh(
                key,
                _BEFORE,
                texts,
                lambda one: (
                    any(find(one.text) for find in before) or any(kind.is_in(one.text) for kind in kinds)
                ),
            )
        return total + self._context(reading, texts)

    def _context(self, reading: Reading, texts: Sequence[_Text]) -> NDArray[np.float64]:
        total = np.zeros(len(texts))
        for literal in reading.context:
            find = _finder(literal)
            total += self._weigh(("word", literal), _WORD, texts, lambda one, find=find: find(one.text))
        if len(reading.context) < 2:
            for topic in reading.topics:
                stem = _stem(topic)
                total += self._weigh(
                    ("topic", stem),
                    _TOPIC,
                    texts,
                    lambda one, stem=stem: any(word.startswith(stem) for word in one.words),
                )
        return np.clip(total, -_CONTEXT_CAP, _CONTEXT_CAP)

    def _marks(self, reading: Reading, texts: Sequence[_Text]) -> NDArray[np.float64]:
        """Evidence that the marks are right: what is marked counts, what else the text says counts half."""
        total = np.zeros(len(texts))
        literals = [*reading.focus, *reading.examples]
        if literals or reading.kinds:
            fits = [_marked_by(literals), *(_marked_kind(kind) for kind in reading.kinds)]
            key = ("mark", *literals, *(kind.name for kind in reading.kinds))
            base = self._token_rate(key, lambda token: any(fit(token) for fit in fits))
            rate = _FOUND_HEDGED if reading.hedged else _FOUND
            total += _evidence([_half(one, fits) for one in texts], rate, base)
        if reading.before or reading.before_kinds:
            ends = [
                *(_ends_with(literal) for literal in reading.before),
                *map(_ends_in_kind, reading.before_kinds),
            ]
            key = ("mark-before", *reading.before, *(kind.name for kind in reading.before_kinds))
            base = self._rate(
                key, lambda: _share([any(e(token) for e in ends) for token in self._tokens], least=0.01)
            )
            total += _evidence([_half(one, ends) for one in texts], _BEFORE, base)
        if not (literals or reading.kinds or reading.before or reading.before_kinds):
            total += self._topic_marks(reading, texts)
            return total + self._context(reading, texts)
        return total + self._context(reading, texts) / 2

    def _topic_marks(self, reading: Reading, texts: Sequence[_Text]) -> NDArray[np.float64]:
        """Without any quoted focus: are the marked words among the explanation's own?"""
        stems = tuple(
            _stem(word) for word in [*(c.text.strip().lower() for c in reading.context), *reading.topics]
        )
        fits = [lambda token: any(stem and token[1].lower().startswith(stem) for stem in stems)]
        base = self._token_rate(("mark-topic", *stems), fits[0])
        return _evidence([_half(one, fits) for one in texts], 0.4, base)

    def _likeness(self, explanation: str, texts: Sequence[_Text]) -> NDArray[np.float64]:
        if self._similarity is None or len(self._background) < 10:
            return np.zeros(len(texts))
        sample = self._background[:200]
        both = self._similarity(explanation, [one.text for one in [*sample, *texts]]).astype(np.float64)
        usual, found = both[: len(sample)], both[len(sample) :]
        spread = float(usual.std())
        if spread <= 0:
            return np.zeros(len(texts))
        return np.clip(_SHIFT * (found - usual.mean()) / spread - _SHIFT**2 / 2, -2.0, 2.0)

    def _weigh(
        self, key: object, rate: float, texts: Sequence[_Text], holds: Callable[[_Text], bool]
    ) -> NDArray[np.float64]:
        base = self._rate(key, lambda: _share([holds(one) for one in self._background]))
        return _evidence([holds(one) for one in texts], max(rate, base), base)

    def _token_rate(self, key: object, fits: Callable[[tuple[str, str, str]], bool]) -> float:
        """The rate of tokens that fit, whatever stands before them."""

        def measure() -> float:
            hits = sum(n for token, n in self._distinct.items() if fits(token))
            return (hits + 0.05) / (len(self._tokens) + 5)

        return self._rate(key, measure)

    def _rate(self, key: object, measure: Callable[[], float]) -> float:
        with self._lock:
            if key in self._rates:
                self._rates.move_to_end(key)
                return self._rates[key]
        value = measure()
        with self._lock:
            self._rates[key] = value
            while len(self._rates) > _CACHED:
                self._rates.popitem(last=False)
        return value


def _text(shown: Shown) -> _Text:
    texts = shown.texts
    text = "".join(texts)
    marked = tuple(
        (
            "".join(texts[start:end]).strip() or "".join(texts[start:end]),
            full_word(texts, start, end),
            "".join(texts[max(0, start - 8) : start]),
        )
        for start, end in runs(shown.marks or ())
    )
    return _Text(text, marked)


def _evidence(found: Sequence[bool], rate: float, base: float) -> NDArray[np.float64]:
    """Log odds of a finding in right texts (`rate`) against any text (`base`)."""
    rate, base = min(rate, 0.98), min(max(base, 0.002), 0.97)
    yes, no = math.log(rate / base), math.log((1 - rate) / (1 - base))
    return np.where(np.asarray(found, dtype=bool), max(yes, 0.0), min(no, 0.0))


def _share(found: Sequence[bool], least: float = 0.02) -> float:
    """Share of the background, drawn a little towards `least`: what was not seen may still be."""
    return (sum(found) + 5 * least) / (len(found) + 5)


def _half(text: _Text, fits: Sequence[Callable[[tuple[str, str, str]], bool]]) -> bool:
    hits = sum(any(fit(mark) for fit in fits) for mark in text.marked)
    return hits > 0 and 2 * hits >= len(text.marked)


def _finder(literal: Literal_) -> Callable[[str], bool]:
    pattern = literal.pattern()
    core = literal.text.strip() or literal.text
    if core != core.lower():
        return lambda text: core in text and pattern.search(text) is not None
    return lambda text: core in text.lower() and pattern.search(text) is not None


def _followed(literal: Literal_) -> Callable[[str], bool]:
    """Whether something stands after the piece."""
    find = _finder(literal)
    return lambda text: find(text[:-1])


def _marked_by(literals: Sequence[Literal_]) -> Callable[[tuple[str, str, str]], bool]:
    """Whether one of the pieces is the marked text, the word it is a part of, or inside a longer marked text."""
    cores = [(literal.text.strip() or literal.text, literal.pattern()) for literal in literals]
    cased = {core for core, _ in cores if core != core.lower()}
    folded = {core for core, _ in cores if core == core.lower()}
    inside = [(core, core != core.lower(), pattern) for core, pattern in cores]

    def fit(mark: tuple[str, str, str]) -> bool:
        run, word, _ = mark
        if run in cased or word in cased or (low := run.lower()) in folded or word.lower() in folded:
            return True
        return any(
            len(run) > len(core) and core in (run if case else low) and pattern.search(run) is not None
            for core, case, pattern in inside
        )

    return fit


def _marked_kind(kind: Kind) -> Callable[[tuple[str, str, str]], bool]:
    return lambda mark: kind.fits(mark[0])


def _ends_with(literal: Literal_) -> Callable[[tuple[str, str, str]], bool]:
    core = literal.text.strip() or literal.text
    fold = str if core != core.lower() else str.lower

    def end(mark: tuple[str, str, str]) -> bool:
        before = fold(mark[2])
        return before.endswith(core) or before.rstrip().endswith(core)

    return end


def _ends_in_kind(kind: Kind) -> Callable[[tuple[str, str, str]], bool]:
    def end(mark: tuple[str, str, str]) -> bool:
        tail = mark[2].rstrip(" \t")[-1:]
        return bool(tail) and kind.is_in(tail)

    return end


def _stem(word: str) -> str:
    """A crude stem: enough to find plurals and participles."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def _key(what: Literal_ | Kind) -> object:
    return what.name if isinstance(what, Kind) else what


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))
