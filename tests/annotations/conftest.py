"""Fixtures: an empty annotations file, and life as an ordinary user."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute  # noqa: F401  before anyone becomes nobody, who may not read the interpreter's folder
import pytest

from autointerp.store.annotations import Annotations

NOBODY = 65534


@pytest.fixture
def annotations(tmp_path: Path) -> Iterator[Annotations]:
    with Annotations(tmp_path) as opened:
        yield opened


@pytest.fixture
def ordinary_folder() -> Iterator[Path]:
    """A folder of one's own, for tests about permissions: root, whom they do not bind, becomes nobody for the while."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(0o700)
