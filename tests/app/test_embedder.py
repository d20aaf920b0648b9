"""The embedder that Settings name is the one that every page uses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from autointerp import preferences
from autointerp.embedding import embed_store
from autointerp.preferences import DEFAULT_EMBEDDER, ENV_CONFIG, Preferences
from autointerp.settings import ENV_STORE
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.text import plain
from tests.app.reading import messages
from tests.explained import Explained

CHOSEN = "/models/ours"


class Letters:
    """Vectors of letters, under any name."""

    precision, dim = "float32", 26

    def __init__(self, name: str = DEFAULT_EMBEDDER) -> None:
        self.name = name
        self.fingerprint = f"letters of {name}"

    def embed(self, texts: Any, progress: Any = None) -> Any:
        counts = np.array([[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the embedders that were loaded; `CHOSEN` is chosen."""
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))
    preferences.save(Preferences(embedder=CHOSEN))
    names: list[str] = []

    def load(name: str = DEFAULT_EMBEDDER, **more: Any) -> Letters:
        names.append(name)
        return Letters(name)

    monkeypatch.setattr("autointerp.embedding.load_embedder", load)
    return names


def test_search_by_meaning_uses_it(open_page, explained_store: Explained, loaded: list[str]):
    embed_store(explained_store.store, Letters())
    app = open_page(explained_store.store, "features", search="cats", mode="meaning")
    assert not app.exception
    assert set(loaded) == {CHOSEN}


def _features() -> None:
    """Without the router, under which AppTest loses a click."""
    from autointerp.ui.features.page import draw

    draw()


def test_contexts_embedded_by_another_are_not_searched(
    explained_store: Explained, loaded: list[str], monkeypatch: pytest.MonkeyPatch
):
    """And the button embeds with the chosen one."""
    embed_store(explained_store.store, Letters())
    monkeypatch.setenv(ENV_STORE, str(explained_store.path))
    app = AppTest.from_function(_features, default_timeout=180)
    app.query_params["mode"], app.query_params["search"] = "near", "cats"
    app.run()
    assert f"to be embedded with {plain(CHOSEN)}" in messages(app)
    app.button(key="embed_windows").click().run()
    assert not app.exception
    with Annotations(explained_store.path) as annotations:
        assert [job.payload["embedder"] for job in annotations.jobs.recent() if job.kind == "embed"] == [
            CHOSEN
        ]


def test_the_forms_offer_what_the_chosen_one_has_embedded(
    open_page, explained_store: Explained, loaded: list[str]
):
    def offered() -> tuple[list[str], list[str]]:
        app = open_page(explained_store.store, "feature", coder="sae", latent="1", panel="rescore")
        assert not app.exception
        sources, scorers = app.pills(key="choice_negatives"), app.pills(key="choice_scorers")
        return [str(one).lower() for one in sources.options], [str(one) for one in scorers.value]

    embed_store(explained_store.store, Letters())
    assert offered() == (["random", "neighbours"], ["detection", "fuzzing"])
    embed_store(explained_store.store, Letters(CHOSEN))
    assert offered() == (
        ["random", "neighbours", "similar in meaning"],
        ["detection", "fuzzing", "embedding"],
    )


def test_a_score_from_the_page_is_by_it(open_page, explained_store: Explained, loaded: list[str]):
    embed_store(explained_store.store, Letters(CHOSEN))
    app = open_page(explained_store.store, "feature", coder="sae", latent="1", panel="rescore")
    app.pills(key="choice_scorers").set_value(["embedding"]).run()
    app.button(key="run_score").click().run()
    assert not app.exception
    with Annotations(explained_store.path) as annotations:
        job = next(job for job in annotations.jobs.recent() if job.kind == "score")
        assert job.payload["score"][0]["embedder"] == CHOSEN
