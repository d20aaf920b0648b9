"""What batches wrote, to be compared."""

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

_QUERIES = {
    "explanations": "SELECT e.*, r.key AS reply FROM explanations e LEFT JOIN replies r ON r.seq = e.reply",
    "scores": "SELECT s.*, e.latent AS explanation, f.latent AS floor_explanation FROM scores s "
    "JOIN explanations e ON e.seq = s.explanation LEFT JOIN explanations f ON f.seq = s.floor_explanation",
    "judged": "SELECT j.*, e.latent AS score, s.scorer, r.key AS reply FROM judged_examples j "
    "JOIN scores s ON s.seq = j.score JOIN explanations e ON e.seq = s.explanation "
    "LEFT JOIN replies r ON r.seq = j.reply",
    "replies": "SELECT * FROM replies",
    "configs": "SELECT * FROM configs",
}  # of two columns of a name, the last counts


def rows(path: Path, *, interrupted: bool = False) -> dict[str, list[dict]]:
    """All that explaining and scoring wrote, one version a latent, but for random ids, their order, and times. `interrupted`:
    also but for the tokens of explanations and scores, which leave out what an earlier attempt had paid."""
    found = {}
    with closing(sqlite3.connect(path / "annotations.sqlite")) as connection:
        for name, query in _QUERIES.items():
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description]
            table = [dict(zip(names, row, strict=True)) for row in cursor]
            for row in table:
                for column in ("id", "seq", "created", "duration"):
                    row.pop(column, None)
                if interrupted and name in ("explanations", "scores"):
                    row |= {"tokens_in": 0, "tokens_out": 0}
                if name == "replies":
                    row["request"] = json.loads(zlib.decompress(row["request"]))
                    row["reply"] = json.loads(zlib.decompress(row["reply"])) | {"seconds": 0, "created": ""}
            found[name] = sorted(table, key=lambda row: json.dumps(row, sort_keys=True))
    return found
