"""Jobs that somebody else queued wait until this user resumes them; who opens a store does nothing that its maker asked for."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autointerp import settings
from autointerp.errors import UserError
from autointerp.jobs import JobKind, JobRunner, Outcome
from autointerp.store.annotations import Annotations, NewJob
from autointerp.store.annotations.database import FILE
from autointerp.store.annotations.jobs import marks


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a named person the one who runs this process."""

    def become(name: str) -> None:
        monkeypatch.setenv(settings.ENV_CONFIG, str(tmp_path / name / "settings.json"))

    become("stranger")
    return become


def runner(annotations: Annotations, did: list[Any]) -> JobRunner:
    return JobRunner(annotations, [JobKind("toy", lambda payload, item, context: did.append(item))])


def test_what_a_stranger_queued_waits_for_a_word(store: Path, user: Callable[[str], None]):
    with Annotations(store) as annotations:
        theirs, _ = annotations.jobs.submit("toy", {"of": "stranger"}, [1, 2])
        assert theirs.own
        assert not theirs.is_parked
    user("owner")
    did: list[Any] = []
    with Annotations(store) as annotations, runner(annotations, did) as running:
        mine = running.submit("toy", {"of": "owner"}, [3])
        assert running.wait(mine.id, timeout=60).state == "done"
        waiting = annotations.jobs.get(theirs.id)
        assert (waiting.state, waiting.is_parked) == ("queued", True)
        assert annotations.jobs.active() == []
        assert theirs.id in [job.id for job in annotations.jobs.recent(states=["queued"])]
        assert not annotations.jobs.has_work(["toy"])
        with pytest.raises(UserError, match="queued elsewhere"):
            running.run_job(theirs.id)
        assert did == [3]
        assert running.retry(theirs.id).own
        assert running.wait(theirs.id, timeout=60).state == "done"
        assert did == [3, 1, 2]


def test_a_job_that_was_changed_waits_too(store: Path, user: Callable[[str], None]):
    """The mark is of what the job does: the stranger changes a waiting one of the owner's, or copies its mark."""
    user("owner")
    with Annotations(store) as annotations:
        first, _ = annotations.jobs.submit("toy", {"server": "mine"}, [1])
        second, _ = annotations.jobs.submit("toy", {"server": "mine too"}, [1])
    with closing(sqlite3.connect(store / FILE)) as connection, connection:
        connection.execute('UPDATE jobs SET payload = \'{"server":"theirs"}\' WHERE id = ?', (first.id,))
        connection.execute(
            "UPDATE jobs SET mark = (SELECT mark FROM jobs WHERE id = ?) WHERE id = ?", (first.id, second.id)
        )
    with Annotations(store) as annotations:
        assert [job.is_parked for job in annotations.jobs.recent()] == [True, True]
        assert annotations.jobs.claim("owner 1 2 3", ["toy"]) is None


def test_running_jobs_of_a_stranger_come_back_paused(store: Path, user: Callable[[str], None]):
    with Annotations(store) as annotations:
        job, _ = annotations.jobs.submit("toy", {}, [1], owner="elsewhere 1 2 3")
    for heartbeat in (0.0, 1e12):  # long ago; a time that never comes
        with closing(sqlite3.connect(store / FILE)) as connection, connection:
            connection.execute("UPDATE jobs SET state = 'running', heartbeat = ?", (heartbeat,))
        user("owner")
        with Annotations(store) as annotations:
            annotations.jobs.recover()
            assert annotations.jobs.get(job.id).is_parked


def test_the_same_work_takes_the_place_of_what_a_stranger_queued(store: Path, user: Callable[[str], None]):
    """Its hash may be the stranger's invention."""
    with Annotations(store) as annotations:
        theirs, _ = annotations.jobs.submit("toy", {"a": 1}, [1, 2])
    user("owner")
    did: list[Any] = []
    with Annotations(store) as annotations:
        job = runner(annotations, did).run("toy", {"a": 1}, [1, 2])
        assert (job.state, did) == ("done", [1, 2])
        assert job.id != theirs.id
        assert annotations.jobs.get(theirs.id).state == "cancelled"


def test_what_follows_from_ones_own_job_is_ones_own(store: Path, user: Callable[[str], None]):
    user("owner")
    did: list[Any] = []

    def handler(payload: Any, item: Any, context: Any) -> Outcome:
        did.append(item)
        return Outcome(follow=(NewJob(kind="toy", payload={}, items=["next"]),) if item == "first" else ())

    with Annotations(store) as annotations, JobRunner(annotations, [JobKind("toy", handler)]) as running:
        first = running.submit("toy", {"first": True}, ["first"])
        running.wait(first.id, timeout=60)
        (second,) = annotations.jobs.followers(first.id)
        assert running.wait(second.id, timeout=60).state == "done"
    assert did == ["first", "next"]


def test_a_secret_is_made_once_and_its_loss_costs_only_a_word(
    tmp_path: Path, user: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    user("owner")
    before = marks.mark("id", "toy", "{}")
    path = tmp_path / "owner" / "jobs.key"
    assert path.stat().st_mode & 0o77 == 0
    marks._secret.cache_clear()
    assert marks.mark("id", "toy", "{}") == before
    for damage in (b"", b"short", b"x" * 100):
        path.write_bytes(damage)
        marks._secret.cache_clear()
        assert marks.mark("id", "toy", "{}") != before
        assert len(path.read_bytes()) == 32
    user("visitor")
    monkeypatch.setenv(settings.ENV_READ_ONLY, "1")
    marks.mark("id", "toy", "{}")
    assert not (tmp_path / "visitor").exists(), "looking writes nothing"
