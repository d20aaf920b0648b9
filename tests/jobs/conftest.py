"""Fixtures: an annotations file, and runners that are quick about everything."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from autointerp.jobs import JobKind, JobRunner
from autointerp.store.annotations import Annotations


@pytest.fixture
def annotations(tmp_path: Path) -> Iterator[Annotations]:
    with Annotations(tmp_path) as opened:
        yield opened


MakeRunner = Callable[..., JobRunner]


@pytest.fixture
def make_runner(annotations: Annotations) -> Iterator[MakeRunner]:
    """Makes runners that are closed at the end of the test, not started."""
    with ExitStack() as stack:

        def make(*kinds: JobKind, **options: float) -> JobRunner:
            quick = {"poll_seconds": 0.03, "beat_seconds": 0.03, "grace_seconds": 0.5}
            runner = JobRunner(annotations, kinds, **{**quick, **options})  # type: ignore[arg-type]
            stack.callback(runner.close)
            return runner

        yield make
