"""Retry in the app asks whom Settings name now: a key, a model or an address that was wrong and has been mended counts."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from streamlit.testing.v1 import AppTest
from werkzeug import Response

from autointerp import preferences
from autointerp.explain.options import ExplainOptions
from autointerp.jobs.kinds import explain_job
from autointerp.llm.options import LLMOptions
from autointerp.preferences import ENV_CONFIG, Preferences
from autointerp.score.options import ScoreOptions
from autointerp.settings import ENV_READ_ONLY, ENV_STORE
from autointerp.store import Store
from autointerp.store.annotations import Annotations, Job
from autointerp.ui.shared import job_retry
from tests.app.reading import messages, record
from tests.llm.conftest import FakeServer, failure, reply

WRONG, RIGHT = "wrong-key-0123456789", "right-key-0123456789"


@pytest.fixture
def served() -> Iterator[FakeServer]:
    """Lets in who has the right key and asks for the model that there is."""
    http = HTTPServer(threaded=True)
    http.start()
    server = FakeServer(http)
    http.expect_request("/v2/chat/completions").respond_with_data("<html>not here</html>", 404)

    def answer(body: dict, number: int) -> Response:
        if server.headers[number].get("Authorization") != f"Bearer {RIGHT}":
            return failure(401, "bad key")
        if body["model"] != "m":
            return failure(404, "no such model", "model_not_found")
        return reply('{"explanation": "Words about cats."}')

    server.answer = answer
    yield server
    http.stop()


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_store: Store) -> None:
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY", ENV_READ_ONLY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))
    monkeypatch.setenv(ENV_STORE, str(tiny_store.path))


def _page() -> None:
    """A field for the key, a button as the element's Retry, the strip."""
    import streamlit as st

    from autointerp.ui.shared import components, job_strip, llm_keys, llm_settings
    from autointerp.ui.shared.session import open_store

    def press() -> None:
        sent = {"act": "retry", "id": st.session_state["job"]}
        real, components.triggered = components.triggered, lambda key, event: sent
        try:
            job_strip.act(open_store(), "strip")
        finally:
            components.triggered = real

    st.text_input(
        "key", key="typed", on_change=lambda: llm_keys.take("typed", llm_settings.preferences().base_url)
    )
    st.button("forget", key="forget", on_click=llm_keys.forget)
    st.session_state["llm"] = llm_settings.current()
    st.button("retry", key="retry", on_click=press)
    job_strip.draw([st.session_state["job"]] if "job" in st.session_state else [])


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_function(_page, default_timeout=40)


def started(store: Store, llm: LLMOptions, **options: object) -> Job:
    """Explains two features with this model, each to be scored by it too, and ended."""
    then = [ScoreOptions(judge="llm", llm=llm, n_examples=4, n_negatives=4)]
    with Annotations(store.path) as annotations:
        made = explain_job("sae", [0, 3], ExplainOptions(explainer="default", llm=llm), [], later=then)
        return annotations.jobs.submit(made["kind"], made["payload"], made["items"], label="x")[0]


def ended(store: Store, job_id: str, state: str) -> Job:
    with Annotations(store.path, read_only=True) as annotations:
        job = annotations.jobs.get(job_id)
        for _ in range(600):
            if not job.is_active:
                break
            time.sleep(0.05)
            job = annotations.jobs.get(job_id)
        assert job.state == state, job.error
        return job


def fail(app: AppTest, store: Store, served: FakeServer, model: str = "m", url: str | None = None) -> Job:
    """A job that was started with what the session has now, and failed."""
    preferences.save(Preferences(model=model, base_url=url or served.url, max_in_flight=1))
    app.run()
    app.text_input(key="typed").set_value(WRONG if (model, url) == ("m", None) else RIGHT).run()
    assert not app.exception, app.exception
    job = started(store, app.session_state["llm"])
    app.session_state["job"] = job.id
    app.run()
    return ended(store, job.id, "failed")


