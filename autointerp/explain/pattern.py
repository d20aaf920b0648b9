"""The `pattern` explainer: token, prefix and context statistics put into a sentence. No language model.

In the line of Neuron to Graph (tokens and what must stand before them) and of contrastive key phrases (words that mark
activating against non-activating texts). Deterministic; a few milliseconds for 40 + 40 examples of 32 tokens.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from autointerp.errors import Failure
from autointerp.explain.evidence import NO_EXAMPLES, Evidence
from autointerp.explain.naming import Focus, Marked, Named, Usual, choose, core_of
from autointerp.explain.options import ExplainOptions
from autointerp.llm import CancelToken, ChatRequest, Client
from autointerp.records import Explanation
from autointerp.sampling import MARK_SHARE, Window, marks_above, one_line, runs
from autointerp.sampling.token_kinds import BY_NAME, Kind
from autointerp.sampling.words import full_word, unit_before, words

VERSION = "pattern-2"

_MAX_PREFIXES = 3
_MAX_WORDS = 5
_SURE = 0.8  # a list that covers so much needs no hedge
_OFTEN = 0.5
_LITTLE = 0.2  # less is not worth naming beside a context
_PREFIX_SHARE = 0.5
_LIFT = 3.0  # how much oftener in activating texts
_WORD_SHARE = 0.2  # of the activating texts that hold a context word
_CLEAR = 2.5  # standard deviations by which a context word must be more frequent: the best of hundreds is easily a chance
_MAX_LITERAL = 40
_STRENGTH = 0.5  # how much more strong windows weigh: the power of their maximum


class PatternExplainer:
    """Writes one or two sentences from the statistics of activating against non-activating examples."""

    name = "pattern"

    def __init__(self, *, n_examples: int = 100, n_contrast: int = 100):
        self.n_examples = n_examples
        self.n_contrast = n_contrast

    @property
    def config(self) -> Mapping[str, Any]:
        return {"n_examples": self.n_examples, "n_contrast": self.n_contrast}

    def requests(self, evidence: Evidence) -> list[ChatRequest]:
        return []

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> Explanation:
        started = time.perf_counter()
        activating = list(evidence.activating[: self.n_examples])
        silent = list(evidence.non_activating[: self.n_contrast])
        text = describe(activating, silent)
        failure = {} if text else {"status": "failed", **_nothing(activating)._asdict()}
        return Explanation(
            coder=evidence.coder,
            latent=evidence.latent,
            text=text,
            explainer=self.name,
            prompt_version=VERSION,
            config=self.config,
            seed=seed,
            example_ids=tuple(window.id for window in [*activating, *silent]),
            cost=0.0,
            duration=time.perf_counter() - started,
            **failure,
        )


def build(options: ExplainOptions, client: Client | None, cancel: CancelToken) -> PatternExplainer:
    return PatternExplainer(n_examples=options.n_examples, n_contrast=options.n_contrast)


def describe(activating: Sequence[Window], silent: Sequence[Window]) -> str:
    """The explanation, or "" when the examples say nothing."""
    found = _marks(activating)
    if not found:
        return ""
    usual = Usual(silent or activating)
    focus = choose(found, usual)
    before = _prefixes(found, usual)
    literal = [one.text for one in focus.named if one.form != "kind"]
    context = _context(activating, silent, avoid={*literal, *before})
    sentences = []
    if before and focus.covered < _OFTEN:
        examples = f", such as {_list(literal[:3])}" if literal else ""
        sentences.append(f"What comes{_after(before)}{examples}.")
    elif focus.named and (focus.covered >= _LITTLE or not context):
        sentences.append(f"{_capital(_focus(focus, found))}{_after(before)}.")
    if context:
        sentences.append(f"Typical of texts with {_list(context)}.")
    return " ".join(sentences)


def _marks(windows: Sequence[Window]) -> list[Marked]:
    found = []
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
            # Of a long run the strongest token speaks; a phrase that is always the same shows through the prefix.
            peak = activations.index(strength, start, end)
            while peak > 0 and not texts[peak]:
                peak -= 1
            piece = texts[peak]
            core = core_of(piece)
            word = full_word(texts, peak, peak + 1) or core
            head = "".join(texts[max(0, peak - 16) : peak])
            inside = piece[:1].isalnum() and head[-1:].isalnum()
            if word != core and not piece[:1].isspace():
                head = head[: len(head) - _overlap(head, word)]
            found.append(
                Marked(i, piece, core, word, unit_before(head), inside, importance * strength / total)
            )
    return found


def _overlap(head: str, word: str) -> int:
    """How many characters of `word` stand at the end of `head`."""
    for n in range(min(len(word), len(head)), 0, -1):
        if head.endswith(word[:n]):
            return n
    return 0


def _focus(focus: Focus, found: Sequence[Marked]) -> str:
    """What it responds to, in words: kinds of tokens, then words, signs and pieces of words, as they come in importance."""
    hedge = "" if focus.covered >= _SURE else "often " if focus.covered >= _OFTEN else "sometimes "
    groups: dict[str, list[Named]] = {}
    for one in focus.named:
        groups.setdefault(one.form, []).append(one)
    parts = []
    for form, members in groups.items():
        texts = [one.text for one in members]
        if form == "kind":
            parts += [_kind(BY_NAME[text], found) for text in texts]
        elif form == "piece":
            parts.append(f"the {_plural('word piece', texts)} {_list(texts)}{_as_in(texts, found)}")
        else:
            parts.append(f"the {_plural(form, texts)} {_list(texts)}")
    return hedge + (parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, or {parts[-1]}")


def _kind(kind: Kind, found: Sequence[Marked]) -> str:
    """The kind's name, with its most frequent members where they add something."""
    members: Counter[str] = Counter()
    for mark in found:
        if mark.core.strip() and kind.fits(mark.text, inside=mark.inside):
            members[mark.core] += 1
    often = [text for text, n in sorted(members.items(), key=lambda entry: (-entry[1], entry[0])) if n > 1][
        :3
    ]
    shown = [text for text in often if len(text) > 1 or kind.name in ("numbers", "punctuation")]
    return kind.name + (f" such as {_list(shown)}" if shown else "")


