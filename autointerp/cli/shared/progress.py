"""Progress on standard error: bars in a terminal, else a plain line every ten seconds."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from autointerp.cli.shared.output import printable

if TYPE_CHECKING:  # numpy comes with these, too slow for --help
    from autointerp.types import Progress, ProgressCallback

PLAIN_INTERVAL_S = 10.0
_SETTLED_S = 0.5
"""Before that a rate says nothing."""


@dataclass(frozen=True)
class Report:
    """How far one piece of work is. `key` tells it from others; `notes`: what a bar cannot show, such as rate and cost."""

    key: str
    label: str
    done: int
    total: int
    unit: str = ""
    notes: Sequence[str] = ()
    ended: bool = False


Show = Callable[[Report], None]


@contextmanager
def reports() -> Iterator[Show]:
    """Shows reports until the block ends."""
    if sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield PlainLines(sys.stderr)


@contextmanager
def progress_bars() -> Iterator["ProgressCallback"]:
    """A callback for the library, showing what it reports until the block ends."""
    with reports() as show:
        yield Stages(show)


class Stages:
    """The stages of a run as reports, with rate and time left."""

    def __init__(self, show: Show):
        self._show = show
        self._started: dict[str, float] = {}

    def __call__(self, progress: "Progress") -> None:
        now = time.monotonic()
        elapsed = now - self._started.setdefault(progress.stage, now)
        rate = progress.done / elapsed if elapsed >= _SETTLED_S else 0.0
        ended = progress.done >= progress.total
        notes = speed(
            rate, (progress.total - progress.done) / rate if rate and not ended else None, progress.unit
        )
        if ended:
            notes.append(duration(elapsed))
        stage = progress.stage
        self._show(Report(stage, stage, progress.done, progress.total, progress.unit, notes, ended))


class PlainLines:
    """Lines such as `caching: 245,760 of 500,000 tokens, 24,100 tokens/s, about 11 s left`: one when work begins, one every
    `interval_s`, one when it ends."""

    def __init__(self, stream: TextIO, interval_s: float = PLAIN_INTERVAL_S):
        self._stream = stream
        self._interval = interval_s
        self._written: dict[str, float] = {}

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        due = self._written.get(report.key, -math.inf) + self._interval
        if due == math.inf or (now < due and not report.ended):
            return
        self._written[report.key] = math.inf if report.ended else now
        amount = f"{report.done:,} of {report.total:,} {report.unit}".rstrip()
        self._stream.write(f"{printable(report.label)}: {', '.join([amount, *report.notes])}\n")
        self._stream.flush()


@contextmanager
def _bars() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[notes]}", markup=False),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(report: Report) -> None:
            if report.key not in tasks:
                tasks[report.key] = bars.add_task(printable(report.label), total=report.total, notes="")
            notes = ", ".join(report.notes)
            bars.update(tasks[report.key], completed=report.done, total=report.total, notes=notes)

        yield show


def speed(rate: float | None, seconds_left: float | None, unit: str = "") -> list[str]:
    """Rate and time left as notes, each where it is known."""
    if not rate:
        return []
    number = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    notes = [f"{number} {unit}/s" if unit else f"{number}/s"]
    return notes if seconds_left is None else [*notes, f"about {duration(seconds_left)} left"]


def duration(seconds: float) -> str:
    """Rounded to seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
