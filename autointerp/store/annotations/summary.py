"""Annotations as Arrow tables: what lists and plots need of a whole coder, to join with its statistics in DuckDB, and
everything there is, for `Store.sql`.

Rows are only ever added, so after a change only the latents that it touched are read again: a list stays fresh beside a batch
that writes without end. At 10^6 latents with three scores each, reading everything takes 40 seconds of CPU, bringing it up to
date after a thousand latents gained something up to one.

SQLite answers with the newest row of a group through `max(seq)`: in an aggregate with a single max(), bare columns come from
the row that holds it (documented in "The SELECT statement", section 2.5).
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autointerp import settings
from autointerp.store import copies
from autointerp.store.annotations import shown_rule
from autointerp.store.annotations.audit_columns import AUDITS, ITEMS, RATINGS
from autointerp.store.annotations.columns import (
    COLLECTIONS,
    EXPLANATIONS,
    JUDGED,
    SCORES,
    Column,
    arrow,
    reading,
    schema,
)
from autointerp.store.annotations.database import Database
from autointerp.store.annotations.schema import VERSION

if TYPE_CHECKING:
    import pyarrow

Kind = Literal["explanations", "scores", "failures"]

MANY = 0.2
"""Where a change touches more than this share of the rows, everything is read again."""
# Each is completed with a condition on `latent`, empty when all are wanted. `IN (SELECT value ...)` uses the index.
_ONLY = "AND {column} IN (SELECT value FROM json_each(:latents))"

_SHOWN = f"""
newest AS (
    SELECT latent, count(*) AS n FROM explanations
    WHERE coder = :coder AND status = 'ok' {{only_latent}} GROUP BY latent
),
shown AS (
    SELECT newest.latent, newest.n, {shown_rule.SHOWN.format(coder=":coder", latent="newest.latent")} AS seq,
        pins.latent IS NOT NULL AS pinned
    FROM newest LEFT JOIN pins ON pins.coder = :coder AND pins.latent = newest.latent
)
"""

# The subquery is read once for a query, as it depends on no row.
_MADE_BY = (
    "e.explainer || coalesce(' · ' || e.model, '') || coalesce(' · ' || e.prompt_version, '') || iif(e.config_hash IN "
    "(SELECT hash FROM configs WHERE config ->> '$.protocol' = 'delphi'), ' · delphi protocol', '')"
)
"""What explanations have in common whose scores may be summed up together."""
CONFIG_DIGITS = 12
"""Of the hash of a configuration: enough to tell those of a store apart."""

_EXPLANATION_COLUMNS = (
    *EXPLANATIONS.pick("latent id:explanation_id text explainer model author created"),
    Column("made_by", "word", _MADE_BY),
    Column("pinned", "bool", "shown.pinned"),
    Column("n_explanations", "int", "shown.n"),
)
"""One row per latent with an explanation: the shown one, see `shown_rule`."""

_EXPLANATIONS = f"""
WITH {_SHOWN}
SELECT {reading(_EXPLANATION_COLUMNS)} FROM shown JOIN explanations e ON e.seq = shown.seq ORDER BY e.latent
"""

_SHOWN_SEQS = f"WITH {_SHOWN} SELECT seq FROM shown"

_SCORE_COLUMNS = (
    *SCORES.pick(
        "latent explanation_id shown explainer id:score_id scorer judge model protocol negatives metric value ci_low ci_high"
        " n_pos n_neg unparsed floor above_low"
    ),
    Column("config", "word", f"substr(s.config_hash, 1, {CONFIG_DIGITS})"),
    Column("made_by", "word", _MADE_BY),
)
"""The newest good score per explanation, scorer, judge, model, protocol, negatives and configuration; `shown`: of the shown
one; `config`: the first digits of its hash."""

# Whether the explanation is shown is looked up in Python. As a join of two derived tables SQLite would scan one per row of the
# other: minutes for 10^5 latents instead of a second.
_SCORES = f"""
SELECT {reading(_SCORE_COLUMNS)}
FROM (
    SELECT max(s.seq) AS seq FROM explanations e JOIN scores s ON s.explanation = e.seq
    WHERE e.coder = :coder AND s.status = 'ok' {{only_e_latent}}
    GROUP BY s.explanation, s.scorer, s.judge, s.model, s.protocol, s.negatives, s.config_hash
) newest CROSS JOIN scores s ON s.seq = newest.seq CROSS JOIN explanations e ON e.seq = s.explanation
"""

_FAILURE_COLUMNS = (
    *EXPLANATIONS.pick("latent error error_kind retryable created"),
    Column("n_failed", "int", "failed.n"),
)
"""One row per latent with failed attempts at an explanation: how many, and the newest one's error and time."""