def _as_in(pieces: Sequence[str], found: Sequence[Marked]) -> str:
    """Whole words that hold the pieces: a few for one piece, one for each of several; frequent and short ones."""
    whole: dict[str, Counter[str]] = {text.lower(): Counter() for text in pieces}
    for mark in found:
        if mark.word != mark.core and mark.core.lower() in whole:
            whole[mark.core.lower()][mark.word] += 1
    examples: list[str] = []
    for words_ in whole.values():
        often = sorted(words_, key=lambda word: (-words_[word], len(word), word))
        examples += [word for word in often if word not in examples][: 3 if len(pieces) == 1 else 1]
    return f", as in {_list(examples[:3])}" if examples else ""


def _plural(noun: str, texts: Sequence[str]) -> str:
    return noun if len(texts) == 1 else f"{noun}s"


def _prefixes(found: Sequence[Marked], usual: Usual) -> list[str]:
    """What mostly stands right before, when it does so far oftener than it stands before anything."""
    total = sum(mark.weight for mark in found) or 1.0
    weight: defaultdict[str, float] = defaultdict(float)
    for mark in found:
        if mark.before:
            weight[mark.before] += mark.weight / total
    chosen: list[str] = []
    covered = 0.0
    for text, share in sorted(weight.items(), key=lambda entry: (-entry[1], entry[0]))[:_MAX_PREFIXES]:
        if share < 0.15 or share < _LIFT * usual.text.count(text) / usual.n:
            continue
        chosen.append(text)
        covered += share
    return chosen if covered >= _PREFIX_SHARE else []


def _context(activating: Sequence[Window], silent: Sequence[Window], avoid: set[str]) -> list[str]:
    """Words that stand in activating texts far oftener than in others, and not by chance."""
    if not silent:
        return []
    inside = _holding(activating)
    least = max(3, _WORD_SHARE * len(activating))
    often = [
        (word, n) for word, n in inside.items() if n >= least and not BY_NAME["function words"].fits(word)
    ]
    if not often:
        return []
    outside = _holding(silent)
    skip = {text.lower() for text in avoid}
    scored = []
    for word, n in often:
        others = outside[word] * len(activating) / len(silent)
        lift = n / len(activating) / ((outside[word] + 0.5) / (len(silent) + 1))
        clear = n - others >= _CLEAR * (n + others) ** 0.5
        if lift >= _LIFT and clear and word not in skip:
            scored.append((-n, word))
    return [word for _, word in sorted(scored)[:_MAX_WORDS]]


def _holding(windows: Sequence[Window]) -> Counter[str]:
    """How many of the windows hold each word."""
    counted: Counter[str] = Counter()
    for window in windows:
        counted.update(words(window.text))
    return counted


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


def _nothing(activating: Sequence[Window]) -> Failure:
    if not activating:
        return Failure(NO_EXAMPLES, "no_examples")
    return Failure(
        "The examples share no word, sign, kind of token or context that could be named.", "no_pattern"
    )