def actions(app: AppTest) -> list[list[str]]:
    app.run()
    drawn = record(app, "jobs")
    assert drawn is not None
    return drawn["rows"][0]["cells"][-1]


def test_the_right_key_typed_after_the_wrong_one(app: AppTest, tiny_store: Store, served: FakeServer):
    job = fail(app, tiny_store, served)
    assert job.error_kind == "auth"
    retry = actions(app)[0]
    assert f"Uses m at {served.url.split('/')[2]}" in retry[2]
    assert len(retry) == 3, "the same model and server: there is nothing to warn of"
    app.text_input(key="typed").set_value(RIGHT).run()
    app.button(key="retry").click().run()
    job = ended(tiny_store, job.id, "done")
    assert (job.n_done, job.total) == (2, 2)
    assert served.headers[-1]["Authorization"] == f"Bearer {RIGHT}"
    with Annotations(tiny_store.path, read_only=True) as annotations:
        (follower, *_) = annotations.jobs.followers(job.id)
        assert follower.payload["score"][0]["llm"]["key_ref"] == job.payload["explain"]["llm"]["key_ref"]
        for path in tiny_store.path.rglob("*"):
            assert not path.is_file() or RIGHT.encode() not in path.read_bytes()


@pytest.mark.parametrize("wrong", ["model", "address"])
def test_the_right_model_or_address_chosen_after_the_wrong_one(
    wrong: str, app: AppTest, tiny_store: Store, served: FakeServer
):
    there = served.url.removesuffix("/v1") + "/v2"
    job = fail(app, tiny_store, served, **({"model": "n"} if wrong == "model" else {"url": there}))
    assert job.error_kind in ("unknown_model", "wrong_url")
    preferences.save(Preferences(model="m", base_url=served.url, max_in_flight=1))
    app.run()
    app.text_input(key="typed").set_value(RIGHT).run()
    retry, *_ = actions(app)
    host = served.url.split("/")[2]
    assert retry[3] == (f"now uses m at {host}, not n at {host}" if wrong == "model" else retry[3])
    assert retry[3].startswith(f"now uses m at {host}")
    app.button(key="retry").click().run()
    job = ended(tiny_store, job.id, "done")
    with Annotations(tiny_store.path, read_only=True) as annotations:
        made = [one for one in annotations.explanations("sae", 0) if one.status == "ok"]
        assert [one.config["llm"]["model"] for one in made] == ["m"], "each records whom it really asked"


def test_a_key_that_was_typed_in_a_session_of_another_process(
    app: AppTest, tiny_store: Store, served: FakeServer
):
    preferences.save(Preferences(model="m", base_url=served.url))
    llm = LLMOptions(model="m", base_url=served.url, key_ref="key-of-a-process-that-is-gone")
    job = started(tiny_store, llm)
    app.session_state["job"] = job.id
    app.run()
    assert "Settings" in (ended(tiny_store, job.id, "failed").error or "")
    app.text_input(key="typed").set_value(RIGHT).run()
    app.button(key="retry").click().run()
    assert ended(tiny_store, job.id, "done").n_done == 2


def test_another_session_goes_on_with_the_key_that_the_job_was_started_with(
    app: AppTest, tiny_store: Store, served: FakeServer
):
    """There is no other one; and the key stays the name of a key."""
    job = fail(app, tiny_store, served)
    other = AppTest.from_function(_page, default_timeout=40)
    other.session_state["job"] = job.id
    other.run()
    n = len(served.headers)
    other.button(key="retry").click().run()
    ended(tiny_store, job.id, "failed")
    assert {one["Authorization"] for one in served.headers[n:]} == {f"Bearer {WRONG}"}


