"""Compare: two features side by side."""

import time
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import score
from autointerp.pipeline.session import Session
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.conftest import OpenPage
from tests.app.reading import keys, links, messages, record, records
from tests.conftest import CoderSpec, StoreFactory
from tests.explained import Explained


def pair(open_page: OpenPage, store: object, **params: str) -> AppTest:
    app = open_page(store, "compare", view="pair", **params)
    assert not app.exception, app.exception
    return app


def drawn(app: AppTest) -> dict[str, Any]:
    found = record(app, "pair")
    assert found is not None
    return found


def figures(app: AppTest) -> dict[str, str]:
    return {name: value for name, value, _ in record(app, "facts") or []}


def test_two_features_with_what_is_said_of_them_and_their_contexts(
    open_page: OpenPage, explained_store: Explained
):
    store = explained_store.store
    app = pair(open_page, store, a="sae", latent_a="3", b="transcoder", latent_b="2")
    shown = drawn(app)
    assert [side["title"] for side in shown["sides"]] == ["sae #3", "transcoder #2"]
    acts = [store.coder(name).activations(latent) for name, latent in (("sae", 3), ("transcoder", 2))]
    tokens = [set(each.token.tolist()) for each in acts]
    union = len(tokens[0] | tokens[1])
    assert figures(app)["Jaccard index"] == f"{len(tokens[0] & tokens[1]) / union:.3f}"
    for group, fires in zip(shown["groups"], ((True, True), (True, False), (False, True)), strict=True):
        assert group["rows"]
        for row in group["rows"]:
            assert tuple(bool(layer["p"]) for layer in row["layers"]) == fires
            for layer, each in zip(row["layers"], acts, strict=True):
                values = dict(zip(each.token.tolist(), each.activation.tolist(), strict=True))
                first = row["c"] * store.ctx_len + row["s"]
                inside = {t - first: v for t, v in values.items() if first <= t < first + len(row["t"])}
                assert dict(zip(layer["p"], layer["v"], strict=True)) == pytest.approx(inside)


def test_strongest_contexts_first_when_asked(open_page: OpenPage, tiny_store: Store):
    params = {"a": "sae", "latent_a": "4", "b": "sae", "latent_b": "5"}
    groups = drawn(pair(open_page, tiny_store, order="top", **params))["groups"]
    peaks = [max(row["layers"][0]["v"]) for row in groups[1]["rows"]]
    assert peaks == sorted(peaks, reverse=True)
    assert groups[0]["rows"] == groups[2]["rows"] == []  # 5 is dead


def test_scores_of_both_and_what_is_missing(open_page: OpenPage, explained_store: Explained):
    app = pair(open_page, explained_store, a="sae", latent_a="1", b="sae", latent_b="0")
    table = records(app, "list")[-1]
    assert [column["title"] for column in table["columns"]][1] == "sae #1 explained, on sae #1"
    assert table["rows"]
    assert all(row["cells"][2] is None for row in table["rows"])  # nothing was scored across


def test_cross_scores_are_shown_and_are_nobodys_scores(open_page: OpenPage, explained_store: Explained):
    options = ScoreOptions(scorer="detection", window=16, n_examples=10, n_negatives=10)
    store = explained_store.store
    with Annotations(store.path) as annotations, Session(Resources(store, annotations)) as session:
        for latent in (3, 4):
            shown = annotations.shown("sae", latent)
            assert shown is not None
            annotations.add(score(session, shown, options))
        counts = annotations.counts()
    app = pair(open_page, store, a="sae", latent_a="3", b="sae", latent_b="4")

    def cells() -> list[list[Any]]:
        return [row["cells"] for row in records(app, "list")[-1]["rows"] if "Detection" in row["cells"][0]]

    before = cells()[-1]
    assert before[1]
    assert before[3]
    assert before[2] is before[4] is None
    app.button(key="cross").click().run()
    with Annotations(store.path, read_only=True) as annotations:
        job = annotations.jobs.recent()[0]
        for _ in range(600):
            if not job.is_active:
                break
            time.sleep(0.1)
            job = annotations.jobs.get(job.id)
        assert (job.state, job.n_failed, job.error) == ("done", 0, None)
        assert annotations.counts() == counts
        app.run()
        assert any(row[2] and row[4] and row[2]["under"].startswith("floor 0.") for row in cells())
        app = open_page(store, "jobs", job=job.id, items="done")
    assert not app.exception, app.exception
    names = [row["cells"][0] for row in records(app, "list")[-1]["rows"]]
    assert set(names) == {"sae #3", "sae #4"}


def test_a_feature_that_is_not_explained_says_so(open_page: OpenPage, tiny_store: Store):
    app = pair(open_page, tiny_store, a="sae", latent_a="3", b="transcoder", latent_b="2")
    assert "Neither feature is explained" in messages(app)
    assert "cross" not in keys(app)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"a": "nothing"}, "does not exist"),
        ({"a": "sae", "latent_a": "99", "b": "transcoder"}, "does not exist: sae has features 0 to 7"),
        ({"a": "sae", "latent_a": "-1", "b": "transcoder"}, "does not exist"),
        ({"a": "sae", "latent_a": "1e5", "b": "transcoder", "latent_b": "<b>x</b>"}, "does not exist"),
        ({"a": "sae", "latent_a": "3", "b": "sae", "latent_b": "3"}, "the same feature twice"),
    ],
)
def test_bad_addresses_have_a_way_out(
    open_page: OpenPage, tiny_store: Store, params: dict[str, str], said: str
):
    app = pair(open_page, tiny_store, **params)
    assert said in messages(app).replace("\\", "")
    if "does not exist" in said:
        assert links(app)


def test_without_numbers_the_counterpart_is_chosen(open_page: OpenPage, store_factory: StoreFactory):
    fires = [(t, 1.0 + t % 4) for t in range(0, 40, 3)]
    store = store_factory(
        [[1 + i % 5 for i in range(64)]],
        {
            "a": CoderSpec({1: fires}, 3),
            "b": CoderSpec({0: [(5, 1.0)], 2: fires}, 3),
        },
    )
    open_page(store, "feature", coder="a", latent="1")  # compares the coders
    app = pair(open_page, store, a="a", b="b")
    assert [side["title"] for side in drawn(app)["sides"]] == ["a #1", "b #2"]
    assert figures(app)["Correlation"] == "1.000"


def test_one_coder_has_features_to_compare_too(open_page: OpenPage, store_factory: StoreFactory):
    fires = {0: [(1, 1.0)], 1: [(2, 1.0)]}
    store = store_factory([[1, 2, 3, 4]], {"sae": CoderSpec(fires, 2)})
    app = pair(open_page, store)
    assert [side["title"] for side in drawn(app)["sides"]] == ["sae #0", "sae #1"]
