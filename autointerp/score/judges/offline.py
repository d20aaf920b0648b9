"""The offline judge: matches the words of the explanation with the text, no model behind it.

It sees what a language model would see, the explanation and the texts as shown, and weighs how much likelier what it finds is
in a right text than in any text. How common things are in any text it takes from background windows of the corpus, which carry
no labels: nothing about the latent but its explanation enters. Answers are yes when the odds are better than even.

Of the things that an explanation names, one made the latent fire: a text is right for the first of them, or for the second,
and so on, or for something that is not named. So the odds are a mean over the named things, and what is rare in the
background counts more than what is in every text. What is named first counts more, and what is common does too.

It is a stand-in: it knows no synonyms, no grammar and no world. It favours explanations that quote what to look for.
"""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.llm import ChatRequest
from autointerp.score.judges.base import Shown, Task
from autointerp.score.judges.finding import (
    Count,
    Fit,
    Mark,
    Text,
    What,
    counter,
    ender,
    fitter,
    follower,
    mark_at,
    marks_of,
    text_of,
)
from autointerp.score.judges.reading import Reading, read
from autointerp.score.plan import Verdict, Verdicts

VERSION = "offline-2"

Similarity = Callable[[str, Sequence[str]], NDArray[np.float32]]
"""Likeness of an explanation to each of some texts, larger is nearer; from an embedder."""

_NAMED = {"": 0.9, "often": 0.65, "sometimes": 0.4}  # how often it is one of the named things, by the hedge
_BEFORE = 0.8  # how often what should stand before does
_ONCE = 0.4  # how likely one more of a named thing makes the latent fire
_WORD = 0.3  # how often a right text holds one of the context words
_TOPIC = 0.15  # ... or one of the other words of the explanation
_CONTEXT_CAP = 2.0  # nats that all context words together may add or take away: they come in clusters
_SHIFT = 0.8  # by how many standard deviations right texts are nearer to the explanation than others
_CACHED = 20_000
_MARKED_WINDOWS = 100  # background windows whose tokens stand for any marked token

Floats = NDArray[np.float64]


class OfflineJudge:
    """Matches words. `background`: a few hundred windows' token texts drawn at random from the corpus; `similarity`: an
    optional embedder's word on detection. Thread-safe."""

    name = "offline"
    model = None

    def __init__(self, background: Sequence[Sequence[str]] = (), *, similarity: Similarity | None = None):
        self._background = [Text(tuple(texts)) for texts in background]
        self._tokens = [
            mark_at(text.texts, i, i + 1)
            for text in self._background[:_MARKED_WINDOWS]
            for i in range(len(text.texts))
            if text.texts[i]
        ]
        # What stands before a token matters to few questions; for the others equal tokens are asked about once.
        counted = Counter(replace(mark, before="", low_before="") for mark in self._tokens)
        self._distinct, self._times = list(counted), list(counted.values())
        self._similarity = similarity
        self._rates: OrderedDict[object, float] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def config(self) -> Mapping[str, Any]:
        return {"n_background": len(self._background), "similarity": self._similarity is not None}

    def prompt_version(self, task: Task) -> str | None:
        return VERSION

    def requests(self, task: Task, explanation: str, shown: Sequence[Shown]) -> list[ChatRequest]:
        return []

    def judge(self, task: Task, explanation: str, shown: Sequence[Shown]) -> Verdicts:
        reading = read(explanation)
        texts = [text_of(one.texts) for one in shown]
        if task == "fuzzing":
            evidence = self._marks(reading, texts, [marks_of(one) for one in shown])
        else:
            evidence = self._texts(reading, texts) + self._likeness(explanation, texts)
        return Verdicts(
            tuple(
                [
                    Verdict(answer=e > 0, value=1 / (1 + math.exp(-e)))
                    for e in np.clip(evidence, -30, 30).tolist()
                ]
            )
        )

    # Whole texts -----------------------------------------------------------------------------------------------

    def _texts(self, reading: Reading, texts: Sequence[Text]) -> Floats:
        """Evidence, in nats, that the latent fires somewhere in each text."""
        total = np.zeros(len(texts))
        named = [(counter(what), ("text", what)) for what in _named(reading)]
        if named:
            total += np.log(self._odds(named, texts, _NAMED[reading.hedge]))
        before = [(follower(literal), ("text-before", literal)) for literal in reading.before]
        before += [(counter(kind), ("text", kind)) for kind in reading.before_kinds]
        if before:
            total += np.log(self._odds(before, texts, _BEFORE))
        return total + self._context(reading, texts)

    def _odds(self, named: Sequence[tuple[Count, Any]], texts: Sequence[Text], rate: float) -> Floats:
        """How much likelier right texts are to hold what they hold of the things `named` than any text."""
        usual = np.array([self._usual(count, key) for count, key in named])
        found = _likely([count(texts) for count, _ in named])
        return 1 - rate + rate * (_shares(usual) / usual) @ found

    def _usual(self, count: Count, key: object) -> float:
        """The mean of `_likely` over any text; what was not seen may still be."""

        def measure() -> float:
            seen = float(_likely(count(self._background)).sum())
            return (seen + 0.3 * _ONCE) / (len(self._background) + 1)

        return self._rate(key, measure)

    def _context(self, reading: Reading, texts: Sequence[Text]) -> Floats:
        total = np.zeros(len(texts))
        for literal in reading.context:
            count = counter(literal)
            total += self._weigh(
                ("word", literal), _WORD, texts, lambda some, count=count: map(bool, count(some))
            )
        if len(reading.context) < 2:
            for topic in reading.topics:
                stem = _stem(topic)
                total += self._weigh(
                    ("topic", stem),
                    _TOPIC,
                    texts,
                    lambda some, stem=stem: [
                        any(word.startswith(stem) for word in one.words) for one in some
                    ],
                )
        return np.clip(total, -_CONTEXT_CAP, _CONTEXT_CAP)

    def _likeness(self, explanation: str, texts: Sequence[Text]) -> Floats:
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
        self,
        key: object,
        rate: float,
        texts: Sequence[Text],
        holds: Callable[[Sequence[Text]], Iterable[bool]],
    ) -> Floats:
        base = self._rate(key, lambda: _share(list(holds(self._background))))
        return _evidence(list(holds(texts)), max(rate, base), base)

    # Marks -----------------------------------------------------------------------------------------------------

    def _marks(self, reading: Reading, texts: Sequence[Text], marks: Sequence[Sequence[Mark]]) -> Floats:
        """Evidence that the marks are right: each marked run speaks for itself; the rest of the text counts half."""
        named = [(fitter(what), self._mark_rate(what)) for what in _named(reading)]
        before = [
            (end := ender(what), self._before_rate(end, what))
            for what in (*reading.before, *reading.before_kinds)
        ]
        context = self._context(reading, texts)
        if named or before:
            context /= 2
        else:
            stems = tuple(
                [_stem(word) for word in (*(c.core.lower() for c in reading.context), *reading.topics)]
            )
            stems = tuple(filter(None, stems))

            def fit(some: Sequence[Mark]) -> list[float]:
                return [float(mark.low_word.startswith(stems)) for mark in some]

            return context + _per_mark([(fit, self._before_rate(fit, stems))], marks, _NAMED["sometimes"])
        if named:
            context += _per_mark(named, marks, _NAMED[reading.hedge])
        if before:
            context += _per_mark(before, marks, _BEFORE)
        return context

    def _mark_rate(self, what: What) -> float:
        """How well any token fits, on average."""

        def measure() -> float:
            seen = sum(map(mul, fitter(what)(self._distinct), self._times))
            return (seen + 0.3) / (len(self._tokens) + 30)

        return self._rate(("mark", what), measure)

    def _before_rate(self, fit: Fit, key: object) -> float:
        """The same for what depends on the text before the token too."""
        return self._rate(
            ("mark-before", key), lambda: (sum(fit(self._tokens)) + 0.3) / (len(self._tokens) + 30)
        )

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


