"""Progress where there is no terminal: few plain lines."""

import io

import pytest

from autointerp.cli.shared.progress import PlainLines, Stages, progress_bars
from autointerp.types import Progress


def test_plain_lines_come_at_the_start_at_intervals_and_at_the_end(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr("autointerp.cli.shared.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    report = Stages(PlainLines(stream, interval_s=10))
    for now, done in ((0, 0), (1, 100), (5, 500), (11, 1_100), (12, 1_200), (12.5, 1_200)):  # noqa: B007
        report(Progress("caching", done, 1_200))
    assert stream.getvalue().splitlines() == [
        "caching: 0 of 1,200 tokens",
        "caching: 1,100 of 1,200 tokens, 100 tokens/s, about 1 s left",
        "caching: 1,200 of 1,200 tokens, 100 tokens/s, 12 s",
    ]


def test_stages_are_reported_apart():
    stream = io.StringIO()
    report = Stages(PlainLines(stream))
    report(Progress("caching", 1, 10))
    report(Progress("writing", 0, 3, "coders"))
    assert stream.getvalue().splitlines() == ["caching: 1 of 10 tokens", "writing: 0 of 3 coders"]


def test_without_a_terminal_nothing_goes_to_standard_output(capfd: pytest.CaptureFixture[str]):
    with progress_bars() as report:
        report(Progress("caching", 5, 5))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("caching: 5 of 5 tokens")
