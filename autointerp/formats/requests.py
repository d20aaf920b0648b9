"""What an import or an export is asked for, whatever the format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autointerp.store import Store
from autointerp.store.annotations import Annotations


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """`sources`: files or folders, which anybody may have written. `store`: a store, or where a new one is made. `name`: what
    the coder is called there, `None` for the format's own name. `options`: a value for every option of the format's entry."""

    sources: tuple[Path, ...]
    store: Path
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """`selection`: by coder the latents to export, ascending, `None` for all of them. `to`: the file or folder to write, not
    there yet. `options`: a value for every option of the format's entry."""

    store: Store
    annotations: Annotations
    selection: Mapping[str, Sequence[int] | None]
    to: Path
    options: Mapping[str, Any] = field(default_factory=dict)
