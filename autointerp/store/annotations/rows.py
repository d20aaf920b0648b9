"""Records into the tables, in the caller's transaction."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import repeat

from autointerp.errors import UnknownName, UserError
from autointerp.records import Explanation, JudgedExample, Record, Score, canonical_json, config_hash
from autointerp.store.annotations.columns import EXPLANATIONS, JUDGED, SCORES
from autointerp.store.annotations.schema import SOURCES


def write(connection: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Insert records, explanations before scores and otherwise in order, with the scores' judged examples.

    Raises UnknownName for an explanation, parent or reply that is not stored; UserError for an id stored already or a
    value that contradicts itself (an error without `status="failed"`).
    """
    explanations: list[Explanation] = []
    scores: list[Score] = []
    for record in records:
        if isinstance(record, Explanation):
            explanations.append(record)
        elif isinstance(record, Score):
            scores.append(record)
        else:
            raise TypeError(f"not a record: {type(record).__name__}")
    if explanations:
        _write_explanations(connection, explanations)
    if scores:
        _write_scores(connection, scores)


def _write_explanations(connection: sqlite3.Connection, explanations: Sequence[Explanation]) -> None:
    configs = _write_configs(connection, explanations)
    try:
        connection.executemany(EXPLANATIONS.insert, EXPLANATIONS.rows(explanations, config=configs))
    except sqlite3.IntegrityError as error:
        raise _refusal(connection, explanations, error) from error
    bump(connection, {explanation.coder for explanation in explanations})


def _refusal(
    connection: sqlite3.Connection, explanations: Sequence[Explanation], error: sqlite3.IntegrityError
) -> UserError:
    for explanation in explanations:
        if explanation.parent is not None:
            parent = connection.execute(
                "SELECT coder, latent FROM explanations WHERE id = ?", (explanation.parent,)
            ).fetchone()
            if parent is None:
                return UnknownName("parent explanation", explanation.parent, [])
            if parent != (explanation.coder, explanation.latent):
                return UserError(
                    f"explanation {explanation.parent} is about {parent[0]} latent {parent[1]}, not this latent"
                )
        if not _reply_exists(connection, explanation.reply_ref):
            return UnknownName("reply", explanation.reply_ref, [])
    return UserError(f"explanations refused: {error}")


def _write_scores(connection: sqlite3.Connection, scores: Sequence[Score]) -> None:
    configs = _write_configs(connection, scores)
    try:
        connection.executemany(SCORES.insert, SCORES.rows(scores, config=configs))
    except sqlite3.IntegrityError as error:
        for id_ in (id_ for score in scores for id_ in (score.explanation_id, score.floor_explanation_id)):
            if id_ and not connection.execute("SELECT 1 FROM explanations WHERE id = ?", (id_,)).fetchone():
                raise UnknownName("explanation", id_, []) from error
        raise UserError(f"scores refused: {error}") from error
    for score in scores:
        if score.judged:
            _write_judged(connection, score.id, score.judged)
    ids = json.dumps(list({score.explanation_id for score in scores}))
    coders = connection.execute(
        "SELECT DISTINCT coder FROM explanations WHERE id IN (SELECT value FROM json_each(?))", (ids,)
    )
    bump(connection, [coder for (coder,) in coders])


def _write_judged(connection: sqlite3.Connection, score_id: str, judged: Sequence[JudgedExample]) -> None:
    unknown = {example.source for example in judged}.difference(SOURCES)
    if unknown:
        raise UnknownName("example source", unknown.pop(), SOURCES)
    (seq,) = connection.execute("SELECT seq FROM scores WHERE id = ?", (score_id,)).fetchone()
    try:
        connection.executemany(JUDGED.insert, JUDGED.rows(judged, score=repeat(seq, len(judged))))
    except sqlite3.IntegrityError as error:
        for example in judged:
            if not _reply_exists(connection, example.reply_ref):
                raise UnknownName("reply", example.reply_ref, []) from error
        raise UserError(f"judged examples refused: {error}") from error


def _write_configs(connection: sqlite3.Connection, records: Sequence[Record]) -> list[str]:
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