_FAILURES = f"""
SELECT {reading(_FAILURE_COLUMNS)}
FROM (
    SELECT max(seq) AS seq, count(*) AS n FROM explanations
    WHERE coder = :coder AND status = 'failed' {{only_latent}} GROUP BY latent
) failed JOIN explanations e ON e.seq = failed.seq ORDER BY e.latent
"""

_QUERIES: dict[Kind, str] = {"explanations": _EXPLANATIONS, "scores": _SCORES, "failures": _FAILURES}
_COLUMNS: dict[Kind, Sequence[Column]] = {
    "explanations": _EXPLANATION_COLUMNS,
    "scores": _SCORE_COLUMNS,
    "failures": _FAILURE_COLUMNS,
}


_NULLABLE = {"model", "value", "ci_low", "ci_high", "floor", "above_low", "error", "error_kind", "retryable"}
"""Columns in which a row may have nothing."""


@cache
def _identity(kind: Kind) -> str:
    """Of everything that determines a table beside the rows, for copies: another program's may differ."""
    columns = [(column.name, column.type) for column in _COLUMNS[kind]]
    return hashlib.sha256(repr((VERSION, columns, _QUERIES[kind], _SHOWN_SEQS)).encode()).hexdigest()


# `+`: not by the index over all rows of the coder.
_TOUCHED = """
SELECT latent FROM explanations WHERE seq > :explanation AND +coder = :coder
UNION SELECT e.latent FROM scores s CROSS JOIN explanations e ON e.seq = s.explanation
    WHERE s.seq > :score AND e.coder = :coder
"""


@dataclass(frozen=True)
class _Mark:
    """How far a table has read: number and id of the last rows it knows of (of any coder), and what was pinned and set then."""

    explanation: tuple[int, str]
    score: tuple[int, str]
    pins: frozenset[tuple[int, int]]
    rule: str

    @property
    def told(self) -> list[Any]:
        return [self.explanation, self.score, sorted(self.pins), self.rule]

    @staticmethod
    def of(stored: Any) -> "_Mark":
        """Of a copy's maker, who may be anybody. Raises ValueError, TypeError."""
        (explanation, explanation_id), (score, score_id), pins, rule = stored
        return _Mark(
            (_number(explanation), str(explanation_id)),
            (_number(score), str(score_id)),
            frozenset((_number(latent), _number(seq)) for latent, seq in pins),
            str(rule),
        )


def _number(stored: Any) -> int:
    """Raises ValueError where it is none that SQLite can hold."""
    if type(stored) is not int or not 0 <= stored < 2**63:
        raise ValueError
    return stored


@dataclass(frozen=True)
class _Kept:
    """A table as of `version`, `None` of one that comes from a copy. `uncopied`: changed latents since its copy was made,
    counted again at each change."""

    version: int | None
    mark: _Mark
    table: "pyarrow.Table"
    uncopied: int


