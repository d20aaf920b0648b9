"""The Compare page's views of what explanations mean: the matrix, the pairs behind it, and the map."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from autointerp.compare import map as maps
from autointerp.compare import meaning, results
from autointerp.compare.sharing import match_meaning
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit, AuditItem, Rating, Stratum, Verdict
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.compare.map import as_address, corners_of, drawn
from autointerp.ui.compare.meaning import facts, in_layers, sentence_of
from autointerp.ui.shared import person
from tests.app.reading import links, messages, record, records
from tests.compare import planted
from tests.compare.conftest import built

__all__ = ["built"]

THREE = ("sae", "skip", "residual")


@pytest.fixture(scope="module")
def computed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store with explanations of three coders, one of them with a single one, everything computed."""
    path = tmp_path_factory.mktemp("meaning") / "store"
    shutil.copytree(built, path)
    store = Store.open(path)
    with pytest.MonkeyPatch.context() as patch, Annotations(path) as annotations:
        planted.use(patch)
        hostile = "<img src=x onerror=alert(1)> **bold** $x$"
        for coder in THREE:
            texts = [f"topic {i % 4}: {coder} {i}" for i in range(20)]
            planted.write(annotations, coder, [*texts, hostile])
        planted.write(annotations, "other", ["alone: 1"])
        resources = Resources(store, annotations)
        match_meaning(resources, THREE)
        results.obtain(resources, "map", sorted([*THREE, "other"]))
    return store


def page(open_page: Any, store: Any, view: str = "meaning", **params: str) -> AppTest:
    app = open_page(store, "compare", view=view, **params)
    assert not app.exception, app.exception
    return app


def plot(app: AppTest) -> dict[str, Any]:
    return json.loads(app.get("plotly_chart")[0].proto.spec)


def pairs(store: Store) -> dict[tuple[str, str], meaning.Meaning]:
    with Annotations(store.path, read_only=True) as annotations:
        return {found.coders: found for found in match_meaning(Resources(store, annotations), THREE)}


def test_the_matrix_and_the_figures_are_those_of_the_library(open_page, computed: Store):
    app = page(open_page, computed, a="sae", b="residual")
    found = pairs(computed)
    heat = plot(app)["data"][0]
    assert heat["x"] == ["residual", "sae", "skip"]  # layers.0 before layers.1
    texts = np.array(heat["text"])
    for (first, second), each in found.items():
        at = heat["x"].index(first), heat["x"].index(second)
        assert texts[at] == texts[at[::-1]] == f"{each.matched.value:.2f}<br>({each.floor.value:.2f})"
    assert (texts.diagonal() == "").all()
    assert record(app, "facts") == facts(found["residual", "sae"])
    assert sentence_of(found["residual", "sae"]) in messages(app)
    assert "Left out" not in messages(app)
    signed = plot(page(open_page, computed, show="above"))["data"][0]
    assert signed["zmin"] == -signed["zmax"]


def test_the_list_is_that_of_the_matching(open_page, computed: Store):
    found = pairs(computed)["sae", "skip"]
    for of, end in (("sae", "closest"), ("skip", "closest"), ("sae", "farthest")):
        (table,) = records(page(open_page, computed, a="skip", b="sae", of=of, end=end), "list")
        side = found.sides[found.coders.index(of)]
        values = -np.sort(-side.cosine) if end == "closest" else np.sort(side.nearest_cosine)
        assert [row["cells"][4] for row in table["rows"]] == [f"{value:.3f}" for value in values[:15]]
        for row in table["rows"]:
            latent, partner = row["go"]["latent_a"], row["go"]["latent_b"]
            assert row["go"]["a"] == of
            other = side.partner if end == "closest" else side.nearest
            assert other[side.latents == latent] == partner
    last = page(open_page, computed, a="skip", b="sae", page="999")
    assert len(records(last, "list")[0]["rows"]) == 21 - 15


