"""Everything in `annotations.sqlite` as Arrow tables, for SQL beside the coders' own tables (see `autointerp.store.sql`).

Unlike `summary`, which holds what lists show, these tables hold every row, failed ones too.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autointerp.store.annotations.schema import SOURCES

if TYPE_CHECKING:
    import pyarrow

_ROWS = 16_384

# Whether a row is shown is looked up in Python, see `summary`.
_SHOWN = """
SELECT coalesce(p.explanation, n.seq) FROM
    (SELECT coder, latent, max(seq) AS seq FROM explanations WHERE status = 'ok' GROUP BY coder, latent) n
    LEFT JOIN pins p ON p.coder = n.coder AND p.latent = n.latent
"""
_PINNED = "SELECT explanation FROM pins"

_EXPLANATIONS = """
SELECT e.coder, e.latent, e.id, e.text, e.explainer, e.model, e.author, p.id, e.created, e.seq, e.seq,
    json_array_length(e.example_ids), e.prompt_version, e.seed, e.tokens_in, e.tokens_out, e.cost, e.duration,
    e.status, e.error, c.config
FROM explanations e JOIN configs c ON c.hash = e.config_hash LEFT JOIN explanations p ON p.seq = e.parent ORDER BY e.seq
"""

_SCORES = """
SELECT e.coder, e.latent, s.id, e.id, e.explainer, s.explanation, s.scorer, s.judge, s.model, s.protocol, s.negatives, s.metric,
    s.value, s.ci_low, s.ci_high, s.auroc, s.n_pos, s.n_neg, s.tnr, s.tpr_by_quantile, s.value_by_quantile, s.unparsed, s.floor,
    s.n_floor, f.id, s.author, s.created, s.prompt_version, s.seed, s.tokens_in, s.tokens_out, s.cost, s.duration,
    s.status, s.error, c.config
FROM scores s JOIN explanations e ON e.seq = s.explanation JOIN configs c ON c.hash = s.config_hash
    LEFT JOIN explanations f ON f.seq = s.floor_explanation ORDER BY s.seq
"""

_JUDGED = """
SELECT e.coder, e.latent, s.id, s.scorer, j.i, j.context, j.start, j.window, j.quantile, j.source, j.truth, j.answer,
    j.truth = j.answer, j.value, j.marks, j.error
FROM scores s JOIN explanations e ON e.seq = s.explanation JOIN judged_examples j ON j.score = s.seq ORDER BY s.seq, j.i
"""

TABLES = ("explanations", "scores", "judged_examples")

Convert = Callable[[Any], Any]


def read_table(connection: sqlite3.Connection, name: str) -> "pyarrow.Table":
    """One of `TABLES`, whole, in order of arrival.

    `explanations(coder, latent, id, text, explainer, model, author, parent, created, shown, pinned, n_examples, ...)`;
    `scores(coder, latent, id, explanation_id, explainer, shown, scorer, judge, model, protocol, negatives, metric, value,
    ci_low, ci_high, auroc, n_pos, n_neg, tnr, tpr_by_quantile, value_by_quantile, unparsed, floor, ...)`, `shown` of its
    explanation; `judged_examples(coder, latent, score_id, scorer, i, context, start, window, quantile, source, truth,
    answer, correct, value, marks, error)`.
    """
    query, fields, converters = _plans()[name]
    if name != "judged_examples":
        shown = {seq for (seq,) in connection.execute(_SHOWN)}
        pinned = {seq for (seq,) in connection.execute(_PINNED)}
        converters = {**converters, "shown": shown.__contains__, "pinned": pinned.__contains__}
    return _arrow(connection.execute(query), fields, converters)


def empty_table(name: str) -> "pyarrow.Table":
    """The same columns without rows."""
    import pyarrow as pa

    return pa.schema(_plans()[name][1]).empty_table()


def _plans() -> dict[str, tuple[str, dict[str, "pyarrow.DataType"], Mapping[str, Convert]]]:
    import pyarrow as pa

    word = pa.dictionary(pa.int32(), pa.string())
    text, whole, number, flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    spent = {"tokens_in": whole, "tokens_out": whole, "cost": number, "duration": number}
    end = {"status": word, "error": text, "config": word}
    explanations = {
        **{"coder": word, "latent": whole, "id": text, "text": text, "explainer": word, "model": word},
        **{"author": word, "parent": text, "created": text, "shown": flag, "pinned": flag},
        **{"n_examples": whole, "prompt_version": word, "seed": whole, **spent, **end},
    }
    scores = {
        **{"coder": word, "latent": whole, "id": text, "explanation_id": text, "explainer": word},
        **{"shown": flag, "scorer": word, "judge": word, "model": word, "protocol": word, "negatives": word},
        **{"metric": word, "value": number, "ci_low": number, "ci_high": number, "auroc": number},
        **{"n_pos": whole, "n_neg": whole, "tnr": number, "tpr_by_quantile": pa.list_(number)},
        **{"value_by_quantile": pa.list_(number), "unparsed": whole, "floor": number},
        **{
            "n_floor": whole,
            "floor_explanation_id": text,
            "author": word,
            "created": text,
            "prompt_version": word,
        },
        **{"seed": whole, **spent, **end},
    }
    judged = {
        **{"coder": word, "latent": whole, "score_id": word, "scorer": word, "i": whole, "context": whole},
        **{"start": whole, "window": whole, "quantile": whole, "source": word, "truth": flag, "answer": flag},
        **{"correct": flag, "value": number, "marks": pa.list_(whole), "error": text},
    }
    lists = {"tpr_by_quantile": _list, "value_by_quantile": _list}
    return {
        "explanations": (_EXPLANATIONS, explanations, {}),
        "scores": (_SCORES, scores, lists),
        "judged_examples": (
            _JUDGED,
            judged,
            {
                "marks": _list,
                "source": SOURCES.__getitem__,
                "truth": _flag,
                "answer": _flag,
                "correct": _flag,
            },
        ),
    }


def _list(value: str | None) -> list[Any] | None:
    return None if value is None else json.loads(value)


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _arrow(
    cursor: sqlite3.Cursor, fields: dict[str, "pyarrow.DataType"], converters: Mapping[str, Convert]
) -> "pyarrow.Table":
    import pyarrow as pa

    schema = pa.schema(fields)
    batches = []
    while rows := cursor.fetchmany(_ROWS):
        arrays = []
        for column, field in zip(zip(*rows, strict=True), schema, strict=True):
            convert = converters.get(field.name)
            values = column if convert is None else [convert(value) for value in column]
            if pa.types.is_dictionary(field.type):
                arrays.append(pa.array(values, pa.string()).dictionary_encode())
            else:
                arrays.append(pa.array(values, field.type))
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema).unify_dictionaries()
