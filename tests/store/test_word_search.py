"""Words in many texts, against a plain implementation."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autointerp.store import word_search

ALPHABET = ["a", "b", "ab", "A", "_", " ", ".", "é", "É", "ß", "—", "ı", "\U0001f600", "1", "$", "\n"]
TEXTS = st.lists(st.lists(st.sampled_from(ALPHABET), max_size=8).map("".join), max_size=12)


def plainly(texts: list[str], query: str) -> tuple[list[int], list[float]]:
    words = list(dict.fromkeys(query.casefold().split()))
    places, relevance = [], []
    for place, text in enumerate(each.casefold() for each in texts):
        if words and all(word in text for word in words):
            alone = [re.search(rf"(?:^|(?<![^\W])){re.escape(word)}(?:$|(?!\w))", text) for word in words]
            places.append(place)
            relevance.append((sum(map(bool, alone)) + 1 / (2 + len(text))) / len(words))
    return places, relevance


@pytest.mark.parametrize("part", [1, 3, 65_536])
@settings(max_examples=150, deadline=None)
@given(texts=TEXTS, query=st.lists(st.sampled_from(ALPHABET), max_size=4).map("".join))
@example(texts=["ab a", "ab", "éa a", "a"], query="a")
@example(texts=["", "a"], query="a")
@example(texts=["x a", "b"], query="b a")
def test_words_are_found_as_plainly(part: int, texts: list[str], query: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_search, "PART", part)
        folded = word_search.folded(pa.array(texts, pa.string()))
        assert folded.to_pylist() == [text.casefold() for text in texts]
        found, relevance = word_search.find(folded, query)
        places, expected = plainly(texts, query)
        assert found.tolist() == places
        assert np.allclose(relevance, expected)
