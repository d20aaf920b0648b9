"""The `pattern` explainer: token, prefix and context statistics put into a sentence. No language model.

In the line of Neuron to Graph (tokens and what must stand before them) and of contrastive key phrases (words that mark
activating against non-activating texts). Deterministic; a few milliseconds for 40 + 40 examples of 32 tokens.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from autointerp.errors import Failure
from autointerp.explain.explainer import NO_EXAMPLES, Evidence
from autointerp.explain.naming import Frequencies, Peak, Selection, core_of, select
from autointerp.explain.options import ExplainOptions
from autointerp.explain.wording import VERSION, sentences
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.messages import ChatRequest
from autointerp.parts import Form, Hedge, Named, Parts
from autointerp.records import Explanation
from autointerp.sampling import MARK_SHARE, Window, marks_above, runs
from autointerp.sampling.token_kinds import BY_NAME
from autointerp.sampling.words import full_word, unit_before, words

_MAX_PREFIXES = 3
_MAX_WORDS = 5
_MAX_EXAMPLES = 3
_SURE = 0.8  # a list that covers so much needs no hedge
_OFTEN = 0.5
_LITTLE = 0.2  # less is not worth naming beside a context
_PREFIX_SHARE = 0.5  # of the activation that follows one of the prefixes
_MIN_PREFIX = 0.15  # ... and that follows each of them
_LIFT = 3.0  # how much oftener in activating texts
_WORD_SHARE = 0.2  # of the activating texts that hold a context word
_CLEAR = 2.5  # standard deviations by which a context word must be more frequent: the best of hundreds is easily a chance
_MAX_QUOTED = 40  # characters
_STRENGTH = 0.5  # how much more strong windows weigh: the power of their maximum


class PatternExplainer:
    """Writes one or two sentences from the statistics of activating against non-activating examples."""

    def __init__(
        self, options: ExplainOptions, client: Client | None = None, cancel: CancelToken | None = None
    ):
        self.options = options

    def requests(self, evidence: Evidence) -> list[ChatRequest]:
        return []

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> Explanation:
        started = time.perf_counter()
        activating = list(evidence.activating[: self.options.n_examples])
        non_activating = list(evidence.non_activating[: self.options.n_contrast])
        parts = describe(activating, non_activating)
        text = sentences(parts)
        failure = {} if text else {"status": "failed", **_no_explanation(activating)._asdict()}
        return Explanation(
            coder=evidence.coder,
            latent=evidence.latent,
            text=text,
            parts=parts.to_json() if text else None,
            explainer=self.options.explainer,
            prompt_version=VERSION,
            seed=seed,
            example_ids=tuple(window.id for window in [*activating, *non_activating]),
            cost=0.0,
            duration=time.perf_counter() - started,
            **failure,
        )


def describe(activating: Sequence[Window], non_activating: Sequence[Window]) -> Parts:
    """What the examples say about the latent; empty when that is nothing."""
    peaks = _peaks(activating)
    if not peaks:
        return Parts()
    usual = Frequencies(non_activating or activating)
    selection = select(peaks, usual)
    before = _prefixes(peaks, usual)
    quotable = [name.text for name in selection.names if name.form != "kind"]
    context = _context(activating, non_activating, avoid={*quotable, *before})
    if before and selection.covered < _OFTEN:
        anything = Named("any", examples=_cut(quotable[:_MAX_EXAMPLES]))
        return Parts((anything,), before=_cut(before), context=_cut(context))
    if selection.names and (selection.covered >= _LITTLE or not context):
        return Parts(_named(selection, peaks), _hedge(selection.covered), _cut(before), _cut(context))
    return Parts(context=_cut(context))


def _hedge(covered: float) -> Hedge:
    return "" if covered >= _SURE else "often" if covered >= _OFTEN else "sometimes"


def _cut(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple([text[:_MAX_QUOTED] for text in texts])


def _peaks(windows: Sequence[Window]) -> list[Peak]:
    """The strongest token of each marked run: a phrase that is always the same shows through the prefix."""
    peaks = []
    strongest = max((window.example.max_activation for window in windows), default=0.0) or 1.0
    for i, window in enumerate(windows):
        texts = window.texts
        spans = runs(marks_above(window.example.activations, MARK_SHARE))
        activations = window.example.activations.tolist()
        strengths = [max(activations[start:end]) for start, end in spans]
        total = sum(strengths)
        if total <= 0:
            continue
        importance = (max(strengths) / strongest) ** _STRENGTH
        for (start, end), strength in zip(spans, strengths, strict=True):
            at = activations.index(strength, start, end)
            while at > 0 and not texts[at]:  # a character of several tokens is the text of the first
                at -= 1
            token = texts[at]
            core = core_of(token)
            word = full_word(texts, at, at + 1) or core
            head = "".join(texts[max(0, at - 16) : at])
            inside = token[:1].isalnum() and head[-1:].isalnum()
            if word != core and not token[:1].isspace():
                head = head[: len(head) - _overlap(head, word)]
            weight = importance * strength / total
            peaks.append(Peak(i, token, core, word, unit_before(head), inside, weight))
    return peaks


def _overlap(head: str, word: str) -> int:
    """How many characters of `word` stand at the end of `head`."""
    return next((n for n in range(min(len(word), len(head)), 0, -1) if head.endswith(word[:n])), 0)


def _named(selection: Selection, peaks: Sequence[Peak]) -> tuple[Named, ...]:
    """What is named, by form: kinds of tokens, words, texts and pieces of words, as they come in importance."""
    by_form: dict[Form, list[str]] = {}
    for name in selection.names:
        by_form.setdefault(name.form, []).append(name.text)
    named = []
    for form, texts in by_form.items():
        if form == "kind":
            named += [Named(form, (kind,), _cut(_members(kind, peaks))) for kind in texts]
        else:
            named.append(
                Named(form, _cut(texts), _cut(_whole_words(texts, peaks) if form == "piece" else ()))
            )
    return tuple(named)


def _members(kind_name: str, peaks: Sequence[Peak]) -> list[str]:
    """The most frequent members of a kind, where they add something."""
    kind = BY_NAME[kind_name]
    members = Counter(
        peak.core for peak in peaks if peak.core.strip() and kind.fits(peak.text, inside=peak.inside)
    )
    often = [text for text in _by_frequency(members) if members[text] > 1][:_MAX_EXAMPLES]
    return [text for text in often if len(text) > 1 or kind_name in ("numbers", "punctuation")]


def _whole_words(pieces: Sequence[str], peaks: Sequence[Peak]) -> list[str]:
    """Whole words that hold the pieces: a few for one piece, one for each of several; frequent and short ones."""
    holding: dict[str, Counter[str]] = {text.lower(): Counter() for text in pieces}
    for peak in peaks:
        if peak.word != peak.core and peak.core.lower() in holding:
            holding[peak.core.lower()][peak.word] += 1
    examples: list[str] = []
    for counted in holding.values():
        often = sorted(counted, key=lambda word: (-counted[word], len(word), word))
        new = [word for word in often if word not in examples]
        examples += new[: _MAX_EXAMPLES if len(pieces) == 1 else 1]
    return examples[:_MAX_EXAMPLES]


def _prefixes(peaks: Sequence[Peak], usual: Frequencies) -> list[str]:
    """What mostly stands right before, when it does so far oftener than it stands before anything."""
    total = sum(peak.weight for peak in peaks) or 1.0
    shares: defaultdict[str, float] = defaultdict(float)
    for peak in peaks:
        if peak.before:
            shares[peak.before] += peak.weight / total
    chosen = [
        text
        for text in _by_frequency(shares)[:_MAX_PREFIXES]
        if shares[text] >= max(_MIN_PREFIX, _LIFT * usual.text.count(text) / usual.n)
    ]
    return chosen if sum(shares[text] for text in chosen) >= _PREFIX_SHARE else []


def _context(activating: Sequence[Window], non_activating: Sequence[Window], avoid: set[str]) -> list[str]:
    """Words that stand in activating texts far oftener than in others, and not by chance."""
    if not non_activating:
        return []
    inside, outside = _n_holding(activating), _n_holding(non_activating)
    skipped = {text.lower() for text in avoid}
    least = max(3, _WORD_SHARE * len(activating))
    chosen: dict[str, int] = {}
    for word, n in inside.items():
        if n < least or word in skipped or BY_NAME["function words"].fits(word):
            continue
        expected = outside[word] * len(activating) / len(non_activating)
        lift = n / len(activating) / ((outside[word] + 0.5) / (len(non_activating) + 1))
        if lift >= _LIFT and n - expected >= _CLEAR * (n + expected) ** 0.5:
            chosen[word] = n
    return _by_frequency(chosen)[:_MAX_WORDS]


def _n_holding(windows: Sequence[Window]) -> Counter[str]:
    """How many of the windows hold each word."""
    counted: Counter[str] = Counter()
    for window in windows:
        counted.update(words(window.text))
    return counted


def _by_frequency(counted: Mapping[str, float]) -> list[str]:
    return sorted(counted, key=lambda text: (-counted[text], text))


def _no_explanation(activating: Sequence[Window]) -> Failure:
    if not activating:
        return Failure(NO_EXAMPLES, "no_examples")
    return Failure(
        "The examples have no word, sign, kind of token or context in common that could be named.",
        "no_pattern",
    )
