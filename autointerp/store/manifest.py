"""Paths inside a store and `store.json`, the mark that a store's corpus is complete."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autointerp.errors import StoreDamaged, StoreIncomplete, StoreMissing
from autointerp.store import checked, migrations

_REQUIRED = {"n_contexts": int, "ctx_len": int, "n_tokens": int, "n_documents": int, "sha256": str}
_OPTIONAL: dict[str, dict[str, Any]] = {
    "model": {
        "name": str, "source": str, "revision": str | None, "d_model": int, "n_layers": int, "vocab_size": int,
        "architecture": str, "fingerprint": str | None, "dtype": str | None,
    },
    "tokenizer": {"source": str | None, "separator": int | None, "bos": int | None, "n_tokens_asked": int | None,
        "padding": int | None, "by_name": bool,
    },
    "corpus": {"name": str, "vocab_size": int},
}  # fmt: skip
_UNKNOWN = {str: "unknown", int: 0}
"""Instead of what a page shows and an older or foreign file does not say."""


@dataclass(frozen=True)
class Layout:
    """Where things are in a store folder; those that are looked at before every query are kept."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "store.json"

    @property
    def corpus(self) -> Path:
        return self.root / "corpus"

    @cached_property
    def tokens(self) -> Path:
        return self.corpus / "tokens.npy"

    @cached_property
    def corpus_database(self) -> Path:
        return self.corpus / "corpus.duckdb"

    @cached_property
    def coders(self) -> Path:
        return self.root / "coders"

    def coder(self, name: str) -> Path:
        return self.coders / f"{name}.duckdb"


def read_manifest(root: Path) -> dict[str, Any]:
    """`store.json` of the store at `root`, checked, in the terms of today's format; `format` stays the one it was written in.

    Raises StoreMissing, StoreIncomplete, StoreTooNew, StoreTooOld or StoreDamaged, each with the way out.
    """
    layout = Layout(root)
    try:
        exists = root.exists()
    except OSError as error:  # a name that is too long
        raise StoreMissing(f"no store at {str(root)[:200]}…: {error.strerror}. {_MAKE_ONE}") from None
    if not exists:
        raise StoreMissing(f"no store at {root}: the folder does not exist. {_MAKE_ONE}")
    if not layout.manifest.exists():
        if layout.corpus.exists() or (root.is_dir() and any(root.glob(".corpus.tmp-*"))):
            raise StoreIncomplete(
                f"the store at {root} was never finished (no store.json). Run the same `autointerp cache` or "
                "`autointerp demo` command again to complete it."
            )
        raise StoreMissing(f"{root} holds no store (no store.json in it). {_MAKE_ONE}")
    try:
        meta = json.loads(layout.manifest.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise StoreDamaged(f"{layout.manifest} cannot be read ({error}). {REBUILD}") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("format"), int):
        raise StoreDamaged(f"{layout.manifest} is not a store manifest (no format number). {REBUILD}")
    for step in migrations.steps_from(meta["format"], f"the store at {root}", _BUILD_AGAIN):
        meta = step.manifest(meta)
    try:
        return _described(meta)
    except ValueError as error:
        raise StoreDamaged(f"{layout.manifest} is damaged or foreign: {error}. {REBUILD}") from error


def _described(meta: dict[str, Any]) -> dict[str, Any]:
    """The manifest with every field that is used, of its type. Raises ValueError."""
    corpus = checked.value(meta.get("corpus"), dict, "corpus")
    missing = sorted(_REQUIRED.keys() - corpus.keys())
    if missing:
        raise ValueError(f"it lacks corpus fields: {', '.join(missing)}")
    for name, hint in _REQUIRED.items():
        checked.value(corpus[name], hint, f"corpus.{name}")
    described = {**meta, "created": checked.value(meta.get("created", ""), str, "created")}
    for part, hints in _OPTIONAL.items():
        given = checked.value(meta.get(part, {}), dict, part)
        described[part] = {name: _UNKNOWN[hint] for name, hint in hints.items() if hint in _UNKNOWN} | given
        for name, hint in hints.items():
            if name in given:
                checked.value(given[name], hint, f"{part}.{name}")
    return described


_MAKE_ONE = "Make one with `autointerp demo` or `autointerp cache`."
_BUILD_AGAIN = (
    "Build it again: `autointerp demo` replaces an old demo store, `autointerp cache` makes any other in an empty folder. "
    "Explanations and scores are in its annotations.sqlite: a copy of that file fits a new store of the same text and coders."
)
REBUILD = "Build the store again into an empty folder, or restore it from a copy."
