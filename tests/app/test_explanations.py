"""The explanation side of the Feature page: what is shown, in the words of its elements, and what its buttons do."""

import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.preferences import ENV_CONFIG
from autointerp.settings import ENV_READ_ONLY
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.reading import links, messages, record, records
from tests.explained import HOSTILE_TEXT, Explained


@pytest.fixture(autouse=True)
def no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's settings say: no language model is chosen."""
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))


BUTTONS = {"open_edit", "open_regenerate", "open_rescore", "open_versions"}


def card(app: AppTest) -> dict[str, Any]:
    assert not app.exception, app.exception
    drawn = record(app, "explanation")
    assert drawn is not None
    return drawn


def keys(app: AppTest) -> set[str]:
    return {str(button.key) for button in app.button}


def page(open_page: Any, made: Explained, latent: int = 0, coder: str = "sae", **params: Any) -> AppTest:
    return open_page(made.store, "feature", coder=coder, latent=str(latent), **params)


def test_the_fixture_holds_what_it_says(explained_store: Explained):
    with Annotations(explained_store.path, read_only=True) as annotations:
        shown = annotations.shown("sae", 0)
        assert shown is not None
        assert shown.id == explained_store.explanations["edited"].id
        assert len(annotations.explanations("sae", 0)) == 4
        pinned = annotations.shown("sae", 3)
        assert pinned is not None
        assert pinned.id == explained_store.explanations["pinned"].id
        for score in explained_store.scores.values():
            judged = annotations.judged(score.id)
            assert len(judged) == score.n + score.unparsed


# What is shown ---------------------------------------------------------------------------------


def test_the_newest_good_version_is_shown_with_its_provenance_and_scores(
    open_page, explained_store: Explained
):
    app = page(open_page, explained_store)
    drawn = card(app)
    edited = explained_store.explanations["edited"]
    assert drawn["text"] == edited.text
    assert drawn["meta"][:2] == ["person", "by Ada"]
    assert "version 3 of 4" in drawn["meta"]
    assert "from version 2" in drawn["meta"]
    assert any("Version 4, the newest, failed: server unreachable" in note for note in drawn["notes"])
    detection, embedding = drawn["scores"]
    assert detection["name"] == "Detection"
    assert detection["judge"] == "offline judge"
    assert detection["standing"] == "below"
    assert detection["said"] == "not above floor"
    assert detection["floor"] == "0.56"
    assert detection["n"] == "12+10"
    assert embedding["judge"] == "embedder MiniLM"
    assert embedding["said"] == "no floor"
    assert keys(app) >= BUTTONS


def test_a_version_in_the_address(open_page, explained_store: Explained):
    second = explained_store.explanations["second"]
    app = page(open_page, explained_store, version=second.id)
    drawn = card(app)
    assert drawn["text"] == second.text
    assert "writer-model" in drawn["meta"]
    assert any("Not the one shown elsewhere: that is version 3" in note for note in drawn["notes"])
    judges = {(row["name"], row["judge"]) for row in drawn["scores"]}
    assert {
        ("Detection", "offline judge"),
        ("Detection", "judge-model"),
        ("Simulation", "judge-model"),
    } <= judges
    unparsed = next(row for row in drawn["scores"] if row["judge"] == "judge-model" and row.get("unparsed"))
    assert unparsed["unparsed"] == 3
    failed = next(row for row in drawn["scores"] if "failed" in row)
    assert failed["failed"].startswith("rate limited: <i>")
    assert "value" not in failed
    assert "retry" in keys(app)


def test_versions_lists_all_newest_first_with_the_failed_one(open_page, explained_store: Explained):
    app = page(open_page, explained_store, panel="versions")
    rows = records(app, "explanation")[1]["versions"]
    assert [row["number"] for row in rows] == [4, 3, 2, 1]
    assert rows[0]["failed"].startswith("server unreachable")
    assert not rows[0]["comparable"]
    assert rows[1]["shown"]
    assert rows[1]["current"]
    assert rows[2]["comparable"]
    assert "detection" in rows[3]["scores"]


