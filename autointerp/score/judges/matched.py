"""What the offline judge found of an explanation in a text: for people who look at its answers. It answers by itself."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate

from autointerp.records import Explanation
from autointerp.sampling import runs
from autointerp.score.judges.clues import clues_of
from autointerp.score.judges.matching import Text


def matched(
    explanation: Explanation, tokens: Sequence[str], marks: Collection[int] | None = None
) -> list[int]:
    """Positions of the tokens that stand for something that the explanation names, says to stand before, or says of the text.
    `marks`: the marked positions where marks were judged; then what is named counts only at a mark, and what should stand
    before only right before one."""
    clues, text = clues_of(explanation), Text(tuple(tokens))
    if len(text.lower.text) != len(text.exact.text):
        return []  # places in the two spellings would not be the same
    ends = list(accumulate(map(len, tokens)))

    def positions(things: Sequence) -> list[range]:
        spans = [span for thing in things for span in thing.places(text) if span[1] > span[0]]
        return [range(bisect_right(ends, start), bisect_right(ends, stop - 1) + 1) for start, stop in spans]

    named, before = positions(clues.named), positions(clues.before)
    if marks is not None:
        begins = {start for start, _ in runs(sorted(marks))}
        named = [token_range for token_range in named if set(token_range) & set(marks)]
        before = [token_range for token_range in before if _next_visible(tokens, token_range.stop) in begins]
    about = positions((*clues.context, *clues.topics))
    return sorted(
        {place for token_range in (*named, *before, *about) for place in token_range if place < len(tokens)}
    )


def _next_visible(tokens: Sequence[str], place: int) -> int:
    """The first token from `place` that is more than blanks."""
    while place < len(tokens) and not tokens[place].strip(" "):
        place += 1
    return place
