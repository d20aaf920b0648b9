"""`AuditTable`: audits, and what people answered in them. Rows are added, never changed."""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from autointerp.errors import UnknownName, UserError
from autointerp.ratings import Audit, AuditItem, Rating, Task, check_audit, check_rating, says
from autointerp.store.annotations import rows
from autointerp.store.annotations.audit_columns import (
    AUDITS,
    CURRENT,
    ITEMS,
    RATINGS,
    as_strata,
    judged_json,
    read_items,
    read_ratings,
    strata_json,
)
from autointerp.store.annotations.columns import decoded
from autointerp.store.annotations.database import Database
from autointerp.store.annotations.shown_rule import SHOWN

if TYPE_CHECKING:
    import pyarrow

MIXED = "mixed"
"""The verdict of raters of whom no more than half agree."""

_QUESTION = (
    "audit = :audit AND item = :item AND task = :task AND round = :round AND role = :role"
    " AND iif(role = 'adjudicator', '', rater) = iif(:role = 'adjudicator', '', :rater)"
)

_VERDICTS = f"""
SELECT i.latent, i.explanation_id, r.rater, r.role, r.verdict,
    (SELECT id FROM explanations WHERE seq = {SHOWN.format(coder="i.coder", latent="i.latent")})
FROM audit_items i JOIN ratings r ON r.audit = i.audit AND r.item = i.i
WHERE i.coder = ? AND i.text_id = i.explanation_id
    AND r.task = 'verdict' AND r.round = 0 AND r.verdict IS NOT NULL AND {CURRENT}
ORDER BY r.seq
"""


@dataclass(frozen=True, slots=True)
class AuditHead:
    """An audit in a list. `n_items`: controls included; `raters`: who has answered, in the order they came."""

    id: str
    name: str
    author: str
    created: str
    tasks: tuple[Task, ...]
    n_items: int
    raters: tuple[str, ...]


class RatingConflict(UserError):
    """Another answer stands where one was to be given; `standing` is that answer."""

    kind = "conflict"

    def __init__(self, standing: Rating):
        self.standing = standing
        super().__init__(
            f"Item {standing.item + 1} already has an answer by {standing.rater}, given in another window: "
            f"{says(standing)}, at {standing.created[11:19]} UTC. That answer stands, and nothing was lost; reload the page "
            "to see it or to change it."
        )


