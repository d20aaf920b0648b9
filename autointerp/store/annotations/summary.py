"""Annotations as Arrow tables: what lists and plots need of a whole coder, to join with its statistics in DuckDB, and
everything there is, for `Store.sql`.

Rows are only ever added, so after a change only the latents that it touched are read again: a list stays fresh beside a batch
that writes without end. At 10^5 latents with three scores each, reading everything takes three seconds of CPU, reading what
a thousand latents gained some tens of milliseconds.

SQLite answers with the newest row of a group through `max(seq)`: in an aggregate with a single max(), bare columns come from
the row that holds it (documented in "The SELECT statement", section 2.5).
"""

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

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

_TOUCHED = """
SELECT latent FROM explanations WHERE seq > :explanation AND coder = :coder
UNION SELECT e.latent FROM scores s CROSS JOIN explanations e ON e.seq = s.explanation
    WHERE s.seq > :score AND e.coder = :coder
"""


@dataclass(frozen=True)
class _Mark:
    """How far a table has read: the last rows it knows, and what was pinned and set then."""

    version: int
    explanation: int
    score: int
    pins: frozenset[tuple[int, int]]
    rule: str


class Summaries:
    """The tables of each coder, kept and brought up to date when its version has changed. Thread-safe."""

    def __init__(self, database: Database, version: Callable[[sqlite3.Connection, str], int]):
        self._database = database
        self._version = version
        self._lock = threading.Lock()
        self._kept: dict[tuple[Kind, str], tuple[_Mark, pyarrow.Table]] = {}

    def table(self, kind: Kind, coder: str) -> "pyarrow.Table":
        """The table as of now; the same object while nothing about the coder changes."""
        with self._lock:
            kept = self._kept.get((kind, coder))
        with self._database.read() as connection:
            version = self._version(connection, coder)
            if kept is not None and kept[0].version == version:
                return kept[1]
            mark = _Mark(
                version,
                _last(connection, "explanations"),
                _last(connection, "scores"),
                _pins(connection, coder),
                shown_rule.read(connection),
            )
            table = None if kept is None else _brought_up(connection, kind, coder, kept[0], kept[1], mark)
            if table is None:
                table = _read(connection, kind, coder)
        with self._lock:
            self._kept[kind, coder] = (mark, table)
        return table


def _last(connection: sqlite3.Connection, table: str) -> int:
    return connection.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0]


def _pins(connection: sqlite3.Connection, coder: str) -> frozenset[tuple[int, int]]:
    return frozenset(connection.execute("SELECT latent, explanation FROM pins WHERE coder = ?", (coder,)))


def _brought_up(
    connection: sqlite3.Connection, kind: Kind, coder: str, old: _Mark, table: "pyarrow.Table", new: _Mark
) -> "pyarrow.Table | None":
    """`table` with the rows of changed latents read again; `None` where that is not worth it, or rows have gone (a file
    put in the place of another), or another version is shown of any."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made at import and not known to type checkers
    if old.explanation > new.explanation or old.score > new.score or old.rule != new.rule:
        return None
    since = {"coder": coder, "explanation": old.explanation, "score": old.score}
    touched = {latent for (latent,) in connection.execute(_TOUCHED, since)}
    touched |= {latent for latent, _ in old.pins ^ new.pins}
    if not touched:
        return table
    if len(touched) > MANY * max(table.num_rows, 1):
        return None
    latents = sorted(touched)
    fresh = _read(connection, kind, coder, latents)
    stays = pc.invert(pc.is_in(table["latent"], value_set=pa.array(latents, pa.int64())))
    return _sorted(pa.concat_tables([table.filter(stays), fresh]))


def _sorted(table: "pyarrow.Table") -> "pyarrow.Table":
    return table.unify_dictionaries().combine_chunks().sort_by("latent")


def _read(
    connection: sqlite3.Connection, kind: Kind, coder: str, latents: list[int] | None = None
) -> "pyarrow.Table":
    """Rows of all latents, or of `latents`, ascending."""
    only = {
        f"only_{column.replace('.', '_')}": "" if latents is None else _ONLY.format(column=column)
        for column in ("latent", "e.latent")
    }
    values = {"coder": coder, "latents": json.dumps(latents or [])}
    match kind:
        case "explanations":
            return arrow(connection.execute(_EXPLANATIONS.format(**only), values), _EXPLANATION_COLUMNS)
        case "scores":
            shown = {seq for (seq,) in connection.execute(_SHOWN_SEQS.format(**only), values)}
            cursor = connection.execute(_SCORES.format(**only), values)
            return arrow(cursor, _SCORE_COLUMNS, {"shown": shown.__contains__}).sort_by("latent")
        case "failures":
            return arrow(connection.execute(_FAILURES.format(**only), values), _FAILURE_COLUMNS)


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