def test_the_pinned_version_is_shown_and_can_be_unpinned(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=3)
    drawn = card(app)
    assert drawn["text"] == explained_store.explanations["pinned"].text
    assert "pinned" in drawn["meta"]
    app.button(key="pin").click().run()
    drawn = card(app)
    assert "pinned" not in drawn["meta"]
    assert any("the newest good one" in note for note in drawn["notes"])
    app.button(key="pin").click().run()
    assert "pinned" in card(app)["meta"]


def test_an_unexplained_feature_says_so_and_offers_what_can_be_done(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="1")
    drawn = card(app)
    assert drawn["text"] == ""
    assert "id" not in drawn
    assert {"open_write", "open_regenerate"} <= keys(app)
    assert "open_versions" not in keys(app)


def test_a_failed_only_version_is_a_failure_with_its_cause_and_a_retry(open_page, explained_store: Explained):
    app = page(open_page, explained_store, latent=2)
    drawn = card(app)
    assert drawn["text"] == ""
    assert drawn["failed"].startswith("server unreachable")
    assert "retry" in keys(app)
    app.button(key="retry").click().run()
    assert not app.exception
    assert "asks a language model" in messages(app)


@pytest.mark.parametrize("name", ["newer", "long", "emoji", "rtl"])
def test_hostile_explanations_are_inert_text(open_page, explained_store: Explained, name: str):
    explanation = explained_store.explanations[name]
    app = page(
        open_page, explained_store, latent=explanation.latent, version=explanation.id, panel="versions"
    )
    drawn = card(app)
    assert not app.get("html")
    for char in "\u202e\u202c\x00\x1b":
        assert char not in drawn["text"]
    if name != "rtl":
        assert drawn["text"] == explanation.text
    said = "".join(str(element.value) for element in [*app.markdown, *app.caption])
    assert "<script>" not in said
    assert "![" not in said


# Read-only -------------------------------------------------------------------------------------


def test_read_only_hides_what_writes(open_page, explained_store: Explained, monkeypatch: pytest.MonkeyPatch):
    for panel in ("edit", "regenerate", "rescore", "versions"):
        app = page(open_page, explained_store, panel=panel)
        monkeypatch.setenv(ENV_READ_ONLY, "1")
        app.run()
        assert card(app)["text"] == explained_store.explanations["edited"].text
        assert "open_versions" in keys(app)
        hidden = {
            "open_edit",
            "open_regenerate",
            "open_rescore",
            "pin",
            "retry",
            "run_explain",
            "run_score",
            "run_write",
        }
        assert not keys(app) & hidden
        monkeypatch.delenv(ENV_READ_ONLY)


# Judged examples -------------------------------------------------------------------------------


def drill(open_page: Any, made: Explained, name: str, **params: str) -> tuple[AppTest, dict[str, Any]]:
    score = made.scores[name]
    of = next(one for one in made.explanations.values() if one.id == score.explanation_id)
    app = open_page(made.store, "feature", coder=of.coder, latent=str(of.latent), score=score.id, **params)
    assert not app.exception, app.exception
    drawn = record(app, "judged")
    assert drawn is not None
    assert record(app, "contexts") is None
    assert card(app)["id"] == of.id
    return app, drawn


def test_detection_shows_every_example_errors_first(open_page, explained_store: Explained):
    app, drawn = drill(open_page, explained_store, "first/detection")
    order = [group["key"] for group in drawn["groups"]]
    assert order == [key for key in ("fp", "fn", "unparsed", "tp", "tn") if key in order]
    assert sum(len(group["rows"]) for group in drawn["groups"]) == 22
    for group in drawn["groups"]:
        assert all(row["ok"] is (group["key"] in ("tp", "tn")) for row in group["rows"])
        assert all(row["p"] == [] and row["k"] == -1 and "mk" not in row for row in group["rows"])
        assert group["title"].endswith(f": {len(group['rows'])}")
    score = explained_store.scores["first/detection"]
    assert [bar["value"] for bar in drawn["bars"][:10]] == list(score.tpr_by_quantile)
    assert drawn["bars"][10]["value"] == score.tnr
    figures = {row[0]: row[1] for row in record(app, "facts") or []}  # type: ignore[misc]
    assert figures["n"] == "12 + 10"


