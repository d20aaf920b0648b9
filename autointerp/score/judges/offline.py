"""The offline judge: matches what the explanation says with the text, no model behind it.

It sees what a language model would see, the explanation and the texts as shown, and weighs how much likelier what it finds is
in a right text than in any text. How common things are in any text it takes from background windows of the corpus, which carry
no labels: nothing about the latent but its explanation enters. Answers are yes when the odds are better than even.

Of the things that an explanation names, one made the latent fire: a text is right for the first of them, or for the second,
and so on, or for something that is not named. So the odds are a mean over the named things, and what is rare in the
background counts more than what is in every text. What is named first counts more, and what is common does too.

It is a stand-in: it knows no synonyms, no grammar and no world. It favours explanations that state what to look for: those of
the `pattern` explainer, whose parts it reads as data. One without parts (a person's, a language model's, or `pattern`'s before
parts were stored) is matched by the quotes, kinds of tokens and words of its sentence, which scores lower: to compare such a
`pattern` explanation with newer ones, explain the latent again.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autointerp.llm.messages import ChatRequest
from autointerp.records import Explanation
from autointerp.score.judges.base import Shown, Task
from autointerp.score.judges.clues import Clues, clues_of
from autointerp.score.judges.matching import Mark, Text, Thing, mark_at, marks_of, stem_of, text_of
from autointerp.score.plan import Verdict, Verdicts

VERSION = "offline-3"

_NAMED = {"": 0.9, "often": 0.65, "sometimes": 0.4}  # how often it is one of the named things, by the hedge
_BEFORE = 0.8  # how often what should stand before does
_ONCE = 0.4  # how likely one more of a named thing makes the latent fire
_WORD = 0.3  # how often a right text holds one of the context words
_TOPIC = 0.15  # ... or one of the other words of the explanation
_CONTEXT_CAP = 2.0  # nats that all context words together may add or take away: they come in clusters
_CACHED = 20_000
_MARKED_WINDOWS = 100  # background windows whose tokens stand for any marked token

Floats = NDArray[np.float64]
Finding = Literal["in text", "held", "marked", "before mark"]


class OfflineJudge:
    """`background`: a few hundred windows' token texts drawn at random from the corpus. Thread-safe."""

    name = "offline"
    model = None

    def __init__(self, background: Sequence[Sequence[str]] = ()):
        self._background = [Text(tuple(tokens)) for tokens in background]
        self._tokens = [
            mark_at(text.tokens, i, i + 1)
            for text in self._background[:_MARKED_WINDOWS]
            for i, token in enumerate(text.tokens)
            if token
        ]
        # What stands before a token matters to few questions; for the others equal tokens are asked about once.
        counted = Counter(mark._replace(before="") for mark in self._tokens)
        self._distinct, self._times = list(counted), list(counted.values())
        self.usual = lru_cache(_CACHED)(self._measure)
        """How common a thing is anywhere: in a text, or at a mark. Above 0, below 1."""

    def prompt_version(self, task: Task) -> str | None:
        return VERSION

    def requests(self, task: Task, explanation: str, shown: Sequence[Shown]) -> list[ChatRequest]:
        return []

    def judge(self, task: Task, explanation: Explanation, shown: Sequence[Shown]) -> Verdicts:
        clues = clues_of(explanation)
        texts = [text_of(text.texts) for text in shown]
        evidence = self._context(clues, texts)  # in nats
        if task == "detection":
            evidence += self._texts(clues, texts)
        else:
            if clues.named or clues.before:
                evidence /= 2  # the marks say more
            evidence += self._marks(clues, [marks_of(text) for text in shown])
        odds = np.clip(evidence, -30, 30).tolist()
        return Verdicts(tuple([Verdict(answer=e > 0, value=1 / (1 + math.exp(-e))) for e in odds]))

    def _context(self, clues: Clues, texts: Sequence[Text]) -> Floats:
        """Evidence that each text is of the sort that the latent is found in."""
        total = np.zeros(len(texts))
        for words, share in ((clues.context, _WORD), (clues.topics, _TOPIC)):
            for word in words:
                usual = self.usual("held", word)
                rate, base = min(max(share, usual), 0.98), min(max(usual, 0.002), 0.97)
                yes, no = math.log(rate / base), math.log((1 - rate) / (1 - base))
                total += np.where(np.array(word.count_in(texts)) > 0, max(yes, 0.0), min(no, 0.0))
        return np.clip(total, -_CONTEXT_CAP, _CONTEXT_CAP)

    def _texts(self, clues: Clues, texts: Sequence[Text]) -> Floats:
        """Evidence that the latent fires somewhere in each text, by what is named and what stands before."""
        total = np.zeros(len(texts))
        for things, rate in ((clues.named, _NAMED[clues.hedge]), (clues.before, _BEFORE)):
            if things:
                usual = [self.usual("in text", thing) for thing in things]
                total += np.log(_odds(_likely([thing.count_in(texts) for thing in things]), usual, rate))
        return total

    def _marks(self, clues: Clues, marks: Sequence[Sequence[Mark]]) -> Floats:
        """Evidence that each text's marks are right; each marked run speaks for itself."""
        named, rate = clues.named, _NAMED[clues.hedge]
        if not named and not clues.before:
            named, rate = (
                (*[stem_of(word.text) for word in clues.context], *clues.topics),
                _NAMED["sometimes"],
            )
        flat = [mark for some in marks for mark in some]
        owner = np.repeat(np.arange(len(marks)), [len(some) for some in marks])
        unmarked = [not some for some in marks]
        total = np.zeros(len(marks))
        if named:
            usual = [self.usual("marked", thing) for thing in named]
            np.add.at(
                total, owner, np.log(_odds(np.array([thing.fit(flat) for thing in named]), usual, rate))
            )
            total[unmarked] += math.log(1 - rate)
        if clues.before:
            usual = [self.usual("before mark", thing) for thing in clues.before]
            preceding = np.array([thing.precede(flat) for thing in clues.before])
            np.add.at(total, owner, np.log(_odds(preceding, usual, _BEFORE)))
            total[unmarked] += math.log(1 - _BEFORE)
        return total

    def _measure(self, finding: Finding, thing: Thing) -> float:
        """How common it is anywhere; what was not seen may still be."""
        n = len(self._background)
        if finding == "in text":
            return (float(_likely(thing.count_in(self._background)).sum()) + 0.3 * _ONCE) / (n + 1)
        if finding == "held":
            return (sum(map(bool, thing.count_in(self._background))) + 0.1) / (n + 5)
        if finding == "marked":
            seen = sum(map(mul, thing.fit(self._distinct), self._times))
        else:
            seen = sum(thing.precede(self._tokens))
        return (seen + 0.3) / (len(self._tokens) + 30)


def _likely(n: Sequence[Any]) -> Floats:
    """How likely `n` of a named thing make the latent fire."""
    return 1 - (1 - _ONCE) ** np.asarray(n, dtype=np.float64)


def _odds(likelihood: Floats, usual: Sequence[float], rate: float) -> Floats:
    """How much likelier what was found of each thing, Float64[ndarray, "things n"], is where one of the things is right (in the
    share `rate`) than anywhere (`usual`). Each is the right one the oftener, the earlier it is named and the commoner it is."""
    base = np.array(usual)
    shares = np.sqrt(base / np.arange(1, len(base) + 1))
    return 1 - rate + rate * (shares / shares.sum() / base) @ likelihood
