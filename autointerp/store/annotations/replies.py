"""Replies of language models, kept forever: the cache that makes repeated work free, and the record of what was said.

Requests and replies are JSON objects, compressed (prompts are long and alike). A key holds everything that determines the
reply; the first reply stored under it stays.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from autointerp.records import StoredReply, canonical_json, now
from autointerp.store.annotations.database import Database


class Replies:
    """The `replies` table. Never store a credential in a request: what is stored is shown on pages."""

    def __init__(self, database: Database):
        self._database = database

    def get(self, key: str) -> StoredReply | None:
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT request, reply, created, tokens_in, tokens_out, cost FROM replies WHERE key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        request, reply, created, n_in, n_out, cost = row
        about = {"created": created, "tokens_in": n_in, "tokens_out": n_out, "cost": cost}
        return StoredReply(key=key, request=_unpack(request), reply=_unpack(reply), **about)

    def put(
        self,
        key: str,
        request: Mapping[str, Any],
        reply: Mapping[str, Any],
        *,
        tokens_in: int = 0,
        tokens_out: int = 0,
        cost: float | None = None,
    ) -> None:
        """Store a reply; on return it survives the death of the process. Does nothing when `key` has one already."""
        row = (key, _pack(request), _pack(reply), now(), tokens_in, tokens_out, cost)
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO replies (key, request, reply, created, tokens_in, tokens_out, cost)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def __contains__(self, key: str) -> bool:
        with self._database.read() as connection:
            return connection.execute("SELECT 1 FROM replies WHERE key = ?", (key,)).fetchone() is not None


def _pack(value: Mapping[str, Any]) -> bytes:
    return zlib.compress(canonical_json(value).encode(), 1)


def _unpack(blob: bytes) -> dict[str, Any]:
    return json.loads(zlib.decompress(blob))
