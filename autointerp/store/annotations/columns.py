"""One list of columns for each table of records: INSERT and SELECT, the tables for SQL and those for lists are made from it.

A column's `type` says how Python, SQLite and Arrow hold it. To add one: a migration, a field of the record, a line here.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from autointerp.ratings import Audit, AuditItem, Rating
from autointerp.records import Explanation, JudgedExample, Score, canonical_json
from autointerp.store.annotations.schema import SOURCES

if TYPE_CHECKING:
    import pyarrow

R = TypeVar("R", Explanation, Score, JudgedExample, Audit, AuditItem, Rating)

Type = Literal["text", "word", "int", "float", "bool", "texts", "ints", "floats", "json", "source"]
"""`word`: a text that many rows share. `texts`, `ints`, `floats`: tuples, stored as JSON lists. `source`: of an example."""

_ROWS = 16_384


def clean(text: str | None) -> str | None:
    """Text that UTF-8 can hold: models do reply with halves of surrogate pairs."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _if_any(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


_LISTS: tuple[Type, ...] = ("texts", "ints", "floats")
_ENCODE: Mapping[Type, Callable[[Any], Any]] = {
    **dict.fromkeys(_LISTS, _if_any(lambda values: json.dumps(values, separators=(",", ":")))),
    "text": clean,
    "json": _if_any(canonical_json),
    "source": {name: i for i, name in enumerate(SOURCES)}.__getitem__,
}
_DECODE: Mapping[Type, Callable[[Any], Any]] = {
    **dict.fromkeys(_LISTS, _if_any(lambda text: tuple(json.loads(text)))),
    "json": _if_any(json.loads),
    "bool": _if_any(bool),
    "source": SOURCES.__getitem__,
}
_TO_ARROW: Mapping[Type, Callable[[Any], Any]] = {**_DECODE, "json": lambda text: text}


class Column(NamedTuple):
    """`name`: the record's field, and the column's name in tables for SQL. `read`: the expression that gives it, `write`: the
    column and the expression that INSERT puts there, where these are not the column of that name; in `write`, `{name}` stands
    for the value of a field. `field`: whether the record has it; `listed`: whether the tables for SQL have it."""

    name: str
    type: Type = "word"
    read: str = ""
    write: tuple[str, str] | None = None
    field: bool = True
    listed: bool = True


