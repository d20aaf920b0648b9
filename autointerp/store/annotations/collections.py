"""Named lists of features: tags and lists are one thing, and a star is membership in "Starred".

A collection is made when it is first named and may be empty. What a person says of it, or of a feature in it, is a note that
can be changed; unlike an explanation it has no versions.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from autointerp.errors import UnknownName, UserError, check_length
from autointerp.ratings import MAX_NOTE
from autointerp.records import now
from autointerp.store.annotations.columns import COLLECTIONS, clean
from autointerp.store.annotations.database import Database

STARRED = "Starred"
"""The collection of what is starred."""
MAX_NAME = 80
"""Characters of a name."""

Place = tuple[str, int]
"""Coder and latent."""


@dataclass(frozen=True, slots=True)
class Collection:
    """`n`: features in it, whether or not their coders are in the store."""

    name: str
    note: str
    author: str
    created: str
    n: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A feature in a collection, who put it there and what they say of it."""

    collection: str
    coder: str
    latent: int
    note: str
    author: str
    created: str

    @property
    def place(self) -> Place:
        return self.coder, self.latent


_COLLECTION = "c.name, c.note, c.author, c.created"


class CollectionTable:
    """The collections of one store. What was written survives a power cut."""

    def __init__(self, database: Database):
        self._database = database

    # Reading -------------------------------------------------------------------------------------

    def all(self) -> list[Collection]:
        """Starred first, then by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLLECTION}, count(m.coder) FROM collections c LEFT JOIN members m ON m.collection = c.seq"
                " GROUP BY c.seq"
            ).fetchall()
        collections = [Collection(*row) for row in rows]
        return sorted(collections, key=lambda each: (each.name != STARRED, each.name.casefold(), each.name))

    def names(self) -> list[str]:
        """Their names alone, Starred first also where it does not exist, then by name."""
        with self._database.read() as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM collections")} - {STARRED}
        return [STARRED, *sorted(names, key=lambda name: (name.casefold(), name))]

    def get(self, name: str) -> Collection:
        """Raises UnknownName."""
        collections = self.all()
        for collection in collections:
            if collection.name == name:
                return collection
        raise UnknownName("collection", name, [collection.name for collection in collections])

    def features(self, name: str) -> list[Member]:
        """In order of coder and number. Raises UnknownName."""
        self.get(name)
        return self._members("WHERE c.name = ? ORDER BY m.coder, m.latent", (name,))

    def latents(self, name: str) -> dict[str, list[int]]:
        """The same as numbers by coder, ascending; nothing for a collection that does not exist."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT coder, latent FROM members WHERE collection = (SELECT seq FROM collections WHERE name = ?)"
                " ORDER BY coder, latent",
                (name,),
            ).fetchall()
        by_coder = groupby(rows, key=itemgetter(0))
        return {coder: [latent for _, latent in places] for coder, places in by_coder}

    def of(self, coder: str, latent: int) -> list[Member]:
        """The feature's place in each of its collections, Starred first, then by name."""
        members = self._members("WHERE m.coder = ? AND m.latent = ?", (coder, latent))
        return sorted(
            members, key=lambda member: (member.collection != STARRED, member.collection.casefold())
        )

    def among(self, name: str, places: Iterable[Place]) -> dict[Place, Member]:
        """Those of the features that are in this collection."""
        members = self._members(
            "WHERE c.name = ? AND (m.coder, m.latent) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
            (name, json.dumps(list(places))),
        )
        return {member.place: member for member in members}

    def _members(self, where: str, parameters: tuple[object, ...]) -> list[Member]:
        with self._database.read() as connection:
            rows = connection.execute(COLLECTIONS.select + where, parameters).fetchall()
        return [Member(*row) for row in rows]

    # Writing -------------------------------------------------------------------------------------

    def create(self, name: str, *, author: str, note: str = "") -> None:
        """An empty one; an existing one stays as it is. Raises UserError for what cannot be a name, or for a long note."""
        with self._database.write(durable=True) as connection:
            _seq(connection, name, author, note)

    def add(self, name: str, places: Iterable[Place], *, author: str, note: str = "") -> int:
        """Put features in, making the collection on first use; how many are new. A feature that is in it stays as it is, with
        its note. Raises UserError as `create`."""
        note = checked_note(note)
        with self._database.write(durable=True) as connection:
            seq = _seq(connection, name, author)
            before = connection.total_changes
            connection.executemany(
                "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                ((seq, coder, latent, note, clean(author), now()) for coder, latent in places),
            )
            return connection.total_changes - before

    def remove(self, name: str, places: Iterable[Place]) -> int:
        """Take features out; how many were in it. The collection stays, even empty. Raises UnknownName."""
        with self._database.write(durable=True) as connection:
            seq = _known(connection, name)
            before = connection.total_changes
            connection.executemany(
                "DELETE FROM members WHERE collection = ? AND coder = ? AND latent = ?",
                ((seq, coder, latent) for coder, latent in places),
            )
            return connection.total_changes - before

    def annotate(self, name: str, place: Place, note: str) -> None:
        """What is said of a feature in it. Raises UnknownName; UserError for a feature that is not in it or a long note."""
        note = checked_note(note)
        with self._database.write(durable=True) as connection:
            changed = connection.execute(
                "UPDATE members SET note = ? WHERE collection = ? AND coder = ? AND latent = ?",
                (note, _known(connection, name), *place),
            )
            if not changed.rowcount:
                raise UserError(f"{place[0]} #{place[1]} is not in the collection {name!r}. Add it first.")

    def describe(self, name: str, note: str) -> None:
        """What is said of the whole collection. Raises UnknownName; UserError for a long one."""
        note = checked_note(note)
        with self._database.write(durable=True) as connection:
            connection.execute(
                "UPDATE collections SET note = ? WHERE seq = ?", (note, _known(connection, name))
            )

    def rename(self, name: str, to: str) -> None:
        """Raises UnknownName, and UserError for a name that is taken or cannot be one."""
        to = checked_name(to)
        with self._database.write(durable=True) as connection:
            seq = _known(connection, name)
            taken = connection.execute("SELECT seq FROM collections WHERE name = ?", (to,)).fetchone()
            if taken is not None and taken[0] != seq:
                raise UserError(f"There is a collection {to!r} already: choose another name.")
            connection.execute("UPDATE collections SET name = ? WHERE seq = ?", (to, seq))

    def delete(self, name: str) -> int:
        """The collection with its notes; how many features were in it. Raises UnknownName."""
        with self._database.write(durable=True) as connection:
            seq = _known(connection, name)
            n = connection.execute("DELETE FROM members WHERE collection = ?", (seq,)).rowcount
            connection.execute("DELETE FROM collections WHERE seq = ?", (seq,))
            return n

    def merge(self, collections: Sequence[Collection], members: Sequence[Member]) -> None:
        """Write these, all or none; of what is there already, only the note is replaced. `collections` names those of all
        `members`. Raises UserError as `create`."""
        with self._database.write(durable=True) as connection:
            seqs: dict[str, int] = {}
            for each in collections:
                seqs[each.name] = _seq(connection, each.name, each.author, created=each.created)
                connection.execute(
                    "UPDATE collections SET note = ? WHERE seq = ?",
                    (checked_note(each.note), seqs[each.name]),
                )
            connection.executemany(
                "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET note = excluded.note",
                (
                    (
                        seqs[each.collection],
                        *each.place,
                        checked_note(each.note),
                        clean(each.author),
                        each.created,
                    )
                    for each in members
                ),
            )


def checked_name(text: str) -> str:
    """The name without blanks around it. Raises UserError for what cannot be one."""
    name = " ".join((clean(text) or "").split())
    if not name or not name.isprintable():
        raise UserError("Give the collection a name of visible characters.")
    check_length("The name", name, MAX_NAME)
    return name


def checked_note(text: str) -> str:
    """The note as it is kept. Raises UserError for a long one."""
    note = (clean(text) or "").strip()
    check_length("The note", note, MAX_NOTE)
    return note


def _seq(
    connection: sqlite3.Connection, name: str, author: str, note: str = "", created: str | None = None
) -> int:
    """Of the collection of this name, made where there is none."""
    name = checked_name(name)
    connection.execute(
        "INSERT INTO collections (name, note, author, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (name, checked_note(note), clean(author), created or now()),
    )
    return _known(connection, name)


def _known(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT seq FROM collections WHERE name = ?", (name,)).fetchone()
    if row is None:
        names = connection.execute("SELECT name FROM collections").fetchall()
        raise UnknownName("collection", name, [known for (known,) in names])
    return row[0]
