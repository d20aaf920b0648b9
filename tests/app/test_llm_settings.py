"""The language model and embedder sections of the Settings page, against a scripted server; and where a typed key goes."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_httpserver import HTTPServer
from streamlit.testing.v1 import AppTest

from autointerp import preferences
from autointerp.preferences import ENV_CONFIG, Preferences
from autointerp.settings import ENV_READ_ONLY, ENV_STORE
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import llm_keys, llm_settings
from tests.app.reading import messages, records
from tests.llm.conftest import FakeServer, failure, reply

KEY = "typed-key-0123456789abcdef"
LOGPROBS = {"content": [{"token": "1", "logprob": -0.1, "top_logprobs": []}]}


def _page() -> None:
    from autointerp.ui.settings.page import draw

    draw()


def _current() -> None:
    import streamlit as st

    from autointerp.ui.shared import llm_settings

    st.session_state["found"] = llm_settings.current()


@pytest.fixture(scope="module")
def http() -> Iterator[HTTPServer]:
    server = HTTPServer(threaded=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def served(http: HTTPServer) -> FakeServer:
    http.clear()
    server = FakeServer(http)
    http.expect_request("/v1/models").respond_with_json({"data": [{"id": "small"}, {"id": "large<b>"}]})
    server.script(reply('{"answers": [1, 0]}', logprobs=LOGPROBS))
    return server


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY", ENV_READ_ONLY):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config" / "settings.json"
    monkeypatch.setenv(ENV_CONFIG, str(file))
    return file


@pytest.fixture
def run(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    def page(script: Callable[[], None] = _page, store: Path = tiny_store.path) -> AppTest:
        monkeypatch.setenv(ENV_STORE, str(store))
        app = AppTest.from_function(script, default_timeout=180)
        app.run()
        assert not app.exception, app.exception
        return app

    return page


def pick(app: AppTest, key: str, value: str) -> None:
    """As if typed: AppTest's own way takes only what is in the list."""
    box = app.selectbox(key=key)
    if value not in box.options:
        box.options.append(value)
    box.set_value(value).run()


def choose(app: AppTest, url: str, model: str | None = "small") -> None:
    pick(app, "llm_draft_server", url)
    if model:
        pick(app, "llm_draft_model", model)
    assert not app.exception, app.exception


def test(app: AppTest) -> dict[str, str]:
    """Press the button; the facts it shows."""
    app.button(key="llm_test").click().run()
    assert not app.exception, app.exception
    shown = [facts for facts in records(app, "facts") if facts[0][0] == "Latency"]
    return {name: value for name, value, *_ in shown[0]} if shown else {}


test.__test__ = False  # type: ignore[attr-defined]


def test_what_is_saved_is_found_by_the_command_line_and_the_next_session(
    run, config: Path, served: FakeServer
):
    app = run()
    assert not config.exists()
    assert app.button(key="llm_save").disabled
    choose(app, served.url)
    app.number_input(key="llm_draft_in_flight").set_value(3).run()
    app.number_input(key="llm_draft_max_cost").set_value(1.5).run()
    app.number_input(key="llm_draft_price_prompt_small").set_value(0.2).run()
    assert "Enter prices for both" in messages(app)
    app.number_input(key="llm_draft_price_completion_small").set_value(0.6).run()
    assert "Not saved yet" in messages(app)
    app.button(key="llm_save").click().run()
    assert "Saved" in messages(app)
    kept = preferences.load()
    assert kept == Preferences(
        model="small", base_url=served.url, max_in_flight=3, max_cost=1.5, prices={"small": {"prompt": 0.2, "completion": 0.6}}
    )  # fmt: skip
    app = run()
    assert app.selectbox(key="llm_draft_model").value == "small"
    assert app.number_input(key="llm_draft_price_prompt_small").value == 0.2
    found = run(_current).session_state["found"]
    assert (found.model, found.base_url, found.max_in_flight, found.key_ref) == ("small", served.url, 3, None)
    found.check()


