"""The Feature page's nearest features in the other coders."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.conftest import OpenPage
from tests.app.reading import keys, messages, record
from tests.conftest import CoderSpec, StoreFactory, write_coder
from tests.explained import Explained


def others(app: AppTest) -> dict:
    assert not app.exception, app.exception
    panel = record(app, "panel")
    assert panel is not None
    return panel["others"]


def test_small_coders_are_compared_at_once_with_explanations_and_scores(
    open_page: OpenPage, explained_store: Explained
):
    store = explained_store.store
    acts = store.coder("sae").activations(4)
    same = list(zip(acts.token.tolist(), acts.activation.tolist(), strict=True))
    write_coder(store, "twin", CoderSpec({2: same, 0: [(5, 1.0)]}, 3))
    app = open_page(store, "feature", coder="twin", latent="2")
    drawn = others(app)
    assert [each["key"] for each in drawn["measures"]] == ["correlation", "jaccard"]
    sae = next(each for each in drawn["measures"][0]["coders"] if each["coder"] == "sae")
    assert (sae["rows"][0]["latent"], sae["rows"][0]["value"]) == (4, "1.00")
    assert sae["rows"][0]["says"]["text"]
    assert "compute_coactivation" in keys(app)  # what is left: other pairs, and how directions match


def test_large_coders_are_compared_by_a_job(
    open_page: OpenPage, explained_store: Explained, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    monkeypatch.setattr("autointerp.compare.coactivation.QUICK", 0.0)
    app = open_page(explained_store.store, "feature", coder="sae", latent="4")
    assert others(app)["measures"] == []
    assert "Not computed yet" in messages(app)
    app.button(key="compute_coactivation").click().run()
    assert not app.exception, app.exception
    with Annotations(explained_store.path, read_only=True) as annotations:
        jobs = {job.payload["what"]: job for job in annotations.jobs.recent()}
        assert set(jobs) == {"coactivation", "directions"}
        job = jobs["coactivation"]
        for _ in range(600):
            if not job.is_active:
                break
            time.sleep(0.1)
            job = annotations.jobs.get(job.id)
    assert (job.state, job.n_done, job.error) == ("done", 1, None)
    app.run()
    assert [each["key"] for each in others(app)["measures"]] == ["correlation", "jaccard"]


def test_a_feature_without_counterparts_says_so(open_page: OpenPage, tiny_store: Store):
    drawn = others(open_page(tiny_store, "feature", coder="sae", latent="5"))  # dead
    (coder,) = drawn["measures"][0]["coders"]
    assert coder["rows"] == []
    assert "none" in coder["none"]


def test_one_coder_has_no_others(open_page: OpenPage, store_factory: StoreFactory):
    store = store_factory([[1, 2, 3, 4]], {"sae": CoderSpec({0: [(1, 1.0)]}, 2)})
    app = open_page(store, "feature", coder="sae", latent="0")
    assert others(app)["alone"]
    assert not any(key.startswith("compute") for key in keys(app))
