"""Results on standard output: strict JSON, safe text."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from autointerp.cli.shared.output import human_bytes, plain, printable, say, table, write_result


@dataclass
class Thing:
    value: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, None),
        (np.float32("nan"), None),
        (np.array([1.5, np.inf]), [1.5, None]),
        (np.int64(3), 3),
        ((1, 2), [1, 2]),
        ({1: b"\x00\xff"}, {"1": "00ff"}),
        (Thing(math.inf), {"value": None}),
    ],
)
def test_plain_values_are_strict_json(value: object, expected: object):
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_a_document_survives_lone_surrogates(capfdbinary: pytest.CaptureFixture[bytes]):
    write_result({"text": "a\ud800b<script>"}, "", as_json=True)
    assert json.loads(capfdbinary.readouterr().out)["text"].startswith("a")


def test_text_cannot_drive_the_terminal():
    assert printable("a\x1b[2J\u202eb\nc\x00") == "a\\x1b[2J\\u202eb\\nc\\x00"


def test_nothing_that_is_written_drives_the_terminal(capfdbinary: pytest.CaptureFixture[bytes]):
    hostile = "a\x1b[2J\u009b1m\u202eb\U000e0001"
    say(f"one\n{hostile}")
    write_result({}, f"two\n{hostile}", as_json=False)
    written = capfdbinary.readouterr()
    for stream in (written.err, written.out):
        first, second, *_ = stream.decode().split("\n")
        assert first in ("one", "two")
        assert second.isprintable()
    write_result({hostile: [hostile]}, "", as_json=True)
    document = capfdbinary.readouterr().out.decode()
    assert all(line.isprintable() for line in document.split("\n"))
    assert json.loads(document) == {hostile: [hostile]}


def test_a_table_aligns_numbers_to_the_right():
    lines = table(("name", "n"), [("a", 5), ("longer", 1200)]).splitlines()
    assert lines == ["name       n", "------  ----", "a          5", "longer  1200"]


def test_a_table_without_rows_has_its_header():
    assert table(("a", "b"), []).splitlines()[0] == "a  b"


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_345_678_901, "2.3 GB")]
)
def test_sizes(n: int, text: str):
    assert human_bytes(n) == text
