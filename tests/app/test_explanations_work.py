"""What the buttons of the explanation side of the Feature page do: regenerate, rescore, write, compare."""

import time
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.score.compare import Difference
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import differences
from tests.app.reading import card, draft, keys, messages, page, record, records, say_name
from tests.explained import HOSTILE_TEXT, Explained, scores_of

pytestmark = pytest.mark.usefixtures("no_model")
BUTTONS = {"open_edit", "open_regenerate", "open_rescore", "open_versions"}


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
    next(group for group in app.pills if group.label == "Source of non-activating examples").set_value(
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
    assert {line["judge"] for line in drawn["news"]["lines"]} == {"offline judge"}
    assert all(line["n"].startswith("n ") for line in drawn["news"]["lines"])


def test_a_difference_without_an_interval_is_no_figure(
    open_page, busy_store: Explained, monkeypatch: pytest.MonkeyPatch
):
    apart = Difference("balanced_accuracy", 0.5, None, None, 1, 30, 58)
    monkeypatch.setattr(differences, "compared", lambda *_: (apart, differences.sentence(apart)))
    app = page(open_page, busy_store, latent=4, panel="rescore")
    app.button(key="run_score").click().run()
    finish(app, busy_store, lambda a: len(a.scores_of_latent("sae", 4)) == 3)
    app.button(key="open_regenerate").click().run()
    app.button(key="run_explain").click().run()
    finish(app, busy_store, lambda a: len(a.scores_of_latent("sae", 4)) == 5)
    news = card(app)["news"]
    assert "score both on the same examples" in news["said"]
    assert [line["difference"] for line in news["lines"]] == [""] * len(news["lines"])
    assert {line["n"] for line in news["lines"]} == {""}
    assert {line["said"] for line in news["lines"]} == {"on different examples"}


def test_a_click_is_answered_also_when_nothing_looks_different(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=4, panel="rescore")
    said: list[Any] = []
    for count in (3, 5):
        if "panel" not in app.query_params:
            app.button(key="open_rescore").click().run()
        app.button(key="run_score").click().run()
        said.append(record(app, "notice"))
        assert "score 1 explanation of sae" in said[-1]["text"]
        finish(app, busy_store, lambda a, n=count: len(a.scores_of_latent("sae", 4)) == n)
    app.run()
    said.append(record(app, "notice"))
    assert [one["once"] for one in said] == [said[0]["once"], said[1]["once"], said[1]["once"]]
    assert said[0]["once"] != said[1]["once"], "each is said once"


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
    assert any("show version 1 (pinned)" in note for note in drawn["notes"])


def test_rescore_the_version_in_sight(open_page, busy_store: Explained):
    edited = busy_store.explanations["edited"]
    app = page(open_page, busy_store, panel="rescore")
    assert "No prompt and no cost" in messages(app)
    next(box for box in app.number_input if box.label == "Activating").set_value(6)
    app.button(key="run_score").click().run()
    assert not app.exception, app.exception
    finish(app, busy_store, lambda a: len(scores_of(a, edited.id)) == 4)
    rows = {(row["name"], row["against"]): row for row in card(app)["scores"]}
    assert rows["Detection", "vs random"]["n"].startswith("6+")
    assert ("Fuzzing", "vs random") in rows


def test_centred_scores_stand_beside_the_others(open_page, busy_store: Explained):
    edited = busy_store.explanations["edited"]
    with Annotations(busy_store.store.path, read_only=True) as annotations:
        before = {one.id for one in scores_of(annotations, edited.id)}
    app = page(open_page, busy_store, panel="rescore")
    next(toggle for toggle in app.toggle if toggle.label == "Centre examples").set_value(True)
    app.button(key="run_score").click().run()
    assert not app.exception, app.exception
    finish(app, busy_store, lambda a: len(scores_of(a, edited.id)) == len(before) + 2)
    with Annotations(busy_store.store.path, read_only=True) as annotations:
        new = [one for one in scores_of(annotations, edited.id) if one.id not in before]
        assert [one.config.get("centre") for one in new] == [True, True]
    rows = [row for row in card(app)["scores"] if row["protocol"] == "centred"]
    assert {row["name"] for row in rows} == {"Detection", "Fuzzing"}


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
    assert records(app, "editor")[0]["value"] == edited.text
    app.button(key="run_write").click().run()
    assert "text is unchanged" in messages(app)
    draft(app, "Script tags, wherever they stand.", parent=edited.id)
    app.text_input(key="choice_author").set_value("Grace")
    app.button(key="run_write").click().run()
    assert not app.exception, app.exception
    finish(app, busy_store, lambda a: len(a.scores_of_latent("sae", 0)) == 11)
    drawn = card(app)
    assert drawn["text"] == "Script tags, wherever they stand."
    assert drawn["meta"][:2] == ["person", "by Grace"]
    assert "edited from version 3" in drawn["meta"]
    assert drawn["news"]["title"] == "Version 5 against version 3"
    app.button(key="open_edit").click().run()
    assert app.text_input(key="choice_author").value == "Grace"


@pytest.mark.parametrize(("text", "said"), [("  \n ", "The explanation is empty"), ("x" * 10_001, "10,000")])
def test_empty_and_endless_texts_are_refused(open_page, busy_store: Explained, text: str, said: str):
    app = page(open_page, busy_store, panel="write")
    draft(app, text)
    app.button(key="run_write").click().run()
    assert not app.exception
    assert said.replace(",", "\\,") in messages(app) or said in messages(app)
    with Annotations(busy_store.path, read_only=True) as annotations:
        assert len(annotations.explanations("sae", 0)) == 4


def test_a_hostile_text_written_here_stays_text(open_page, busy_store: Explained):
    app = page(open_page, busy_store, latent=1, panel="write")
    draft(app, HOSTILE_TEXT, latent=1)
    next(box for box in app.toggle if box.label == "Score it").set_value(False)
    app.button(key="run_write").click().run()
    say_name(app)
    drawn = card(app)
    assert drawn["text"] == HOSTILE_TEXT
    assert not app.get("html")


def test_compare_scores_both_on_the_same_examples(open_page, busy_store: Explained):
    pinned, newer = (busy_store.explanations[name] for name in ("pinned", "newer"))
    app = page(open_page, busy_store, latent=3, against=newer.id)
    app.button(key="score_both").click().run()
    finish(app, busy_store, lambda a: len(scores_of(a, pinned.id)) == len(scores_of(a, newer.id)) == 2)
    rows = [row for row in record(app, "comparison")["scores"] if row.get("difference")]  # type: ignore[index]
    assert rows


def test_a_dead_feature_has_nothing_to_explain(open_page, tiny_store: Store):
    app = open_page(tiny_store, "feature", coder="sae", latent="5")
    assert not app.exception
    assert record(app, "explanation") is None
    assert not keys(app) & BUTTONS
