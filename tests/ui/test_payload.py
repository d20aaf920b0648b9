import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autointerp.types import Example, Histogram
from autointerp.ui.shared import payload

TEXTS = [" the", "</span>", "<script>alert(1)</script>", "\x00", "\ud800", "\u202e", "é", ""]


def decode(ids):
    return [TEXTS[i] for i in ids]


def example(ids, activations, **more) -> Example:
    values = np.asarray(activations, dtype=np.float32)
    given = {
        "context": 3,
        "start": 8,
        "max_activation": float(values.max(initial=0)),
        "quantile": None,
    } | more
    return Example(token_ids=np.asarray(ids, dtype=np.int64), activations=values, **given)


def table() -> payload.TokenTable:
    return payload.TokenTable(decode, lambda token: token == 6)


def test_row_keeps_only_what_fires_and_marks_the_peak():
    tokens = table()
    row = payload.row(example([0, 1, 0, 2], [0, 1.5, 0, 4.25]), tokens)
    assert row == {"c": 3, "s": 8, "t": [0, 1, 0, 2], "p": [1, 3], "v": [1.5, 4.25], "k": 3, "m": "4.25"}
    assert tokens.entries == [[0, " the", 0], [1, "</span>", 0], [2, "<script>alert(1)</script>", 0]]


def test_silent_row_has_no_peak():
    row = payload.row(example([0, 1], [0, 0]), table())
    assert (row["k"], row["p"], row["m"]) == (-1, [], "0")


def test_values_survive_exactly():
    value = np.float16(3.14159)
    row = payload.row(example([0], [value]), table())
    assert np.float16(json.loads(json.dumps(row))["v"][0]) == value


def test_special_tokens_are_marked():
    tokens = table()
    payload.row(example([6, 0], [0, 0]), tokens)
    assert [entry[2] for entry in tokens.entries] == [1, 0]


@given(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=40))
def test_payload_is_plain_utf8_json_and_rebuilds_the_ids(ids):
    tokens = table()
    row = payload.row(example(ids, np.zeros(len(ids))), tokens)
    text = json.dumps({"row": row, "table": tokens.entries}, ensure_ascii=False)
    text.encode("utf-8")
    assert [tokens.entries[i][0] for i in row["t"]] == ids
    assert len(tokens.entries) == len(set(ids))


def test_histogram_names_its_ends():
    drawn = payload.histogram(Histogram(np.linspace(0, 2, 5, dtype=np.float32), np.array([4, 0, 1, 1])))
    assert (drawn["counts"], drawn["low"], drawn["high"], drawn["right"]) == ([4, 0, 1, 1], 0.0, 2.0, "2.00")
    assert "6 tokens" in drawn["title"]
    assert drawn["names"][0] == ["0.00 to 0.50", "4 tokens"]
