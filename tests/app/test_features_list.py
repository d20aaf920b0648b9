"""The Features page with explanations and scores: what it shows, sorts, filters and finds."""

from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from autointerp.records import Score
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import ShownExplanation, Store, annotated_store
from autointerp.store.annotations import Annotations
from autointerp.ui.features.elsewhere import file_name
from autointerp.ui.shared.explanation_cell import explanation_cell
from tests.app.reading import messages, record, records
from tests.explained import EMOJI_TEXT, HOSTILE_TEXT, Explained

DETECTION = "detection~offline~held-out~neighbours+random"
EMBEDDING = "embedding~embedder~held-out~random~all-MiniLM-L6-v2"


def listed(app: AppTest) -> dict[str, Any]:
    """The table of features, without a traceback on the page."""
    assert not app.exception, app.exception
    found = [one for one in records(app, "list") if one["page"] == "feature"]
    assert len(found) == 1, messages(app)
    return found[0]


def latents(app: AppTest) -> list[tuple[str, int]]:
    return [(row["go"]["coder"], row["go"]["latent"]) for row in listed(app)["rows"]]


def cells(app: AppTest, title: str) -> dict[tuple[str, int], Any]:
    """One column by feature."""
    table = listed(app)
    at = [column["title"] for column in table["columns"]].index(title)
    return {(row["go"]["coder"], row["go"]["latent"]): row["cells"][at] for row in table["rows"]}


