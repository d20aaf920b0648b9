"""What an explanation says to look for: what it states as data, or else the words of its sentence."""

import re
from dataclasses import dataclass

from autointerp.parts import Hedge, Parts
from autointerp.records import Explanation
from autointerp.sampling.token_kinds import BY_NAME, named_in, without_names
from autointerp.sampling.words import words
from autointerp.score.judges.matching import OfKind, Quote, Stem, Thing, stem_of

_QUOTED = re.compile(
    r"\u201c([^\u201d]{1,80})\u201d|\"([^\"]{1,80})\"|`([^`]{1,80})`|(?<!\w)'([^']{1,80})'(?!\w)"
)
_GLYPHS = str.maketrans(
    {"\u21b5": "\n", "\u21e5": "\t"}
)  # as texts are shown to those who write explanations
_NO_TOPICS = frozenset(
    """the and for with that this from into than then when where which while whose what who how are was were has had its their
    there they these those such some any all each other another one two also only most mostly often sometimes usually typically
    mainly especially like right after before following preceded followed near within between about around inside not can may
    token tokens word words text texts phrase phrases sign signs piece pieces part parts term terms latent feature neuron
    respond responds activate activates fire fires firing comes use used using appear appears related various different specific
    particular general common kind kinds type types context contexts passage passages document documents sentence sentences
    example examples typical contain contains containing mention mentions refer refers referring indicate indicates
    """.split()  # noqa: SIM905
)
_MAX_CLUES = 40
_READ = 4000  # characters of a sentence that are read; more is no explanation


@dataclass(frozen=True)
class Clues:
    """`named`: what the latent responds to, the most important first; `hedge`: how often it is one of these; `before`: what
    stands right before it; `context`: words of the texts it is found in; `topics`: other words of a sentence, which may be
    either."""

    named: tuple[Thing, ...] = ()
    hedge: Hedge = ""
    before: tuple[Thing, ...] = ()
    context: tuple[Quote, ...] = ()
    topics: tuple[Stem, ...] = ()


def clues_of(explanation: Explanation) -> Clues:
    parts = Parts.from_json(explanation.parts)
    return _of_sentence(explanation.text) if parts is None else _of_parts(parts)


def _of_parts(parts: Parts) -> Clues:
    named: list[Thing] = []
    for group in parts.named:
        if group.form == "kind":
            named += [OfKind(BY_NAME[name]) for name in group.texts if name in BY_NAME]
        else:
            named += [Quote.of(text, piece=group.form == "piece") for text in group.texts]
    named += [Quote.of(text) for group in parts.named for text in group.examples]
    before = [OfKind(BY_NAME["line breaks"]) if text == "\n" else Quote.of(text) for text in parts.before]
    return Clues(tuple(named), parts.hedge, tuple(before), tuple(map(Quote.of, parts.context)))


def _of_sentence(sentence: str) -> Clues:
    """Quotes and kinds of tokens are what the latent often responds to; the other words are topics."""
    text = sentence[:_READ]
    quoted = [next(filter(None, match.groups())).translate(_GLYPHS) for match in _QUOTED.finditer(text)]
    rest = _QUOTED.sub(" \u00b7 ", text)
    named: list[Thing] = [*map(OfKind, named_in(rest)), *map(Quote.of, quoted[:_MAX_CLUES])]
    topics = sorted(words(without_names(rest)) - _NO_TOPICS)[:_MAX_CLUES]
    if not named and not topics and text.strip():
        named = [Quote.of(text.strip()[:80])]
    return Clues(tuple(named), "often", topics=tuple(map(stem_of, topics)))
