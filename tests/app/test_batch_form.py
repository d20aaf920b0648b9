"""The form that starts a batch, as AppTest runs it: what it takes, what it estimates, what it starts."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.estimate import Estimate
from autointerp.preferences import ENV_CONFIG
from autointerp.records import Explanation
from autointerp.settings import ENV_STORE
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.reading import messages


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "settings.json"
    monkeypatch.setenv(ENV_CONFIG, str(file))
    return file


def _form_page() -> None:
    from autointerp.ui.jobs.page import draw

    draw()


@pytest.fixture
def form(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page without the router: under AppTest that runs a page twice, and a button's click is gone the second time."""
    monkeypatch.setenv(ENV_STORE, str(tiny_store.path))
    app = AppTest.from_function(_form_page, default_timeout=180)
    app.query_params["new"] = "1"
    app.run()
    assert not app.exception, app.exception
    return app


def test_a_list_that_is_gone_is_not_silently_another(form: AppTest):
    assert "no longer available" not in messages(form)
    form.query_params["list"] = "search=x&mode=words"
    form.run()
    assert "no longer available" in messages(form)
    form.query_params["list"] = "coder=sae"
    form.run()
    assert "no longer available" not in messages(form)
    assert form.radio(key="batch_which_list").value == "list"


def test_a_batch_of_these_features(form: AppTest, tiny_store: Store):
    app = form
    app.radio(key="batch_which").set_value("some").run()
    assert app.button(key="batch_start").disabled
    app.text_input(key="batch_latents").set_value("0, 3-4").run()
    assert "3 features; no language model" in messages(app)
    app.pills(key="batch_s_scorers").set_value(["detection"]).run()
    app.button(key="batch_start").click().run()
    assert not app.exception
    assert "new" not in app.query_params
    with Annotations(tiny_store.path) as annotations:
        (job,) = annotations.jobs.recent()
        assert (job.kind, job.total, job.payload["coder"]) == ("explain", 3, "sae")
        assert [one.item for one in annotations.jobs.items(job.id)] == [0, 3, 4]
    app.query_params["new"] = "1"
    app.run()
    assert app.text_input(key="batch_latents").value == ""  # used


@pytest.mark.parametrize("text", ["", "x", "4-3", "8", "0-99", "-1", "0,,1", "1e3", "²", "9" * 400])
def test_features_that_are_none_start_nothing(form: AppTest, text: str):
    app = form
    app.radio(key="batch_which").set_value("some").run()
    app.text_input(key="batch_latents").set_value(text).run()
    assert not app.exception
    assert app.button(key="batch_start").disabled
    assert "⚠" in messages(app)


def test_scoring_needs_explanations(form: AppTest, tiny_store: Store):
    app = form
    app.checkbox(key="batch_explain").set_value(False).run()
    assert app.button(key="batch_start").disabled
    with Annotations(tiny_store.path) as annotations:
        annotations.add(Explanation(coder="sae", latent=3, text="x", explainer="person", author="t"))
    app.run()
    assert not app.exception
    assert "1 explanation; no language model" in messages(app)
    app.checkbox(key="batch_score").set_value(False).run()
    assert "Choose Explain, Score or both" in messages(app).replace("\\", "")


def test_a_language_model_has_to_be_chosen_and_is_estimated(open_page, tiny_store: Store, config: Path):
    app = open_page(tiny_store, "jobs", new="1")
    app.selectbox(key="batch_e_explainer").set_value("default").run()
    assert not app.exception
    assert "none is chosen" in messages(app)
    assert app.button(key="batch_start").disabled
    config.write_text(json.dumps({"model": "m", "base_url": "http://localhost:1/v1"}))
    app.run()
    assert not app.exception
    told = messages(app)
    assert "requests" in told
    assert "cost unknown" in told
    config.write_text(
        json.dumps(
            {
                "model": "m",
                "base_url": "http://localhost:1/v1",
                "prices": {"m": {"prompt": 1, "completion": 2}},
            }
        )
    )
    app.run()
    assert "at most 0" in messages(app)
    assert not app.button(key="batch_start").disabled