def test_addresses_from_elsewhere_and_coders_without_explanations(open_page, computed: Store):
    for params in (
        {"a": "sae:3", "b": "<b>", "of": "x", "end": "y", "page": "-1", "show": "z"},
        {"coders": "sae,skip,other,nothing"},
    ):
        app = page(open_page, computed, **params)
        assert record(app, "facts")
    said = messages(app)
    assert "Left out, for want of explanations: other" in said
    assert "“nothing” does not exist" in said
    assert "choose at least 2" in messages(page(open_page, computed, coders="sae"))
    assert record(page(open_page, computed, coders="sae,other"), "facts") is None


def test_nothing_explained_says_what_to_do(open_page, built: Path):
    for view in ("meaning", "map"):
        app = page(open_page, built, view)
        assert "Nothing is explained yet" in messages(app)
        assert "Jobs" in links(app)
        assert "autointerp explain" in app.code[0].value


@pytest.mark.parametrize("view", ["meaning", "map"])
def test_what_is_not_computed_is_offered_as_a_job(open_page, computed: Store, tmp_path: Path, view: str):
    shutil.copytree(computed.path, tmp_path / "store")
    with Annotations(tmp_path / "store") as annotations:
        planted.write(annotations, "sae", {30: "something new: 1"})
    app = page(open_page, tmp_path / "store", view)
    assert "Not computed yet" in messages(app)
    assert [button.label for button in app.button if button.label == "Compute"]


