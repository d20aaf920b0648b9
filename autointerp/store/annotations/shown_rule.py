"""Which version of an explanation stands for a latent: the one home of this rule, as SQL.

The pinned version; else, among the good ones, the one whose newest held-out score by the chosen scorer has the highest lower
bound (of equal ones the newest); else, and where the store is set to "newest", the newest good one.
"""

import sqlite3

NEWEST = "newest"
DEFAULT = "detection"
"""The scorer that chooses unless someone has set another, or `NEWEST`."""

_RULE = f"coalesce((SELECT value FROM settings WHERE name = 'shown'), '{DEFAULT}')"

SHOWN = f"""coalesce(
    (SELECT explanation FROM pins WHERE coder = {{coder}} AND latent = {{latent}}),
    (SELECT rated.seq FROM explanations rated JOIN scores rating ON rating.seq = (
            SELECT max(seq) FROM scores
            WHERE explanation = rated.seq AND status = 'ok' AND protocol = 'held-out' AND scorer = {_RULE}
        )
        WHERE rated.coder = {{coder}} AND rated.latent = {{latent}} AND rated.status = 'ok' AND rating.ci_low IS NOT NULL
        ORDER BY rating.ci_low DESC, rated.seq DESC LIMIT 1),
    (SELECT max(seq) FROM explanations WHERE coder = {{coder}} AND latent = {{latent}} AND status = 'ok')
)"""
"""The `seq` of the version shown for the latent that `coder` and `latent` name; NULL where there is no good one."""

UNTRIED = f"""
SELECT e.latent, e.id FROM
    (SELECT max(seq) AS seq FROM explanations WHERE coder = :coder AND status = 'ok' GROUP BY latent) newest
    JOIN explanations e ON e.seq = newest.seq
WHERE NOT EXISTS (SELECT 1 FROM pins WHERE coder = :coder AND latent = e.latent) AND NOT EXISTS (
    SELECT 1 FROM scores
    WHERE explanation = e.seq AND status = 'ok' AND protocol = 'held-out' AND scorer = {_RULE}
)
"""
"""`latent, id` of the newest good version where this rule knows no score of it, of one coder."""


def read(connection: sqlite3.Connection) -> str:
    """The scorer that chooses, or `NEWEST`."""
    return connection.execute(f"SELECT {_RULE}").fetchone()[0]


def write(connection: sqlite3.Connection, rule: str) -> None:
    """Set it, in the caller's transaction, for every coder."""
    connection.execute("INSERT OR REPLACE INTO settings VALUES ('shown', ?)", (rule,))
    connection.execute("UPDATE versions SET version = version + 1")
