"""Rows of the job tables to records and back."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

from autointerp.records import canonical_json
from autointerp.store.annotations.jobs.records import Claim, Job, JobItem

CHUNK = 2000
"""Items per transaction while a long job is submitted."""

COLUMNS = [field.name for field in fields(Job)]
SELECT = f"SELECT {', '.join(COLUMNS)} FROM jobs"
_ITEM_COLUMNS = [field.name for field in fields(JobItem)]
SELECT_ITEM = f"SELECT {', '.join(_ITEM_COLUMNS)} FROM job_items"
SELECT_CLAIM = f"SELECT seq, {', '.join(COLUMNS)} FROM jobs"


def chunks(iterator: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def insert_items(
    connection: sqlite3.Connection, seq: int, first: int, items: Sequence[Any], digest: "hashlib._Hash"
) -> None:
    texts = [canonical_json(item) for item in items]
    for text in texts:
        digest.update(b"\n" + text.encode())
    connection.executemany(
        "INSERT INTO job_items (job, i, item) VALUES (?, ?, ?)",
        [(seq, i, text) for i, text in enumerate(texts, first)],
    )


def to_claim(row: tuple) -> Claim:
    job = to_job(row[1:])
    return Claim(seq=row[0], number=job.claims, job=job)


def to_job(row: tuple) -> Job:
    values = dict(zip(COLUMNS, row, strict=True))
    values["payload"] = json.loads(values["payload"])
    values["cancel"], values["retryable"] = bool(values["cancel"]), bool(values["retryable"])
    return Job(**values)


def to_item(row: tuple) -> JobItem:
    values = dict(zip(_ITEM_COLUMNS, row, strict=True))
    return JobItem(**{**values, "item": json.loads(values["item"]), "retryable": bool(values["retryable"])})
