"""An import appears in the store whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from autointerp.errors import StoreError
from autointerp.store.files import Workspace
from autointerp.store.manifest import Layout


@dataclass
class Staged:
    """`path`: the store to write into. `coders`: those that this import has finished there."""

    path: Path
    is_new: bool
    coders: list[str] = field(default_factory=list)


@contextmanager
def staged(store: Path) -> Iterator[Staged]:
    """A store to import into. A new one is made in a hidden folder beside its place, and renamed at the end. In one that
    exists, the coders that the import has finished are removed again when it fails; annotations are to be written last, in one
    transaction. Raises StoreError for a place that is taken."""
    store = store.absolute()
    if Layout(store).manifest.exists():
        into = Staged(store, is_new=False)
        try:
            yield into
        except BaseException:
            for name in into.coders:
                _remove(store, name)
            raise
        return
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        raise StoreError(f"{store} exists and is not a store. Choose a new or empty folder.")
    workspace = Workspace(store.parent, store.name)
    try:
        into = Staged(workspace.path / store.name, is_new=True)
        yield into
        if into.path.exists():
            workspace.publish(store.name, store)
    finally:
        workspace.close()


def _remove(store: Path, coder: str) -> None:
    """The coder's file, and what was computed from it."""
    with suppress(OSError):
        Layout(store).coder(coder).unlink(missing_ok=True)
        for path in (store / "derived").glob(f"*.{coder}.*.arrow"):
            path.unlink(missing_ok=True)