def test_marks_predictions_similarities_as_the_judge_saw_them(open_page, explained_store: Explained):
    _, fuzzing = drill(open_page, explained_store, "first/fuzzing")
    assert all(row["mk"] for group in fuzzing["groups"] for row in group["rows"])
    _, simulation = drill(open_page, explained_store, "second/simulation")
    assert all(len(row["pr"]) == 32 for group in simulation["groups"] for row in group["rows"])
    assert simulation["judges"] is False
    _, embedding = drill(open_page, explained_store, "first/embedding")
    said = [row["said"] for group in embedding["groups"] for row in group["rows"]]
    assert all(text.startswith("similarity ") and "loses" in text for text in said)


def test_true_activations_only_on_request(open_page, explained_store: Explained):
    _, drawn = drill(open_page, explained_store, "first/detection", overlay="1")
    rows = {group["key"]: group["rows"] for group in drawn["groups"]}
    assert all(row["p"] for row in rows["tp"])
    assert not any(row["p"] for row in rows.get("tn", []))


@pytest.mark.parametrize(
    ("params", "passes"),
    [
        ({"verdict": "wrong"}, lambda one: one.correct is False),
        ({"verdict": "right"}, lambda one: one.correct is True),
        ({"class": "activating"}, lambda one: one.truth),
        ({"class": "silent"}, lambda one: not one.truth),
        ({"quantile": "0"}, lambda one: one.truth and one.quantile == 0),
        ({"source": "neighbours"}, lambda one: not one.truth and one.source == "neighbours"),
    ],
)
def test_filters(open_page, explained_store: Explained, params: dict[str, str], passes):
    _, drawn = drill(open_page, explained_store, "second/llm", **params)
    with Annotations(explained_store.path, read_only=True) as annotations:
        judged = annotations.judged(explained_store.scores["second/llm"].id)
    shown = {row["i"] for group in drawn["groups"] for row in group["rows"]}
    assert shown == {one.i for one in judged if passes(one)}


def test_the_exact_prompt_and_reply(open_page, explained_store: Explained):
    app, drawn = drill(open_page, explained_store, "second/llm", example="5")
    assert all(row["reply"] for group in drawn["groups"] for row in group["rows"])
    codes = "\n".join(str(block.value) for block in app.code)
    assert '{"answers": [1, 0]}' in codes
    assert "You judge texts. <b>system</b>" in codes
    app, _ = drill(open_page, explained_store, "first/detection", example="5")
    assert "no prompt" in messages(app)


def test_a_failed_score_is_a_failure(open_page, explained_store: Explained):
    app, drawn = drill(open_page, explained_store, "second/failed")
    assert "rate limited" in messages(app)
    assert drawn["groups"] == []


def test_scores_of_another_feature_and_foreign_versions_are_refused(open_page, explained_store: Explained):
    foreign = explained_store.scores["plain/detection"]
    app = page(open_page, explained_store, score=foreign.id)
    assert not app.exception
    assert "no such score" in messages(app)
    app = page(open_page, explained_store, version=explained_store.explanations["plain"].id)
    assert any("no such version" in note for note in card(app)["notes"])