class AuditTable:
    """The audits of one store. Thread-safe, and safe beside other processes."""

    def __init__(self, database: Database, version: Callable[[sqlite3.Connection, str], int]):
        self._database = database
        self._version = version
        self._lock = threading.Lock()
        self._verdicts: dict[str, tuple[int, pyarrow.Table]] = {}

    # Audits --------------------------------------------------------------------------------------

    def create(self, audit: Audit) -> None:
        """Durable. The same audit again changes nothing. Raises UserError for one that contradicts itself, or whose id another
        one has."""
        check_audit(audit)
        with self._database.write(durable=True) as connection:
            standing = _read(connection, "WHERE a.id = ?", audit.id)
            if standing:
                if standing[0] != audit:
                    raise UserError(f"Another audit has the id {audit.id}: “{standing[0].name}”.")
                return
            connection.executemany(AUDITS.insert, AUDITS.rows([audit], strata=[strata_json(audit.strata)]))
            (seq,) = connection.execute("SELECT seq FROM audits WHERE id = ?", (audit.id,)).fetchone()
            connection.executemany(ITEMS.insert, ITEMS.rows(audit.items, audit=repeat(seq, len(audit.items))))

    def get(self, id: str) -> Audit:
        """Raises UnknownName."""
        with self._database.read() as connection:
            audits = _read(connection, "WHERE a.id = ?", id)
            if audits:
                return audits[0]
            known = [known for (known,) in connection.execute("SELECT id FROM audits ORDER BY seq DESC")]
        raise UnknownName("audit", id, known)

    def all(self) -> list[AuditHead]:
        """Newest first."""
        with self._database.read() as connection:
            heads = connection.execute(
                "SELECT a.id, a.name, a.author, a.created, a.tasks,"
                " (SELECT count(*) FROM audit_items i WHERE i.audit = a.seq), a.seq FROM audits a ORDER BY a.seq DESC"
            ).fetchall()
            raters: dict[int, list[str]] = {}
            for seq, rater, _ in connection.execute(
                "SELECT audit, rater, min(seq) AS first FROM ratings WHERE role = 'rater' GROUP BY audit, rater ORDER BY first"
            ):
                raters.setdefault(seq, []).append(rater)
        return [
            AuditHead(id_, name, author, created, tuple(json.loads(tasks)), n, tuple(raters.get(seq, ())))
            for id_, name, author, created, tasks, n, seq in heads
        ]

    # Ratings -------------------------------------------------------------------------------------

    def rate(self, *ratings: Rating) -> None:
        """Store answers in one transaction, all or none. On return they survive a power cut.

        One that is stored already (the same id) changes nothing, nor does taking back what is taken back. Raises RatingConflict
        where another answer to the same question stands that `revises` does not name (for adjudications, whoever gave it);
        UnknownName for an audit, item or revised rating that does not exist; UserError for a rating that contradicts itself.
        """
        with self._database.write(durable=True) as connection:
            coders = {coder for rating in ratings for coder in _rate(connection, rating)}
            rows.bump(connection, coders)

    def ratings(self, audit_id: str, *, rater: str | None = None) -> list[Rating]:
        """Those that hold, in order of arrival; adjudications too, but not among those of one `rater`."""
        where = f"WHERE a.id = :audit AND {CURRENT}"
        if rater is not None:
            where += " AND r.rater = :rater AND r.role = 'rater'"
        return self._ratings(where, {"audit": audit_id, "rater": rater})

    def history(self, audit_id: str) -> list[Rating]:
        """All there ever were, in order of arrival."""
        return self._ratings("WHERE a.id = :audit", {"audit": audit_id})

    def about(self, coder: str, latent: int) -> list[tuple[AuditItem, Rating]]:
        """Verdicts about explanations of one latent that hold, of all audits, in order of arrival; none of controls."""
        where = f"WHERE i.coder = ? AND i.latent = ? AND i.text_id = i.explanation_id AND r.verdict IS NOT NULL AND {CURRENT}"
        with self._database.read() as connection:
            ratings = read_ratings(
                connection.execute(f"{RATINGS.select}{where} ORDER BY r.seq", (coder, latent)).fetchall()
            )
            items = {
                (audit, i): read_items([tuple(row)])[0]
                for audit, i, *row in connection.execute(
                    f"SELECT a.id, i.i, {_ITEM} FROM {ITEMS.source} WHERE i.coder = ? AND i.latent = ?",
                    (coder, latent),
                ).fetchall()
            }
        return [(items[rating.audit_id, rating.item], rating) for rating in ratings]

    def _ratings(self, where: str, values: dict[str, str | None]) -> list[Rating]:
        with self._database.read() as connection:
            return read_ratings(
                connection.execute(f"{RATINGS.select}{where} ORDER BY r.seq", values).fetchall()
            )

    def verdict_summary(self, coder: str) -> "pyarrow.Table":
        """One row per latent with verdicts, ascending: `latent, explanation_id, verdict, n_raters, adjudicated`. Of the shown
        explanation where it was rated, else of the one rated last. The verdict is the adjudicated one, else what more than half
        of its raters say, over all audits, the newest answer of each; else "mixed". Without controls, skipped items and items
        that came back. Cached until the coder's annotations change."""
        with self._database.read() as connection:
            version = self._version(connection, coder)
            with self._lock:
                kept = self._verdicts.get(coder)
            if kept is not None and kept[0] == version:
                return kept[1]
            table = _summary(connection.execute(_VERDICTS, (coder,)))
        with self._lock:
            self._verdicts[coder] = (version, table)
        return table


_ITEM = ", ".join(column.read or f"i.{column.name}" for column in ITEMS.fields)


