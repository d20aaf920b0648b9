"""Regenerate and rescore with a language model, from the Feature page, against a scripted server."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from streamlit.testing.v1 import AppTest

from autointerp import preferences
from autointerp.preferences import ENV_CONFIG, Preferences
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.text import visible
from tests.app.reading import messages, record
from tests.batch.served import ScriptedServer
from tests.explained import Explained, scores_of

PRICES = {"m": {"prompt": 1.0, "completion": 2.0}}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A server that is chosen in the settings."""
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))
    http = HTTPServer(threaded=True)
    http.start()
    server = ScriptedServer(http)
    preferences.save(Preferences(model="m", base_url=server.url, prices=PRICES))
    yield server
    http.stop()


def feature(open_page: Any, made: Explained, **params: str) -> AppTest:
    app = open_page(made.store, "feature", coder="sae", **{"latent": "0", **params})
    assert not app.exception, app.exception
    return app


def wait(app: AppTest, made: Explained, condition: Any) -> None:
    with Annotations(made.path, read_only=True) as annotations:
        for _ in range(600):
            if condition(annotations) and not annotations.jobs.active():
                break
            time.sleep(0.1)
        else:
            pytest.fail(
                f"nothing came of it: {[(job.state, job.error) for job in annotations.jobs.recent()]}"
            )
    for _ in range(2):
        app.run()
        assert not app.exception, app.exception


def codes(app: AppTest) -> str:
    return "\n".join(str(block.value) for block in app.code)


def test_regenerate_shows_prompt_and_cost_before_anything_is_sent(
    open_page, explained_store: Explained, model: ScriptedServer
):
    app = feature(open_page, explained_store, panel="regenerate")
    assert "1 request: about" in messages(app)
    assert "cost 0.00" in messages(app)
    assert "Scores: 12 requests" in messages(app)
    assert "<<<script>alert(1)</script>>>" in codes(app) or "[[<script>alert(1)</script>]]" in codes(app)
    assert model.n_requests == 0
    app.button(key="run_explain").click().run()
    assert not app.exception, app.exception
    wait(app, explained_store, lambda a: len(a.explanations("sae", 0)) == 5)
    drawn = record(app, "explanation")
    assert drawn is not None
    assert "m" in drawn["meta"]
    assert "version 5 of 5" in drawn["meta"]
    assert {row["judge"] for row in drawn["scores"]} == {"m"}
    assert model.n_requests > 1
    app = feature(open_page, explained_store, panel="versions")
    with Annotations(explained_store.path, read_only=True) as annotations:
        newest = annotations.explanations("sae", 0)[0]
        assert newest.reply_ref is not None
        sent = annotations.replies.get(newest.reply_ref)
    assert sent is not None
    assert visible(str(sent.request["messages"][-1]["content"])) in codes(app)


def test_rescore_by_a_model_and_look_into_its_prompt(
    open_page, explained_store: Explained, model: ScriptedServer
):
    edited = explained_store.explanations["edited"]
    app = feature(open_page, explained_store, panel="rescore")
    assert "including the floor's requests" in messages(app)
    assert model.n_requests == 0
    app.button(key="run_score").click().run()
    wait(app, explained_store, lambda a: len(scores_of(a, edited.id)) == 4)
    with Annotations(explained_store.path, read_only=True) as annotations:
        score = next(
            one
            for one in scores_of(annotations, edited.id)
            if one.judge == "llm" and one.scorer == "detection"
        )
        assert score.status == "ok", score.error
    app = feature(open_page, explained_store, score=score.id, example="0")
    assert '{"answers"' in codes(app)
    assert edited.text in codes(app)
    sent = model.n_requests
    app = feature(open_page, explained_store, panel="rescore")
    assert "6 cached" in messages(app)
    app.button(key="run_score").click().run()
    wait(app, explained_store, lambda a: len(scores_of(a, edited.id)) == 6)
    assert model.n_requests == sent