def test_what_the_job_may_spend_stays(app: AppTest, tiny_store: Store, served: FakeServer):
    preferences.save(Preferences(model="m", base_url=served.url, max_tokens=10**9))
    app.run()
    app.text_input(key="typed").set_value(WRONG).run()
    llm = LLMOptions(model="m", base_url=served.url, max_tokens=10**6)
    job = started(tiny_store, llm)
    app.session_state["job"] = job.id
    app.run()
    assert ended(tiny_store, job.id, "failed").error_kind == "auth"
    app.button(key="retry").click().run()
    assert ended(tiny_store, job.id, "failed").payload["explain"]["llm"]["max_tokens"] == 10**6


def test_a_used_up_budget_is_granted_again(app: AppTest, tiny_store: Store, served: FakeServer):
    preferences.save(Preferences(model="m", base_url=served.url, max_in_flight=1))
    app.run()
    app.text_input(key="typed").set_value(RIGHT).run()
    job = started(tiny_store, replace(app.session_state["llm"], max_tokens=2000))
    app.session_state["job"] = job.id
    app.run()
    job = ended(tiny_store, job.id, "failed")
    assert "used up" in (job.error or "")
    assert "press Retry" in (job.error or "")
    assert actions(app)[0][3] == "budget: no limit"
    # The limit in Settings still does not reach: told beforehand, and then it stops again, for the same reason.
    preferences.save(Preferences(model="m", base_url=served.url, max_in_flight=1, max_tokens=10))
    assert actions(app)[0][3] == "budget: 10 more tokens"
    app.button(key="retry").click().run()
    job = ended(tiny_store, job.id, "failed")
    spent = job.tokens_in + job.tokens_out
    assert job.payload["explain"]["llm"]["max_tokens"] == spent + 10
    preferences.save(Preferences(model="m", base_url=served.url, max_in_flight=1, max_tokens=10**6))
    assert "1,000,000 more tokens on top of what it has spent" in actions(app)[0][2]
    app.button(key="retry").click().run()
    job = ended(tiny_store, job.id, "done")
    assert job.payload["explain"]["llm"]["max_tokens"] == spent + 10**6


def test_nothing_is_said_or_changed_where_no_model_is_asked_or_chosen(app: AppTest, served: FakeServer):
    assert job_retry.whom({"coder": "sae", "explain": {"explainer": "pattern", "llm": None}}) == ("", "")
    assert job_retry.whom({"explain": {"llm": {"model": "m", "of the future": 1}}}) == ("", "")
    told = {"then": [{"llm": None}, {"llm": {"model": "m<b>", "base_url": served.url}}]}
    assert job_retry.whom(told).whom.startswith("Uses m<b> at ")
    assert "no language model is chosen" in job_retry.whom(told).whom
    app.run()
    assert not messages(app)


def test_a_strangers_job_asks_nobody_until_it_is_resumed(
    app: AppTest, tiny_store: Store, served: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It is resumed with the owner's server and limits, never the stranger's."""
    monkeypatch.setenv("AUTOINTERP_API_KEY", RIGHT)
    mine = tmp_path / "config" / "settings.json"
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "stranger" / "settings.json"))
    theirs = started(tiny_store, LLMOptions(model="bait", base_url="https://stranger.example/v1"))
    monkeypatch.setenv(ENV_CONFIG, str(mine))
    app.session_state["job"] = theirs.id
    app.run()
    resume, cancel = actions(app)
    assert resume[1] == "Resume"
    assert "asks bait at stranger.example, budget: no limit" in resume[3]
    assert cancel[1] == "Cancel"
    app.button(key="retry").click().run()
    assert "Choose a language model" in messages(app)
    with Annotations(tiny_store.path, read_only=True) as annotations:
        assert annotations.jobs.get(theirs.id).is_parked
    preferences.save(Preferences(model="m", base_url=served.url, max_in_flight=1, max_tokens=5000))
    (resume, _) = actions(app)
    assert f"asks m at {served.url.split('/')[2]}, budget: 5,000 tokens" in resume[3]
    assert not served.headers
    app.button(key="retry").click().run()
    job = ended(tiny_store, theirs.id, "done")
    assert job.own
    assert job.payload["explain"]["llm"]["max_tokens"] == 5000
    assert served.headers