class Summaries:
    """The tables of each coder, kept and brought up to date when its version has changed, with copies for the next process
    (`copies`), which are written in the background. Thread-safe."""

    def __init__(self, database: Database, version: Callable[[sqlite3.Connection, str], int]):
        self._database = database
        self._version = version
        self._lock = threading.Lock()
        self._locks: dict[tuple[Kind, str], threading.Lock] = {}
        self._kept: dict[tuple[Kind, str], _Kept] = {}
        self._saving: dict[tuple[Kind, str], threading.Thread] = {}

    def table(self, kind: Kind, coder: str) -> "pyarrow.Table":
        """The table as of now; the same object while nothing about the coder changes."""
        key = (kind, coder)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # who comes meanwhile waits for this reading, and does not repeat it
            kept = self._kept.get(key)
            with self._database.read() as connection:
                version = self._version(connection, coder)
                if kept is not None and kept.version == version:
                    return kept.table
                kept = self._current(connection, kind, coder, version, kept or self._copied(kind, coder))
            if copies.is_due(kept.table.num_rows, kept.uncopied) and self._copy(kind, coder, kept):
                kept = replace(kept, uncopied=0)
            self._kept[key] = kept
            return kept.table

    def finish_copies(self) -> None:
        """Waits for the copies that are being written."""
        with self._lock:
            saving, self._saving = list(self._saving.values()), {}
        for thread in saving:
            thread.join()

    @staticmethod
    def _current(
        connection: sqlite3.Connection, kind: Kind, coder: str, version: int, kept: _Kept | None
    ) -> _Kept:
        mark = _Mark(
            _last(connection, "explanations"),
            _last(connection, "scores"),
            _pins(connection, coder),
            shown_rule.read(connection),
        )
        touched = None if kept is None else _touched(connection, coder, kept.mark, mark)
        if kept is None or touched is None or len(touched) > MANY * max(kept.table.num_rows, 1):
            table = _read(connection, kind, coder).combine_chunks()
            return _Kept(version, mark, table, table.num_rows)
        table = kept.table
        if touched:
            table = _replaced(table, touched, _read(connection, kind, coder, touched))
        return _Kept(version, mark, table, kept.uncopied + len(touched))

    def _copied(self, kind: Kind, coder: str) -> _Kept | None:
        path = self._path(kind, coder)
        with suppress(ValueError, TypeError):
            copied = path and copies.load(path, _identity(kind), schema(_COLUMNS[kind]))
            if copied and _could_be_read(copied[1], kind):
                return _Kept(None, _Mark.of(copied[0]), copied[1], uncopied=0)
        return None

    def _path(self, kind: Kind, coder: str) -> Path | None:
        return copies.path_of(self._database.path.parent, "annotations-1", coder, kind)

    def _copy(self, kind: Kind, coder: str, kept: _Kept) -> bool:
        """Begins to write a copy; whether there is to be one."""
        path = self._path(kind, coder)
        if path is None or self._database.read_only or settings.is_read_only():
            return False
        with self._lock:
            before = self._saving.get((kind, coder))
            if before is not None and before.is_alive():
                return False
            thread = threading.Thread(
                target=copies.save,
                args=(path, _identity(kind), kept.mark.told, kept.table),
                name="copy annotations",
            )
            self._saving[kind, coder] = thread
            thread.start()
        return True


def _could_be_read(table: "pyarrow.Table", kind: Kind) -> bool:
    """Whether SQLite could give these rows: ascending by latent, one of each but for scores, and no null where it has none."""
    import numpy as np

    if any(table[name].null_count for name in table.column_names if name not in _NULLABLE):
        return False
    latents = table["latent"].to_numpy()
    least = 0 if kind == "scores" else 1
    return bool((latents[:1] >= 0).all() and (np.diff(latents) >= least).all())


def _last(connection: sqlite3.Connection, table: str) -> tuple[int, str]:
    """Number and id of its last row."""
    return connection.execute(f"SELECT seq, id FROM {table} ORDER BY seq DESC LIMIT 1").fetchone() or (0, "")


def _pins(connection: sqlite3.Connection, coder: str) -> frozenset[tuple[int, int]]:
    return frozenset(connection.execute("SELECT latent, explanation FROM pins WHERE coder = ?", (coder,)))


def _touched(connection: sqlite3.Connection, coder: str, old: _Mark, new: _Mark) -> list[int] | None:
    """The latents that have changed, ascending; `None` where rows have gone (a file put in the place of another), or another
    version may be shown of any latent. A row keeps its number and never changes, and ids are unique: a file with the old
    mark's last rows has all that the mark knows."""
    if old.rule != new.rule:
        return None
    for table, (seq, id_) in (("explanations", old.explanation), ("scores", old.score)):
        known = connection.execute(f"SELECT id FROM {table} WHERE seq = ?", (seq,)).fetchone()
        if (known or ("",))[0] != id_:
            return None
    since = {"coder": coder, "explanation": old.explanation[0], "score": old.score[0]}
    touched = {latent for (latent,) in connection.execute(_TOUCHED, since)}
    return sorted(touched | {latent for latent, _ in old.pins ^ new.pins})


