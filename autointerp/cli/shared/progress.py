"""Progress of long runs on standard error: bars with rate and ETA in a terminal, else a plain line every ten seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # numpy comes with these, too slow for --help
    from autointerp.types import Progress, ProgressCallback

PLAIN_INTERVAL_S = 10.0


@contextmanager
def progress_bars() -> Iterator["ProgressCallback"]:
    """A callback for the library, showing what it reports until the block ends."""
    if sys.stderr.isatty():
        with _rich_bars() as callback:
            yield callback
    else:
        yield PlainProgress(sys.stderr)


@contextmanager
def _rich_bars() -> Iterator["ProgressCallback"]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}
        started: dict[str, float] = {}

        def report(progress: "Progress") -> None:
            now = time.monotonic()
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total, rate="")
                started[progress.stage] = now
            rate = _rate(progress, now - started[progress.stage])
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total, rate=rate)

        yield report


class PlainProgress:
    """Lines such as `caching: 245,760 of 500,000 tokens, 24,100 tokens/s, about 11 s left`.

    One when a stage begins to move, one every `interval_s`, one when it is done.
    """

    def __init__(self, stream: TextIO, interval_s: float = PLAIN_INTERVAL_S):
        self._stream = stream
        self._interval = interval_s
        self._started: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._finished: set[str] = set()

    def __call__(self, progress: "Progress") -> None:
        now = time.monotonic()
        stage = progress.stage
        started = self._started.setdefault(stage, now)
        finished = progress.done >= progress.total
        if finished and stage in self._finished:
            return
        if not finished and stage in self._said and now - self._said[stage] < self._interval:
            return
        self._said[stage] = now
        if finished:
            self._finished.add(stage)
        parts = [f"{progress.done:,} of {progress.total:,} {progress.unit}"]
        elapsed = now - started
        if rate := _rate(progress, elapsed):
            parts.append(rate)
        if finished:
            parts.append(f"{elapsed:.0f} s")
        elif progress.done and elapsed > 0:
            parts.append(f"about {(progress.total - progress.done) * elapsed / progress.done:.0f} s left")
        self._stream.write(f"{stage}: {', '.join(parts)}\n")
        self._stream.flush()


def _rate(progress: "Progress", elapsed_s: float) -> str:
    if elapsed_s < 0.5 or not progress.done:
        return ""
    rate = progress.done / elapsed_s
    return f"{rate:,.0f} {progress.unit}/s" if rate >= 10 else f"{rate:.1f} {progress.unit}/s"
