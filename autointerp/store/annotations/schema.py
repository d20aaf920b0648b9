"""The tables of `annotations.sqlite`, as migrations applied in order, each in its own transaction.

`PRAGMA user_version` is the number of migrations a file has had; `application_id` marks the file as ours. A migration, once
released, is never edited: a change of the schema is a new one at the end. Rows name each other by integer `seq` (a score
has tens of judged examples, so 26-character ids would double the file); the API speaks of ids only.

Times are UTC, ISO 8601 with milliseconds. Costs are in the currency of the price table, NULL when unknown.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator

from autointerp.store.annotations.audit_schema import AUDITS
from autointerp.store.annotations.triggers import immutable

APPLICATION_ID = 0x41494E54  # "AINT"

SOURCES = ("activating", "random", "neighbours", "embedding")
"""`judged_examples.source` is an index into this list; append only."""


_EXPLANATIONS = f"""
CREATE TABLE configs (hash TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE replies (
    seq INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,           -- hash of everything that determines the reply
    request BLOB NOT NULL,              -- JSON, zlib
    reply BLOB NOT NULL,                -- JSON, zlib
    created TEXT NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL
);

CREATE TABLE explanations (
    seq INTEGER PRIMARY KEY,            -- order of arrival
    id TEXT NOT NULL UNIQUE,            -- ULID
    coder TEXT NOT NULL,
    latent INTEGER NOT NULL CHECK (latent >= 0),
    text TEXT NOT NULL,
    explainer TEXT NOT NULL,
    model TEXT,
    author TEXT NOT NULL,
    parent INTEGER REFERENCES explanations (seq),
    created TEXT NOT NULL,
    config_hash TEXT NOT NULL REFERENCES configs (hash),
    prompt_version TEXT,
    seed INTEGER,
    example_ids TEXT NOT NULL,          -- JSON list of "context:start:window"
    reply INTEGER REFERENCES replies (seq),
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL,
    duration REAL,                      -- seconds
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    error TEXT,
    CHECK ((status = 'failed') = (error IS NOT NULL))
);
CREATE INDEX explanations_by_latent ON explanations (coder, latent, status);

CREATE TABLE scores (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    explanation INTEGER NOT NULL REFERENCES explanations (seq),
    scorer TEXT NOT NULL,
    judge TEXT NOT NULL,
    metric TEXT NOT NULL,
    protocol TEXT NOT NULL,
    negatives TEXT NOT NULL,
    value REAL,
    ci_low REAL,
    ci_high REAL,
    n_pos INTEGER NOT NULL,
    n_neg INTEGER NOT NULL,
    tpr_by_quantile TEXT NOT NULL,      -- JSON list, strongest first
    tnr REAL,
    unparsed INTEGER NOT NULL,
    floor REAL,
    model TEXT,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    config_hash TEXT NOT NULL REFERENCES configs (hash),
    prompt_version TEXT,
    seed INTEGER,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL,
    duration REAL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    error TEXT,
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK (status = 'ok' OR value IS NULL)
);
CREATE INDEX scores_by_explanation ON scores (explanation);

CREATE TABLE judged_examples (
    score INTEGER NOT NULL REFERENCES scores (seq),
    i INTEGER NOT NULL,
    context INTEGER NOT NULL,
    start INTEGER NOT NULL,
    window INTEGER NOT NULL,
    quantile INTEGER,
    source INTEGER NOT NULL,            -- 0 {", 1 ".join(SOURCES[:2])}, 2 {", 3 ".join(SOURCES[2:])}
    truth INTEGER,
    answer INTEGER,                     -- NULL: could not be parsed
    value REAL,                         -- graded answer
    marks TEXT,                         -- JSON list of positions
    predicted TEXT,                     -- JSON list, one number per token
    reply INTEGER REFERENCES replies (seq),
    PRIMARY KEY (score, i)
) WITHOUT ROWID;

CREATE TABLE pins (
    coder TEXT NOT NULL,
    latent INTEGER NOT NULL,
    explanation INTEGER NOT NULL REFERENCES explanations (seq),
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (coder, latent)
) WITHOUT ROWID;

-- Grows by one with every change of a coder's annotations, so that summaries know when they are stale.
CREATE TABLE versions (coder TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;

{immutable("configs", "hash = NEW.hash", "IGNORE")}
{immutable("replies", "key = NEW.key OR seq = NEW.seq", "IGNORE")}
{immutable("explanations", "id = NEW.id OR seq = NEW.seq")}
{immutable("scores", "id = NEW.id OR seq = NEW.seq")}
{immutable("judged_examples", "score = NEW.score AND i = NEW.i")}
"""

_JOBS = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    payload TEXT NOT NULL,              -- JSON
    payload_hash TEXT,                  -- kind, payload and items; NULL while items still arrive
    state TEXT NOT NULL CHECK (state IN ('preparing', 'queued', 'running', 'done', 'failed', 'cancelled')),
    priority INTEGER NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    n_done INTEGER NOT NULL DEFAULT 0,
    n_failed INTEGER NOT NULL DEFAULT 0,
    rate REAL,                          -- items per second, recent
    stage TEXT,                         -- what a long single item is at, with its own count
    stage_done INTEGER,
    stage_total INTEGER,
    stage_unit TEXT,
    tokens_in INTEGER NOT NULL DEFAULT 0,
    tokens_out INTEGER NOT NULL DEFAULT 0,
    cost REAL NOT NULL DEFAULT 0,
    n_unpriced INTEGER NOT NULL DEFAULT 0,  -- items that used tokens of unknown price
    cancel INTEGER NOT NULL DEFAULT 0,  -- asked to stop
    created TEXT NOT NULL,
    started TEXT,
    finished TEXT,
    owner TEXT,                         -- who runs it: "machine pid start runner"
    heartbeat REAL,                     -- seconds since the epoch, by the owner
    claims INTEGER NOT NULL DEFAULT 0,  -- how often it was taken: the fence against owners thought dead
    crashes INTEGER NOT NULL DEFAULT 0, -- deaths of owners since an item last ended
    error TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, seq);
CREATE UNIQUE INDEX jobs_active ON jobs (payload_hash) WHERE state IN ('queued', 'running');

CREATE TABLE job_items (
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    i INTEGER NOT NULL,
    item TEXT NOT NULL,                 -- JSON
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    PRIMARY KEY (job, i)
) WITHOUT ROWID;
"""

_MORE_OF_SCORES = """
ALTER TABLE scores ADD COLUMN auroc REAL;               -- beside the value, where the judge grades its answers
ALTER TABLE scores ADD COLUMN value_by_quantile TEXT NOT NULL DEFAULT '[]';
ALTER TABLE scores ADD COLUMN floor_explanation INTEGER REFERENCES explanations (seq);
ALTER TABLE judged_examples ADD COLUMN error TEXT;      -- why the answer could not be used
"""

_FLOORS = """
ALTER TABLE scores ADD COLUMN n_floor INTEGER;          -- items that the floor stands on; NULL also in scores from before
"""

_FAILURES = """
ALTER TABLE explanations ADD COLUMN reasoning TEXT;     -- the steps that a model wrote first
ALTER TABLE explanations ADD COLUMN parts TEXT;         -- JSON: what an explainer states as data
ALTER TABLE explanations ADD COLUMN error_kind TEXT;    -- a stable word; NULL where it was not recorded
ALTER TABLE explanations ADD COLUMN retryable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scores ADD COLUMN error_kind TEXT;
ALTER TABLE scores ADD COLUMN retryable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN error_kind TEXT;
ALTER TABLE jobs ADD COLUMN retryable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job_items ADD COLUMN error_kind TEXT;
ALTER TABLE job_items ADD COLUMN retryable INTEGER NOT NULL DEFAULT 0;
"""

# Failures of before began with the kind of their error, those of items with the scorer as well. As the kinds were then.
_OLD_RETRYABLE = ("transient", "rate_limited", "unreachable", "bad_answer", "budget")
_OLD_KINDS = (
    *_OLD_RETRYABLE,
    "wrong_url",
    "auth",
    "quota",
    "unknown_model",
    "too_long",
    "rejected",
    "refused",
)
_OLD_ERROR = re.compile(rf"(?:[a-z]+: )?({'|'.join(_OLD_KINDS)}): ")
_OLD_BUDGET = "The budget of this work is used up"


def _old_kind(error: str) -> str | None:
    match = _OLD_ERROR.match(error)
    return match[1] if match else "budget" if _OLD_BUDGET in error else None


def _kinds_of_old_failures(connection: sqlite3.Connection) -> None:
    connection.create_function("old_kind", 1, _old_kind, deterministic=True)
    for table in ("explanations", "scores", "jobs", "job_items"):
        connection.execute(f"UPDATE {table} SET error_kind = old_kind(error) WHERE error IS NOT NULL")
        connection.execute(
            f"UPDATE {table} SET retryable = 1 WHERE error_kind IN (SELECT value FROM json_each(?))",
            (json.dumps(_OLD_RETRYABLE),),
        )


def _held_out(connection: sqlite3.Connection) -> None:
    """The protocol `ours` is called `held-out`: in the scores, in the configurations, whose hashes tell what has been done
    already, and in the payloads of jobs. The rest of a configuration stays as it is, to the letter."""
    old, new = '"protocol":"ours"', '"protocol":"held-out"'
    changed = connection.execute("SELECT hash, config FROM configs WHERE instr(config, ?)", (old,)).fetchall()
    for before, config in changed:
        config = config.replace(old, new)
        after = hashlib.sha256(config.encode()).hexdigest()
        connection.execute("INSERT INTO configs VALUES (?, ?)", (after, config))
        for table in ("scores", "explanations"):
            connection.execute(f"UPDATE {table} SET config_hash = ? WHERE config_hash = ?", (after, before))
        connection.execute("DELETE FROM configs WHERE hash = ?", (before,))
    connection.execute("UPDATE scores SET protocol = 'held-out' WHERE protocol = 'ours'")
    jobs = connection.execute(
        "SELECT seq, kind, payload, payload_hash FROM jobs WHERE instr(payload, ?)", (old,)
    ).fetchall()
    for seq, kind, payload, known in jobs:
        payload = payload.replace(old, new)
        digest = hashlib.sha256(f"{kind}\n{payload}".encode())
        for (item,) in connection.execute("SELECT item FROM job_items WHERE job = ? ORDER BY i", (seq,)):
            digest.update(b"\n" + item.encode())
        connection.execute(
            "UPDATE jobs SET payload = ?, payload_hash = ? WHERE seq = ?",
            (payload, known and digest.hexdigest(), seq),
        )


_ROWS = ("explanations", "scores", "configs")


def _kinds_and_held_out(connection: sqlite3.Connection) -> None:
    """The one change of rows that were never to change: without their triggers, which come back unchanged."""
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (?, ?, ?)", _ROWS
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements(_FAILURES):
        connection.execute(statement)
    _kinds_of_old_failures(connection)
    _held_out(connection)
    for _, sql in triggers:
        connection.execute(sql)


_ABOVE_FLOOR = """
ALTER TABLE scores ADD COLUMN above_low REAL;           -- 95 % interval of the value less the floor, on the same examples;
ALTER TABLE scores ADD COLUMN above_high REAL;          -- NULL also in scores from before
"""


_TIME_RUN = """
ALTER TABLE jobs ADD COLUMN ran REAL;       -- seconds that it ran, over all claims that have ended; NULL where unknown
ALTER TABLE jobs ADD COLUMN claimed REAL;   -- when the claim that holds began, in seconds since the epoch
UPDATE jobs SET ran = 0 WHERE claims = 0;
UPDATE jobs SET ran = (julianday(finished) - julianday(started)) * 86400 WHERE claims = 1 AND finished IS NOT NULL;
-- Cancelled while it waited again: until its process was last heard of.
UPDATE jobs SET ran = max(0, heartbeat - (julianday(started) - 2440587.5) * 86400)
    WHERE claims = 1 AND state = 'cancelled' AND NOT cancel;
"""


_COLLECTIONS = """
CREATE TABLE collections (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL
);
CREATE TABLE members (                      -- features of collections
    collection INTEGER NOT NULL REFERENCES collections (seq),
    coder TEXT NOT NULL,
    latent INTEGER NOT NULL CHECK (latent >= 0),
    note TEXT NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (collection, coder, latent)
) WITHOUT ROWID;
CREATE INDEX members_by_latent ON members (coder, latent);
"""


_SETTINGS = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;   -- of the store, for all who look at it
"""


_MARKS = """
ALTER TABLE jobs ADD COLUMN mark TEXT;      -- that a user queued it, see jobs/marks.py; NULL from before
"""


def statements(script: str) -> Iterator[str]:
    """The statements of a script. `executescript` would commit before it starts."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError(f"unfinished statement: {statement!r}")


Migration = str | Callable[[sqlite3.Connection], None]

MIGRATIONS: tuple[Migration, ...] = (
    _EXPLANATIONS,
    _JOBS,
    _MORE_OF_SCORES,
    _FLOORS,
    _kinds_and_held_out,
    _ABOVE_FLOOR,
    _TIME_RUN,
    _COLLECTIONS,
    AUDITS,
    _SETTINGS,
    _MARKS,
)
VERSION = len(MIGRATIONS)
