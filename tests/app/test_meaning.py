"""Search of explanations by meaning while not all of them are embedded: what the page says, starts and finds."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from autointerp.embedding import StoreEmbedder, embed_explanations
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress
from tests.app.reading import messages, records
from tests.app.test_features_list import latents, listed
from tests.explained import Explained


class GatedEmbedder:
    """Vectors of letters. More than a handful of texts are embedded one by one, each once the test allows it."""

    name = "all-MiniLM-L6-v2"
    fingerprint = "gated"
    precision = "float32"
    dim = 26

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.in_pages: list[int] = []
        """How many texts at once were embedded outside of jobs."""

    def embed(self, texts: Any, progress: Any = None) -> Any:
        if threading.current_thread().name.startswith("job-"):
            for i in range(len(texts)):
                while not self.allowed.acquire(timeout=0.05):
                    progress(Progress("embed", i, len(texts), "texts"))
        else:
            self.in_pages.append(len(texts))
        counts = np.array([[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> GatedEmbedder:
    made = GatedEmbedder()
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name=None, **more: made)
    monkeypatch.setattr("autointerp.embedding.lookup.BATCH", 2)
    return made


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few explanations of the test's store count as many."""
    monkeypatch.setattr("autointerp.ui.features.embedded.FEW_CHARACTERS", 0)


def jobs(store: Any) -> list[Any]:
    with Annotations(store.path, read_only=True) as annotations:
        return [job for job in annotations.jobs.recent() if job.kind == "embed_explanations"]


def until(store: Any, check: Any) -> None:
    deadline = time.monotonic() + 60
    while not check(jobs(store)[0]):
        assert time.monotonic() < deadline, jobs(store)
        time.sleep(0.02)


def search(open_page: Any, store: Any, mode: str = "meaning", **more: str) -> AppTest:
    app = open_page(store, "features", mode=mode, search="the end of a CODE span", **more)
    assert not app.exception, app.exception
    return app


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, app.exception
    return app


def strips(app: AppTest) -> list[Any]:
    return records(app, "jobs")


def test_a_few_are_embedded_at_once(open_page, explained_store: Explained, embedder: GatedEmbedder):
    app = search(open_page, explained_store)
    assert latents(app)[0] == ("transcoder", 2)
    assert "Searching" not in messages(app)
    assert jobs(explained_store) == []
    assert strips(app) == []
    assert sum(embedder.in_pages) > 2


@pytest.mark.usefixtures("many")
def test_many_are_a_job_and_what_is_embedded_is_searched_meanwhile(
    open_page, explained_store: Explained, embedder: GatedEmbedder
):
    app = search(open_page, explained_store)
    assert "None of the 9 explanations is embedded" in messages(app)
    assert "being embedded now" in messages(app)
    assert not [one for one in records(app, "list") if one["page"] == "feature"]
    assert len(strips(app)) == 1
    assert embedder.in_pages == []  # a page embeds nothing but what is searched for
    (job,) = jobs(explained_store)
    assert job.payload["coders"] == ["sae", "transcoder"]

    for _ in range(5):  # two batches of two, and one text of the third
        embedder.allowed.release()
    until(explained_store, lambda job: job.stage_done == 5)
    rerun(app)
    assert "Searching **4 of 9** explanations by meaning; the remaining 5 are being embedded" in messages(app)
    assert len(listed(app)["rows"]) == 4
    assert len(strips(app)) == 1
    assert embedder.in_pages == [1]

    for _ in range(9):
        embedder.allowed.release()
    until(explained_store, lambda job: job.state == "done")
    rerun(app)
    rerun(app)  # the strip's last word is one run of the page
    assert "Searching" not in messages(app)
    assert latents(app)[0] == ("transcoder", 2)
    assert len(listed(app)["rows"]) == 9
    assert strips(app) == []
    assert len(jobs(explained_store)) == 1


@pytest.mark.usefixtures("many")
def test_words_are_found_meanwhile(open_page, explained_store: Explained, embedder: GatedEmbedder):
    app = search(open_page, explained_store, mode="both")
    assert "None of the 9" in messages(app)
    assert latents(app)[0] == ("transcoder", 2)  # by its words


@pytest.mark.usefixtures("many")
def test_what_was_cancelled_is_not_begun_again_unasked(
    open_page, explained_store: Explained, embedder: GatedEmbedder
):
    app = search(open_page, explained_store, coder="sae")
    assert not [button for button in app.button if button.key == "embed_explanations"]
    (job,) = jobs(explained_store)
    assert job.payload["coders"] == ["sae"]
    with Annotations(explained_store.path) as annotations:
        annotations.jobs.cancel(job.id)
    until(explained_store, lambda job: job.state == "cancelled")
    rerun(app)
    rerun(app)
    assert len(jobs(explained_store)) == 1
    assert "have to be embedded once" in messages(app)
    assert len(strips(app)) == 1  # cancelled, with a way to continue
    button = app.button(key="embed_explanations")
    assert button.label == "Embed all"
    button.click().run()
    assert not app.exception, app.exception
    assert len(jobs(explained_store)) == 2
    assert "being embedded now" in messages(app)


@pytest.mark.usefixtures("many")
def test_a_read_only_app_says_what_to_do(
    open_page, explained_store: Explained, embedder: GatedEmbedder, monkeypatch: pytest.MonkeyPatch
):
    with Annotations(explained_store.path) as annotations:
        store = Store.open(explained_store.path)
        embed_explanations(annotations, StoreEmbedder(store, embedder), ["transcoder"])
    app = search(open_page, explained_store, coder="sae")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    del app.query_params["coder"]
    rerun(app)
    assert "Searching **3 of 9** explanations by meaning; the remaining 6 are not embedded" in messages(app)
    assert "read-only" in messages(app)
    assert "autointerp score" in "".join(block.value for block in app.code)
    assert latents(app)[0] == ("transcoder", 2)
    assert not [button for button in app.button if button.key == "embed_explanations"]


def test_a_job_that_covers_them_is_waited_for_not_doubled(
    open_page, explained_store: Explained, embedder: GatedEmbedder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autointerp.ui.features.embedded.FEW_CHARACTERS", 0)
    app = search(open_page, explained_store)
    monkeypatch.setattr("autointerp.ui.features.embedded.FEW_CHARACTERS", 10_000)
    app.query_params["coder"] = "sae"
    rerun(app)
    assert "None of the" in messages(app)
    assert len(jobs(explained_store)) == 1
    assert embedder.in_pages == []
