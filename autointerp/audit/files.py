"""Audits in files: a row for the audit itself, one for each item and one for each rating there ever was, replaced ones too;
`record` says which.

JSON Lines holds nested values as they are, CSV and Parquet as JSON texts; columns that do not belong to a row's kind are empty.
The format is described in docs/audits.md.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from autointerp import __version__
from autointerp.errors import UserError
from autointerp.ratings import Audit, AuditItem, Rating, Stratum, check_audit, check_rating
from autointerp.records import JudgedExample, canonical_json
from autointerp.store.table_files import FileFormat, format_of, from_file, to_file

FORMAT = 1
Row = dict[str, Any]

_INTS = ("format", "seed", "i", "latent", "stratum", "item", "round", "confidence")
_BOOLS = ("skipped", "withdrawn", "revealed", "is_control", "is_current")
_JSON = ("tasks", "config", "store", "strata", "scores", "tags", "judged")
_OPTIONAL = ("stratum", "confidence", "verdict", "revises", "seconds")
_ABOUT = ("coder", "latent", "explanation_id")


def audit_rows(audit: Audit, history: Sequence[Rating], current: Collection[str]) -> list[Row]:
    """The rows of a file. `history`: all ratings in order of arrival; `current`: ids of those that hold. Rows of ratings also
    say what they are about, for those who read the file by other means."""
    head = {
        "record": "audit",
        "format": FORMAT,
        "autointerp": __version__,
        **_plain(audit, "items", "strata"),
    }
    rows = [{**head, "strata": [_plain(stratum) for stratum in audit.strata]}]
    rows += [{"record": "item", **_plain(item), "is_control": item.is_control} for item in audit.items]
    for rating in history:
        about = {name: getattr(audit.items[rating.item], name) for name in _ABOUT}
        judged = [
            {name: value for name, value in example._asdict().items() if value is not None or name == "truth"}
            for example in rating.judged
        ]
        own = {**_plain(rating, "judged", "audit_id"), "judged": judged, "is_current": rating.id in current}
        rows.append({"record": "rating", **own, **about})
    return json.loads(canonical_json(rows))


def _plain(record: Any, *without: str) -> Row:
    return {field.name: getattr(record, field.name) for field in fields(record) if field.name not in without}


def write_audit(rows: Sequence[Mapping[str, Any]], file_format: FileFormat) -> bytes:
    """A file's bytes."""
    if file_format == "jsonl":
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    flat = [
        {name: canonical_json(value) if name in _JSON else value for name, value in row.items()}
        for row in rows
    ]
    types = {**dict.fromkeys(_INTS, pa.int64()), **dict.fromkeys(_BOOLS, pa.bool_()), "seconds": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    return to_file(pa.Table.from_pylist(flat, schema=schema), file_format)


def read_audit(path: Path) -> tuple[Audit, list[Rating]]:
    """What a file holds. Raises UserError for one that holds no audit, is of a newer format or contradicts itself."""
    format_of(path)
    rows = from_file(path)
    by_kind: dict[str, list[Row]] = {"audit": [], "item": [], "rating": []}
    for number, row in enumerate(rows, 1):
        if row.get("record") not in by_kind:
            raise UserError(
                f"{path.name!r} is not an audit: in row {number}, `record` is {row.get('record')!r}. Give a file written "
                "by `autointerp audit export`."
            )
        by_kind[row["record"]].append(row)
    if len(by_kind["audit"]) != 1:
        raise UserError(f"{path.name!r} holds {len(by_kind['audit'])} audits; a file holds one.")
    (head,) = by_kind["audit"]
    try:
        _check_format(path, head)
        items = sorted(
            (AuditItem(**_values(AuditItem, row)) for row in by_kind["item"]), key=lambda item: item.i
        )
        values = _values(Audit, {**head, "items": None})
        strata = tuple(Stratum(**_tuples(stratum)) for stratum in values.pop("strata"))
        audit = Audit(**{**values, "tasks": tuple(values["tasks"]), "items": tuple(items), "strata": strata})
        ratings = [_rating(**_values(Rating, {**row, "audit_id": audit.id})) for row in by_kind["rating"]]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path.name!r} cannot be read as an audit: {error}.") from error
    check_audit(audit)
    for rating in ratings:
        check_rating(rating)
        if rating.task not in audit.tasks or not 0 <= rating.item < len(items):
            raise UserError(
                f"{path.name!r}: rating {rating.id} answers something that the audit does not ask."
            )
    return audit, ratings


def _check_format(path: Path, head: Row) -> None:
    written = _value("format", head.get("format"))
    if written is None or written > FORMAT:
        raise UserError(
            f"{path.name!r} is of format {written}; this program reads formats up to {FORMAT}. Update autointerp."
        )


def _values(record: type, row: Row) -> Row:
    """The fields of a record; what an older program did not write has its default."""
    values = {}
    for field in fields(record):
        value = _value(field.name, row.get(field.name))
        if value is not None or field.name in _OPTIONAL:
            values[field.name] = value
        elif field.default is MISSING and field.default_factory is MISSING and field.name != "items":
            raise ValueError(f"`{field.name}` is missing")
    return values


def _value(name: str, value: Any) -> Any:
    """From a row of any format: a CSV file holds texts only, and nothing for an empty one."""
    if value is None or value == "":
        texts = (*_INTS, *_BOOLS, *_JSON, *_OPTIONAL, "items")
        return None if name in texts else ""
    if name in _JSON:
        return json.loads(value) if isinstance(value, str) else value
    if name in _BOOLS:
        return {"true": True, "false": False}[str(value).lower()]
    if name in _INTS:
        return int(value)
    return float(value) if name == "seconds" else str(value)


def _rating(*, judged: Any = None, tags: Any = None, **values: Any) -> Rating:
    examples = tuple(JudgedExample(**_tuples(example)) for example in judged or ())
    return Rating(judged=examples, tags=tuple(tags or ()), **values)


def _tuples(values: Mapping[str, Any]) -> Row:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
