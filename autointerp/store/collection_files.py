"""Collections in files, to keep, to share and to merge: one row a feature, and before them one about the collection itself,
without coder and latent.

Columns: `collection`, `coder`, `latent`, `note`, `author`, `created`, `weights` (the checksum of the coder's weights, where the
store knows it), `store`. Of a file made elsewhere, `coder` and `latent` are enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from autointerp.errors import UserError
from autointerp.records import now
from autointerp.store.annotations import Annotations, Collection, Member
from autointerp.store.annotations.collections import checked_name, checked_note
from autointerp.store.store import Store
from autointerp.store.table_files import from_file

_WORDS = ("collection", "coder", "latent", "note", "author", "created", "weights", "store")
_SCHEMA = pa.schema([(name, pa.int64() if name == "latent" else pa.string()) for name in _WORDS])
SOMEONE = "someone"


@dataclass(frozen=True)
class Clash:
    """Where the file says something else than the store. `coder`: `None` where it is about the whole collection."""

    collection: str
    coder: str | None
    latent: int | None
    here: str
    there: str


@dataclass(frozen=True)
class Imported:
    """What an import did. `added`: features that were not in their collections; `noted`: notes where there was none; `known`:
    features that were there already. `clashes`: other notes than here, taken only if asked for. `refused`: what the store
    cannot hold, by reason, with the number of rows."""

    collections: tuple[str, ...]
    added: int = 0
    noted: int = 0
    known: int = 0
    clashes: tuple[Clash, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)


def collections_table(store: Store, annotations: Annotations, names: Sequence[str] | None = None) -> pa.Table:
    """These collections, all by default, as rows. Raises UnknownName."""
    table = annotations.collections
    weights = {info.coder: info.config.get("weights") for info in store.coders()}
    rows: list[dict[str, Any]] = []
    for collection in table.all() if names is None else [table.get(name) for name in dict.fromkeys(names)]:
        about = {"collection": collection.name, "store": store.path.name}
        rows.append(about | {name: getattr(collection, name) for name in ("note", "author", "created")})
        for member in table.features(collection.name):
            own = {name: getattr(member, name) for name in ("coder", "latent", "note", "author", "created")}
            rows.append({**about, **own, "weights": weights.get(member.coder)})
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def import_collections(
    store: Store, annotations: Annotations, path: Path, *, into: str | None = None, overwrite: bool = False
) -> Imported:
    """Merge the rows of a file: all or nothing is written, and importing twice changes nothing.

    `into`: the collection to put everything in; else that of each row, or the file's name where it has no such column.
    `overwrite`: of notes that differ, take the file's. Raises UserError for a file that cannot be read or holds no features.
    """
    rows = from_file(path)
    lacking = [name for name in ("coder", "latent") if rows and not any(name in row for row in rows)]
    if lacking:
        raise UserError(f"{path.name!r} has no column {lacking[0]!r}: give at least `coder` and `latent`.")
    merge = _Merge(store, annotations, overwrite)
    for row in rows:
        name = into if into is not None else _text(row, "collection") if "collection" in row else path.stem
        merge.take(checked_name(name), row)
    annotations.collections.merge(list(merge.collections.values()), list(merge.members.values()))
    return Imported(
        tuple(merge.collections), merge.added, merge.noted, merge.known, tuple(merge.clashes), merge.refused
    )


class _Merge:
    """What the rows read so far come to."""

    def __init__(self, store: Store, annotations: Annotations, overwrite: bool):
        self._store = store
        self._infos = {info.coder: info for info in store.coders()}
        self._overwrite = overwrite
        table = annotations.collections
        self._here = {collection.name: collection for collection in table.all()}
        self._members = {
            name: {member.place: member for member in table.features(name)} for name in self._here
        }
        self.collections: dict[str, Collection] = {}
        self.members: dict[tuple[str, str, int], Member] = {}
        self.added = self.noted = self.known = 0
        self.clashes: list[Clash] = []
        self.refused: dict[str, int] = {}

    def take(self, name: str, row: Mapping[str, Any]) -> None:
        coder, number = _text(row, "coder"), _text(row, "latent")
        # In a file of another kind, such as an exported list, these are about something else.
        said = {word: _text(row, word) if "collection" in row else "" for word in ("author", "created")}
        author, created = said["author"] or SOMEONE, said["created"] or now()
        reason = "" if not coder and not number else self._reason(coder, number, _text(row, "weights"))
        if reason:
            self.refused[reason] = self.refused.get(reason, 0) + 1
            return
        note = checked_note(_text(row, "note"))
        if not coder:
            self._collection(name, note, author, created)
            return
        self._collection(name, "", author, created)
        place = (coder, int(number))
        taken = self.members.get((name, *place))  # the file may name it twice
        member = taken or self._members.get(name, {}).get(place)
        if member is None:
            self.added += 1
            self.members[name, *place] = Member(name, *place, note, author, created)
            return
        self.known += taken is None
        kept = self._note(Clash(name, *place, member.note, note))
        self.members[name, *place] = replace(member, note=kept)

    def _collection(self, name: str, note: str, author: str, created: str) -> None:
        collection = self.collections.get(name) or self._here.get(name)
        if collection is None:
            self.collections[name] = Collection(name, note, author, created)
        else:
            kept = self._note(Clash(name, None, None, collection.note, note))
            self.collections[name] = replace(collection, note=kept)

    def _note(self, clash: Clash) -> str:
        """The note that stays."""
        if not clash.there or clash.here == clash.there:
            return clash.here
        if not clash.here:
            self.noted += 1
            return clash.there
        if clash not in self.clashes:
            self.clashes.append(clash)
        return clash.there if self._overwrite else clash.here

    def _reason(self, coder: str, number: str, weights: str) -> str:
        """Why the store cannot hold the feature; empty where it can."""
        info = self._infos.get(coder)
        if info is None:
            return f"this store has no coder {coder!r}"
        known = info.config.get("weights")
        if weights and known and weights != known:
            return f"{coder!r} has different weights in this store, so its features are different"
        if not number.isascii() or not number.isdigit() or len(number) > 18 or int(number) >= info.n_latents:
            return f"{coder!r} has latents 0 to {info.n_latents - 1} only"
        return ""


def _text(row: Mapping[str, Any], name: str) -> str:
    """The cell as text, without blanks around it; empty for none."""
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of numbers with gaps
    return "" if value is None else str(value).strip()
