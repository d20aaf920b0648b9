"""Searching the corpus's contexts by their text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import numpy as np

from autointerp.errors import UserError
from autointerp.store.catalog import Generation, damaged

_MAX_PATTERN = 1000


class ContextHit(NamedTuple):
    """A context whose text holds the pattern first at characters `char_start` to `char_end` (exclusive)."""

    context: int
    text: str
    char_start: int
    char_end: int


@dataclass(frozen=True)
class ContextHits:
    """The first hits in corpus order; `total` counts all contexts that match."""

    total: int
    hits: list[ContextHit]


def search_contexts(generation: Generation, pattern: str, *, regex: bool, limit: int) -> ContextHits:
    """Contexts that match. Regular expressions are RE2's: no look-around or back-references, and linear time, so no
    pattern can hang the program. Raises UserError for an empty, overlong or broken pattern."""
    if not pattern:
        raise UserError("the search text is empty. Type some text to find.")
    if len(pattern) > _MAX_PATTERN:
        raise UserError(
            f"the search text has {len(pattern)} characters; at most {_MAX_PATTERN} are accepted."
        )
    pattern = pattern.encode("utf-8", errors="replace").decode("utf-8")
    expression = pattern if regex else escape(pattern)
    options = "" if regex else ", 'i'"
    # The text before the leftmost match, taken lazily, tells where it starts; looking for the matched text again would find
    # the cat in "concat" for \bcat\b.
    before = f"(?s:^(.*?))(?:{expression})"
    try:
        rows = (
            generation.cursor()
            .execute(
                "WITH matching AS MATERIALIZED ("
                f" SELECT context, text, count(*) OVER () AS total FROM corpus.contexts WHERE regexp_matches(text, $1{options})"
                " ORDER BY context LIMIT $2)"
                f" SELECT context, text, length(regexp_extract(text, $3, 1{options})),"
                f" length(regexp_extract(text, $1, 0{options})), total FROM matching ORDER BY context",
                [expression, limit, before],
            )
            .fetchall()
        )
    except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
        raise UserError(
            f"the regular expression {pattern!r} is not accepted: {str(error).splitlines()[0]}. Syntax is RE2's: no "
            "look-around, no back-references; put a backslash before special characters, or search for literal text."
        ) from error
    except duckdb.Error as error:
        raise damaged(generation.layout.root, error) from error
    hits = [ContextHit(context, text, start, start + length) for context, text, start, length, _ in rows]
    return ContextHits(rows[0][-1] if rows else 0, hits)


def escape(text: str) -> str:
    """`text` as an RE2 pattern that matches itself."""
    return re.sub(r"[^\w\s]", lambda match: f"\\x{{{ord(match[0]):x}}}", text)


def hit_tokens(pieces: Sequence[str], hit: ContextHit, *, after: int = 0) -> tuple[int, int]:
    """Positions in the context, first and stop, of the tokens that the match touches and of the next `after` ones. `pieces`:
    the context's tokens as text, see `Store.decode`."""
    ends = np.cumsum([len(piece) for piece in pieces])
    first = int(np.searchsorted(ends, hit.char_start, side="right"))
    stop = int(np.searchsorted(ends, max(hit.char_end, hit.char_start + 1), side="left")) + 1
    return min(first, len(pieces) - 1), min(max(stop, first + 1) + after, len(pieces))