def _replaced(table: "pyarrow.Table", latents: list[int], fresh: "pyarrow.Table") -> "pyarrow.Table":
    """`table` with the rows of `latents` replaced by `fresh`. All three ascend by latent. As runs of rows, which are copied
    whole: picking and sorting rows takes three times as long."""
    import pyarrow as pa

    both = pa.concat_tables([table, fresh]).unify_dictionaries()
    runs, at = [], 0
    (starts, stops), (firsts, lasts) = _runs(table, latents), _runs(fresh, latents)
    for start, stop, first, last in zip(starts, stops, firsts, lasts, strict=True):
        if start > at or not runs:
            runs += [(at, start), (table.num_rows + first, table.num_rows + last)]
        else:  # next to the latent before, as where a batch goes through the latents in order
            runs[-1] = (runs[-1][0], table.num_rows + last)
        at = stop
    runs.append((at, table.num_rows))
    pieces = [both.slice(start, stop - start) for start, stop in runs if stop > start]
    return pa.concat_tables(pieces or [both.slice(0, 0)]).combine_chunks()


def _runs(table: "pyarrow.Table", latents: list[int]) -> tuple[list[int], list[int]]:
    """Where the rows of each of `latents` begin and end."""
    import numpy as np

    ids = table["latent"].to_numpy()
    return np.searchsorted(ids, latents).tolist(), np.searchsorted(ids, latents, "right").tolist()


def _read(
    connection: sqlite3.Connection, kind: Kind, coder: str, latents: list[int] | None = None
) -> "pyarrow.Table":
    """Rows of all latents, or of `latents`, ascending."""
    only = {
        f"only_{column.replace('.', '_')}": "" if latents is None else _ONLY.format(column=column)
        for column in ("latent", "e.latent")
    }
    values = {"coder": coder, "latents": json.dumps(latents or [])}
    cursor = connection.execute(_QUERIES[kind].format(**only), values)
    if kind != "scores":
        return arrow(cursor, _COLUMNS[kind])
    shown = {seq for (seq,) in connection.execute(_SHOWN_SEQS.format(**only), values)}
    return arrow(cursor, _SCORE_COLUMNS, {"shown": shown.__contains__}).sort_by("latent")


# Every row, failed ones too, for SQL beside the coders' own tables (see `autointerp.store.sql`) -----

_ALL_SHOWN = f"""
SELECT {shown_rule.SHOWN.format(coder="good.coder", latent="good.latent")}
FROM (SELECT DISTINCT coder, latent FROM explanations WHERE status = 'ok') good
"""
_PINNED = "SELECT explanation FROM pins"
_ORDERS = {
    EXPLANATIONS: "e.seq",
    SCORES: "s.seq",
    JUDGED: "s.seq, j.i",
    COLLECTIONS: "c.name, m.coder, m.latent",
    AUDITS: "a.seq",
    ITEMS: "a.seq, i.i",
    RATINGS: "r.seq",
}

TABLES = {table.name: table for table in _ORDERS}


def read_table(connection: sqlite3.Connection, name: str) -> "pyarrow.Table":
    """One of `TABLES`, whole, in order of arrival.

    `explanations(coder, latent, id, text, explainer, model, author, parent, created, shown, pinned, n_examples, ...)`;
    `scores(coder, latent, id, explanation_id, explainer, shown, scorer, judge, model, protocol, negatives, metric, value,
    ci_low, ci_high, auroc, n_pos, n_neg, tnr, tpr_by_quantile, value_by_quantile, unparsed, floor, above_low, ...)`, `shown`
    of its explanation; `judged_examples(coder, latent, score_id, scorer, i, context, start, window, quantile, source, truth,
    answer, correct, value, marks, error)`; `audits`, `audit_items` and `ratings`: see `autointerp.ratings`; `is_current` of a
    rating: whether it holds; `collections(collection, coder, latent, note, author, created)`, a row for each feature of each,
    in order of name and number.
    """
    table = TABLES[name]
    convert = {}
    if table in (EXPLANATIONS, SCORES):
        for column, query in (("shown", _ALL_SHOWN), ("pinned", _PINNED)):
            convert[column] = {seq for (seq,) in connection.execute(query)}.__contains__
    cursor = connection.execute(f"{table.selecting(table.listed)} ORDER BY {_ORDERS[table]}")
    return arrow(cursor, table.listed, convert)


def empty_table(name: str) -> "pyarrow.Table":
    """The same columns without rows."""
    return schema(TABLES[name].listed).empty_table()
