"""Scores that take longer than a click: queued with it, whatever becomes of the tab."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from autointerp.embedding import embed_store
from autointerp.preferences import ENV_CONFIG
from autointerp.store.annotations import Annotations, Job
from autointerp.ui.shared import person
from tests.app.reading import draft, record, records
from tests.explained import Explained, scores_of

PATIENCE_S = 60


class HeldEmbedder:
    """Vectors of letters; texts wait until the test lets them through."""

    name = "all-MiniLM-L6-v2"
    fingerprint = "held"
    precision = "float32"
    dim = 26

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()

    def embed(self, texts: Any, progress: Any = None) -> Any:
        assert self.free.wait(PATIENCE_S)
        counts = np.array([[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def embedder(explained_store: Explained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeldEmbedder:
    """The store's windows are embedded; the embedder is not loaded yet, and holds texts back from then on."""
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))
    made = HeldEmbedder()
    embed_store(explained_store.store, made)
    made.free.clear()
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name=None, **more: made)
    return made


def page(open_page: Any, made: Explained, latent: int, panel: str) -> AppTest:
    app = open_page(made.store, "feature", coder="sae", latent=str(latent), panel=panel)
    assert not app.exception, app.exception
    return app


def click(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    assert not app.exception, app.exception


def rerun(app: AppTest) -> None:
    app.run()
    assert not app.exception, app.exception


def wait(made: Explained, condition: Any) -> list[Job]:
    """All jobs, oldest first, once the condition holds. Nobody looks at the page meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    with Annotations(made.path, read_only=True) as annotations:
        while not condition(annotations):
            assert time.monotonic() < deadline, annotations.jobs.recent()
            time.sleep(0.05)
        return list(reversed(annotations.jobs.recent()))


def scorers(made: Explained, latent: int) -> list[str]:
    """Of the newest version."""
    with Annotations(made.path, read_only=True) as annotations:
        newest = annotations.explanations("sae", latent)[0]
        return sorted(score.scorer for score in scores_of(annotations, newest.id))


def test_slow_scores_of_a_new_version_come_though_the_tab_is_closed(
    open_page, explained_store: Explained, embedder: HeldEmbedder
):
    app = page(open_page, explained_store, 1, "regenerate")
    click(app, "run_explain")
    del app  # and never looked at again
    first, follower = wait(
        explained_store, lambda a: len(a.jobs.recent()) == 2 and len(a.explanations("sae", 1)) == 2
    )
    assert (first.kind, follower.kind, follower.after) == ("explain", "score", first.id)
    assert scorers(explained_store, 1) == ["detection", "fuzzing"]
    embedder.free.set()
    wait(explained_store, lambda a: not a.jobs.active())
    assert scorers(explained_store, 1) == ["detection", "embedding", "fuzzing"]


def test_the_page_follows_them_when_it_is_still_there(
    open_page, explained_store: Explained, embedder: HeldEmbedder
):
    app = page(open_page, explained_store, 1, "regenerate")
    click(app, "run_explain")
    wait(explained_store, lambda a: len(a.jobs.active()) == 1 and len(a.explanations("sae", 1)) == 2)
    rerun(app)  # on a slow machine the click was not waited for so long
    rerun(app)
    drawn = record(app, "explanation")
    assert drawn is not None
    assert "version 2 of 2" in drawn["meta"]
    assert [row["name"] for row in drawn["scores"]] == ["Detection", "Fuzzing"]
    (strip,) = [one for one in records(app, "jobs") if one["rows"]]
    (row,) = strip["rows"]
    assert "Embedding" in row["cells"][1]["label"]
    embedder.free.set()
    wait(explained_store, lambda a: not a.jobs.active())
    rerun(app)
    rerun(app)
    drawn = record(app, "explanation")
    assert drawn is not None
    assert {row["name"] for row in drawn["scores"]} == {"Detection", "Embedding", "Fuzzing"}
    assert not [one for one in records(app, "jobs") if one["rows"]]


@pytest.mark.parametrize(("panel", "key"), [("rescore", "run_score"), ("write", "run_write")])
def test_slow_scores_are_queued_before_the_quick_ones_are_waited_for(
    open_page, explained_store: Explained, embedder: HeldEmbedder, monkeypatch: pytest.MonkeyPatch, panel: str, key: str
):  # fmt: skip
    app = page(open_page, explained_store, 1, panel)
    if panel == "write":
        draft(app, "The first half of an emoji, I think.", latent=1)
        app.text_input(key=person.KEY).set_value("Ada")

    def gone(*_: Any, **__: Any) -> None:
        st.stop()  # as when the tab is closed during the wait, which ends the page's run

    monkeypatch.setattr("autointerp.jobs.JobRunner.wait", gone)
    click(app, key)
    jobs = wait(explained_store, lambda a: len(a.jobs.active()) == 1)
    assert [[one["scorer"] for one in job.payload["score"]] for job in jobs] == [
        ["detection", "fuzzing"], ["embedding"],
    ]  # fmt: skip
    embedder.free.set()
    wait(explained_store, lambda a: not a.jobs.active())
    assert set(scorers(explained_store, 1)) >= {"detection", "embedding", "fuzzing"}
