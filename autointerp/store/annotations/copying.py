"""Bringing explanations and scores along when a store is built again."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from autointerp.store.annotations.database import FILE
from autointerp.store.manifest import Layout


def copy_annotations(old: Path, new: Path) -> bool:
    """Copies `annotations.sqlite` of the store `old`, which may be in use, into the store `new`; whether it did. Only between
    stores of one text: what was written is about its tokens. That the coders are the same is for the caller to know."""
    text = _text(old)
    if text is None or text != _text(new) or not (old / FILE).exists() or (new / FILE).exists():
        return False
    try:
        with (
            closing(sqlite3.connect(f"file:{(old / FILE).absolute()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(new / FILE)) as target,
        ):
            source.backup(target)
            return target.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.Error:  # a damaged file is what a store may be built again for
        for name in (FILE, f"{FILE}-journal"):
            with suppress(FileNotFoundError):
                (new / name).unlink()
        return False


def _text(root: Path) -> Any:
    """The hash of a store's text, whatever its format; `None` where it cannot be told."""
    try:
        return json.loads(Layout(root).manifest.read_text(encoding="utf-8"))["corpus"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
