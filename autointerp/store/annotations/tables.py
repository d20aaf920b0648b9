"""Everything in `annotations.sqlite` as Arrow tables, for SQL beside the coders' own tables (see `autointerp.store.sql`).

Unlike `summary`, which holds what lists show, these tables hold every row, failed ones too.
"""

import sqlite3
from typing import TYPE_CHECKING

from autointerp.store.annotations.columns import EXPLANATIONS, JUDGED, SCORES, arrow, schema

if TYPE_CHECKING:
    import pyarrow

# Whether a row is shown is looked up in Python, see `summary`.
_SHOWN = """
SELECT coalesce(p.explanation, n.seq) FROM
    (SELECT coder, latent, max(seq) AS seq FROM explanations WHERE status = 'ok' GROUP BY coder, latent) n
    LEFT JOIN pins p ON p.coder = n.coder AND p.latent = n.latent
"""
_PINNED = "SELECT explanation FROM pins"
_ORDERS = {EXPLANATIONS: "e.seq", SCORES: "s.seq", JUDGED: "s.seq, j.i"}

TABLES = {table.name: table for table in _ORDERS}


def read_table(connection: sqlite3.Connection, name: str) -> "pyarrow.Table":
    """One of `TABLES`, whole, in order of arrival.

    `explanations(coder, latent, id, text, explainer, model, author, parent, created, shown, pinned, n_examples, ...)`;
    `scores(coder, latent, id, explanation_id, explainer, shown, scorer, judge, model, protocol, negatives, metric, value,
    ci_low, ci_high, auroc, n_pos, n_neg, tnr, tpr_by_quantile, value_by_quantile, unparsed, floor, ...)`, `shown` of its
    explanation; `judged_examples(coder, latent, score_id, scorer, i, context, start, window, quantile, source, truth,
    answer, correct, value, marks, error)`.
    """
    table = TABLES[name]
    convert = {}
    if table is not JUDGED:
        for column, query in (("shown", _SHOWN), ("pinned", _PINNED)):
            convert[column] = {seq for (seq,) in connection.execute(query)}.__contains__
    cursor = connection.execute(f"{table.selecting(table.listed)} ORDER BY {_ORDERS[table]}")
    return arrow(cursor, table.listed, convert)


def empty_table(name: str) -> "pyarrow.Table":
    """The same columns without rows."""
    return schema(TABLES[name].listed).empty_table()
