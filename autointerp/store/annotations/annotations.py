"""`Annotations`: explanations, scores, judged examples, pins, audits, collections, replies and jobs of one store."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import UnknownName, UserError
from autointerp.records import Explanation, JudgedExample, Pin, Record, Score, now
from autointerp.store.annotations import rows, shown_rule
from autointerp.store.annotations.audits import AuditTable
from autointerp.store.annotations.collections import CollectionTable
from autointerp.store.annotations.columns import EXPLANATIONS, JUDGED, SCORES
from autointerp.store.annotations.database import BUSY_SECONDS, Database
from autointerp.store.annotations.jobs.table import JobTable
from autointerp.store.annotations.replies import Replies
from autointerp.store.annotations.summary import CONFIG_DIGITS, Summaries, read_table

if TYPE_CHECKING:
    import pyarrow


class Annotations:
    """What people and jobs have written about a store's latents. Thread-safe, and safe beside other processes.

    Opens `<store>/annotations.sqlite`, creating or upgrading it. Where it cannot be written (or with `read_only`),
    `read_only` is true, everything can be read, and writes raise StoreReadOnly. Raises StoreMissing without the folder,
    StoreTooNew and StoreDamaged for files it cannot use, StoreBusy when another program holds the lock for `busy_seconds`.
    """

    def __init__(self, store: str | Path, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS):
        self._database = Database(store, read_only=read_only, busy_seconds=busy_seconds)
        self.replies = Replies(self._database)
        self.jobs = JobTable(self._database)
        self.audits = AuditTable(self._database, self._version)
        self.collections = CollectionTable(self._database)
        self._summaries = Summaries(self._database, self._version)

    @property
    def path(self) -> Path:
        return self._database.path

    @property
    def read_only(self) -> bool:
        return self._database.read_only

    def close(self) -> None:
        """Give connections back. The last one to close a store folds SQLite's log into the file."""
        self._summaries.finish_copies()
        self._database.close()

    def __enter__(self) -> "Annotations":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing -------------------------------------------------------------------------------------

    def add(self, *records: Record) -> None:
        """Store records in one transaction, all or none, scores with their judged examples.

        On return they survive a power cut. Raises UnknownName for references to what is not stored, UserError for an id
        that is, or for a record that contradicts itself.
        """
        with self._database.write(durable=True) as connection:
            rows.write(connection, records)

    def add_new(self, parts: Iterable[Sequence[Record]]) -> dict[str, int]:
        """As `add`, of a long run of records, a part at a time: all in one transaction, so none where one is refused or `parts`
        raises. Those whose id is stored already stay as they are; returns how many, as "explanations" and "scores"."""
        known = {"explanations": 0, "scores": 0}
        with self._database.write(durable=True) as connection:
            for part in parts:
                ids = json.dumps([record.id for record in part])
                stored = {
                    table: {
                        id_
                        for (id_,) in connection.execute(
                            f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (ids,)
                        )
                    }
                    for table in known
                }
                for table, there in stored.items():
                    known[table] += len(there)
                rows.write(
                    connection, [r for r in part if r.id not in stored["explanations"] | stored["scores"]]
                )
        return {table: n for table, n in known.items() if n}

    def pin(self, explanation_id: str, *, author: str) -> None:
        """Show this explanation for its latent. Raises UnknownName, or UserError for a failed one."""
        with self._database.write(durable=True) as connection:
            row = connection.execute(
                "SELECT seq, coder, latent, status FROM explanations WHERE id = ?", (explanation_id,)
            ).fetchone()
            if row is None:
                raise UnknownName("explanation", explanation_id, [])
            seq, coder, latent, status = row
            if status != "ok":
                raise UserError("a failed explanation cannot be pinned; pin one with a text")
            connection.execute(
                "INSERT INTO pins VALUES (:coder, :latent, :seq, :author, :now) ON CONFLICT (coder, latent) DO UPDATE"
                " SET explanation = :seq, author = :author, created = :now",
                {"coder": coder, "latent": latent, "seq": seq, "author": author, "now": now()},
            )
            rows.bump(connection, [coder])

    def unpin(self, coder: str, latent: int) -> None:
        """Show what `shown_by` chooses again. Does nothing where nothing is pinned."""
        with self._database.write(durable=True) as connection:
            connection.execute("DELETE FROM pins WHERE coder = ? AND latent = ?", (coder, latent))
            rows.bump(connection, [coder])

    def show_by(self, rule: str) -> None:
        """Show of each latent the version with the best lower bound by this scorer, or `shown_rule.NEWEST`; pins stay."""
        with self._database.write(durable=True) as connection:
            shown_rule.write(connection, rule)

    @property
    def shown_by(self) -> str:
        """The scorer that chooses which version is shown, or `shown_rule.NEWEST`."""
        with self._database.read() as connection:
            return shown_rule.read(connection)

    # One latent ----------------------------------------------------------------------------------

    def explanation(self, explanation_id: str) -> Explanation:
        """Raises UnknownName."""
        explanations = self._explanations("WHERE e.id = ?", (explanation_id,))
        if not explanations:
            raise UnknownName("explanation", explanation_id, [])
        return explanations[0]

    def explanations_of(self, explanation_ids: Sequence[str]) -> list[Explanation]:
        """Those among these ids that exist, in this order."""
        ids = json.dumps(list(explanation_ids))
        explanations = self._explanations("WHERE e.id IN (SELECT value FROM json_each(?))", (ids,))
        by_id = {explanation.id: explanation for explanation in explanations}
        return [by_id[id_] for id_ in explanation_ids if id_ in by_id]

    def explanations(self, coder: str, latent: int, *, failed: bool = True) -> list[Explanation]:
        """All versions, newest first."""
        return self._explanations(
            "WHERE e.coder = ? AND e.latent = ? AND (? OR e.status = 'ok') ORDER BY e.seq DESC",
            (coder, latent, failed),
        )

    def shown(self, coder: str, latent: int) -> Explanation | None:
        """The version that stands for the latent, see `shown_rule`."""
        rule = shown_rule.SHOWN.format(coder="?1", latent="?2")
        explanations = self._explanations(f"WHERE e.seq = {rule}", (coder, latent))
        return explanations[0] if explanations else None

    def _explanations(self, where: str, parameters: tuple) -> list[Explanation]:
        with self._database.read() as connection:
            rows_ = connection.execute(EXPLANATIONS.select + where, parameters).fetchall()
        return EXPLANATIONS.records(Explanation, rows_)

    def pinned(self, coder: str, latent: int) -> Pin | None:
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT e.id, p.author, p.created FROM pins p JOIN explanations e ON e.seq = p.explanation"
                " WHERE p.coder = ? AND p.latent = ?",
                (coder, latent),
            ).fetchone()
        if row is None:
            return None
        return Pin(coder=coder, latent=latent, explanation_id=row[0], author=row[1], created=row[2])

    def scores_of_latent(self, coder: str, latent: int) -> list[Score]:
        """All scores of all explanations of one latent, newest first, failed ones too."""
        return self._scores("WHERE e.coder = ? AND e.latent = ?", (coder, latent))

    def scored_since(self, explanation_id: str, since: str) -> set[str]:
        """Hashes of the configurations of its good scores made at `since` (as `created`) or later."""
        with self._database.read() as connection:
            hashes = connection.execute(
                "SELECT s.config_hash FROM scores s JOIN explanations e ON e.seq = s.explanation"
                " WHERE e.id = ? AND s.status = 'ok' AND s.created >= ?",
                (explanation_id, since),
            ).fetchall()
        return {hash_ for (hash_,) in hashes}

    def floor_used(self, explanation_id: str, hash_: str) -> Explanation | None:
        """The floor's explanation in its newest good score of this configuration."""
        explanations = self._explanations(
            "WHERE e.seq = (SELECT floor_explanation FROM scores WHERE explanation ="
            " (SELECT seq FROM explanations WHERE id = ?) AND config_hash = ? AND status = 'ok'"
            " AND floor_explanation IS NOT NULL ORDER BY seq DESC LIMIT 1)",
            (explanation_id, hash_),
        )
        return explanations[0] if explanations else None

    def score(self, score_id: str) -> Score:
        """Raises UnknownName."""
        scores = self._scores("WHERE s.id = ?", (score_id,))
        if not scores:
            raise UnknownName("score", score_id, [])
        return scores[0]

    def _scores(self, where: str, parameters: tuple) -> list[Score]:
        with self._database.read() as connection:
            rows_ = connection.execute(f"{SCORES.select} {where} ORDER BY s.seq DESC", parameters).fetchall()
        return SCORES.records(Score, rows_)

    def judged(self, score_id: str) -> tuple[JudgedExample, ...]:
        """The judged examples of one score, in the order they were judged."""
        with self._database.read() as connection:
            rows_ = connection.execute(f"{JUDGED.select} WHERE s.id = ? ORDER BY j.i", (score_id,)).fetchall()
        return tuple(JUDGED.records(JudgedExample, rows_))

    # Many latents --------------------------------------------------------------------------------

    def iter_explanations(
        self, coder: str, *, explainer: str | None = None, failed: bool = False, page: int = 1000
    ) -> Iterator[Explanation]:
        """All explanations of a coder in order of arrival, a page at a time, so memory is bounded.

        Those added meanwhile come too; no transaction stays open between pages.
        """
        seq = 0
        while True:
            with self._database.read() as connection:
                rows_ = connection.execute(
                    EXPLANATIONS.select
                    + "WHERE e.seq IN (SELECT seq FROM explanations WHERE coder = :coder AND seq > :seq"
                    " AND (:explainer IS NULL OR explainer = :explainer) AND (:failed OR status = 'ok')"
                    " ORDER BY seq LIMIT :page) ORDER BY e.seq",
                    {"coder": coder, "seq": seq, "explainer": explainer, "failed": failed, "page": page},
                ).fetchall()
                explanations = EXPLANATIONS.records(Explanation, rows_)
                if not explanations:
                    return
                (seq,) = connection.execute(
                    "SELECT seq FROM explanations WHERE id = ?", (explanations[-1].id,)
                ).fetchone()
            yield from explanations

    def explained(self, coder: str, *, explainer: str, config_hash: str) -> dict[int, str]:
        """Latents that have a good explanation of this very configuration, with the newest one's id: what a batch skips."""
        with self._database.read() as connection:
            return {
                latent: id_
                for latent, id_, _ in connection.execute(
                    "SELECT latent, id, max(seq) FROM explanations WHERE coder = ? AND explainer = ?"
                    " AND config_hash = ? AND status = 'ok' GROUP BY latent",
                    (coder, explainer, config_hash),
                )
            }

    def untried(self, coder: str) -> dict[int, str]:
        """By latent, the newest good explanation where the scorer that chooses what is shown has not judged it, and nothing is
        pinned: until it is scored, an older one may be shown."""
        with self._database.read() as connection:
            return dict(connection.execute(shown_rule.UNTRIED, {"coder": coder}))

    def newest_explanations(self, coder: str, *, explainer: str) -> dict[int, tuple[str, str]]:
        """By latent, id and text of its newest good explanation by this explainer."""
        with self._database.read() as connection:
            return {
                latent: (id_, text)
                for latent, id_, text, _ in connection.execute(
                    "SELECT latent, id, text, max(seq) FROM explanations WHERE coder = ? AND explainer = ?"
                    " AND status = 'ok' GROUP BY latent",
                    (coder, explainer),
                )
            }

    def scored(
        self, coder: str, *, scorer: str, judge: str, config_hash: str, failed: bool = False
    ) -> set[str]:
        """Ids of a coder's explanations that have a good score of this very configuration, with `failed` a failed one too."""
        with self._database.read() as connection:
            return {
                id_
                for (id_,) in connection.execute(
                    "SELECT DISTINCT e.id FROM explanations e JOIN scores s ON s.explanation = e.seq WHERE e.coder = ?"
                    " AND s.scorer = ? AND s.judge = ? AND s.config_hash = ? AND (? OR s.status = 'ok')",
                    (coder, scorer, judge, config_hash, failed),
                )
            }

    def newest_scores(self, coder: str, *, scorer: str, judge: str, config_hash: str) -> dict[str, Score]:
        """By explanation its newest good score of this very configuration."""
        scores = self._scores(
            "WHERE s.seq IN (SELECT max(s.seq) FROM explanations e JOIN scores s ON s.explanation = e.seq WHERE e.coder = ?"
            " AND s.scorer = ? AND s.judge = ? AND s.config_hash = ? AND s.status = 'ok' GROUP BY e.seq)",
            (coder, scorer, judge, config_hash),
        )
        return {score.explanation_id: score for score in scores}

    def latest(self, limit: int = 10) -> list[Explanation]:
        """The newest good explanations of any latent, newest first."""
        return self._explanations("WHERE e.status = 'ok' ORDER BY e.seq DESC LIMIT ?", (limit,))

    def summary(self, coder: str) -> "pyarrow.Table":
        """One row per explained latent, ascending: `latent, explanation_id, text, explainer, model, author, created,
        pinned, n_explanations` of the shown explanation. Cached until the coder's annotations change."""
        return self._summaries.table("explanations", coder)

    def configs(self, digits: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Configurations by the first digits of their hashes, as in `score_summary`."""
        with self._database.read() as connection:
            stored = connection.execute(
                f"SELECT substr(hash, 1, {CONFIG_DIGITS}), config FROM configs"
                f" WHERE substr(hash, 1, {CONFIG_DIGITS}) IN (SELECT value FROM json_each(?))",
                (json.dumps(list(digits)),),
            ).fetchall()
        return {start: json.loads(config) for start, config in stored}

    def score_summary(self, coder: str) -> "pyarrow.Table":
        """The newest good score per explanation, scorer, judge, model, protocol, negatives and configuration: `latent,
        explanation_id, shown, explainer, score_id, scorer, judge, model, protocol, negatives, metric, value, ci_low, ci_high,
        n_pos, n_neg, unparsed, floor, above_low, config, made_by`. Cached until the coder's annotations change."""
        return self._summaries.table("scores", coder)

    def table(self, name: str) -> "pyarrow.Table":
        """Every row of a table for SQL, failed ones and replaced answers too; see `summary.read_table`."""
        with self._database.read() as connection:
            return read_table(connection, name)

    def failure_summary(self, coder: str) -> "pyarrow.Table":
        """One row per latent with failed attempts at an explanation, whether a good one exists or not: `latent, error,
        error_kind, retryable, created` of the newest attempt, `n_failed`. Cached until the coder's annotations change."""
        return self._summaries.table("failures", coder)

    def read_summaries(self, coder: str) -> None:
        """Read all three, or bring them up to date: large ones then have copies that the next process maps."""
        for read in (self.summary, self.score_summary, self.failure_summary):
            read(coder)

    def counts(self) -> dict[str, dict[str, int]]:
        """Per coder, how many rows it has: `explanations`, `failed_explanations`, `latents` (explained), `scores`,
        `failed_scores`."""
        counted: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            for coder, *numbers in connection.execute(
                "SELECT coder, sum(status = 'ok'), sum(status = 'failed'),"
                " count(DISTINCT CASE WHEN status = 'ok' THEN latent END) FROM explanations GROUP BY coder"
            ):
                names = ("explanations", "failed_explanations", "latents")
                counted[coder] = {**dict(zip(names, numbers, strict=True)), "scores": 0, "failed_scores": 0}
            for coder, good, failed in connection.execute(
                "SELECT e.coder, sum(s.status = 'ok'), sum(s.status = 'failed')"
                " FROM scores s JOIN explanations e ON e.seq = s.explanation GROUP BY e.coder"
            ):
                counted[coder] |= {"scores": good, "failed_scores": failed}
        return counted

    def damage(self) -> list[str]:
        """What SQLite finds wrong with its file, reading all of it; empty for a whole one. Raises StoreDamaged for one that
        cannot be read at all."""
        with self._database.read() as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
            loose = connection.execute("PRAGMA foreign_key_check").fetchmany(10)
        problems += [
            f"a row of {table} names a row of {parent} that does not exist" for table, _, parent, _ in loose
        ]
        return [
            f"{str(self.path)!r} is damaged ({text}). Restore it from a copy."
            for text in problems
            if text != "ok"
        ]

    def version(self, coder: str) -> int:
        """A number that grows with every change of this coder's annotations, the same for every process."""
        with self._database.read() as connection:
            return self._version(connection, coder)

    @staticmethod
    def _version(connection: sqlite3.Connection, coder: str) -> int:
        row = connection.execute("SELECT version FROM versions WHERE coder = ?", (coder,)).fetchone()
        return 0 if row is None else row[0]