def test_the_key_of_the_environment_goes_to_a_server_once_it_is_saved(
    run, served: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(preferences, "named_servers", set())
    monkeypatch.setenv("AUTOINTERP_API_KEY", KEY)
    app = run()
    choose(app, served.url)
    assert "is sent to" in messages(app)
    assert test(app)
    assert "Authorization" not in served.headers[-1], "a server that was only typed"
    app.button(key="llm_save").click().run()
    assert "Using AUTOINTERP" in messages(app).replace("\\", "")
    assert test(app)
    assert served.headers[-1]["Authorization"] == f"Bearer {KEY}"


def test_nothing_chosen_is_nothing(run):
    assert run(_current).session_state["found"] is None


def test_the_test_button_says_what_the_server_can(run, served: FakeServer):
    app = run()
    choose(app, served.url)
    facts = test(app)
    assert facts["Models offered"] == "2"
    assert facts["JSON schema"] == "supported"
    assert facts["Answer"] == "as requested"
    assert facts["Log probabilities"] == "available"
    assert facts["Cost"] == "unknown"
    assert "answered in" in messages(app)
    assert served.bodies[0]["response_format"]["type"] == "json_schema"
    assert "large<b>" in app.selectbox(key="llm_draft_model").options
    pick(app, "llm_draft_model", "large<b>")
    assert "answered in" not in messages(app)  # it was about another model


def test_a_server_without_schema_or_log_probabilities(run, served: FakeServer):
    def answer(body, number):
        if "response_format" in body or body.get("logprobs"):
            return failure(400, "response_format and logprobs are not supported")
        return reply("The first is a colour.")

    served.answer = answer
    app = run()
    choose(app, served.url, "plain")
    facts = test(app)
    assert facts["JSON schema"] == "not supported"
    assert facts["Answer"] == "not as requested"
    assert facts["Log probabilities"] == "not available"
    assert "The first is a colour." in [block.value for block in app.code]
    assert not app.success or "answered in" not in "".join(str(one.value) for one in app.success)
    assert any("but not in the requested format" in str(one.value) for one in app.warning)


@pytest.mark.parametrize(
    ("status", "message", "way_out"),
    [(401, "bad key", "key"), (404, "no such model", "model"), (500, "oops", "500")],
)
def test_errors_say_the_way_out(run, served: FakeServer, status: int, message: str, way_out: str):
    served.script(failure(status, message))
    app = run()
    choose(app, served.url, f"broken-{status}")
    assert test(app) == {}
    assert app.error
    assert way_out in messages(app)


def test_a_server_that_is_down_and_addresses_that_are_none(run):
    app = run()
    for url in (
        "http://localhost:9/v1",
        "ftp://x",
        "http://me:secret@host/v1",
        "http://[",
        "<b>x</b>",
        "sk-proj-0123456789abc",
    ):
        choose(app, url, "m")
        assert test(app) == {}
        assert app.error, url
        assert "secret" not in messages(app)
        assert "](" not in messages(app)


def test_without_a_model_it_lists_what_there_is(run, served: FakeServer):
    app = run()
    choose(app, served.url, None)
    test(app)
    assert "offers 2 models" in messages(app)
    assert not served.bodies


def everything(app: AppTest) -> str:
    """All that went to the browser, and all widget values."""
    return "\n".join(str(element.proto) for element in app.main if hasattr(element, "proto")) + str(app)


def test_a_typed_key_is_sent_to_its_server_and_stands_nowhere(
    run, served: FakeServer, tiny_store: Store, tmp_path: Path, config: Path, caplog: pytest.LogCaptureFixture
):
    app = run()
    choose(app, served.url)
    app.text_input(key="llm_key").set_value(f"  {KEY} ").run()
    assert app.text_input(key="llm_key").value == ""
    assert "Using the key typed" in messages(app)
    assert KEY not in everything(app)
    test(app)
    assert served.headers[-1]["Authorization"] == f"Bearer {KEY}"
    app.button(key="llm_save").click().run()
    assert KEY not in everything(app)
    served.script(failure(401, f"wrong key {KEY}"))
    pick(app, "llm_draft_model", "other")
    test(app)
    assert app.error
    assert KEY not in everything(app)
    with Annotations(tiny_store.path) as annotations:
        assert annotations.jobs.recent() == []
    for file in [*tmp_path.rglob("*"), config]:
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert KEY not in caplog.text


def test_a_typed_key_is_for_one_server(run, served: FakeServer):
    app = run()
    choose(app, served.url)
    app.text_input(key="llm_key").set_value(KEY).run()
    choose(app, served.url.replace("/v1", "/v2"))
    assert "is not sent to" in messages(app)
    choose(app, served.url)
    assert "Using the key typed" in messages(app)
    app.button(key="llm_forget").click().run()
    assert "No key" in messages(app)
    app.text_input(key="llm_key").set_value("two words").run()
    assert app.error
    assert "two words" not in messages(app)


def test_the_key_is_kept_under_a_name_only(run, served: FakeServer, config: Path):
    preferences.save(Preferences(model="small", base_url=served.url))

    def script() -> None:
        import streamlit as st

        from autointerp.ui.shared import llm_keys, llm_settings, services
        from autointerp.ui.shared.session import open_store

        st.text_input("k", key="k", on_change=lambda: llm_keys.take("k", llm_settings.preferences().base_url))
        found = llm_settings.current()
        st.session_state["found"] = found
        if found and found.key_ref:
            from autointerp.llm.messages import ChatRequest

            with services.resources(open_store()).client(found) as client:
                client.complete(ChatRequest.of("hello"))

    app = run(script)
    assert app.session_state["found"].key_ref is None
    app.text_input(key="k").set_value(KEY).run()
    assert not app.exception, app.exception
    found = app.session_state["found"]
    assert found.key_ref
    assert KEY not in json.dumps(found.to_dict())
    assert served.headers[-1]["Authorization"] == f"Bearer {KEY}"


def test_a_forgotten_or_replaced_key_leaves_the_process(run, served: FakeServer):
    """Not only the session: the resources of the store drop it too."""
    preferences.save(Preferences(model="small", base_url=served.url))

    def script() -> None:
        import streamlit as st

        from autointerp.ui.shared import llm_keys, llm_settings, services
        from autointerp.ui.shared.session import open_store

        st.text_input("k", key="k", on_change=lambda: llm_keys.take("k", llm_settings.preferences().base_url))
        st.button("forget", key="forget", on_click=llm_keys.forget)
        found = llm_settings.current()
        keys = services.resources(open_store()).keys
        key = keys.get(found.key_ref) if found and found.key_ref else None
        st.session_state["known"] = (len(keys), key and key.reveal())

    app = run(script)
    app.text_input(key="k").set_value(KEY).run()
    assert app.session_state["known"] == (1, KEY)
    app.text_input(key="k").set_value(f"{KEY}-other").run()
    assert app.session_state["known"] == (1, f"{KEY}-other")
    app.button(key="forget").click().run()
    assert not app.exception, app.exception
    assert app.session_state["known"] == (0, None)


@pytest.mark.parametrize(
    ("url", "env", "name"),
    [
        ("openai", {"OPENAI_API_KEY": "x"}, "OPENAI_API_KEY"),
        ("openrouter", {"OPENAI_API_KEY": "x"}, None),
        ("https://api.openai.com.evil.example/v1", {"OPENAI_API_KEY": "x"}, None),
        ("http://localhost:1/v1", {"AUTOINTERP_API_KEY": "x", "OPENAI_API_KEY": "y"}, "AUTOINTERP_API_KEY"),
        ("not an address", {"OPENAI_API_KEY": "x"}, None),
    ],
)
def test_which_variable_is_named(url: str, env: dict[str, str], name: str | None):
    assert llm_keys.variable(url, env) == name


def test_a_damaged_settings_file_is_named_and_can_be_replaced(run, config: Path):
    config.parent.mkdir(exist_ok=True)  # an app that another test left running may have made it
    config.write_text("{")
    app = run()
    assert "settings.json" in messages(app).replace("\\", "")
    pick(app, "llm_draft_model", "m")
    app.button(key="llm_save").click().run()
    assert preferences.load().model == "m"


def test_where_nothing_can_be_written_the_session_keeps_it(run, config: Path):
    shutil.rmtree(config.parent, ignore_errors=True)  # an app that another test left running may have made it
    config.parent.write_text("a file where the folder should be")
    app = run()
    pick(app, "llm_draft_model", "m")
    app.button(key="llm_save").click().run()
    assert "apply to this session only" in messages(app)
    assert app.button(key="llm_save").disabled


def test_read_only_shows_no_endpoint(open_page, tiny_store: Store, monkeypatch: pytest.MonkeyPatch):
    preferences.save(Preferences(model="private-model", base_url="http://private.example/v1"))
    app = open_page(tiny_store, "overview")
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    app.switch_page("pages/settings.py")
    app.run()
    assert not app.exception
    assert "private" not in str(app)
    assert not app.text_input
    assert not app.selectbox


def test_it_works_without_a_store(run, tmp_path: Path):
    app = run(store=tmp_path / "nothing")
    pick(app, "llm_draft_model", "m")
    assert not app.exception


# The embedder ------------------------------------------------------------------------------------


def test_windows_that_are_not_embedded_can_be(run, tiny_store: Store):
    app = run()
    assert "Not embedded with all\\-MiniLM\\-L6\\-v2 yet: 48 windows" in messages(app)
    assert app.button(key="embed_windows")


def test_windows_that_are_embedded_are_told(run, tiny_store: Store):
    class Embedder:
        name, fingerprint, precision, dim = "all-MiniLM-L6-v2", "test", "float32", 4

        def embed(self, texts, progress=None):
            return np.full((len(texts), 4), 0.5, dtype=np.float32)

    from autointerp.embedding import embed_store

    embed_store(tiny_store, Embedder())
    app = run()
    assert "48 windows of 32 tokens, 4 dimensions" in messages(app)
    assert not [button for button in app.button if button.key == "embed_windows"]
    pick(app, "embedder_choice", "/no/such/folder")
    assert not app.exception
    assert "Not embedded" in messages(app)
    assert preferences.load().embedder == "/no/such/folder"
    assert llm_settings.embedder_name() == "/no/such/folder"