HOSTILE = [
    "nothing",
    "<script>alert(1)</script>",
    "![x](http://x)",
    "-1",
    "9" * 300,
    "1.5",
    "\x00",
    "²",
    "$x$ `y`",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_addresses(open_page, explained_store: Explained, value: str):
    score = explained_store.scores["first/detection"].id
    filters = dict.fromkeys(("verdict", "class", "quantile", "source", "overlay", "example"), value)
    addresses: list[dict[str, Any]] = [
        {"version": value, "panel": value},
        {"score": value},
        {"against": value},
        {"score": score, **filters},
    ]
    for params in addresses:
        app = page(open_page, explained_store, **params)
        assert not app.exception, (params, app.exception)
        assert "](" not in messages(app).replace("\\]\\(", "")
        assert not links(app)


# Comparison ------------------------------------------------------------------------------------


def test_two_versions_side_by_side(open_page, explained_store: Explained):
    first, second = (explained_store.explanations[name] for name in ("first", "second"))
    app = page(open_page, explained_store, version=second.id, against=first.id)
    assert not app.exception, app.exception
    drawn = record(app, "comparison")
    assert drawn is not None
    left, right = drawn["sides"]
    assert (left["title"], right["title"]) == ("Version 1", "Version 2")
    assert "".join(text for _, text in left["pieces"]) == first.text
    assert "".join(text for _, text in right["pieces"]) == second.text
    assert {kind for kind, _ in left["pieces"]} == {"same", "cut"}
    rows = {(row["name"], row["judge"]): row for row in drawn["scores"]}
    detection = rows["Detection", "offline judge"]
    assert detection["difference"]
    assert detection["n"] == "12+10"
    assert detection["said"]
    assert rows["Detection", "judge-model"]["said"] == "Only one of the two has this score."


def test_a_version_cannot_be_compared_with_itself_or_a_failure(open_page, explained_store: Explained):
    edited = explained_store.explanations["edited"]
    for other in (edited.id, explained_store.explanations["failed"].id):
        app = page(open_page, explained_store, version=edited.id, against=other)
        assert not app.exception
        assert record(app, "comparison") is None
        assert "Choose two different versions" in messages(app)


# Work ------------------------------------------------------------------------------------------


@pytest.fixture
def busy_store(explained_store: Explained) -> Explained:
    """The same; what a test computes in it is done by the app's own job runner."""
    return explained_store


def finish(app: AppTest, made: Explained, condition: Any) -> None:
    """Look again until the condition holds: a slow machine may need longer than a click waits."""
    with Annotations(made.path, read_only=True) as annotations:
        for _ in range(600):
            if condition(annotations):
                break
            time.sleep(0.1)
        else:
            jobs = [(job.label, job.state, job.error) for job in annotations.jobs.recent()]
            pytest.fail(f"nothing came of it: {jobs}")
    app.run()
    assert not app.exception, app.exception


def test_regenerate_with_the_pattern_explainer_and_score_it(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=0)
    app.button(key="open_regenerate").click().run()
    assert "run_explain" in keys(app)
    assert "No language model is chosen" in messages(app)
    assert "No prompt and no cost" in messages(app)
    app.button(key="run_explain").click().run()
    assert not app.exception, app.exception
    finish(app, busy_store, lambda a: len(a.explanations("sae", 0)) == 5)
    drawn = card(app)
    assert drawn["meta"][0] == "pattern"
    assert "version 5 of 5" in drawn["meta"]
    assert {row["name"] for row in drawn["scores"]} == {"Detection", "Fuzzing"}
    assert all(row["judge"] == "offline judge" for row in drawn["scores"])
    assert drawn["news"]["title"] == "Version 5 against version 3"
    assert drawn["news"]["against"] == busy_store.explanations["edited"].id
    assert "panel" not in app.query_params


def test_a_new_version_is_scored_as_the_one_before_and_the_difference_told(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=4, panel="rescore")
    next(group for group in app.pills if group.label == "Non-activating examples from").set_value(
        ["neighbours"]
    )
    app.button(key="run_score").click().run()
    finish(app, busy_store, lambda a: len(a.scores_of_latent("sae", 4)) == 3)
    app.button(key="open_regenerate").click().run()
    app.button(key="run_explain").click().run()
    finish(app, busy_store, lambda a: len(a.scores_of_latent("sae", 4)) == 5)
    drawn = card(app)
    assert {row["against"] for row in drawn["scores"]} == {"vs neighbours"}
    assert [line["name"] for line in drawn["news"]["lines"]] == ["Detection", "Fuzzing"]
    assert all(line["difference"] and line["said"] for line in drawn["news"]["lines"])


def test_regenerating_again_draws_other_examples(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=0, panel="regenerate")
    seeds = [box.value for box in app.number_input if box.label == "Seed"]
    assert seeds == [1]  # version 1 is the pattern explainer's with seed 0


def test_a_pinned_version_stays_pinned_and_the_new_one_is_looked_at(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=3, panel="regenerate")
    app.button(key="run_explain").click().run()
    finish(app, busy_store, lambda a: len(a.explanations("sae", 3)) == 3)
    drawn = card(app)
    assert "version 3 of 3" in drawn["meta"]
    assert any("that is version 1, pinned" in note for note in drawn["notes"])


def test_rescore_the_version_in_sight(open_page, busy_store: Explained):
    edited = busy_store.explanations["edited"]
    app = page(open_page, busy_store, panel="rescore")
    assert "No prompt and no cost" in messages(app)
    next(box for box in app.number_input if box.label == "Activating").set_value(6)
    app.button(key="run_score").click().run()
    assert not app.exception, app.exception
    finish(app, busy_store, lambda a: len(a.scores(edited.id)) == 4)
    rows = {(row["name"], row["against"]): row for row in card(app)["scores"]}
    assert rows["Detection", "vs random"]["n"].startswith("6+")
    assert ("Fuzzing", "vs random") in rows


def test_nothing_chosen_is_a_message(open_page, busy_store: Explained):
    app = page(open_page, busy_store, panel="rescore")
    next(group for group in app.pills if group.label == "Scorers").set_value([])
    app.button(key="run_score").click().run()
    assert not app.exception
    assert "no scorer chosen" in messages(app)


def test_edit_keeps_the_parent_and_scores_the_new_text(open_page, busy_store: Explained):
    edited = busy_store.explanations["edited"]
    app = page(open_page, busy_store)
    app.button(key="open_edit").click().run()
    assert app.text_area[0].value == edited.text
    app.button(key="run_write").click().run()
    assert "Nothing was changed" in messages(app)
    app.text_area[0].set_value("Script tags, wherever they stand.")
    app.text_input(key="choice_author").set_value("Grace")
    app.button(key="run_write").click().run()
    assert not app.exception, app.exception
    finish(app, busy_store, lambda a: len(a.scores_of_latent("sae", 0)) == 11)
    drawn = card(app)
    assert drawn["text"] == "Script tags, wherever they stand."
    assert drawn["meta"][:2] == ["person", "by Grace"]
    assert "from version 3" in drawn["meta"]
    assert drawn["news"]["title"] == "Version 5 against version 3"
    app.button(key="open_edit").click().run()
    assert app.text_input(key="choice_author").value == "Grace"


@pytest.mark.parametrize(("text", "said"), [("  \n ", "The explanation is empty"), ("x" * 10_001, "10,000")])
def test_empty_and_endless_texts_are_refused(open_page, busy_store: Explained, text: str, said: str):
    app = page(open_page, busy_store, panel="write")
    app.text_area[0].set_value(text)
    app.button(key="run_write").click().run()
    assert not app.exception
    assert said.replace(",", "\\,") in messages(app) or said in messages(app)
    with Annotations(busy_store.path, read_only=True) as annotations:
        assert len(annotations.explanations("sae", 0)) == 4


def test_a_hostile_text_written_here_stays_text(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=1, panel="write")
    app.text_area[0].set_value(HOSTILE_TEXT)
    next(box for box in app.toggle if box.label == "Score it").set_value(False)
    app.button(key="run_write").click().run()
    drawn = card(app)
    assert drawn["text"] == HOSTILE_TEXT
    assert not app.get("html")


def test_compare_scores_both_on_the_same_examples(open_page, busy_store: Explained):
    pinned, newer = (busy_store.explanations[name] for name in ("pinned", "newer"))
    app = page(open_page, busy_store, latent=3, against=newer.id)
    app.button(key="score_both").click().run()
    finish(app, busy_store, lambda a: len(a.scores(pinned.id)) == len(a.scores(newer.id)) == 2)
    rows = [row for row in record(app, "comparison")["scores"] if row.get("difference")]  # type: ignore[index]
    assert rows


def test_a_dead_feature_has_nothing_to_explain(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="5")
    assert not app.exception
    assert record(app, "explanation") is None
    assert not keys(app) & BUTTONS