def _named(reading: Reading) -> list[What]:
    """All that an explanation says the latent responds to, in falling order of importance."""
    return [*reading.kinds, *reading.focus, *reading.examples]


def _shares(usual: Floats) -> Floats:
    """How often each of the named things is the one: the earlier and the commoner, the oftener."""
    shares = np.sqrt(usual / np.arange(1, len(usual) + 1))
    return shares / shares.sum()


def _likely(n: Sequence[Any]) -> Floats:
    """How likely `n` of a named thing make the latent fire."""
    return 1 - (1 - _ONCE) ** np.asarray(n, dtype=np.float64)


def _per_mark(named: Sequence[tuple[Fit, float]], marks: Sequence[Sequence[Mark]], rate: float) -> Floats:
    """Evidence from each text's marks: how much likelier a right mark fits as it does than any token. `named`: how well
    marks fit each thing, and how well any token does."""
    flat = [mark for some in marks for mark in some]
    owner = np.repeat(np.arange(len(marks)), [len(some) for some in marks])
    usual = np.array([one for _, one in named])
    fits = np.array([fit(flat) for fit, _ in named], dtype=np.float64).reshape(len(named), len(flat))
    odds = 1 - rate + rate * (_shares(usual) / usual) @ fits
    result = np.zeros(len(marks))
    np.add.at(result, owner, np.log(odds))
    result[[not some for some in marks]] = math.log(1 - rate)
    return result


def _evidence(found: Sequence[bool], rate: float, base: float) -> Floats:
    """Log odds of a finding in right texts (`rate`) against any text (`base`)."""
    rate, base = min(rate, 0.98), min(max(base, 0.002), 0.97)
    yes, no = math.log(rate / base), math.log((1 - rate) / (1 - base))
    return np.where(np.asarray(found, dtype=bool), max(yes, 0.0), min(no, 0.0))


def _share(found: Sequence[bool], least: float = 0.02) -> float:
    """Share of the background, drawn a little towards `least`: what was not seen may still be."""
    return (sum(found) + 5 * least) / (len(found) + 5)


def _stem(word: str) -> str:
    """A crude stem: enough to find plurals and participles."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