def test_without_explanations_the_list_is_what_it_was(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", sort="low", score=DETECTION, min_low="0.5")
    titles = [column["title"] for column in listed(app)["columns"]]
    assert "Explanation" not in titles
    assert "Mean" in titles
    assert "Nothing here is scored yet" in messages(app)
    app = open_page(tiny_store, "features", explained="yes")
    assert "autointerp explain" in "".join(block.value for block in app.code)


def test_rows_show_the_shown_explanation_and_its_score(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", coder="sae", sort="latent", score=DETECTION)
    says = cells(app, "Explanation")
    assert says["sae", 0]["text"] == explained_store.explanations["edited"].text
    assert says["sae", 0]["marks"] == ["Ada (person)"]
    assert says["sae", 2]["none"].startswith("failed: server unreachable")
    assert says["sae", 3]["marks"] == ["pattern", "pinned"]
    assert says["sae", 6]["text"] == EMOJI_TEXT
    assert len(says["sae", 4]["text"]) <= 401
    assert "\u202e" not in says["sae", 7]["text"]
    assert "\x1b" not in says["sae", 7]["text"]
    column = next(column for column in listed(app)["columns"] if column["kind"] == "score")
    assert column["title"] == "Detection · offline judge"
    shown = cells(app, column["title"])
    score = explained_store.scores["edited/detection"]
    assert shown["sae", 0]["value"] == f"{score.value:.2f}"
    assert shown["sae", 0]["under"] == f"floor 0.56 · n {score.n}"
    assert shown["sae", 0]["weak"]
    assert shown["sae", 1]["weak"] is False
    assert shown["sae", 6] is None


def test_the_best_come_first(open_page, explained_store: Explained):
    """Of each coder alike: by the score above its floor, on fresh examples."""
    app = open_page(explained_store, "features", score=DETECTION)
    above = {
        (e.coder, e.latent): (score.value or 0) - score.floor
        for name, e in explained_store.explanations.items()
        if (score := explained_store.scores.get(f"{name}/detection")) and score.floor is not None
        if name not in ("first", "second", "newer")
    }
    listed_first = latents(app)[: len(above)]
    assert set(listed_first) == set(above)
    for coder in {coder for coder, _ in above}:
        own = [feature for feature in listed_first if feature[0] == coder]
        assert own == sorted(own, key=lambda feature: -above[feature])
    assert app.selectbox(key="url_sort").value == "above"
    assert "highest expected score above floor first" in messages(app)
    column = next(column for column in listed(app)["columns"] if column["kind"] == "score")
    shown = [cells(app, column["title"])[feature] for feature in listed_first]
    assert all(cell["help"].startswith("Expected above floor: ") for cell in shown)
    with Annotations(explained_store.path) as annotations:
        assert annotations.jobs.recent() == []


def test_without_scores_the_densest_come_first(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features")
    table = listed(app)
    assert (table["sort"], table["descending"]) == ("density", True)
    assert app.selectbox(key="url_sort").value == "density"
    assert "Nothing here is scored yet" not in messages(app)


def test_filters_are_chips(open_page, explained_store: Explained):
    app = open_page(
        explained_store, "features", coder="sae", min_density="0.1", explained="yes", min_low="0.2", score=DETECTION,
        page="1", search="",
    )  # fmt: skip
    labels = [button.label.replace("\\", "") for button in app.button if str(button.key).startswith("chip_")]
    assert labels == [
        "Density at least 0.1 %", "Explained", "Detection · offline judge: lower bound at least 0.2",
    ]  # fmt: skip
    next(button for button in app.button if button.label == "Explained").click().run()
    assert not app.exception
    assert "explained" not in app.query_params
    assert app.query_params["min_low"] == "0.2"
    app.button(key="clear_filters").click().run()
    assert dict(app.query_params) == {"coder": "sae", "score": DETECTION, "search": ""}
    assert not [button for button in app.button if str(button.key).startswith("chip_")]
    app = open_page(explained_store, "features", kind="nothing", explained="<b>", also="nobody!1!")
    assert not app.exception
    assert "remove a filter" in messages(app)
    assert [button.label for button in app.button if str(button.key).startswith("chip_")]


def test_a_number_that_was_typed_keeps_its_digits(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", coder="sae", also=f"{DETECTION}!0.12345678!")
    app.number_input(key="url_min_score").set_value(0.8333333).run()
    assert app.query_params["min_score"] == "0.8333333"
    assert app.number_input(key="url_min_score").value == 0.8333333
    other = next(box for box in app.number_input if str(box.key).startswith("also_most"))
    other.set_value(0.99999999).run()
    assert app.query_params["also"].endswith("!0.12345678!0.99999999")


def test_a_bound_beyond_all_scores_is_shown_at_their_end(open_page, explained_store: Explained):
    app = open_page(
        explained_store, "features", coder="sae", also=f"{DETECTION}!-3!7", search="", min_score="1"
    )
    boxes = {
        str(box.key).split("_")[1]: box.value for box in app.number_input if str(box.key).startswith("also_")
    }
    assert boxes == {"least": -1.0, "most": 1.0}


def test_a_score_without_bounds_is_narrowed_by_any_number(open_page, explained_store: Explained):
    with Annotations(explained_store.path) as annotations:
        for name, value in (("edited", -2.5), ("plain", 3.25), ("long", 0.5)):
            made = explained_store.explanations[name]
            annotations.add(
                Score(
                    explanation_id=made.id, scorer="intervention", judge="language model", model="gpt", value=value,
                    metric="nats", negatives="none", ci_low=value - 1, ci_high=value + 1, n_pos=9, floor=0.1, n_floor=9,
                )
            )  # fmt: skip
    nats = "intervention~language model~held-out~none~gpt"
    app = open_page(explained_store, "features", coder="sae", score=nats, min_score="-2.75", max_score="3")
    assert not app.exception
    assert sorted(latent for _, latent in latents(app)) == [0, 4]
    app = open_page(explained_store, "features", coder="sae", also=f"{nats}!-3!2.5")
    boxes = [box.value for box in app.number_input if str(box.key).startswith("also_")]
    assert boxes == [-3.0, 2.5]
    assert sorted(latent for _, latent in latents(app)) == [0, 4]


def test_one_feature_is_not_features(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", coder="sae", also=f"{DETECTION}!0.9!")
    assert len(latents(app)) == 1
    assert "1 feature ·" in messages(app)
    app = open_page(explained_store, "features", coder="sae", search="emoji", mode="words")
    assert len(latents(app)) == 1
    assert "1 feature whose explanation has all these words" in messages(app)


def test_filters_that_say_the_same_are_two_chips(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", kind="Explained", hookpoint="Explained", explained="yes")
    assert not app.exception
    same = [button for button in app.button if button.label == "Explained"]
    assert len(same) == 3
    same[1].click().run()
    assert dict(app.query_params) == {"kind": "Explained", "explained": "yes"}


def test_coders_by_kind(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", kind="transcoder")
    assert {coder for coder, _ in latents(app)} == {"transcoder"}
    app.pills(key="url_kind").set_value(["sae"]).run()
    assert app.query_params["kind"] == "sae"
    assert {coder for coder, _ in latents(app)} == {"sae"}
    app.selectbox(key="url_coder").set_value("transcoder").run()
    assert "kind" not in app.query_params
    assert {coder for coder, _ in latents(app)} == {"transcoder"}


def test_several_scores_at_once(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", score=DETECTION, sort="latent")
    both = app.pills(key="url_also")
    assert len(both.options) > 1
    detection, embedding = (
        next(kind for kind in _kinds(explained_store) if kind.startswith(f"{scorer}~"))
        for scorer in ("detection", "embedding")
    )
    both.set_value([detection, embedding]).run()
    assert not app.exception
    app.number_input(key=f"also_least_{detection}").set_value(0.5).run()
    app.number_input(key=f"also_most_{embedding}").set_value(0.9).run()
    assert not app.exception

    def value(name: str, scorer: str) -> float:
        score = explained_store.scores.get(f"{name}/{scorer}")
        return float("nan") if score is None or score.value is None else score.value

    expected = [
        (e.coder, e.latent)
        for name, e in explained_store.explanations.items()
        if name not in ("first", "second")
        and value(name, "detection") >= 0.5
        and value(name, "embedding") <= 0.9
    ]
    assert latents(app) == sorted(expected)
    assert expected
    chips = [button.label.replace("\\", "") for button in app.button if str(button.key).startswith("chip_")]
    assert [chip.rsplit(": ")[1] for chip in chips] == ["at least 0.5", "at most 0.9"]


def _kinds(made: Explained) -> list[str]:
    with Annotations(made.path) as annotations:
        kept = annotated_store(annotations)
        return [kind.key for kind in kept.kinds(["sae", "transcoder"], order=lambda kind: kind.key)]


def test_a_match_shows_why(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", mode="words", search="WORD cat")
    says = cells(app, "Explanation")
    shown = says["transcoder", 3]
    assert {shown["text"][start:stop].lower() for start, stop in shown["hits"]} == {"word", "cat"}
    assert all("hits" in row for row in says.values())
    app = open_page(explained_store, "features", coder="sae", search="<script>")
    found = cells(app, "Context found")
    assert ("sae", 0) in found
    table = listed(app)["table"]
    row = found["sae", 0]
    start, stop = row["hit"]
    assert "script" in "".join(table[row["t"][i]][1] for i in range(start, stop))
    assert abs(row["k"] - start) < 4
    assert "Context found" not in [
        c["title"] for c in listed(open_page(explained_store, "features"))["columns"]
    ]


def test_a_late_word_of_a_long_explanation_is_in_sight():
    shown = ShownExplanation(
        "x", "many words " * 100 + "needle and more", "pattern", None, "t", "2026", False, 1
    )
    cell = explanation_cell(shown, words=("needle",))
    ((start, stop),) = cell["hits"]
    assert cell["text"][start:stop] == "needle"
    assert cell["text"].startswith("…")
    assert start < 100


def test_a_list_becomes_a_batch_over_its_features(open_page, explained_store: Explained):
    key = urlencode({"coder": "sae", "explained": "no", "dead": "show"})
    app = open_page(explained_store, "jobs", new="1", list=key)
    assert not app.exception
    assert app.radio(key="batch_which_list").value == "list"
    assert "These 1 of the list" in app.radio(key="batch_which_list").options  # 5 is dead
    assert "1 feature;" in messages(app)
    app.button(key="batch_start").click().run()
    assert not app.exception
    with Annotations(explained_store.path) as annotations:
        for job in annotations.jobs.recent():
            assert [item.item for item in annotations.jobs.items(job.id)] == [2]
    app = open_page(explained_store, "features", coder="sae")
    assert app.button(key="batch_of_list").label == "Explain or score these 7"
    assert app.get("download_button")


def test_a_file_is_named_after_its_list(tiny_store: Store):
    params = {"coder": "sae", "min_density": "0.5", "search": "a/b c"}
    assert file_name(tiny_store, ["sae"], params, "csv") == "tiny_sae_min_density=0.5_search=a-b-c.csv"
    assert file_name(tiny_store, ["a", "b"], {}, "parquet") == "tiny_2-coders.parquet"
    assert len(file_name(tiny_store, ["a"], {"search": "x" * 500}, "csv")) < 200


def test_sorting_by_a_score_means_its_lower_bound(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", sort="low", score=EMBEDDING)
    table = listed(app)
    assert (table["sort"], table["descending"]) == ("above", True), "the head of the scores' column"
    assert "lower bound of its 95 % interval" in messages(app)
    found = {
        (e.coder, e.latent): explained_store.scores[f"{name}/embedding"].ci_low
        for name, e in explained_store.explanations.items()
        if f"{name}/embedding" in explained_store.scores and name != "first"
    }
    expected = sorted(found, key=lambda feature: -(found[feature] or 0))
    assert latents(app)[: len(expected)] == expected
    assert latents(open_page(explained_store, "features", sort="low", order="asc", score=EMBEDDING))[
        : len(expected)
    ] == list(reversed(expected))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"explained": "failed"}, [("sae", 2)]),
        ({"explained": "no"}, [("sae", 2), ("transcoder", 4), ("transcoder", 5)]),
        ({"explained": "unscored", "score": DETECTION}, [("sae", 6), ("transcoder", 2)]),
        ({"human": "pinned"}, [("sae", 3)]),
        ({"human": "person"}, [("sae", 0)]),
        ({"explainer": "person"}, [("sae", 0)]),
        ({"min_low": "0.85", "score": DETECTION}, [("sae", 1)]),
    ],
)
def test_filters_leave_what_they_say(open_page, explained_store: Explained, params, expected):
    app = open_page(explained_store, "features", sort="latent", **params)
    assert sorted(latents(app)) == expected


def test_filters_that_leave_nothing_say_so(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", min_above="0.99", score=DETECTION)
    assert not app.exception
    assert "No feature passes these filters" in messages(app)
    app = open_page(explained_store, "features", explainer="<b>nobody</b>")
    assert not app.exception
    assert "No feature passes" in messages(app)
    app = open_page(explained_store, "features", coder="transcoder", explained="failed")
    assert "No failed explanations" in messages(app)


def test_words_of_explanations(open_page, explained_store: Explained):
    app = open_page(explained_store, "features", mode="words", search="WORD cat")
    assert latents(app) == [("transcoder", 3), ("sae", 4)]  # the whole words first
    assert "Best match" in messages(app)
    app = open_page(explained_store, "features", mode="words", search="word zebra")
    assert "No explanation contains every word" in messages(app)
    assert app.button(key="words_to_meaning")
    app = open_page(explained_store, "features", mode="words", search="half", sort="max")
    assert latents(app) == [("sae", 1)]


def test_search_of_explanations_without_any(open_page, tiny_store: Store):
    for mode in ("words", "meaning", "both"):
        app = open_page(tiny_store, "features", mode=mode, search="cats")
        assert not app.exception
        assert "Nothing is explained yet" in messages(app)
        assert "autointerp explain" in "".join(block.value for block in app.code)
        app.button(key="to_contexts").click().run()
        assert "mode" not in app.query_params


def test_a_new_search_brings_its_own_order(open_page, tiny_store: Store):
    app = open_page(tiny_store, "features", sort="max", order="asc", page="1")
    app.text_input(key="url_search").set_value("cat").run()
    assert not app.exception
    assert "sort" not in app.query_params
    assert "order" not in app.query_params
    assert app.selectbox(key="url_sort").value == "match"
    assert "mean activation there" in messages(app)
    app.selectbox(key="url_sort").set_value("density").run()
    assert app.query_params["sort"] == "density"
    assert latents(app)[0] == ("sae", 4)
    app.selectbox(key="url_mode").set_value("regex").run()
    assert "sort" not in app.query_params


class FakeEmbedder:
    """Vectors of letters: enough for an order, and no model."""

    name = "all-MiniLM-L6-v2"
    fingerprint = "fake"
    precision = "float32"
    dim = 26

    def embed(self, texts: Any, progress: Any = None) -> Any:
        counts = np.array([[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def fake_embedder(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    made = FakeEmbedder()
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name=None, **more: made)
    return made


def test_explanations_by_meaning(open_page, explained_store: Explained, fake_embedder: FakeEmbedder):
    text = explained_store.explanations["transcoder-2"].text
    for mode in ("meaning", "both"):
        app = open_page(explained_store, "features", mode=mode, search=text)
        assert latents(app)[0] == ("transcoder", 2)
        assert ("sae", 2) not in latents(app)  # never explained
        assert "embedder all" in messages(app)


def test_contexts_by_meaning_need_embeddings_and_offer_them(
    open_page, tiny_store: Store, fake_embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
):
    app = open_page(tiny_store, "features", mode="near", search="cats")
    assert not app.exception
    assert "to be embedded" in messages(app)
    assert app.button(key="embed_windows")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app.run()
    assert not app.exception
    assert "read-only" in messages(app)
    assert not [button for button in app.button if button.key == "embed_windows"]


def test_contexts_by_meaning(open_page, tiny_store: Store, fake_embedder: FakeEmbedder):
    from autointerp.embedding import embed_store

    embed_store(tiny_store, fake_embedder)
    app = open_page(tiny_store, "features", mode="near", search="the cat the cat")
    assert not app.exception
    hits = next(one for one in records(app, "list") if one["page"] == "features")
    cosines = [float(row["cells"][1]) for row in hits["rows"]]
    assert cosines == sorted(cosines, reverse=True)
    assert latents(app)
    assert "closest in meaning" in messages(app)


def test_an_embedder_that_cannot_be_loaded_is_named(
    open_page, explained_store: Explained, monkeypatch: pytest.MonkeyPatch
):
    from autointerp.errors import ModelLoadError

    def fail(name: str = "", **more: Any) -> None:
        raise ModelLoadError("the embedder is not installed. Run make setup.")

    monkeypatch.setattr("autointerp.embedding.load_embedder", fail)
    app = open_page(explained_store, "features", mode="meaning", search="cats")
    assert not app.exception
    assert "Run make setup" in messages(app)


def test_scores_of_another_kind_are_a_click_away(open_page, explained_store: Explained):
    with Annotations(explained_store.path) as annotations:
        shown = explained_store.explanations["plain"]
        annotations.add(
            Score(
                explanation_id=shown.id,
                scorer="detection",
                judge="offline",
                protocol="delphi",
                value=0.25,
                floor=0.5,
            )
        )
    app = open_page(explained_store, "features", coder="sae")
    names = {option for option in app.selectbox(key="url_score").options}
    assert {
        "Detection · offline judge · held-out · neighbours+random",
        "Embedding · embedder MiniLM",
    } <= names
    app = open_page(
        explained_store, "features", coder="sae", score="detection~offline~delphi~random", sort="above"
    )
    assert latents(app)[0] == ("sae", 1)
    column = next(column for column in listed(app)["columns"] if column["kind"] == "score")
    assert cells(app, column["title"])["sae", 1]["under"] == "floor 0.50 · n 0"


HOSTILE = [
    "<script>alert(1)</script>",
    "-1",
    "1e999",
    "nan",
    "\x00",
    "9" * 300,
    "'; DROP TABLE x; --",
    "~~~~",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_addresses_give_a_page(open_page, explained_store: Explained, value: str):
    names = (
        "score",
        "sort",
        "order",
        "min_low",
        "min_score",
        "max_score",
        "min_above",
        "explained",
        "explainer",
        "human",
    )
    app = open_page(explained_store, "features", **dict.fromkeys(names, value))
    assert not app.exception
    for mode in ("words", value):
        app = open_page(explained_store, "features", mode=mode, search=value, score=value)
        assert not app.exception


def test_hostile_explanations_stay_data(open_page, explained_store: Explained):
    with Annotations(explained_store.path) as annotations:
        annotations.pin(explained_store.explanations["newer"].id, author="test")
    app = open_page(explained_store, "features", coder="sae")
    assert cells(app, "Explanation")["sae", 3]["text"] == HOSTILE_TEXT
    assert not app.get("html")


def test_annotations_that_cannot_be_read_leave_the_list(open_page, explained_store: Explained):
    (explained_store.path / "annotations.sqlite").write_bytes(b"this is no database" * 100)
    for file in explained_store.path.glob("annotations.sqlite-*"):
        file.unlink()
    app = open_page(explained_store, "features")
    assert not app.exception
    assert record(app, "list") is not None
    assert "Cannot read" in messages(app)


def test_what_a_browser_says_before_it_was_told_of_back_is_no_choice(
    open_page, tiny_store: Store, monkeypatch: pytest.MonkeyPatch
):
    """A busy server stops the run that was to tell a field of its new value, for something else that the browser says."""
    app = open_page(tiny_store, "features", coder="sae", search="cat")
    with monkeypatch.context() as patch:
        patch.setattr("autointerp.ui.features.page.list_latents", lambda *_, **__: st.stop())
        del app.query_params["search"]
        app.run()
    app.text_input(key="url_search").set_value("cat").run()
    assert not app.exception
    assert "search" not in app.query_params
    assert app.text_input(key="url_search").value == ""
    app.text_input(key="url_search").set_value("cat").run()
    assert app.query_params["search"] in ("cat", ["cat"]), "a choice, now that it was told"


def test_what_a_browser_still_shows_after_back_is_no_choice(open_page, tiny_store: Store):
    """A busy browser reports the search of the address that was left, together with the field that it wants anew."""
    app = open_page(tiny_store, "features", coder="sae", search="cat")
    del app.query_params["search"]
    app.run()
    assert app.text_input(key="url_search").value == ""
    told = {"session": "", "texts": {}, "forms": {}, "typed": {}, "anew": {"url_search": 1}}
    app.session_state["drafts"] = {"found": told}
    app.text_input(key="url_search").set_value("cat").run()
    assert not app.exception
    assert "search" not in app.query_params
    app.session_state["drafts_drawn"] = {"url_search": 1}  # it was heard: the field is another one
    app.run()
    app.text_input(key="url_search__1").set_value("dog").run()
    assert app.query_params["search"] in ("dog", ["dog"])
