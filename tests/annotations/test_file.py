"""The file itself: migrations, versions, permissions, full disks, immutability, many processes."""

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import StoreBusy, StoreDamaged, StoreReadOnly, StoreTooNew
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.store.annotations import Annotations
from autointerp.store.annotations.database import FILE, migrate
from autointerp.store.annotations.schema import MIGRATIONS, VERSION


def explain(latent: int, text: str = "text") -> Explanation:
    return Explanation(coder="sae", latent=latent, text=text, explainer="pattern")


def file_of_version(folder: Path, version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    migrate(connection, MIGRATIONS[:version])
    return connection


@pytest.mark.parametrize("version", range(VERSION))
def test_an_older_file_is_upgraded_with_all_its_rows(tmp_path: Path, version: int) -> None:
    with closing(file_of_version(tmp_path, version)) as old:
        if version:
            old.execute("INSERT INTO configs VALUES ('44136f', '{}')")
            old.execute(
                "INSERT INTO explanations (id, coder, latent, text, explainer, author, created, config_hash,"
                " example_ids, tokens_in, tokens_out, status) VALUES ('OLD', 'sae', 1, 'kept', 'pattern', 'ada',"
                " '2026-01-01T00:00:00.000Z', '44136f', '[]', 0, 0, 'ok')"
            )
    with Annotations(tmp_path) as annotations:
        if version:
            assert annotations.explanation("OLD").text == "kept"
        annotations.add(explain(2))
        job, _ = annotations.jobs.submit("k", {})
        assert annotations.jobs.get(job.id) == job


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with closing(file_of_version(tmp_path, 1)) as connection:
        before = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, (MIGRATIONS[0], "CREATE TABLE half (x);\nCREATE TABLE half (x);\n"))
        assert connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_newer_and_foreign_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / FILE
    with closing(file_of_version(tmp_path, VERSION)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    for read_only in (False, True):
        with pytest.raises(StoreTooNew, match="Update"):
            Annotations(tmp_path, read_only=read_only)
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE songs (name)")
    with pytest.raises(StoreDamaged, match="another program"):
        Annotations(tmp_path)
    file.write_bytes(b"not a database" * 100)
    for read_only in (False, True):
        with pytest.raises(StoreDamaged):
            Annotations(tmp_path, read_only=read_only)


def test_a_cut_file_is_an_error_with_a_name(tmp_path: Path) -> None:
    with Annotations(tmp_path) as annotations:
        annotations.add(*(explain(i, "x" * 500) for i in range(200)))
    file = tmp_path / FILE
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StoreDamaged, match="damaged"), Annotations(tmp_path) as annotations:
        list(annotations.iter_explanations("sae"))


