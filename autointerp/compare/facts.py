"""Figures beside the rows of a result."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_KEY = b"facts"


def with_facts(table: pa.Table, facts: Mapping[str, Any]) -> pa.Table:
    """The table with JSON values beside its rows."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(facts).encode()})


def facts_of(table: pa.Table) -> dict[str, Any]:
    """What `with_facts` put there."""
    return json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
