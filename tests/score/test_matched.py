"""What the offline judge found of an explanation in a text, as the page marks it."""

import pytest

from autointerp.parts import Named, Parts
from autointerp.score.judges.clues import clues_of
from autointerp.score.judges.matched import matched
from autointerp.score.judges.matching import Text
from tests.score.builders import explained

TOKENS = ["Set", " the", " cat", "alog", " to", " 1", ".", "5", "\n", " and", " feed", " catfish", "."]
SAID = {
    'The word "the".': [1],
    "Numbers such as these.": [5, 6, 7],
    "Catalogs, or feeding them.": [2, 3, 10],
    'The text "catfish".': [11],
    'The sign ".".': [6, 12],
    "Nothing of this.": [],
}


@pytest.mark.parametrize("text", SAID)
def test_what_a_sentence_says_is_found(text: str):
    assert matched(explained(text), TOKENS) == SAID[text]


@pytest.mark.parametrize("text", SAID)
def test_a_thing_has_places_where_it_counts(text: str):
    """One rule of what is found: the page marks what the judge counts."""
    clues, seen = clues_of(explained(text)), Text(tuple(TOKENS))
    for thing in (*clues.named, *clues.before, *clues.context, *clues.topics):
        assert bool(thing.places(seen)) == (thing.count_in([seen])[0] >= 1)


def test_where_marks_are_judged_what_is_named_counts_at_a_mark_and_what_stands_before_right_before_one():
    parts = Parts((Named("text", (".",)),), before=("1",), context=("feed",))
    explanation = explained("As stated.", parts=parts.to_json())
    assert matched(explanation, TOKENS) == [5, 6, 10, 12]
    assert matched(explanation, TOKENS, {6}) == [5, 6, 10]
    assert matched(explanation, TOKENS, {12}) == [10, 12]
    assert matched(explanation, TOKENS, {3}) == [10]


def test_a_text_that_is_longer_in_lower_case_is_left_alone():
    assert matched(explained('The word "the".'), ["\u0130", " the"]) == []