def test_a_read_only_app_shows_what_is_computed_and_says_how_to_get_the_rest(
    open_page, computed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(computed.path, tmp_path / "store")
    with Annotations(tmp_path / "store") as annotations:
        planted.write(annotations, "sae", {30: "something new: 1"})
    monkeypatch.setattr("autointerp.settings.is_read_only", lambda: True)
    for store, said in ((computed, "match"), (tmp_path / "store", "This app is read-only")):
        app = page(open_page, store)
        assert said in messages(app)
        assert not [button.label for button in app.button if button.label == "Compute"]


def test_the_map_has_a_point_for_every_explanation(open_page, computed: Store):
    app = page(open_page, computed, "map")
    traces = plot(app)["data"]
    assert [trace["name"] for trace in traces if trace["showlegend"]] == sorted([*THREE, "other"])
    n_of = {name: sum(len(trace["text"]) for trace in traces if trace["name"] == name) for name in THREE}
    assert n_of == dict.fromkeys(THREE, 21)
    alone = {trace["name"] for before, trace in pairwise(traces) if before["name"] == trace["name"]}
    assert not alone  # drawn in turn: no coder lies on top of the others
    assert not [text for trace in traces for text in trace["text"] if "<img" in text]
    assert "64 explained features" in messages(app)
    one = plot(page(open_page, computed, "map", coders="sae", colour="density"))
    assert {trace["name"] for trace in one["data"]} == {"sae"}
    assert one["data"][0]["marker"]["color"].startswith("rgba")  # never fire: without a density
    assert one["data"][-1]["marker"]["coloraxis"] == "coloraxis"
    assert "None of these explanations is scored yet" in messages(
        page(open_page, computed, "map", colour="score")
    )


def test_the_map_is_coloured_by_what_people_said(open_page, computed: Store, tmp_path: Path):
    assert "No verdicts here yet" in messages(page(open_page, computed, "map", colour="verdict"))
    store = Store.open(shutil.copytree(computed.path, tmp_path / "store"))
    with Annotations(store.path) as annotations:
        shown = [annotations.shown("sae", latent) for latent in (1, 2, 3)]
        items = [
            AuditItem(i, e.coder, e.latent, e.id, e.id, e.text, 0) for i, e in enumerate(filter(None, shown))
        ]
        audit = Audit(
            name="a", author="ada", tasks=("verdict",), seed=0, items=tuple(items),
            strata=(Stratum(0, "sae", None, None, 3, 3),),
        )  # fmt: skip
        annotations.audits.create(audit)
        said: tuple[Verdict, ...] = ("correct", "wrong", "uninterpretable")
        for item, verdict in enumerate(said):
            annotations.audits.rate(
                Rating(audit_id=audit.id, item=item, rater="ada", task="verdict", verdict=verdict)
            )
    traces = plot(page(open_page, store, "map", colour="verdict"))["data"]
    named = {trace["name"]: len(trace["x"]["bdata"]) for trace in traces if trace["showlegend"]}
    assert list(named) == ["Correct", "Not right"]
    texts = [text for trace in traces if trace["name"] == "Not right" for text in trace["text"]]
    assert sorted(text.split(":")[0] for text in texts) == ["Not interpretable", "Wrong"]
    assert sum(len(trace["text"]) for trace in traces) == 64
    with Annotations(store.path) as annotations:
        annotations.audits.rate(
            Rating(audit_id=audit.id, item=0, rater="bo", task="verdict", verdict="correct")
        )
    app = page(open_page, store, "map", colour="verdict")
    app.session_state["drafts_found"] = {person.KEY: "bo"}  # who has two of them before him, blind
    traces = plot(app.run())["data"]
    assert [trace["name"] for trace in traces if trace["showlegend"]] == ["Correct"]
    assert not [text for trace in traces for text in trace["text"] if text.startswith(("Wrong", "Not int"))]


def test_a_region_lists_its_features(open_page, computed: Store):
    names = sorted([*THREE, "other"])
    with Annotations(computed.path, read_only=True) as annotations:
        table = results.known(Resources(computed, annotations), "map", names)
    assert table is not None
    found = maps.read(table, names)
    places = np.sort(found.x)
    gap = len(places) // 4 + int(np.argmax(np.diff(places)[len(places) // 4 : -len(places) // 4]))
    middle = float(places[gap : gap + 2].mean())  # addresses are rounded: no feature may lie on the border
    box = [(middle, -1e4), (1e4, 1e4)]
    truth = {
        (names[owner], int(latent))
        for owner, latent, x in zip(found.owner, found.latent, found.x, strict=True)
        if x >= middle and names[owner] in ("sae", "skip")
    }
    region = {"region": as_address(box), "coders": "sae,skip"}
    listed = set()
    for number in ("1", "2", "3"):
        app = page(open_page, computed, "map", page=number, **region)
        listed |= {(row["go"]["coder"], row["go"]["latent"]) for row in records(app, "list")[0]["rows"]}
    assert f"{len(truth)} features in the region" in "".join(str(each.value) for each in app.markdown)
    assert listed == truth
    assert plot(app)["layout"]["shapes"][0]["type"] == "rect"
    app.button(key="map_clear").click().run()
    assert "region" not in app.query_params
    assert not records(app, "list")


def test_regions_in_addresses():
    lasso = {"lasso": [{"x": list(range(100)), "y": [2] * 100}]}
    corners = drawn(lasso)
    assert corners is not None
    assert len(corners) <= 40
    assert corners_of(as_address(corners)) == corners
    assert drawn({"box": [{"x": [0, 1], "y": [2.5, 3]}]}) == [(0.0, 2.5), (1.0, 3.0)]
    assert drawn({"points": [{}], "box": [], "lasso": []}) is None
    for text in (None, "", "1,2", "a,b;c,d", "1,2,3;4,5,6", "nan,1;2,3", ";" * 500, "1,1;" * 500):
        assert corners_of(text) == []


def test_layers_are_in_their_order(computed: Store):
    infos = {info.coder: info for info in computed.coders()}
    from dataclasses import replace

    made = [replace(infos["sae"], coder=str(n), hookpoint=f"layers.{n}.mlp") for n in (10, 2, 1)]
    assert [info.coder for info in in_layers(made)] == ["1", "2", "10"]