def _read(connection: sqlite3.Connection, where: str, *values: str) -> list[Audit]:
    names = [column.name for column in AUDITS.fields]
    audits = []
    rows = connection.execute(AUDITS.select + where, values).fetchall()
    for fields in (
        dict(zip(names, row, strict=True)) for row in (decoded(AUDITS.fields, rows) if rows else ())
    ):
        items = connection.execute(f"{ITEMS.select}WHERE a.id = ? ORDER BY i.i", (fields["id"],)).fetchall()
        strata = as_strata(fields.pop("strata"))
        audits.append(Audit(**fields, strata=strata, items=tuple(read_items(items))))
    return audits


def _rate(connection: sqlite3.Connection, rating: Rating) -> Iterator[str]:
    """Gives the coder that it is about, where anything was written."""
    check_rating(rating)
    if connection.execute("SELECT 1 FROM ratings WHERE id = ?", (rating.id,)).fetchone():
        return
    audit = connection.execute("SELECT seq, tasks FROM audits WHERE id = ?", (rating.audit_id,)).fetchone()
    if audit is None:
        raise UnknownName("audit", rating.audit_id, [])
    seq, tasks = audit[0], json.loads(audit[1])
    if rating.task not in tasks:
        raise UserError(f"This audit asks for: {', '.join(tasks)}; not for {rating.task}.")
    item = connection.execute(
        "SELECT coder FROM audit_items WHERE audit = ? AND i = ?", (seq, rating.item)
    ).fetchone()
    if item is None:
        raise UnknownName("item of this audit", rating.item, [])
    question = {name: getattr(rating, name) for name in ("item", "task", "round", "role", "rater")}
    last = connection.execute(
        f"SELECT id, version, withdrawn FROM ratings WHERE {_QUESTION} ORDER BY version DESC LIMIT 1",
        {"audit": seq, **question},
    ).fetchone()
    standing = None if last is None or last[2] else last[0]
    if standing is None and rating.withdrawn:
        return
    if standing is not None and rating.revises != standing:
        raise RatingConflict(_one(connection, standing))
    if standing is None and rating.revises is not None:
        values = {"audit": seq, **question, "id": rating.revises}
        if not connection.execute(f"SELECT 1 FROM ratings WHERE id = :id AND {_QUESTION}", values).fetchone():
            raise UnknownName("rating", rating.revises, [])
    version = 0 if last is None else last[1] + 1
    connection.executemany(
        RATINGS.insert, RATINGS.rows([rating], version=[version], judged=[judged_json(rating.judged)])
    )
    yield item[0]


def _one(connection: sqlite3.Connection, id_: str) -> Rating:
    return read_ratings(connection.execute(f"{RATINGS.select}WHERE r.id = ?", (id_,)).fetchall())[0]


def _summary(rows: sqlite3.Cursor) -> "pyarrow.Table":
    import pyarrow as pa

    said: dict[int, dict[str, dict[str, str]]] = {}  # by latent, explanation and rater
    settled: dict[str, str] = {}
    shown: dict[int, str] = {}
    for latent, explanation, rater, role, verdict, shown_id in rows:
        verdicts = said.setdefault(latent, {})
        verdicts[explanation] = verdicts.pop(explanation, {})  # the one rated last comes last
        shown[latent] = shown_id
        if role == "adjudicator":
            settled[explanation] = verdict
        else:
            verdicts[explanation][rater] = verdict
    rows_ = []
    for latent in sorted(said):
        explanation = shown[latent] if shown[latent] in said[latent] else list(said[latent])[-1]
        verdicts = said[latent][explanation]
        verdict, n = Counter(verdicts.values()).most_common(1)[0] if verdicts else (MIXED, 0)
        majority = verdict if 2 * n > len(verdicts) else MIXED
        rows_.append(
            (latent, explanation, settled.get(explanation, majority), len(verdicts), explanation in settled)
        )
    names = ("latent", "explanation_id", "verdict", "n_raters", "adjudicated")
    types = (pa.int64(), pa.string(), pa.string(), pa.int64(), pa.bool_())
    columns = zip(*rows_, strict=True) if rows_ else repeat((), len(names))
    table = pa.table(
        {name: pa.array(column, kind) for name, column, kind in zip(names, columns, types, strict=True)}
    )
    return table.set_column(2, "verdict", table["verdict"].dictionary_encode())