def test_the_estimate_looks_beyond_the_first_feature(
    form: AppTest, tiny_store: Store, config: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first one may have been tried on its page, and then costs nothing."""
    from autointerp.pipeline.resources import Resources
    from autointerp.ui.jobs import batch_form

    def estimate(resources: Resources, coder: str, latent: int, options: object) -> Estimate:
        return (
            Estimate(n_requests=1, from_cache=1)
            if latent == 0
            else Estimate(n_requests=1, tokens_in=1000, cost=0.25)
        )

    monkeypatch.setattr(batch_form, "estimate_explanation", estimate)
    config.write_text(json.dumps({"model": "m", "base_url": "http://localhost:1/v1"}))
    form.checkbox(key="batch_score").set_value(False).run()
    form.radio(key="batch_which").set_value("some").run()
    form.text_input(key="batch_latents").set_value("0,3,4").run()
    form.selectbox(key="batch_e_explainer").set_value("default").run()
    assert not form.exception
    assert "3 features: about 3 requests, 1 cached; 2.0 k tokens in" in messages(form)
    assert "at most 0.50" in messages(form)


def test_a_text_that_is_scored_and_the_floor_of_another_is_estimated_once(
    form: AppTest, tiny_store: Store, config: Path
):
    config.write_text(json.dumps({"model": "m", "base_url": "http://localhost:1/v1"}))
    with Annotations(tiny_store.path) as annotations:
        for latent in (0, 3, 4):
            text = f"number {latent}"
            annotations.add(
                Explanation(coder="sae", latent=latent, text=text, explainer="person", author="me")
            )
    form.checkbox(key="batch_explain").set_value(False).run()
    form.pills(key="batch_s_scorers").set_value(["generation"]).run()
    form.radio(key="batch_which").set_value("some").run()
    form.text_input(key="batch_latents").set_value("0,3,4").run()
    assert not form.exception
    assert "about 3 requests" in messages(form), "every floor is scored too"
    form.text_input(key="batch_latents").set_value("3").run()
    assert "about 2 requests" in messages(form), "its floor is not"
    form.checkbox(key="batch_explain").set_value(True).run()
    form.selectbox(key="batch_e_explainer").set_value("pattern").run()
    form.text_input(key="batch_latents").set_value("0,3,4").run()
    assert not form.exception
    assert "about 6 requests" in messages(form), "the new texts, and as floors the old ones"


def test_the_delphi_protocol_hides_what_it_fixes(form: AppTest, tiny_store: Store):
    app = form
    app.radio(key="batch_which").set_value("some").run()
    app.text_input(key="batch_latents").set_value("0").run()
    app.number_input(key="batch_e_seed").set_value(7).run()
    app.segmented_control(key="batch_e_protocol").set_value("delphi").run()
    assert not app.exception
    keys = {widget.key for widget in [*app.number_input, *app.selectbox, *app.toggle]}
    assert "batch_e_n_examples" in keys
    assert not {"batch_e_seed", "batch_e_sampling", "batch_e_centre"} & keys
    app.button(key="batch_start").click().run()
    assert not app.exception
    with Annotations(tiny_store.path) as annotations:
        (job,) = annotations.jobs.recent()
        options = ExplainOptions.from_dict(job.payload["explain"])
    assert (options.protocol, options.seed) == ("delphi", 0)


def test_an_explainer_without_protocols_keeps_its_options(form: AppTest, config: Path):
    config.write_text(json.dumps({"model": "m", "base_url": "http://localhost:1/v1"}))
    app = form
    app.selectbox(key="batch_e_explainer").set_value("contrastive").run()
    assert not app.exception
    assert not [widget for widget in app.segmented_control if widget.key == "batch_e_protocol"]
    keys = {widget.key for widget in [*app.number_input, *app.selectbox, *app.toggle]}
    assert {"batch_e_seed", "batch_e_sampling", "batch_e_centre"} <= keys
