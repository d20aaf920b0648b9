"""The `pattern` explainer: token, prefix and context statistics put into a sentence. No language model.

In the line of Neuron to Graph (tokens and what must stand before them) and of contrastive key phrases (words that mark
activating against non-activating texts). Deterministic; a few milliseconds for 40 + 40 examples of 32 tokens.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.explain.results import Evidence, ExplanationResult
from autointerp.passages import MARK_SHARE, Window, marks_above, one_line, runs
from autointerp.passages.kinds import KINDS, Kind
from autointerp.passages.words import full_word, unit_before, words

VERSION = "pattern-1"

_MAX_TOKENS = 6  # listed as what it responds to
_MAX_PREFIXES = 3
_MAX_WORDS = 5
_SURE = 0.8  # a list that covers so much needs no hedge
_MIN_SHARE = 0.05  # of the weight, for one more entry of a list
_KIND_SHARE = 0.8
_PREFIX_SHARE = 0.5
_LIFT = 3.0  # how much oftener in activating texts
_WORD_SHARE = 0.2  # of the activating texts that hold a context word
_MAX_LITERAL = 40


@dataclass(frozen=True)
class _Mark:
    """One marked run: `core` is its own text, `word` the word around it, `before` what stands before that word, `weight` its
    share of its window, which weighs as much as its largest activation."""

    window: int
    text: str
    core: str
    word: str
    before: str
    weight: float


class PatternExplainer:
    """Writes one or two sentences from the statistics of activating against non-activating examples."""

    name = "pattern"

    def __init__(self, *, n_examples: int = 100, n_contrast: int = 100):
        self.n_examples = n_examples
        self.n_contrast = n_contrast

    @property
    def config(self) -> Mapping[str, Any]:
        return {"n_examples": self.n_examples, "n_contrast": self.n_contrast}

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> ExplanationResult:
        started = time.perf_counter()
        activating = list(evidence.activating[: self.n_examples])
        silent = list(evidence.non_activating[: self.n_contrast])
        text = describe(activating, silent)
        error = None if text else _nothing(activating)
        return ExplanationResult(
            text=text,
            explainer=self.name,
            prompt_version=VERSION,
            config=self.config,
            seed=seed,
            example_ids=tuple(window.id for window in [*activating, *silent]),
            duration=time.perf_counter() - started,
            status="ok" if text else "failed",
            error=error,
        )


def describe(activating: Sequence[Window], silent: Sequence[Window]) -> str:
    """The explanation, or "" when the examples say nothing."""
    found = _marks(activating)
    if not found:
        return ""
    focus, listed, covered = _focus(found, activating, silent)
    before = _prefixes(found, activating, silent)
    context = _context(activating, silent, avoid={*listed, *before})
    sentences = []
    if focus and covered >= (0.3 if context else 0.0):
        sentences.append(f"{_capital(focus)}{_after(before)}.")
    elif before:
        sentences.append(f"What comes{_after(before)}.")
    if context:
        sentences.append(f"Typical of texts with {_list(context)}.")
    return " ".join(sentences)


def _marks(windows: Sequence[Window]) -> list[_Mark]:
    found = []
    strongest = max((window.example.max_activation for window in windows), default=0.0) or 1.0
    for i, window in enumerate(windows):
        activations, texts = window.example.activations, window.texts
        spans = runs(marks_above(activations, MARK_SHARE))
        strengths = [float(activations[start:end].max()) for start, end in spans]
        total = sum(strengths)
        importance = max(strengths, default=0.0) / strongest
        for (start, end), strength in zip(spans, strengths, strict=True):
            # Of a long run the strongest token speaks; a phrase that is always the same shows through the prefix.
            peak = start + int(activations[start:end].argmax())
            while peak > 0 and not texts[peak]:
                peak -= 1
            piece = texts[peak]
            word = full_word(texts, peak, peak + 1)
            head = "".join(texts[:peak])
            if word != piece.strip() and not piece[:1].isspace():
                head = head[: len(head) - _overlap(head, word)]
            core = piece.strip() or ("\n" if "\n" in piece else "")
            weight = importance * strength / total if total > 0 else 0.0
            found.append(_Mark(i, piece, core, word or core, unit_before(head), weight))
    return found


def _overlap(head: str, word: str) -> int:
    """How many characters of `word` stand at the end of `head`."""
    for n in range(min(len(word), len(head)), 0, -1):
        if head.endswith(word[:n]):
            return n
    return 0


def _focus(
    found: Sequence[_Mark], activating: Sequence[Window], silent: Sequence[Window]
) -> tuple[str, set[str], float]:
    """What it responds to, in words; the literal parts of that; and the share of the activation it covers."""
    total = sum(mark.weight for mark in found) or 1.0
    words_, in_words = _top(_weights(found, "word"), total)
    cores, in_cores = _top(_weights(found, "core"), total)
    shorter = 2 * len(cores) < len(words_) and in_cores > in_words * 0.95
    pieces = (in_cores > in_words * 1.15 or shorter) and any(mark.core != mark.word for mark in found)
    listed, covered = (cores, in_cores) if pieces else (words_, in_words)
    kind = _kind(found, activating, silent, total)
    if kind is not None and (covered < _KIND_SHARE or not "".join(listed).strip()):
        examples = [text for text in listed[:3] if not _plain_kind(text, kind)]
        return kind.name + (f" such as {_list(examples)}" if examples else ""), set(listed), _KIND_SHARE
    if not listed:
        return "", set(), 0.0
    hedge = "" if covered >= _SURE else "often " if covered >= 0.5 else "sometimes "
    return hedge + _named(listed, found, pieces=pieces), set(listed), covered


def _weights(found: Sequence[_Mark], field: str) -> dict[str, tuple[float, int, str]]:
    """Per lower-case text: its weight, in how many windows it stands, and how it is most often written."""
    weight: defaultdict[str, float] = defaultdict(float)
    spelled: dict[str, Counter[str]] = {}
    where: dict[str, set[int]] = {}
    for mark in found:
        text = getattr(mark, field)
        key = text.lower()
        weight[key] += mark.weight
        spelled.setdefault(key, Counter())[text] += 1
        where.setdefault(key, set()).add(mark.window)
    result = {}
    for key, value in weight.items():
        forms = spelled[key]
        # One spelling stays as it is, which makes the case matter to the reader; several become lower case.
        written = next(iter(forms)) if len(forms) == 1 else key
        result[key] = (value, len(where[key]), written)
    return result


def _top(weights: Mapping[str, tuple[float, int, str]], total: float) -> tuple[list[str], float]:
    few = sum(n for _, n, _ in weights.values()) < 8
    ranked = sorted(weights.items(), key=lambda entry: (-entry[1][0], entry[0]))
    listed, covered = [], 0.0
    for key, (weight, n, written) in ranked[:_MAX_TOKENS]:
        if not key or weight / total < _MIN_SHARE or (n < 2 and not few):
            continue
        listed.append(written)
        covered += weight / total
        if covered >= 0.95:
            break
    return listed, covered


def _kind(
    found: Sequence[_Mark], activating: Sequence[Window], silent: Sequence[Window], total: float
) -> Kind | None:
    """A kind that most marked tokens are of, and clearly fewer tokens in general."""
    others = [text for window in [*activating[:20], *silent[:20]] for text in window.texts if text]
    for kind in KINDS:
        share = sum(mark.weight for mark in found if kind.fits(mark.text)) / total
        if share >= _KIND_SHARE:
            base = sum(kind.fits(text) for text in others) / max(1, len(others))
            if base * 2 <= share:
                return kind
    return None


def _plain_kind(text: str, kind: Kind) -> bool:
    """Whether an example of the kind would add nothing to its name."""
    return len(text) == 1 and kind.name not in ("numbers", "punctuation")


def _named(listed: Sequence[str], found: Sequence[_Mark], *, pieces: bool) -> str:
    one = len(listed) == 1
    if pieces:
        whole: Counter[str] = Counter()
        for mark in found:
            if mark.core in listed and mark.word != mark.core:
                whole[mark.word] += 1
        examples = [word for word, _ in sorted(whole.items(), key=lambda entry: (-entry[1], entry[0]))[:3]]
        shown = f", as in {_list(examples)}" if examples else ""
        return f"the {'word piece' if one else 'word pieces'} {_list(listed)}{shown}"
    if all(text.isalpha() for text in listed):
        return f"the {'word' if one else 'words'} {_list(listed)}"
    return f"the {'text' if one else 'texts'} {_list(listed)}"


def _prefixes(found: Sequence[_Mark], activating: Sequence[Window], silent: Sequence[Window]) -> list[str]:
    """What mostly stands right before, when it does so far oftener than it stands before anything."""
    total = sum(mark.weight for mark in found) or 1.0
    weight: defaultdict[str, float] = defaultdict(float)
    for mark in found:
        if mark.before:
            weight[mark.before] += mark.weight / total
    texts = [window.text for window in [*silent[:40], *activating[:20]]]
    length = max(1, sum(len(window.texts) for window in [*silent[:40], *activating[:20]]))
    chosen: list[str] = []
    covered = 0.0
    for text, share in sorted(weight.items(), key=lambda entry: (-entry[1], entry[0]))[:_MAX_PREFIXES]:
        base = sum(one.count(text) for one in texts) / length
        if share < 0.15 or share < _LIFT * base:
            continue
        chosen.append(text)
        covered += share
    return chosen if covered >= _PREFIX_SHARE else []


def _context(activating: Sequence[Window], silent: Sequence[Window], avoid: set[str]) -> list[str]:
    """Words that stand in activating texts far oftener than in others."""
    if not silent:
        return []
    inside = Counter(word for window in activating for word in words(window.text))
    outside = Counter(word for window in silent for word in words(window.text))
    skip = {text.lower() for text in avoid}
    scored = []
    for word, n in inside.items():
        share = n / len(activating)
        lift = share / ((outside[word] + 0.5) / (len(silent) + 1))
        if word not in skip and n >= 3 and share >= _WORD_SHARE and lift >= _LIFT:
            scored.append((-share, word))
    return [word for _, word in sorted(scored)[:_MAX_WORDS]]


def _after(before: Sequence[str]) -> str:
    if not before:
        return ""
    literal = [text for text in before if text != "\n"]
    parts = [_list(literal, "or")] if literal else []
    if "\n" in before:
        parts.append("a line break")
    return f", right after {' or '.join(parts)}"


def _list(texts: Sequence[str], joiner: str = "or") -> str:
    quoted = [_quote(text) for text in texts]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {joiner} {quoted[-1]}"


def _quote(text: str) -> str:
    shown = one_line(text)[:_MAX_LITERAL]
    if '"' not in shown:
        return f'"{shown}"'
    return f"\u201c{shown}\u201d"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _nothing(activating: Sequence[Window]) -> str:
    if not activating:
        return "There are no activating examples to explain: the latent fires too rarely in this corpus, or never."
    return "The examples share no word, sign, kind of token or context that could be named."
