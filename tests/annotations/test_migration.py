"""A file written by the release before: every value is as that release read it, and work done still counts as done.

`old/format_4.zip` holds explanations of three explainers and a person, scores by every scorer and both protocols with their
judged examples, failures of several kinds, a pin, and jobs that ended well and badly; beside them what that release read.
`old/format_7.zip` is of the last release that knew no audits.
"""

import json
import os
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from autointerp.ratings import Audit, AuditItem, Rating, Stratum
from autointerp.records import Explanation, Score, canonical_json, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.store.annotations import Annotations
from autointerp.store.annotations import database as database_module
from autointerp.store.annotations.database import FILE
from autointerp.store.annotations.schema import MIGRATIONS, VERSION
from tests.explained import scores_of

FOLDER = Path(__file__).parent / "old"
OLD = FOLDER / "format_4.zip"


@pytest.fixture
def old(tmp_path: Path) -> dict[str, Any]:
    """The file, unpacked into `tmp_path`; what the release before read in it."""
    with zipfile.ZipFile(OLD) as archive:
        archive.extract(FILE, tmp_path)
        return json.loads(archive.read("read.json"))


def as_now(value: Any) -> Any:
    """What the release before read, by today's name of the protocol."""
    return json.loads(canonical_json(value).replace('"protocol":"ours"', '"protocol":"held-out"'))


def plain(record: object) -> Any:
    return json.loads(json.dumps(asdict(record)))  # type: ignore[call-overload]


NEW = {
    "reasoning",
    "parts",
    "error_kind",
    "retryable",
    "judged",
    "above_low",
    "above_high",
    "ran",
    "claimed",
    "own",
}


@pytest.mark.parametrize("read_only", [False, True])
def test_every_value_is_as_it_was(tmp_path: Path, old: dict[str, Any], read_only: bool) -> None:
    with Annotations(tmp_path, read_only=read_only) as annotations:
        explanations = list(annotations.iter_explanations("sae", failed=True))
        for made, before in zip(explanations, old["explanations"], strict=True):
            after = plain(made)
            assert {name: after[name] for name in after.keys() - NEW} == as_now(before)
            assert (after["reasoning"], after["parts"]) == (None, None)
        scores = {score.id: score for made in explanations for score in scores_of(annotations, made.id)}
        assert len(scores) == len(old["scores"])
        for before in old["scores"]:
            after = plain(scores[before["id"]])
            assert {name: after[name] for name in after.keys() - NEW} == as_now(before)
        for id_, judged in old["judged"].items():
            after = [{"score_id": id_, **example._asdict()} for example in annotations.judged(id_)]
            assert json.loads(json.dumps(after)) == judged
        pin = annotations.pinned("sae", old["pin"]["latent"])
        assert pin is not None
        assert plain(pin) == old["pin"]
        assert annotations.counts() == old["counts"]
        for job, before in zip(annotations.jobs.recent(), old["jobs"], strict=True):
            after = plain(job)
            once = job.claims == 1 and job.finished and job.started
            took = (
                once
                and (
                    datetime.fromisoformat(job.finished or "") - datetime.fromisoformat(job.started or "")
                ).total_seconds()
            )
            assert job.ran == (pytest.approx(took, abs=1e-3) if once else 0 if not job.claims else None)
            assert {name: after[name] for name in after.keys() - NEW} == as_now(before)
            items = [plain(item) for item in annotations.jobs.items(job.id)]
            assert [{n: i[n] for n in i.keys() - NEW} for i in items] == old["items"][job.id]


def test_a_job_that_waited_before_it_was_cancelled_took_what_it_ran(
    tmp_path: Path, old: dict[str, Any]
) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        ((id_, start),) = connection.execute(
            "SELECT id, (julianday(started) - 2440587.5) * 86400 FROM jobs WHERE claims = 1 AND finished IS NOT NULL LIMIT 1"
        ).fetchall()
        connection.execute(
            "UPDATE jobs SET state = 'cancelled', cancel = 0, heartbeat = ?, finished = '2099-01-01T00:00:00Z' WHERE id = ?",
            (start + 12, id_),
        )
    with Annotations(tmp_path) as annotations:
        assert annotations.jobs.get(id_).ran == pytest.approx(12, abs=1e-3)


def test_failures_of_before_have_the_kind_that_their_message_told(
    tmp_path: Path, old: dict[str, Any]
) -> None:
    with Annotations(tmp_path) as annotations:
        failed = [e for e in annotations.iter_explanations("sae", failed=True) if e.status == "failed"]
        assert {(e.error_kind, e.retryable) for e in failed if e.error_kind} == {("bad_answer", True)}
        jobs = {job.error_kind: job for job in annotations.jobs.recent() if job.error_kind}
        assert jobs.keys() == {"auth", "budget"}
        assert (jobs["auth"].retryable, jobs["budget"].retryable) == (False, True)


