"""The tables of audits: see `autointerp.ratings` for what they hold.

Items name explanations by their ids, not by rows: an audit made on another copy of the store may be about explanations that
this copy lacks. A rating takes its place in the line of answers to one question, `version`: the last one holds, unless it takes
its predecessor back. The unique index is what keeps two processes from answering the same question side by side.
"""

from autointerp.store.annotations.triggers import immutable

AUDITS = f"""
CREATE TABLE audits (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,            -- ULID
    name TEXT NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    purpose TEXT NOT NULL,
    tasks TEXT NOT NULL,                -- JSON list
    seed INTEGER NOT NULL,
    strata TEXT NOT NULL,               -- JSON list of objects
    config TEXT NOT NULL,               -- JSON
    store TEXT NOT NULL                 -- JSON: fingerprints
);

CREATE TABLE audit_items (
    audit INTEGER NOT NULL REFERENCES audits (seq),
    i INTEGER NOT NULL,
    coder TEXT NOT NULL,
    latent INTEGER NOT NULL CHECK (latent >= 0),
    explanation_id TEXT NOT NULL,
    text_id TEXT NOT NULL,
    text TEXT NOT NULL,
    stratum INTEGER,                    -- NULL: a control
    scores TEXT NOT NULL,               -- JSON: by kind of score
    PRIMARY KEY (audit, i)
) WITHOUT ROWID;
CREATE INDEX audit_items_by_latent ON audit_items (coder, latent);

CREATE TABLE ratings (
    seq INTEGER PRIMARY KEY,            -- order of arrival
    id TEXT NOT NULL UNIQUE,            -- ULID
    audit INTEGER NOT NULL,
    item INTEGER NOT NULL,
    rater TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('rater', 'adjudicator')),
    round INTEGER NOT NULL CHECK (round >= 0),
    task TEXT NOT NULL,
    version INTEGER NOT NULL,           -- from 0, in the line of answers to this question
    verdict TEXT,
    confidence INTEGER,
    note TEXT NOT NULL,
    tags TEXT NOT NULL,                 -- JSON list
    skipped INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,         -- takes the version before back
    revises TEXT,                       -- id
    revealed INTEGER NOT NULL,          -- after a look at what is hidden
    judged TEXT NOT NULL,               -- JSON list of objects
    seconds REAL,
    created TEXT NOT NULL,
    FOREIGN KEY (audit, item) REFERENCES audit_items (audit, i)
);
-- The adjudicated verdict is one for all, whoever enters it.
CREATE UNIQUE INDEX ratings_by_question
    ON ratings (audit, item, task, round, role, iif(role = 'adjudicator', '', rater), version);

{immutable("audits", "id = NEW.id OR seq = NEW.seq")}
{immutable("audit_items", "audit = NEW.audit AND i = NEW.i")}
{immutable("ratings", "id = NEW.id OR seq = NEW.seq")}
"""