def test_rows_cannot_be_changed_by_anyone(annotations: Annotations) -> None:
    explanation = explain(1)
    example = JudgedExample(i=0, context=0, start=0, window=8, truth=True, answer=False)
    score = Score(
        explanation_id=explanation.id, scorer="detection", judge="offline", value=0.5, judged=(example,)
    )
    annotations.replies.put("k", {}, {})
    annotations.add(explanation, score)
    with closing(sqlite3.connect(annotations.path, isolation_level=None)) as anyone:
        for table in ("explanations", "scores", "judged_examples", "replies", "configs"):
            rows = anyone.execute(f"SELECT * FROM {table}").fetchall()
            columns = [row[1] for row in anyone.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                    anyone.execute(f"UPDATE {table} SET {column} = {column}")
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                anyone.execute(f"DELETE FROM {table}")
            values = f"VALUES ({','.join('?' * len(columns))})"
            if table in ("replies", "configs"):
                anyone.execute(f"INSERT OR REPLACE INTO {table} {values}", rows[0])
            else:
                with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                    anyone.execute(f"INSERT OR REPLACE INTO {table} {values}", rows[0])
            assert anyone.execute(f"SELECT * FROM {table}").fetchall() == rows


def test_a_folder_without_write_permission_can_be_read(ordinary_folder: Path) -> None:
    with Annotations(ordinary_folder) as annotations:
        annotations.add(explain(1))
    (ordinary_folder / FILE).chmod(0o444)
    ordinary_folder.chmod(0o555)
    for asked in (False, True):
        with Annotations(ordinary_folder, read_only=asked) as annotations:
            assert annotations.read_only
            assert annotations.summary("sae").num_rows == 1
            for write in (
                lambda a: a.add(explain(2)),
                lambda a: a.unpin("sae", 1),
                lambda a: a.replies.put("k", {}, {}),
                lambda a: a.jobs.submit("kind", {}),
            ):
                with pytest.raises(StoreReadOnly, match="permissions"):
                    write(annotations)


def test_a_log_that_a_killed_writer_left_can_be_read_where_nothing_may_be_written(
    ordinary_folder: Path,
) -> None:
    """A copy of a running store, on a read-only mount."""
    copy = ordinary_folder / "copy"
    copy.mkdir()
    with Annotations(ordinary_folder) as annotations:
        annotations.add(explain(1))
        for file in ordinary_folder.glob(f"{FILE}*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
    assert (copy / f"{FILE}-wal").stat().st_size
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    for path in (*copy.iterdir(), copy):
        path.chmod(0o444 if path.is_file() else 0o555)
    for asked in (False, True):
        with Annotations(copy, read_only=asked) as annotations:
            assert annotations.read_only
            assert annotations.summary("sae").num_rows == 1
            with pytest.raises(StoreReadOnly):
                annotations.add(explain(2))
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


def test_a_folder_without_annotations_and_permission_is_empty(ordinary_folder: Path) -> None:
    ordinary_folder.chmod(0o555)
    with Annotations(ordinary_folder) as reader:
        assert reader.read_only
        assert reader.summary("sae").num_rows == 0
        assert reader.jobs.recent() == []
        with pytest.raises(StoreReadOnly):
            reader.add(explain(1))
        ordinary_folder.chmod(0o755)
        with Annotations(ordinary_folder) as writer:
            writer.add(explain(1))
            assert reader.summary("sae").num_rows == 1, "noticed without opening again"


def test_an_older_file_that_may_not_be_written_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    file_of_version(tmp_path, 1).close()
    before = (tmp_path / FILE).read_bytes()
    with Annotations(tmp_path, read_only=True) as annotations:
        assert annotations.explanations("sae", 1) == []
        assert annotations.jobs.recent() == []
        with pytest.raises(StoreReadOnly):
            annotations.add(explain(1))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(FILE, before)]


def test_read_only_reads_while_another_writes(tmp_path: Path) -> None:
    with Annotations(tmp_path) as writer, Annotations(tmp_path, read_only=True) as reader:
        for n in range(1, 4):
            writer.add(explain(n))
            assert reader.summary("sae").num_rows == n
        with pytest.raises(StoreReadOnly):
            reader.add(explain(9))


def test_a_full_disk_is_an_error_with_a_name_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Annotations(tmp_path) as annotations:
        annotations.add(explain(1))
    connect = sqlite3.connect

    def connect_to_a_full_disk(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_full_disk)
    with Annotations(tmp_path) as annotations:
        with pytest.raises(StoreReadOnly, match="full"):
            annotations.add(*(explain(i, "x" * 5000) for i in range(100)))
        assert annotations.summary("sae").num_rows == 1
        annotations.add(explain(2))
        assert annotations.summary("sae").num_rows == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_file_that_may_not_grow_is_the_same_error(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from autointerp.errors import StoreReadOnly
from autointerp.records import Explanation
from autointerp.store.annotations import Annotations
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
annotations = Annotations(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    annotations.add(*(Explanation(coder="sae", latent=i, text="x" * 9000, explainer="p") for i in range(400)))
except StoreReadOnly as error:
    sys.exit(0 if "disk space" in str(error) else 3)
sys.exit(4)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=200)
    with Annotations(tmp_path) as annotations:
        assert annotations.summary("sae").num_rows == 0
        annotations.add(explain(1))


def test_a_lock_held_too_long_is_an_error_with_a_name(tmp_path: Path) -> None:
    with (
        Annotations(tmp_path, busy_seconds=0.05) as annotations,
        closing(sqlite3.connect(annotations.path)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match=r"locked for 0\.05 s"):
            annotations.add(explain(1))
        other.execute("ROLLBACK")
        annotations.add(explain(1))


def _write_some(folder: Path, name: str, n: int) -> None:
    with Annotations(folder) as annotations:
        for i in range(n):
            explanation = Explanation(coder=name, latent=i, text=name, explainer="pattern")
            annotations.add(
                explanation,
                Score(explanation_id=explanation.id, scorer="detection", judge="offline", value=0.5),
            )


def test_many_processes_and_threads_write_at_once(tmp_path: Path) -> None:
    """All start on a folder without a file: creating and migrating is part of the race."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["autointerp.store.annotations"])
    processes = [context.Process(target=_write_some, args=(tmp_path, f"p{i}", 40)) for i in range(4)]
    for process in processes:
        process.start()
    with Annotations(tmp_path) as annotations, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: [annotations.add(explain(100 * i + j)) for j in range(25)], range(4)))
        for process in processes:
            process.join(200)
            assert process.exitcode == 0
        counts = annotations.counts()
        assert [counts[f"p{i}"]["scores"] for i in range(4)] == [40] * 4
        assert counts["sae"]["explanations"] == 100


def test_a_forked_child_uses_connections_of_its_own(annotations: Annotations) -> None:
    annotations.add(explain(1))
    pid = os.fork()
    if pid == 0:
        try:
            annotations.add(explain(2))
            os._exit(0 if annotations.summary("sae").num_rows == 2 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert annotations.summary("sae").num_rows == 2
