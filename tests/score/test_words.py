"""Words around tokens, against plain definitions."""

import re

from hypothesis import given
from hypothesis import strategies as st

from autointerp.sampling.words import full_word, words

LETTERS = st.text(alphabet=" ab1_'.\u2019\u00e9\n", max_size=30)
tokens = st.lists(st.text(alphabet=" ab1_.\u00e9", max_size=4), min_size=1, max_size=8)


@given(LETTERS)
def test_words_are_stretches_of_three_characters_at_least(text: str) -> None:
    found = re.findall(r"[^\W\d_](?:[\w'\u2019]*[^\W_])?", text)
    assert words(text) == {word.lower() for word in found if len(word) >= 3}


@given(tokens, st.data())
def test_the_whole_word_is_read_out_of_the_joined_text(texts: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(texts) - 1))
    piece = texts[at]
    core = piece.strip()
    if not core or not core.isalnum():
        assert full_word(texts, at, at + 1) == core
        return
    before, after = "".join(texts[:at]), "".join(texts[at + 1 :])
    head = re.findall(r"[^\W_]*\Z", before)[0] if piece[0] == core[0] else ""
    tail = (re.match(r"[^\W_]*", after) or [""])[0] if piece[-1] == core[-1] else ""
    assert full_word(texts, at, at + 1) == head + core + tail
