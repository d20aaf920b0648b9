"""The columns of audits, their items and ratings; see `autointerp.store.annotations.columns`."""

from collections.abc import Sequence
from typing import Any

from autointerp.ratings import AuditItem, Rating, Stratum
from autointerp.records import JudgedExample, canonical_json
from autointerp.store.annotations.columns import Column, Table

CURRENT = (
    "r.withdrawn = 0 AND NOT EXISTS (SELECT 1 FROM ratings n WHERE n.audit = r.audit AND n.item = r.item"
    " AND n.task = r.task AND n.round = r.round AND n.role = r.role"
    " AND iif(n.role = 'adjudicator', '', n.rater) = iif(r.role = 'adjudicator', '', r.rater)"
    " AND n.version = r.version + 1)"
)
"""Whether a rating holds: no later one answers the same question, and it takes none back."""

AUDITS = Table(
    "audits",
    "a",
    "audits a",
    (
        Column("id", "text"),
        Column("name", "text"),
        Column("author", "text"),
        Column("created", "text"),
        Column("purpose", "text"),
        Column("tasks", "texts"),
        Column("seed", "int"),
        Column("strata", "json"),
        Column("config", "json"),
        Column("store", "json"),
    ),
)

ITEMS = Table(
    "audit_items",
    "i",
    "audits a JOIN audit_items i ON i.audit = a.seq",
    (
        Column("audit_id", read="a.id", field=False),
        Column("i", "int"),
        Column("coder"),
        Column("latent", "int"),
        Column("explanation_id", "text"),
        Column("text_id", "text"),
        Column("is_control", "bool", "i.text_id <> i.explanation_id", field=False),
        Column("text", "text"),
        Column("stratum", "int"),
        Column("scores", "json"),
    ),
    extra=("audit",),
)

RATINGS = Table(
    "ratings",
    "r",
    "ratings r JOIN audits a ON a.seq = r.audit JOIN audit_items i ON i.audit = r.audit AND i.i = r.item",
    (
        Column("id", "text"),
        Column("audit_id", "word", "a.id", ("audit", "(SELECT seq FROM audits WHERE id = {audit_id})")),
        Column("item", "int"),
        Column("coder", read="i.coder", field=False),
        Column("latent", "int", "i.latent", field=False),
        Column("explanation_id", "text", "i.explanation_id", field=False),
        Column("is_control", "bool", "i.text_id <> i.explanation_id", field=False),
        Column("rater"),
        Column("role"),
        Column("round", "int"),
        Column("task"),
        Column("is_current", "bool", CURRENT, field=False),
        Column("verdict"),
        Column("confidence", "int"),
        Column("note", "text"),
        Column("tags", "texts"),
        Column("skipped", "bool"),
        Column("withdrawn", "bool"),
        Column("revises", "text"),
        Column("revealed", "bool"),
        Column("judged", "json"),
        Column("seconds", "float"),
        Column("created", "text"),
    ),
    extra=("version",),
)


_LISTS = {"marks", "predicted"}


def strata_json(strata: Sequence[Stratum]) -> str:
    names = Stratum.__slots__
    return canonical_json([{name: getattr(stratum, name) for name in names} for stratum in strata])


def as_strata(values: Sequence[dict[str, Any]]) -> tuple[Stratum, ...]:
    """Of what `strata_json` holds."""
    return tuple(Stratum(**{name: _tuple(value) for name, value in stratum.items()}) for stratum in values)


def judged_json(judged: Sequence[JudgedExample]) -> str:
    """What is not there is left out."""
    return canonical_json(
        [
            {name: value for name, value in example._asdict().items() if value is not None or name == "truth"}
            for example in judged
        ]
    )


def as_judged(values: Sequence[dict[str, Any]]) -> tuple[JudgedExample, ...]:
    """Of what `judged_json` holds."""
    for example in values:  # thousands in a large audit
        for name in _LISTS & example.keys():
            example[name] = tuple(example[name])
    return tuple(JudgedExample(**example) for example in values)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def rating(*, judged: Sequence[dict[str, Any]], **fields: Any) -> Rating:
    """Of a row."""
    return Rating(judged=as_judged(judged), **fields)


def read_items(rows: Sequence[tuple[Any, ...]]) -> list[AuditItem]:
    return ITEMS.records(AuditItem, rows)


def read_ratings(rows: Sequence[tuple[Any, ...]]) -> list[Rating]:
    return RATINGS.records(rating, rows)
