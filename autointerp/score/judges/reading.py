"""How the offline judge reads an explanation: quoted pieces, named kinds of tokens, words, and their parts in the sentence."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from autointerp.sampling.token_kinds import KINDS, Kind
from autointerp.sampling.words import words

_QUOTED = re.compile(
    r"\u201c([^\u201d]{1,80})\u201d|\"([^\"]{1,80})\"|`([^`]{1,80})`|(?<!\w)'([^']{1,80})'(?!\w)"
)
_CONNECTED = re.compile(r"\A\s*(?:,|/|;)?\s*(?:and|or|,)?\s*\Z", re.IGNORECASE)
_CUES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "not",
        re.compile(
            r"\b(?:not|never|except|excluding|without|rather than|other than|unlike)\b", re.IGNORECASE
        ),
    ),
    ("before", re.compile(r"\b(?:after|following|follows?|preceded by|comes? behind)\b", re.IGNORECASE)),
    (
        "context",
        re.compile(
            r"\b(?:typical|texts? (?:with|about|that)|contexts?|passages?|documents?|near|alongside|along with|around|"
            r"contain(?:s|ing)?|mention(?:s|ing)?|about|followed by|before)\b",
            re.IGNORECASE,
        ),
    ),
    ("example", re.compile(r"\b(?:as in|for example|e\.g\.|such as|like|for instance)\b", re.IGNORECASE)),
)
_HEDGED = re.compile(
    r"\b(?:often|sometimes|occasionally|partly|rarely|mostly|usually|mainly|typically|frequently|especially)\b",
    re.IGNORECASE,
)
_RARELY = re.compile(r"\b(?:sometimes|occasionally|partly|rarely)\b", re.IGNORECASE)
_PIECES = re.compile(
    r"\b(?:pieces?|prefix(?:es)?|suffix(?:es)?|endings?|beginnings?|parts? of (?:a )?words?|starting with|ending in)\b",
    re.IGNORECASE,
)
_STOP = frozenset(
    """the and for with that this from into than then when where which while whose what who how are was were has have had its
    their there they these those such some any all each other another one two also only most mostly often sometimes usually
    typically mainly especially like right after before following preceded followed near within between about around inside
    token tokens word words text texts phrase phrases sign signs piece pieces part parts term terms occurrence occurrences
    latent feature neuron detector responds respond activates activate fires firing marked comes come used use using
    appear appears appearing related various different certain specific particular general common kind kinds type types
    context contexts passage passages document documents sentence sentences example examples instance typical contain
    contains containing mention mentions mentioning refer refers referring indicate indicates indicating not can may
    """.split()  # noqa: SIM905
)
_GLYPHS = str.maketrans({"\u21b5": "\n", "\u21e5": "\t"})

Hedge = Literal["", "often", "sometimes"]

MAX_PARTS = 40
_READ = 4000  # characters of an explanation that are read; more is no explanation


@dataclass(frozen=True)
class Literal_:
    """A quoted piece. `piece`: a part of words, to be found inside them too."""

    text: str
    piece: bool = False

    @property
    def core(self) -> str:
        """The text without the blanks around it, unless it is nothing else."""
        return self.text.strip() or self.text

    @property
    def folded(self) -> bool:
        """Whether case does not matter: it does when the text has capitals."""
        return self.core == self.core.lower()

    def pattern(self) -> re.Pattern[str]:
        """Finds it in a text: whole words only unless a piece; case matters when it has capitals."""
        core = self.core
        body = re.escape(core)
        if not self.piece:
            body = (
                (r"(?<!\w)" if core[:1].isalnum() else "") + body + (r"(?!\w)" if core[-1:].isalnum() else "")
            )
        return re.compile(body, re.IGNORECASE if self.folded else 0)


@dataclass(frozen=True)
class Reading:
    """An explanation taken apart. `focus`: pieces it is said to respond to, `examples` of them in whole; `kinds` of tokens;
    `before`: what must stand before; `context`: quoted words that go with it; `topics`: its other content words; `hedged`:
    whether the focus is said to be only frequent; `hedge`: how frequent."""

    focus: tuple[Literal_, ...] = ()
    examples: tuple[Literal_, ...] = ()
    kinds: tuple[Kind, ...] = ()
    before: tuple[Literal_, ...] = ()
    before_kinds: tuple[Kind, ...] = ()
    context: tuple[Literal_, ...] = ()
    topics: tuple[str, ...] = ()
    hedged: bool = False

    hedge: Hedge = ""

    @property
    def is_empty(self) -> bool:
        return not (self.focus or self.examples or self.kinds or self.before or self.context or self.topics)


@lru_cache(maxsize=1024)
def read(explanation: str) -> Reading:
    """Takes an explanation apart."""
    text = explanation[:_READ]
    parts: dict[str, list[Literal_]] = {"focus": [], "example": [], "before": [], "context": [], "not": []}
    bare: list[str] = []
    role, end = "focus", 0
    for match in _QUOTED.finditer(text):
        gap = text[end : match.start()]
        bare.append(gap)
        if end == 0 or not _CONNECTED.match(gap):
            role = _role(gap, first=not any(parts.values()))
        piece = bool(_PIECES.search(gap)) if not _CONNECTED.match(gap) else _same(parts[role])
        content = next(group for group in match.groups() if group is not None).translate(_GLYPHS)
        if content and sum(map(len, parts.values())) < MAX_PARTS:
            parts[role].append(Literal_(content, piece and role == "focus"))
        end = match.end()
    bare.append(text[end:])
    rest = " \u00b7 ".join(bare)
    first = rest.split(".")[0]
    kinds, before_kinds = _kinds(rest)
    said = {word for kind in KINDS for hit in kind.said.findall(rest) for word in words(str(hit))}
    topics = sorted(words(rest) - _STOP - said)[:MAX_PARTS]
    if not any(parts.values()) and not kinds and not topics and text.strip():
        parts["focus"].append(Literal_(text.strip()[:80]))
    return Reading(
        focus=tuple(parts["focus"]),
        examples=tuple(parts["example"]),
        kinds=kinds,
        before=tuple(parts["before"]),
        before_kinds=before_kinds,
        context=tuple(parts["context"]),
        topics=tuple(topics),
        hedged=bool(_HEDGED.search(first)),
        hedge="sometimes" if _RARELY.search(first) else "often" if _HEDGED.search(first) else "",
    )


def _role(gap: str, *, first: bool) -> str:
    """The part a quoted piece plays, from the last cue in the words before it."""
    clause = re.split(r"[.;:!?](?:\s|\Z)", gap)[-1][-60:]
    cues = [(hit.start(), role) for role, pattern in _CUES for hit in pattern.finditer(clause)]
    if cues:
        return max(cues)[1]
    return "focus" if first or clause == gap[-60:] else "context"


def _same(literals: list[Literal_]) -> bool:
    return bool(literals) and literals[-1].piece


def _kinds(text: str) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
    """Kinds named in the text, and those that stand before the focus. A narrow kind hides a broad one in its name."""
    found, before = [], []
    left = text
    for kind in KINDS:
        for hit in kind.said.finditer(left):
            clause = re.split(r"[.;:!?](?:\s|\Z)", left[: hit.start()])[-1][-40:]
            (before if _CUES[1][1].search(clause) else found).append(kind)
            break
        left = kind.said.sub(lambda hit: "\u00b7" * len(hit[0]), left)
    return tuple(found), tuple(before)
