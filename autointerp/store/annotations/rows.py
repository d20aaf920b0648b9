"""Records to rows and back: the INSERT and SELECT statements of explanations, scores and judged examples."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, overload

from autointerp.errors import UnknownName, UserError
from autointerp.store.annotations.records import (
    Explanation,
    JudgedColumns,
    JudgedExample,
    Record,
    Score,
    canonical_json,
    config_hash,
)
from autointerp.store.annotations.schema import SOURCES

_EXPLANATION_COLUMNS = (
    "id, coder, latent, text, explainer, model, author, created, config_hash, prompt_version, seed, example_ids,"
    " tokens_in, tokens_out, cost, duration, status, error"
)
_SCORE_COLUMNS = (
    "id, scorer, judge, metric, protocol, negatives, value, ci_low, ci_high, n_pos, n_neg, tpr_by_quantile, tnr,"
    " unparsed, floor, model, author, created, config_hash, prompt_version, seed, tokens_in, tokens_out, cost,"
    " duration, status, error, auroc, value_by_quantile, n_floor"
)
_JUDGED_COLUMNS = "i, context, start, window, quantile, source, truth, answer, value, marks, predicted, error"


def _qualified(columns: str, table: str) -> str:
    return ", ".join(f"{table}.{column.strip()}" for column in columns.split(","))


def _insert(table: str, columns: str, references: Mapping[str, str]) -> str:
    """INSERT with `?` per column, then one expression per reference."""
    names = ", ".join([columns, *references])
    marks = ", ".join(["?"] * (columns.count(",") + 1) + list(references.values()))
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"


# An id that is given but unknown becomes -1, which the foreign key refuses; NULL stays NULL.
_REPLY = "CASE WHEN ?{0} IS NOT NULL THEN coalesce((SELECT seq FROM replies WHERE key = ?{0}), -1) END"
_N_EXPLANATION = _EXPLANATION_COLUMNS.count(",") + 1
_N_JUDGED = _JUDGED_COLUMNS.count(",") + 1

_INSERT_EXPLANATION = _insert(
    "explanations",
    _EXPLANATION_COLUMNS,
    {
        "parent": f"CASE WHEN ?{_N_EXPLANATION + 1} IS NOT NULL THEN coalesce((SELECT seq FROM explanations"
        f" WHERE id = ?{_N_EXPLANATION + 1} AND coder = ?2 AND latent = ?3), -1) END",
        "reply": _REPLY.format(_N_EXPLANATION + 2),
    },
)
_N_SCORE = _SCORE_COLUMNS.count(",") + 1
_INSERT_SCORE = _insert(
    "scores",
    _SCORE_COLUMNS,
    {
        "explanation": "coalesce((SELECT seq FROM explanations WHERE id = ?), -1)",
        "floor_explanation": f"CASE WHEN ?{_N_SCORE + 2} IS NOT NULL THEN"
        f" coalesce((SELECT seq FROM explanations WHERE id = ?{_N_SCORE + 2}), -1) END",
    },
)
_INSERT_JUDGED = _insert(
    "judged_examples", _JUDGED_COLUMNS, {"score": "?", "reply": _REPLY.format(_N_JUDGED + 2)}
)

SELECT_EXPLANATION = f"""
SELECT {_qualified(_EXPLANATION_COLUMNS, "e")}, c.config, p.id, r.key
FROM explanations e JOIN configs c ON c.hash = e.config_hash
LEFT JOIN explanations p ON p.seq = e.parent LEFT JOIN replies r ON r.seq = e.reply
"""
SELECT_SCORE = f"""
SELECT {_qualified(_SCORE_COLUMNS, "s")}, c.config, e.id, f.id
FROM scores s JOIN configs c ON c.hash = s.config_hash JOIN explanations e ON e.seq = s.explanation
LEFT JOIN explanations f ON f.seq = s.floor_explanation
"""
SELECT_JUDGED = f"""
SELECT {_qualified(_JUDGED_COLUMNS, "j")}, s.id, r.key
FROM judged_examples j JOIN scores s ON s.seq = j.score LEFT JOIN replies r ON r.seq = j.reply
"""


@overload
def clean(text: str) -> str: ...
@overload
def clean(text: None) -> None: ...
def clean(text: str | None) -> str | None:
    """Text that UTF-8 can hold: models do reply with halves of surrogate pairs."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def write(connection: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Insert records in order, in the caller's transaction. Neighbours of one type go in as one batch.

    Raises UnknownName for an explanation, parent, score or reply that is not stored; UserError for an id stored already or a
    value that contradicts itself (an error without `status="failed"`).
    """
    for kind, group in groupby(records, type):
        writer = _WRITERS.get(kind)
        if writer is None:
            raise TypeError(f"not a record: {kind.__name__}")
        writer(connection, list(group))


def _execute_many(
    connection: sqlite3.Connection,
    statement: str,
    rows: Sequence[tuple],
    explain: Callable[[sqlite3.IntegrityError], UserError],
) -> None:
    try:
        connection.executemany(statement, rows)
    except sqlite3.IntegrityError as error:
        raise explain(error) from error


def _write_explanations(connection: sqlite3.Connection, explanations: Sequence[Explanation]) -> None:
    hashes = _write_configs(connection, explanations)
    rows = [
        (
            *(
                e.id,
                e.coder,
                e.latent,
                clean(e.text),
                e.explainer,
                e.model,
                e.author,
                e.created,
                hash_,
                e.prompt_version,
            ),
            *(
                e.seed,
                json.dumps(e.example_ids),
                e.tokens_in,
                e.tokens_out,
                e.cost,
                e.duration,
                e.status,
                clean(e.error),
            ),
            *(e.parent, e.reply_ref),
        )
        for e, hash_ in zip(explanations, hashes, strict=True)
    ]

    def explain(error: sqlite3.IntegrityError) -> UserError:
        for e in explanations:
            if e.parent is not None:
                parent = connection.execute(
                    "SELECT coder, latent FROM explanations WHERE id = ?", (e.parent,)
                ).fetchone()
                if parent is None:
                    return UnknownName("parent explanation", e.parent, [])
                if parent != (e.coder, e.latent):
                    return UserError(
                        f"explanation {e.parent} is about {parent[0]} latent {parent[1]}, not this latent"
                    )
            if not _reply_exists(connection, e.reply_ref):
                return UnknownName("reply", e.reply_ref, [])
        return UserError(f"explanations refused: {error}")

    _execute_many(connection, _INSERT_EXPLANATION, rows, explain)
    bump(connection, {e.coder for e in explanations})


def _write_scores(connection: sqlite3.Connection, scores: Sequence[Score]) -> None:
    hashes = _write_configs(connection, scores)
    rows = [
        (
            *(
                s.id,
                s.scorer,
                s.judge,
                s.metric,
                s.protocol,
                s.negatives,
                s.value,
                s.ci_low,
                s.ci_high,
                s.n_pos,
            ),
            *(
                s.n_neg,
                json.dumps(s.tpr_by_quantile),
                s.tnr,
                s.unparsed,
                s.floor,
                s.model,
                s.author,
                s.created,
            ),
            *(
                hash_,
                s.prompt_version,
                s.seed,
                s.tokens_in,
                s.tokens_out,
                s.cost,
                s.duration,
                s.status,
                clean(s.error),
                s.auroc,
                json.dumps(s.value_by_quantile),
                s.n_floor,
            ),
            *(s.explanation_id, s.floor_explanation_id),
        )
        for s, hash_ in zip(scores, hashes, strict=True)
    ]

    def explain(error: sqlite3.IntegrityError) -> UserError:
        for id_ in (i for s in scores for i in (s.explanation_id, s.floor_explanation_id) if i is not None):
            if not connection.execute("SELECT 1 FROM explanations WHERE id = ?", (id_,)).fetchone():
                return UnknownName("explanation", id_, [])
        return UserError(f"scores refused: {error}")

    _execute_many(connection, _INSERT_SCORE, rows, explain)
    ids = json.dumps(list({s.explanation_id for s in scores}))
    coders = connection.execute(
        "SELECT DISTINCT coder FROM explanations WHERE id IN (SELECT value FROM json_each(?))", (ids,)
    )
    bump(connection, [coder for (coder,) in coders])


def _write_judged(connection: sqlite3.Connection, judged: Sequence[JudgedExample]) -> None:
    seqs: dict[str, int] = {}
    for id_ in {j.score_id for j in judged}:
        row = connection.execute("SELECT seq FROM scores WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise UnknownName("score", id_, [])
        seqs[id_] = row[0]
    for j in judged:
        if j.source not in SOURCES:
            raise UnknownName("example source", j.source, SOURCES)
    rows = [
        (
            *(
                j.i,
                j.context,
                j.start,
                j.window,
                j.quantile,
                SOURCES.index(j.source),
                j.truth,
                j.answer,
                j.value,
            ),
            None if j.marks is None else json.dumps(j.marks, separators=(",", ":")),
            None if j.predicted is None else json.dumps(j.predicted, separators=(",", ":")),
            clean(j.error),
            *(seqs[j.score_id], j.reply_ref),
        )
        for j in judged
    ]

    def explain(error: sqlite3.IntegrityError) -> UserError:
        for j in judged:
            if not _reply_exists(connection, j.reply_ref):
                return UnknownName("reply", j.reply_ref, [])
        return UserError(f"judged examples refused: {error}")

    _execute_many(connection, _INSERT_JUDGED, rows, explain)


def _write_columns(connection: sqlite3.Connection, scores: Sequence[JudgedColumns]) -> None:
    for one in scores:
        row = connection.execute("SELECT seq FROM scores WHERE id = ?", (one.score_id,)).fetchone()
        if row is None:
            raise UnknownName("score", one.score_id, [])
        unknown = set(one.source).difference(SOURCES)
        if unknown:
            raise UnknownName("example source", unknown.pop(), SOURCES)
        n = len(one.context)
        nothing = [None] * n
        connection.executemany(
            _INSERT_JUDGED,
            zip(
                *(range(n), one.context, one.start, one.window, one.quantile, map(SOURCES.index, one.source)),
                *(one.truth, nothing, one.value, nothing, nothing, nothing, [row[0]] * n, nothing),
                strict=True,
            ),
        )


_WRITERS: dict[type, Callable[[sqlite3.Connection, list], None]] = {
    Explanation: _write_explanations,
    Score: _write_scores,
    JudgedExample: _write_judged,
    JudgedColumns: _write_columns,
}


def _write_configs(connection: sqlite3.Connection, records: Sequence[Explanation | Score]) -> list[str]:
    """Store each distinct configuration once; the hash of each record's."""
    known: dict[int, str] = {}  # batches share one config object
    hashes = []
    for record in records:
        hash_ = known.get(id(record.config))
        if hash_ is None:
            hash_ = known[id(record.config)] = config_hash(record.config)
            connection.execute("INSERT INTO configs VALUES (?, ?)", (hash_, canonical_json(record.config)))
        hashes.append(hash_)
    return hashes