@dataclass(frozen=True)
class Table:
    """`source`: what SELECT reads from, with the table itself under `alias`. `extra`: columns that INSERT fills beside the
    record's."""

    name: str
    alias: str
    source: str
    columns: tuple[Column, ...]
    extra: tuple[str, ...] = ()

    @cached_property
    def fields(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.field)

    @cached_property
    def listed(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.listed)

    @cached_property
    def insert(self) -> str:
        names = [*self.extra, *(column.name for column in self.fields)]
        marks = {name: f"?{i}" for i, name in enumerate(names, 1)}
        own = [column.write or (column.name, f"{{{column.name}}}") for column in self.fields]
        into = [*self.extra, *(name for name, _ in own)]
        values = [
            *(marks[name] for name in self.extra),
            *(expression.format_map(marks) for _, expression in own),
        ]
        return f"INSERT INTO {self.name} ({', '.join(into)}) VALUES ({', '.join(values)})"

    @cached_property
    def select(self) -> str:
        """Complete it with WHERE and ORDER BY."""
        return self.selecting(self.fields)

    def selecting(self, columns: Sequence[Column]) -> str:
        return f"SELECT {reading(columns, self.alias)} FROM {self.source} "

    def pick(self, names: str) -> tuple[Column, ...]:
        """Some of the columns: `name`, or `name:other` under another name."""
        known = {column.name: column for column in self.columns}
        picked = []
        for name, _, other in (word.partition(":") for word in names.split()):
            column = known[name]
            read = column.read or f"{self.alias}.{name}"
            picked.append(column._replace(name=other or name, read=read))
        return tuple(picked)

    def rows(self, records: Sequence[R], **columns: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """What `insert` takes; `columns` in place of the records' own values, and for `extra`."""
        values = [columns[name] for name in self.extra]
        for column in self.fields:
            own: Iterable[Any] = map(attrgetter(column.name), records)
            encode = _ENCODE.get(column.type)
            values.append(columns.get(column.name) or (own if encode is None else map(encode, own)))
        return zip(*values, strict=True)

    def records(self, kind: Callable[..., R], rows: Sequence[tuple[Any, ...]]) -> list[R]:
        """Rows of `select` as records."""
        names = [column.name for column in self.fields]
        return [kind(**dict(zip(names, values, strict=True))) for values in decoded(self.fields, rows)]


def reading(columns: Iterable[Column], alias: str = "") -> str:
    """What SELECT gives; `alias`: of the table whose columns are read under their own names."""
    return ", ".join(column.read or f"{alias}.{column.name}" for column in columns)


def decoded(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows as Python has them."""
    decoders = [_DECODE.get(column.type) for column in columns]
    values = zip(*rows, strict=True)
    return zip(*(map(d, v) if d else v for d, v in zip(decoders, values, strict=False)), strict=True)


_REPLY = "CASE WHEN {reply_ref} IS NOT NULL THEN coalesce((SELECT seq FROM replies WHERE key = {reply_ref}), -1) END"
"""An id that is given but unknown becomes -1, which the foreign key refuses; NULL stays NULL."""
_EXPLANATION = "coalesce((SELECT seq FROM explanations WHERE id = {explanation_id}), -1)"
_PARENT = (
    "CASE WHEN {parent} IS NOT NULL THEN coalesce((SELECT seq FROM explanations WHERE id = {parent}"
    " AND coder = {coder} AND latent = {latent}), -1) END"
)
_FLOOR = (
    "CASE WHEN {floor_explanation_id} IS NOT NULL THEN"
    " coalesce((SELECT seq FROM explanations WHERE id = {floor_explanation_id}), -1) END"
)

_MADE = (
    Column("prompt_version"),
    Column("seed", "int"),
    Column("tokens_in", "int"),
    Column("tokens_out", "int"),
    Column("cost", "float"),
    Column("duration", "float"),
    Column("status"),
    Column("error", "text"),
    Column("error_kind"),
    Column("retryable", "bool"),
    Column("config", "json", "c.config", ("config_hash", "{config}")),
)
"""How a record was made and how that ended."""

EXPLANATIONS = Table(
    "explanations",
    "e",
    "explanations e JOIN configs c ON c.hash = e.config_hash LEFT JOIN explanations p ON p.seq = e.parent"
    " LEFT JOIN replies r ON r.seq = e.reply",
    (
        Column("coder"),
        Column("latent", "int"),
        Column("id", "text"),
        Column("text", "text"),
        Column("explainer"),
        Column("model"),
        Column("author"),
        Column("parent", "text", "p.id", ("parent", _PARENT)),
        Column("created", "text"),
        Column("shown", "bool", "e.seq", field=False),
        Column("pinned", "bool", "e.seq", field=False),
        Column("n_examples", "int", "json_array_length(e.example_ids)", field=False),
        Column("example_ids", "texts", listed=False),
        Column("reasoning", "text"),
        Column("parts", "json"),
        Column("reply_ref", "text", "r.key", ("reply", _REPLY), listed=False),
        *_MADE,
    ),
)

SCORES = Table(
    "scores",
    "s",
    "scores s JOIN explanations e ON e.seq = s.explanation JOIN configs c ON c.hash = s.config_hash"
    " LEFT JOIN explanations f ON f.seq = s.floor_explanation",
    (
        Column("coder", read="e.coder", field=False),
        Column("latent", "int", "e.latent", field=False),
        Column("id", "text"),
        Column("explanation_id", "text", "e.id", ("explanation", _EXPLANATION)),
        Column("explainer", read="e.explainer", field=False),
        Column("shown", "bool", "s.explanation", field=False),
        Column("scorer"),
        Column("judge"),
        Column("model"),
        Column("protocol"),
        Column("negatives"),
        Column("metric"),
        Column("value", "float"),
        Column("ci_low", "float"),
        Column("ci_high", "float"),
        Column("auroc", "float"),
        Column("n_pos", "int"),
        Column("n_neg", "int"),
        Column("tnr", "float"),
        Column("tpr_by_quantile", "floats"),
        Column("value_by_quantile", "floats"),
        Column("unparsed", "int"),
        Column("floor", "float"),
        Column("n_floor", "int"),
        Column("above_low", "float"),
        Column("above_high", "float"),
        Column("floor_explanation_id", "text", "f.id", ("floor_explanation", _FLOOR)),
        Column("author"),
        Column("created", "text"),
        *_MADE,
    ),
)

JUDGED = Table(
    "judged_examples",
    "j",
    "scores s JOIN explanations e ON e.seq = s.explanation JOIN judged_examples j ON j.score = s.seq"
    " LEFT JOIN replies r ON r.seq = j.reply",
    (
        Column("coder", read="e.coder", field=False),
        Column("latent", "int", "e.latent", field=False),
        Column("score_id", read="s.id", field=False),
        Column("scorer", read="s.scorer", field=False),
        Column("i", "int"),
        Column("context", "int"),
        Column("start", "int"),
        Column("window", "int"),
        Column("quantile", "int"),
        Column("source", "source"),
        Column("truth", "bool"),
        Column("answer", "bool"),
        Column("correct", "bool", "j.truth = j.answer", field=False),
        Column("value", "float"),
        Column("marks", "ints"),
        Column("error", "text"),
        Column("predicted", "floats", listed=False),
        Column("reply_ref", "text", "r.key", ("reply", _REPLY), listed=False),
    ),
    extra=("score",),
)

COLLECTIONS = Table(
    "collections",
    "m",
    "members m JOIN collections c ON c.seq = m.collection",
    (
        Column("collection", read="c.name"),
        Column("coder"),
        Column("latent", "int"),
        Column("note", "text"),
        Column("author"),
        Column("created", "text"),
    ),
)


def schema(columns: Iterable[Column]) -> "pyarrow.Schema":
    import pyarrow as pa

    word = pa.dictionary(pa.int32(), pa.string())
    types = {
        **{"text": pa.string(), "word": word, "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()},
        **{"texts": pa.list_(pa.string()), "ints": pa.list_(pa.int64()), "floats": pa.list_(pa.float64())},
        **{"json": word, "source": word},
    }
    return pa.schema({column.name: types[column.type] for column in columns})


def arrow(
    cursor: sqlite3.Cursor,
    columns: Sequence[Column],
    convert: Mapping[str, Callable[[Any], Any]] | None = None,
) -> "pyarrow.Table":
    """The rows of `cursor`; `convert`: by name, what makes a column's values of what was read, where its type does not."""
    import pyarrow as pa

    fields = schema(columns)
    converters = [(convert or {}).get(column.name) or _TO_ARROW.get(column.type) for column in columns]
    batches = []
    while rows := cursor.fetchmany(_ROWS):
        arrays = []
        for values, field, converter in zip(zip(*rows, strict=True), fields, converters, strict=True):
            converted = values if converter is None else [converter(value) for value in values]
            if pa.types.is_dictionary(field.type):
                arrays.append(pa.array(converted, pa.string()).dictionary_encode())
            else:
                arrays.append(pa.array(converted, field.type))
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=fields))
    return pa.Table.from_batches(batches, schema=fields).unify_dictionaries()