def test_work_done_counts_as_done(tmp_path: Path, old: dict[str, Any]) -> None:
    """A configuration of before, but for the version of prompts and rules, is what today's options say, to the letter."""
    with Annotations(tmp_path) as annotations:
        scores = [s for made in annotations.iter_explanations("sae") for s in scores_of(annotations, made.id)]
        for score in scores:
            assert score.protocol == score.config["protocol"]
            found = annotations.scored(
                "sae",
                scorer=score.scorer,
                judge=score.judge,
                config_hash=config_hash(score.config),
                failed=True,
            )
            assert score.explanation_id in found
        few: dict[str, Any] = {"n_examples": 6, "n_negatives": 6}
        for options in (
            ScoreOptions(**few),
            ScoreOptions(scorer="fuzzing", negatives=("random", "neighbours"), **few),
            ScoreOptions(scorer="surprisal", **few),
            ScoreOptions(protocol="delphi", n_examples=20, n_negatives=20),
        ):
            identity = {name: value for name, value in options.identity().items() if name != "version"}
            assert any(
                identity == {name: value for name, value in score.config.items() if name != "version"}
                for score in scores
            ), identity
        done = annotations.jobs.recent()[-1]
        again, new = annotations.jobs.submit(
            done.kind, done.payload, [item.item for item in annotations.jobs.items(done.id)]
        )
        assert new, "the old one is over"
        annotations.jobs.cancel(again.id)
        with closing(sqlite3.connect(annotations.path)) as connection:
            hashes = connection.execute(
                "SELECT count(DISTINCT payload_hash) FROM jobs WHERE id IN (?, ?)", (done.id, again.id)
            ).fetchone()
        assert hashes == (1,), "an old job is the same work as one submitted now"


def test_rows_are_protected_again(tmp_path: Path, old: dict[str, Any]) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        before = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    with Annotations(tmp_path), closing(sqlite3.connect(tmp_path / FILE)) as connection:
        after = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        assert set(before) <= set(after)
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            connection.execute("UPDATE scores SET value = 1")
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_death_in_the_middle_leaves_the_old_file(tmp_path: Path, old: dict[str, Any]) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        before = connection.execute("PRAGMA user_version").fetchone()
    step = next(i for i, migration in enumerate(MIGRATIONS) if callable(migration))

    def dies(connection: sqlite3.Connection) -> None:
        MIGRATIONS[step](connection)  # pyright: ignore[reportCallIssue]
        os._exit(9)

    pid = os.fork()
    if pid == 0:
        database_module.MIGRATIONS = (*MIGRATIONS[:step], dies, *MIGRATIONS[step + 1 :])
        try:
            Annotations(tmp_path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == before
        assert connection.execute("SELECT count(*) FROM scores WHERE protocol = 'ours'").fetchone()[0] > 0
    with Annotations(tmp_path) as annotations:
        assert annotations.counts() == old["counts"]


def test_old_and_new_rows_live_together(tmp_path: Path, old: dict[str, Any]) -> None:
    made = Explanation(
        coder="sae", latent=0, text="new", explainer="default", reasoning="first this", parts={"words": ["a"]}
    )
    score = Score(
        explanation_id=made.id, scorer="detection", judge="llm", value=None, status="failed", error="busy",
        error_kind="rate_limited", retryable=True,
    )  # fmt: skip
    with Annotations(tmp_path) as annotations:
        annotations.add(made, score)
        assert annotations.explanation(made.id) == made
        assert annotations.score(score.id) == score


def test_a_file_from_before_audits_takes_audits(tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / "format_7.zip") as archive:
        archive.extract(FILE, tmp_path)
        old = json.loads(archive.read("read.json"))
    with Annotations(tmp_path) as annotations:
        explanations = list(annotations.iter_explanations("sae", failed=True))
        assert [plain(made) for made in explanations] == old["explanations"]
        (score,) = old["scores"]
        assert plain(annotations.score(score["id"])) == score
        assert json.loads(json.dumps(annotations.judged(score["id"]))) == old["judged"]
        pin = annotations.pinned("sae", 1)
        assert pin is not None
        assert plain(pin) == old["pin"]
        assert annotations.counts() == old["counts"]
        assert [plain(job) for job in annotations.jobs.recent()] == [
            {**job, "own": False} for job in old["jobs"]
        ]
        assert annotations.audits.all() == []
        first, second = explanations[:2]
        items = (
            AuditItem(0, "sae", first.latent, first.id, first.id, first.text, 0),
            AuditItem(1, "sae", first.latent, first.id, second.id, second.text, None),
        )
        stratum = Stratum(0, "sae", None, None, 3, 1)
        audit = Audit(name="A", author="ada", tasks=("verdict",), seed=0, items=items, strata=(stratum,))
        annotations.audits.create(audit)
        annotations.audits.rate(
            Rating(audit_id=audit.id, item=0, rater="ada", task="verdict", verdict="correct")
        )
        assert annotations.audits.get(audit.id) == audit
