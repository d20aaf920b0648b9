"""What lists and plots need of a whole coder, as Arrow tables to join with its statistics in DuckDB.

SQLite answers with the newest row of a group through `max(seq)`: in an aggregate with a single max(), bare columns come from
the row that holds it (documented in "The SELECT statement", section 2.5).
"""

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

_SHOWN = """
newest AS (
    SELECT latent, max(seq) AS seq, count(*) AS n FROM explanations WHERE coder = :coder AND status = 'ok'
    GROUP BY latent
),
shown AS (
    SELECT newest.latent, newest.n, coalesce(pins.explanation, newest.seq) AS seq, pins.latent IS NOT NULL AS pinned
    FROM newest LEFT JOIN pins ON pins.coder = :coder AND pins.latent = newest.latent
)
"""

_EXPLANATIONS = f"""
WITH {_SHOWN}
SELECT e.latent, e.id, e.text, e.explainer, e.model, e.author, e.created, shown.pinned, shown.n
FROM shown JOIN explanations e ON e.seq = shown.seq ORDER BY e.latent
"""

_SHOWN_SEQS = f"WITH {_SHOWN} SELECT seq FROM shown"

# The third column is replaced: whether the explanation is shown is looked up in Python. As a join of two derived tables SQLite
# would scan one per row of the other: minutes for 10^5 latents instead of a second.
_SCORES = """
SELECT e.latent, e.id, s.explanation, e.explainer, s.id, s.scorer, s.judge, s.protocol, s.negatives, s.metric, s.value,
    s.ci_low, s.ci_high, s.n_pos, s.n_neg, s.unparsed, s.floor
FROM (
    SELECT max(s.seq) AS seq FROM explanations e JOIN scores s ON s.explanation = e.seq
    WHERE e.coder = :coder AND s.status = 'ok'
    GROUP BY s.explanation, s.scorer, s.judge, s.protocol, s.negatives
) newest CROSS JOIN scores s ON s.seq = newest.seq CROSS JOIN explanations e ON e.seq = s.explanation
"""


def explanations_table(connection: sqlite3.Connection, coder: str) -> "pyarrow.Table":
    """One row per latent with an explanation: the shown one (the pinned one, else the newest)."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        {
            "latent": pa.int64(),
            "explanation_id": pa.string(),
            "text": pa.string(),
            "explainer": text,
            "model": text,
            "author": text,
            "created": pa.string(),
            "pinned": pa.bool_(),
            "n_explanations": pa.int64(),
        }
    )
    return _arrow(connection, _EXPLANATIONS, coder, schema)


def scores_table(connection: sqlite3.Connection, coder: str) -> "pyarrow.Table":
    """The newest good score per explanation, scorer, judge, protocol and negatives; `shown`: of the shown explanation."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        {
            "latent": pa.int64(),
            "explanation_id": pa.string(),
            "shown": pa.bool_(),
            "explainer": text,
            "score_id": pa.string(),
            "scorer": text,
            "judge": text,
            "protocol": text,
            "negatives": text,
            "metric": text,
            "value": pa.float64(),
            "ci_low": pa.float64(),
            "ci_high": pa.float64(),
            "n_pos": pa.int64(),
            "n_neg": pa.int64(),
            "unparsed": pa.int64(),
            "floor": pa.float64(),
        }
    )
    shown = {seq for (seq,) in connection.execute(_SHOWN_SEQS, {"coder": coder})}
    return _arrow(connection, _SCORES, coder, schema, shown).sort_by("latent")


def _arrow(
    connection: sqlite3.Connection,
    query: str,
    coder: str,
    schema: "pyarrow.Schema",
    shown: set[int] | None = None,
) -> "pyarrow.Table":
    import pyarrow as pa

    cursor = connection.execute(query, {"coder": coder})
    batches = []
    while rows := cursor.fetchmany(16_384):
        columns = list(zip(*rows, strict=True))
        if shown is not None:
            columns[2] = tuple(seq in shown for seq in columns[2])
        arrays = [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema).unify_dictionaries()


def _array(column: tuple, kind: "pyarrow.DataType") -> "pyarrow.Array":
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return pa.array(column, pa.string()).dictionary_encode()
    if pa.types.is_boolean(kind):
        return pa.array([bool(value) for value in column], kind)
    return pa.array(column, kind)
