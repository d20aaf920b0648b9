"""Explanations embedded before they are searched: how many are, in batches that are kept, by a job that stops and goes on."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.embedding import Coverage, StoreEmbedder, coverage, embed_explanations, search_explanations
from autointerp.embedding.search import KEYWORD_WEIGHT
from autointerp.errors import StoreReadOnly
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import embed_explanations_job, job_kinds
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress
from tests.embedding.conftest import HashEmbedder


def write(annotations: Annotations, coder: str, texts: list[str], first: int = 0) -> None:
    annotations.add(
        *(
            Explanation(coder=coder, latent=first + i, text=text, explainer="pattern")
            for i, text in enumerate(texts)
        )
    )


def texts_of(n: int) -> list[str]:
    return [f"Fires on word {i}." for i in range(n)]


@pytest.fixture
def annotations(tiny_store: Store) -> Annotations:
    return Annotations(tiny_store.path)


def ranked(annotations: Annotations, known: StoreEmbedder, query: str, **more: Any) -> list[tuple[str, int]]:
    hits = search_explanations(annotations, known, ["sae", "transcoder"], query, **more)
    return [(hit.coder, hit.latent) for hit in hits]


def test_what_is_embedded_is_counted(tiny_store: Store, annotations: Annotations, hashed: HashEmbedder):
    known = StoreEmbedder(tiny_store, hashed)
    both = ["sae", "transcoder"]
    assert coverage(annotations, known, both) == Coverage(0, 0, 0)
    write(annotations, "sae", ["a" * 10, "b" * 5000, "a" * 10])
    write(annotations, "transcoder", ["c"])
    before = coverage(annotations, known, both)
    assert (before.embedded, before.total, before.missing) == (0, 4, 4)
    assert before.characters == 10 + 1000 + 10 + 1
    assert hashed.asked == []
    StoreEmbedder(tiny_store, hashed).embed_queries(["a" * 10])  # as another process does
    after = coverage(annotations, known, both)
    assert (after.embedded, after.missing, after.characters) == (2, 2, 1001)
    assert coverage(annotations, known, ["transcoder"]).embedded == 0
    hashed.asked.clear()
    assert embed_explanations(annotations, known, both) == 2
    assert sorted(hashed.asked) == ["b" * 5000, "c"]
    assert coverage(annotations, known, both).missing == 0
    assert embed_explanations(annotations, known, both) == 0


def test_only_what_is_embedded_is_searched_until_it_is(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder
):
    known = StoreEmbedder(tiny_store, hashed)
    write(annotations, "sae", texts_of(6))
    write(annotations, "transcoder", ["Fires on word 9."])
    known.embed_queries(["Fires on word 2.", "Fires on word 5."])
    hashed.asked.clear()
    query = "Fires on word 5."
    part: dict[str, Any] = {"embed_missing": False, "mode": "semantic"}
    assert ranked(annotations, known, query, **part) == [("sae", 5), ("sae", 2)]
    hit = search_explanations(annotations, known, ["sae"], query, **part)[0]
    assert hit.score == pytest.approx(1, abs=1e-3)
    # By their words the others are found all the same, after what is near in meaning too.
    both = search_explanations(annotations, known, ["sae"], "word 3.", embed_missing=False, mode="hybrid")
    assert {hit.latent for hit in both} == set(range(6))
    score = next(hit.score for hit in both if hit.latent == 3)
    assert score == pytest.approx(KEYWORD_WEIGHT)  # no cosine
    assert "Fires on word 3." not in hashed.asked
    assert ranked(annotations, known, query, mode="semantic")[0] == ("sae", 5)
    assert len(ranked(annotations, known, query, mode="semantic")) == 7
    assert len(ranked(annotations, known, query, **part)) == 7


def test_new_texts_do_not_cost_the_old_ones(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    known = StoreEmbedder(tiny_store, hashed)
    write(annotations, "sae", texts_of(7))
    embed_explanations(annotations, known, ["sae"])
    coverage(annotations, known, ["sae"])
    looked: list[str] = []
    find = known.texts.find
    monkeypatch.setattr(known.texts, "find", lambda texts: (looked.extend(texts), find(texts))[1])
    write(annotations, "sae", ["Another text."], first=3)
    assert coverage(annotations, known, ["sae"]).missing == 1
    assert looked == ["Another text."]
    assert coverage(annotations, known, ["sae"]).missing == 1
    assert looked == ["Another text."]  # nothing has been added since
    assert ranked(annotations, known, "Another text.", mode="semantic")[0] == ("sae", 3)


class Stop(Exception):
    pass


def test_a_stop_keeps_what_was_embedded(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autointerp.embedding.lookup.BATCH", 10)
    known = StoreEmbedder(tiny_store, hashed)
    write(annotations, "sae", texts_of(60))
    reports: list[Progress] = []

    def progress(step: Progress) -> None:
        reports.append(step)
        if step.done >= 35:
            raise Stop

    with pytest.raises(Stop):
        embed_explanations(annotations, known, ["sae"], progress=progress)
    assert coverage(annotations, known, ["sae"]).embedded == 30
    assert [step.done for step in reports] == sorted(step.done for step in reports)
    assert {(step.total, step.unit) for step in reports} == {(60, "texts")}
    hashed.asked.clear()
    assert embed_explanations(annotations, known, ["sae"]) == 30
    assert len(hashed.asked) == 30


def test_where_nothing_can_be_kept_it_says_so(
    tiny_store: Store, annotations: Annotations, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    known = StoreEmbedder(tiny_store, hashed)
    write(annotations, "sae", ["a"])
    monkeypatch.setattr(known.texts, "put", lambda vectors: False)
    with pytest.raises(StoreReadOnly, match="cannot be written"):
        embed_explanations(annotations, known, ["sae"])
    assert ranked(annotations, known, "a", mode="semantic") == [("sae", 0)]  # a search goes on from memory


# The job -----------------------------------------------------------------------------------------


class Held(HashEmbedder):
    """As the default embedder, which reports all the time. After `limit` texts it waits, until it is told to stop."""

    limit = sys.maxsize
    n_texts = 0
    never = threading.Event()

    def embed(self, texts: Any, progress: Any = lambda _: None) -> Any:
        for i in range(len(texts)):
            while self.n_texts >= self.limit:
                self.never.wait(0.005)
                progress(Progress("embed", i, len(texts), "texts"))
            self.n_texts += 1
            progress(Progress("embed", i + 1, len(texts), "texts"))
        return super().embed(texts)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    made = Held()
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name=None, **more: made)
    monkeypatch.setattr("autointerp.embedding.lookup.BATCH", 40)
    return made


def test_the_job_tells_how_far_it_is_stops_soon_and_goes_on(
    tiny_store: Store, annotations: Annotations, held: Held
):
    write(annotations, "sae", texts_of(400))
    resources = Resources(tiny_store, annotations)
    known = resources.embedder("hash")
    with JobRunner(annotations, job_kinds(resources), poll_seconds=0.02, beat_seconds=0.05) as runner:
        held.limit = 110
        job = runner.submit(**embed_explanations_job(["sae"], "hash"))
        assert runner.submit(**embed_explanations_job(["sae"], "hash")).id == job.id
        deadline = time.monotonic() + 60
        while (annotations.jobs.get(job.id).stage_done or 0) < 100:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        now = annotations.jobs.get(job.id)
        assert (now.stage, now.stage_total, now.stage_unit) == ("embed", 400, "texts")
        assert 0 < now.fraction < 1
        annotations.jobs.cancel(job.id)
        assert runner.wait(job.id, timeout=60).state == "cancelled"
        held.limit = sys.maxsize
        kept = coverage(annotations, known, ["sae"]).embedded
        assert kept == 80
        held.asked.clear()
        runner.retry(job.id)
        assert runner.wait(job.id, timeout=120).state == "done"
    assert len(held.asked) == 400 - kept
    assert coverage(annotations, known, ["sae"]).missing == 0


def _embed_in_a_process(path: Path) -> None:
    import autointerp.embedding
    import autointerp.embedding.lookup

    made = Held()
    made.limit = 130
    autointerp.embedding.load_embedder = lambda name="", **more: made
    autointerp.embedding.lookup.BATCH = 40
    with Annotations(path) as annotations:
        resources = Resources(Store.open(path), annotations)
        JobRunner(annotations, job_kinds(resources)).run(**embed_explanations_job(["sae"], "hash"))


def test_a_killed_job_is_continued(tiny_store: Store, annotations: Annotations, held: Held):
    write(annotations, "sae", texts_of(400))
    process = multiprocessing.get_context("spawn").Process(
        target=_embed_in_a_process, args=(tiny_store.path,)
    )
    process.start()
    resources = Resources(tiny_store, annotations)
    known = resources.embedder("hash")
    deadline = time.monotonic() + 60
    while coverage(annotations, known, ["sae"]).embedded < 80:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = coverage(annotations, known, ["sae"]).embedded
    assert kept in (80, 120)
    job = annotations.jobs.active()[0]
    ended = JobRunner(annotations, job_kinds(resources)).run_job(job.id)
    assert (ended.state, ended.n_failed) == ("done", 0)
    assert len(held.asked) == 400 - kept
    assert coverage(annotations, known, ["sae"]).missing == 0


def test_the_real_embedder_finds_the_same_either_way(
    tiny_store: Store, annotations: Annotations, minilm: Any
):
    write(annotations, "sae", ["Names of months and days.", "Closing brackets.", "Cats and kittens."])
    ahead = StoreEmbedder(tiny_store, minilm)
    embed_explanations(annotations, ahead, ["sae"])
    hits = search_explanations(annotations, ahead, ["sae"], "felines", mode="semantic", embed_missing=False)
    assert hits[0].latent == 2
    later = StoreEmbedder(tiny_store, minilm)
    again = search_explanations(annotations, later, ["sae"], "felines", mode="semantic")
    assert np.allclose([hit.score for hit in hits], [hit.score for hit in again])
