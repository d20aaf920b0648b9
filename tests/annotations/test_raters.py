"""Raters in several processes, and sudden deaths: no answer that was acknowledged is lost, none is there twice."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path

from autointerp.ratings import Audit, AuditItem, Rating, Stratum, Verdict
from autointerp.records import new_id
from autointerp.store.annotations import Annotations, RatingConflict
from tests.kills import N_KILLS

N_ITEMS = 40


def make(folder: Path) -> Audit:
    items = tuple(AuditItem(i, "sae", i, f"e{i}", f"e{i}", f"words {i}", 0) for i in range(N_ITEMS))
    stratum = Stratum(0, "sae", None, None, N_ITEMS, N_ITEMS)
    audit = Audit(name="A", author="x", tasks=("verdict",), seed=0, items=items, strata=(stratum,))
    with Annotations(folder) as annotations:
        annotations.audits.create(audit)
    return audit


def _rate_all(folder: Path, audit_id: str, rater: str, verdict: Verdict, ready: Barrier) -> None:
    """Every item once, each answer sent twice as by a double key press; conflicts are written to a file."""
    with Annotations(folder) as annotations:
        ready.wait()
        for item in range(N_ITEMS):
            rating = Rating(audit_id=audit_id, item=item, rater=rater, task="verdict", verdict=verdict)
            try:
                annotations.audits.rate(rating)
                annotations.audits.rate(rating)
                outcome = f"kept {rating.id}"
            except RatingConflict as conflict:
                outcome = f"lost {conflict.standing.id}"
            with (folder / f"{rater}-{verdict}.txt").open("a") as file:
                file.write(f"{item} {outcome}\n")


def test_raters_in_several_processes_and_one_in_two_tabs(tmp_path: Path) -> None:
    audit = make(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(4)
    who: list[tuple[str, Verdict]] = [
        ("Ann", "correct"),
        ("Ann", "wrong"),
        ("Ben", "correct"),
        ("Cy", "too_broad"),
    ]
    processes = [spawn.Process(target=_rate_all, args=(tmp_path, audit.id, *each, ready)) for each in who]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with Annotations(tmp_path) as annotations:
        ratings = annotations.audits.ratings(audit.id)
        assert annotations.audits.history(audit.id) == ratings
    assert Counter(rating.rater for rating in ratings) == {"Ann": N_ITEMS, "Ben": N_ITEMS, "Cy": N_ITEMS}
    assert len({(rating.rater, rating.item) for rating in ratings}) == 3 * N_ITEMS
    stored = {rating.id for rating in ratings}
    outcomes = {
        (rater, verdict): (tmp_path / f"{rater}-{verdict}.txt").read_text().splitlines()
        for rater, verdict in who
    }
    told = [line.split() for lines in outcomes.values() for line in lines]
    assert {id_ for _, said, id_ in told if said == "kept"} == stored
    assert {id_ for _, said, id_ in told if said == "lost"} <= stored, "what stands there was named"
    for tabs in zip(outcomes["Ann", "correct"], outcomes["Ann", "wrong"], strict=True):
        assert sorted(line.split()[1] for line in tabs) == ["kept", "lost"]


SCRIPT = """
import sys
from itertools import count
from autointerp.ratings import Rating
from autointerp.store.annotations import Annotations

folder, audit, rater = sys.argv[1:]
with Annotations(folder) as annotations:
    for number in count():
        standing = {rating.item: rating.id for rating in annotations.audits.ratings(audit, rater=rater)}
        item = number % 40
        rating = Rating(
            audit_id=audit, item=item, rater=rater, task="verdict", verdict="correct", revises=standing.get(item)
        )
        annotations.audits.rate(rating)
        print(rating.id, flush=True)
"""


def test_a_sudden_death_loses_no_acknowledged_answer(tmp_path: Path) -> None:
    audit = make(tmp_path)
    acknowledged: list[str] = []
    for number in range(N_KILLS):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), audit.id, f"rater {number % 2}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(5 + 7 * number % 11):
                acknowledged.append(process.stdout.readline().strip())
            os.kill(process.pid, signal.SIGKILL)
            acknowledged += process.stdout.read().split()
    with Annotations(tmp_path) as annotations:
        history = annotations.audits.history(audit.id)
        ratings = annotations.audits.ratings(audit.id)
        stored = [rating.id for rating in history]
        assert set(acknowledged) <= set(stored)
        assert len(set(stored)) == len(stored) <= len(acknowledged) + N_KILLS, "at most one in flight each"
        assert len({(rating.rater, rating.item) for rating in ratings}) == len(ratings)
        late = Rating(audit_id=audit.id, item=0, rater="late", task="verdict", verdict="wrong", id=new_id())
        annotations.audits.rate(late)
        assert annotations.audits.ratings(audit.id)[-1] == late