def test_a_failing_server_leaves_a_failure_and_a_retry_heals_it(
    open_page, explained_store: Explained, model: ScriptedServer
):
    model.fault = lambda question, times: "refusal"
    app = feature(open_page, explained_store, latent="1", panel="regenerate")
    app.button(key="run_explain").click().run()
    wait(app, explained_store, lambda a: len(a.explanations("sae", 1)) == 2)
    drawn = record(app, "explanation")
    assert drawn is not None
    shown = explained_store.explanations["plain"]
    with Annotations(explained_store.path, read_only=True) as annotations:
        failed = annotations.explanations("sae", 1)[0]
        assert failed.status == "failed"
        assert annotations.shown("sae", 1) == shown
    app.run()
    drawn = record(app, "explanation")
    assert drawn is not None
    assert drawn["text"] == shown.text, "the good one stays in sight"
    assert drawn["failure"] == {
        "id": failed.id,
        "name": "Version 2, the newest, failed",
        "cause": failed.error,
    }
    assert "version" not in app.query_params
    assert app.button(key="retry").label == "Retry version 2"
    app = feature(open_page, explained_store, latent="1", version=failed.id, panel="versions")
    drawn = record(app, "explanation")
    assert drawn is not None
    assert drawn["failed"] == failed.error
    assert codes(app).count("I'm sorry, but I can't help with that.") == 2
    assert "unusable" in "".join(str(one.value) for one in app.markdown)
    assert "Some excerpts" in codes(app) or "[1] " in codes(app)
    assert "no language model was used" not in messages(app)
    model.fault = lambda question, times: None
    app.button(key="retry").click().run()
    assert not app.exception, app.exception
    wait(app, explained_store, lambda a: len(a.explanations("sae", 1, failed=False)) == 2)
    assert "m" in record(app, "explanation")["meta"]  # type: ignore[index]


def test_judged_examples_without_an_answer_show_what_was_said_instead(
    open_page, explained_store: Explained, model: ScriptedServer
):
    edited = explained_store.explanations["edited"]
    model.fault = lambda question, times: "prose"
    app = feature(open_page, explained_store, panel="rescore")
    app.button(key="run_score").click().run()
    wait(app, explained_store, lambda a: len(scores_of(a, edited.id)) == 4)
    with Annotations(explained_store.path, read_only=True) as annotations:
        score = next(
            one
            for one in scores_of(annotations, edited.id)
            if one.judge == "llm" and one.scorer == "detection"
        )
        judged = annotations.judged(score.id)
        stored = annotations.replies.get(judged[0].reply_ref or "")
    assert score.unparsed == len(judged)
    assert stored is not None
    app = feature(open_page, explained_store, score=score.id, example="0")
    assert visible(str(stored.reply["text"])) in codes(app)
    assert edited.text in codes(app)
    drawn = record(app, "judged")
    assert drawn is not None
    assert all(row["reply"] and row["error"] for group in drawn["groups"] for row in group["rows"])


def test_a_simulation_says_before_that_its_way_of_asking_is_not_known(
    open_page, explained_store: Explained, model: ScriptedServer
):
    app = feature(open_page, explained_store, panel="rescore")
    app.pills(key="choice_scorers").set_value(["simulation"]).run()
    assert not app.exception, app.exception
    assert "finds out whether the server returns log probabilities" in messages(app)
    assert model.n_requests == 0


def test_a_server_that_is_down_is_not_called_a_version_without_a_language_model(
    open_page, explained_store: Explained, model: ScriptedServer
):
    preferences.save(Preferences(model="m", base_url="http://127.0.0.1:9/v1", prices=PRICES))
    app = feature(open_page, explained_store, latent="1", panel="regenerate")
    app.button(key="run_explain").click().run()
    wait(app, explained_store, lambda a: len(a.explanations("sae", 1)) == 2)
    with Annotations(explained_store.path, read_only=True) as annotations:
        failed = annotations.explanations("sae", 1)[0]
    app = feature(open_page, explained_store, latent="1", version=failed.id, panel="versions")
    assert "could not be reached or did not answer" in messages(app)
    assert "no language model was used" not in messages(app)


def test_intervention_asks_another_model_only_where_one_is_chosen(
    open_page, explained_store: Explained, model: ScriptedServer
):
    edited = explained_store.explanations["edited"]
    app = feature(open_page, explained_store, panel="rescore")
    app.pills(key="choice_scorers").set_value(["intervention"]).run()
    assert "nothing here uses a language model" in messages(app)
    judge = app.segmented_control(key="choice_text_model")
    assert judge.options == ["The store's own model", "LLM"]
    judge.set_value("llm").run()
    assert not app.exception, app.exception
    assert "requests: about" in messages(app)
    assert f"{edited.text}" in codes(app)
    assert "More than expected" in codes(app)
    assert model.n_requests == 0
    preferences.save(Preferences(model=""))
    app = feature(open_page, explained_store, panel="rescore")
    app.pills(key="choice_scorers").set_value(["intervention"]).run()
    assert not app.exception, app.exception
    assert not [each for each in app.segmented_control if each.key == "choice_text_model"]
