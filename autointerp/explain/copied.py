"""Answers that repeat the prompt: weak models give back one of its examples, or its instructions, instead of an explanation."""

import re
from collections.abc import Iterable
from functools import cache

from autointerp.explain.prompts import default as prompt

_RUN = 8
"""Words in a row that no explanation shares with the prompt by chance."""
_SHORT = 4
"""Fewer words than that are not told from an explanation of one's own."""
_WORD = re.compile(r"[^\W_]+|[$\u00a3]")

Words = tuple[str, ...]


def repeats(text: str, fires: Iterable[str] = ()) -> str:
    """What of the prompt an explanation repeats, in words; empty for one of its own.

    `fires`: the tokens that the explanation was made from. An example of the prompt about just these may be right: it counts as
    repeated only where none of its own tokens is among them.
    """
    words = _words(text)
    if not text.strip(' ."\u2026'):
        return "the form of the answer, without any text"
    if _runs(words) & _instructions():
        return "the instructions"
    seen = {token.strip().casefold() for token in fires}
    for excerpts, _, _, reasoning, explanation in prompt.SHOTS:
        own = {token.strip().casefold() for _, pairs in excerpts for token, _ in pairs}
        if own & seen:
            continue
        said = _words(explanation)
        alike = _holds(words, said) or (len(words) >= _SHORT and _holds(said, words))
        shown = (reasoning, explanation, *(excerpt for excerpt, _ in excerpts))
        if alike or _runs(words) & frozenset().union(*(_runs(_words(each)) for each in shown)):
            return f"an example of the prompt ({explanation!r})"
    return ""


def _words(text: str) -> Words:
    return tuple(_WORD.findall(text.casefold()))


def _runs(words: Words) -> frozenset[Words]:
    return frozenset(words[i : i + _RUN] for i in range(len(words) - _RUN + 1))


def _holds(words: Words, part: Words) -> bool:
    return any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))


@cache
def _instructions() -> frozenset[Words]:
    parts = (
        prompt.TASK,
        prompt.STRENGTHS,
        prompt.CONTRAST,
        prompt.LOGITS,
        prompt.ANSWER,
        prompt.ANSWER_REASONED,
    )
    return frozenset().union(*(_runs(_words(part)) for part in parts))