def _reply_exists(connection: sqlite3.Connection, key: str | None) -> bool:
    return key is None or bool(connection.execute("SELECT 1 FROM replies WHERE key = ?", (key,)).fetchone())


def bump(connection: sqlite3.Connection, coders: Iterable[str]) -> None:
    """Record that something about these coders changed."""
    connection.executemany(
        "INSERT INTO versions VALUES (?, 1) ON CONFLICT (coder) DO UPDATE SET version = version + 1",
        [(coder,) for coder in coders],
    )


def to_explanation(row: tuple[Any, ...]) -> Explanation:
    """A row of SELECT_EXPLANATION."""
    fields = _fields(_EXPLANATION_COLUMNS, ("config", "parent", "reply_ref"), row)
    fields["example_ids"] = tuple(json.loads(fields["example_ids"]))
    return Explanation(**fields)


def to_score(row: tuple[Any, ...]) -> Score:
    """A row of SELECT_SCORE."""
    fields = _fields(_SCORE_COLUMNS, ("config", "explanation_id", "floor_explanation_id"), row)
    for name in ("tpr_by_quantile", "value_by_quantile"):
        fields[name] = tuple(json.loads(fields[name]))
    return Score(**fields)


def _fields(columns: str, extra: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    names = [name.strip() for name in columns.split(",")]
    fields = dict(zip([*names, *extra], row, strict=True))
    del fields["config_hash"]
    fields["config"] = json.loads(fields["config"])
    return fields


def to_judged(row: tuple[Any, ...]) -> JudgedExample:
    """A row of SELECT_JUDGED."""
    (
        i,
        context,
        start,
        window,
        quantile,
        source,
        truth,
        answer,
        value,
        marks,
        predicted,
        error,
        score_id,
        reply_ref,
    ) = row
    return JudgedExample(
        score_id=score_id,
        i=i,
        context=context,
        start=start,
        window=window,
        quantile=quantile,
        source=SOURCES[source],
        truth=None if truth is None else bool(truth),
        answer=None if answer is None else bool(answer),
        value=value,
        marks=None if marks is None else tuple(json.loads(marks)),
        predicted=None if predicted is None else tuple(json.loads(predicted)),
        reply_ref=reply_ref,
        error=error,
    )
