"""What a visitor can do, tried page by page with addresses that ask for more: they read, and nothing else (docs/serving.md)."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from autointerp import settings
from autointerp.jobs.kinds import explain_job
from autointerp.preferences import ENV_CONFIG
from autointerp.settings import ENV_ALL_STORES, ENV_RATERS, ENV_READ_ONLY, ENV_STORE, ENV_STORES
from autointerp.store import Store
from autointerp.store.annotations import STARRED, Annotations
from autointerp.ui.shared import person, roles, services, session
from tests.app.auditing import Browser, Sit
from tests.app.conftest import APP, TIMEOUT
from tests.app.reading import keys, messages, record
from tests.app.test_meaning import GatedEmbedder, embedder
from tests.explained import Explained

__all__ = ["embedder"]

Visit = Callable[..., AppTest]
HOST = "server.address"


@pytest.fixture(params=["read-only", "every address", "sign-in"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways in which an app comes to have visitors."""
    _serve(request.param, monkeypatch)
    return request.param


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with visitors, as `serve` starts it for others."""
    _serve("read-only", monkeypatch)


def _serve(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_READ_ONLY, "1" if how == "read-only" else "")
    if how == "every address":
        monkeypatch.setattr(roles.st, "get_option", lambda name: None)
    if how == "sign-in":
        monkeypatch.setattr(roles, "has_sign_in", lambda: True)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The owner's settings."""
    file = tmp_path / "config" / "settings.json"
    file.parent.mkdir()
    file.write_text(
        '{"model": "OWNERS-MODEL", "base_url": "http://owners.server/v1", "embedder": "/owners/embedder"}'
    )
    monkeypatch.setenv(ENV_CONFIG, str(file))
    return file


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Visit:
    """`visit(store, "features", store="/etc")`: a page at an address."""

    def run(store: object, name: str, /, **params: str) -> AppTest:
        monkeypatch.setenv(ENV_STORE, str(APP.parent / "no-store"))
        app = AppTest.from_file(str(APP), default_timeout=TIMEOUT)
        app.run()
        monkeypatch.setenv(ENV_STORE, str(getattr(store, "path", store)))
        app.switch_page(f"pages/{name}.py")
        for key, value in params.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return run


def contents(folder: Path) -> dict[str, str]:
    """Every file of a store and what is in it, but the marks of SQLite's readers, which hold nothing of anybody's."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.endswith("-shm") and not (path.name.endswith("-wal") and not path.stat().st_size)
    }


# Who is a visitor ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_an_app_for_this_machine_alone_has_an_owner(host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(roles.st, "get_option", {HOST: host}.get)
    monkeypatch.setenv(ENV_READ_ONLY, "")
    assert roles.is_owner()
    assert roles.may_rate()


@pytest.mark.parametrize(
    "host", [None, "", "0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "unix:///tmp/s", "localhost.evil.example", "127.0.0.1.evil"]
)  # fmt: skip
def test_an_app_that_others_reach_has_visitors(host: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(roles.st, "get_option", {HOST: host}.get)
    monkeypatch.setenv(ENV_READ_ONLY, "")
    assert not roles.is_owner()
    assert not roles.may_rate()
    for variable in ("AUTOINTERP_API_KEY", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(variable, "owners")
    roles.settle()
    assert settings.is_read_only(), "the layers below the pages know it too"
    assert not {"AUTOINTERP_API_KEY", "HF_TOKEN"} & set(os.environ)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("client", "headers", "elsewhere"),
    [
        (("127.0.0.1", 5000), [], False),
        (("::1", 5000), [(b"host", b"localhost")], False),
        (("192.168.1.9", 5000), [], True),
        (("testclient", 5000), [], True),
        (None, [], True),
        (("127.0.0.1", 5000), [(b"X-Forwarded-For", b"10.1.1.1")], True),
        (("127.0.0.1", 5000), [(b"forwarded", b"for=10.1.1.1")], True),
    ],
)
def test_a_request_from_elsewhere_is_noticed(client: Any, headers: Any, elsewhere: bool):
    assert roles.is_elsewhere({"type": "http", "client": client, "headers": headers}) is elsewhere


def test_one_request_from_elsewhere_makes_visitors_of_all(monkeypatch: pytest.MonkeyPatch):
    for variable in (ENV_READ_ONLY, "OPENAI_API_KEY", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(variable, "")
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    def ask(**scope: Any) -> None:
        asked = roles.NoticeOthers(app)({"headers": [], **scope}, None, None)  # type: ignore[arg-type]
        with ThreadPoolExecutor(
            1
        ) as thread:  # the browser tests' driver keeps a loop running in the main one
            thread.submit(asyncio.run, asked).result()

    ask(type="lifespan")
    ask(type="http", client=("127.0.0.1", 1))
    assert roles.is_owner()
    ask(type="websocket", client=("172.17.0.1", 1))
    assert not roles.is_owner()
    assert reached == ["lifespan", "http", "websocket"]


# Nothing is written, whatever the address asks for --------------------------------------------

ASKING: list[tuple[str, dict[str, str]]] = [
    ("overview", {}),
    ("overview", {"by": "detection"}),
    ("features", {"coder": "sae"}),
    ("features", {"collection": STARRED}),
    ("features", {"search": "cats", "mode": "words"}),
    ("features", {"search": "cats", "mode": "meaning"}),
    ("features", {"search": "cats", "mode": "both"}),
    ("features", {"search": "cats", "mode": "near"}),
    ("features", {"search": "(a|b)*c", "mode": "regex"}),
    ("feature", {"coder": "sae", "latent": "0", "panel": "write"}),
    ("feature", {"coder": "sae", "latent": "0", "panel": "edit"}),
    ("feature", {"coder": "sae", "latent": "0", "panel": "regenerate"}),
    ("feature", {"coder": "sae", "latent": "0", "panel": "rescore"}),
    ("feature", {"coder": "sae", "latent": "0", "panel": "collections"}),
    ("feature", {"coder": "sae", "latent": "0", "panel": "versions"}),
    ("feature", {"coder": "sae", "latent": "0", "text": "the cat"}),
    ("compare", {}),
    ("compare", {"view": "shared"}),
    ("compare", {"view": "meaning"}),
    ("compare", {"view": "map"}),
    ("compare", {"view": "pair"}),
    ("compare", {"view": "text", "text": "the cat"}),
    ("audit", {}),
    ("audit", {"new": "1"}),
    ("audit", {"new": "1", "collection": STARRED}),
    ("audit", {"audit": "none"}),
    ("probe", {"text": "the cat"}),
    ("jobs", {}),
    ("jobs", {"new": "1"}),
    ("settings", {}),
]
CHANGING = {
    "open_edit", "open_write", "open_regenerate", "open_rescore", "open_collections", "pin", "retry", "retry_scores",
    "run_explain", "run_score", "run_write", "star", "new_audit", "new_batch", "llm_save", "llm_test", "collect_add",
    "collection_save", "collection_delete", "embed_windows", "embed_explanations", "audit_create", "cross", "audit_of_list",
    "batch_of_list", "batch_start",
}  # fmt: skip


@pytest.mark.parametrize(("name", "params"), ASKING)
def test_a_visitor_reads_and_nothing_else(
    visit: Visit, visited: None, explained_store: Explained, embedder: GatedEmbedder, config: Path, name: str, params: Any
):  # fmt: skip
    with Annotations(explained_store.path) as annotations:
        annotations.collections.add(STARRED, [("sae", 0)], author="Owner")
    before, owners = contents(explained_store.path), config.read_bytes()
    app = visit(explained_store, name, **params)
    assert contents(explained_store.path) == before
    assert config.read_bytes() == owners
    assert not keys(app) & CHANGING
    assert not [key for key in keys(app) if key.startswith(("compute_", "supply_", "again_"))]
    drawn = f"{messages(app)} {[element.proto.json for element in app.get('bidi_component')]}"
    for secret in ("OWNERS-MODEL", "owners.server", "owners/embedder", "settings.json"):
        assert secret not in drawn


def test_however_the_app_came_to_be_served(
    visit: Visit, served: str, explained_store: Explained, config: Path
):
    before = contents(explained_store.path)
    for name, params in (
        ("feature", {"coder": "sae", "latent": "0", "panel": "edit"}),
        ("jobs", {"new": "1"}),
        ("settings", {}),
    ):
        app = visit(explained_store, name, **params)
        assert not keys(app) & CHANGING
    assert not app.selectbox
    assert not app.text_input
    assert contents(explained_store.path) == before


def test_what_a_page_does_not_offer_cannot_be_done_either(
    visit: Visit, visited: None, explained_store: Explained, config: Path, monkeypatch: pytest.MonkeyPatch
):
    """A browser can be made to send anything."""
    from autointerp.errors import StoreReadOnly, UserError
    from autointerp.llm.options import LLMOptions
    from autointerp.preferences import Preferences
    from autointerp.ui.shared import llm_check, llm_settings, stars

    visit(explained_store, "overview")
    store, owners = Store.open(explained_store.path), config.read_bytes()
    before = contents(store.path)
    assert services.runner(store) is None
    with pytest.raises(StoreReadOnly):
        stars.set_star(store, ("sae", 0), on=True, author="visitor")
    with pytest.raises(StoreReadOnly):
        services.annotations(store).jobs.submit(**explain_job("sae", [0], _pattern()))
    with pytest.raises(StoreReadOnly):
        services.ratings(store)
    llm_settings.remember_embedder("/visitors/own")
    llm_settings._keep(Preferences(model="m", base_url="http://visitors.own/v1"))
    monkeypatch.setattr(llm_check, "ask", lambda draft: pytest.fail("asked"))
    llm_check.run(Preferences(model="m", base_url="http://visitors.own/v1"))
    assert llm_settings.current() is None
    with pytest.raises(UserError, match="Visitors"):
        services.resources(store).client(LLMOptions(model="m", base_url="http://visitors.own/v1"))
    assert contents(store.path) == before
    assert config.read_bytes() == owners


def _pattern() -> Any:
    from autointerp.explain.options import ExplainOptions

    return ExplainOptions(explainer="pattern")


def test_the_owners_embedder_is_used_only_where_the_store_tells_of_it(
    visit: Visit,
    visited: None,
    explained_store: Explained,
    embedder: GatedEmbedder,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[str] = []
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name: asked.append(name) or embedder)
    visit(explained_store, "features", search="cats", mode="meaning")
    assert asked == [settings.DEFAULT_EMBEDDER]
    folder = explained_store.path / "embeddings"
    folder.mkdir()
    (folder / "own.json").write_text('{"embedder": "/owners/embedder", "window": 32, "stride": 32}')
    visit(explained_store, "features", search="cats", mode="meaning")
    assert asked[1:] == ["/owners/embedder"]


# Stores ----------------------------------------------------------------------------------------

ANSWER = "which is not served here."


@pytest.fixture
def neighbour(tiny_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another store of the owner, in the stores folder."""
    folder = tmp_path / "stores"
    monkeypatch.setattr("autointerp.settings.stores_folder", lambda: folder)
    return Path(shutil.copytree(tiny_store.path, folder / "neighbour"))


OTHER_PATHS = (
    "{neighbour}", "{neighbour}/../neighbour", "{neighbour}/", "//{neighbour}", "file://{neighbour}", "{store}/../neighbour",
    "{store}/corpus", "/etc", "/root", "/no/such/folder", "~", "~root", "~nobody-here", ".", "..", "/", "a" * 5000, "\0",
)  # fmt: skip


@pytest.mark.parametrize("named", OTHER_PATHS)
def test_no_store_but_those_served_is_opened_and_no_path_told_from_another(
    visit: Visit, visited: None, tiny_store: Store, neighbour: Path, named: str
):
    asked = named.format(neighbour=neighbour, store=tiny_store.path)
    app = visit(tiny_store, "settings", store=asked)
    assert [row["cells"][0] for row in (record(app, "list") or {"rows": []})["rows"]] == [
        "corpus",
        "sae",
        "transcoder",
    ]
    assert session.STORE_KEY not in app.session_state
    assert app.toast[0].value.endswith(ANSWER)
    assert str(neighbour) not in messages(app)


def test_whoever_serves_says_which_stores(
    visit: Visit, visited: None, tiny_store: Store, neighbour: Path, monkeypatch: pytest.MonkeyPatch
):
    app = visit(tiny_store, "settings", store=str(neighbour))
    assert ANSWER in app.toast[0].value
    for variable, value in ((ENV_ALL_STORES, "1"), (ENV_STORES, str(neighbour))):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            app = visit(tiny_store, "settings", store=str(neighbour))
            assert not app.toast
            assert app.session_state[session.STORE_KEY] == str(neighbour)
            choice = app.selectbox(key="store_choice")
            assert str(tiny_store.path) in choice.options or tiny_store.path.name in choice.options
            choice.set_value(str(tiny_store.path)).run()
            assert app.session_state[session.STORE_KEY] == str(tiny_store.path)


@pytest.mark.parametrize("path", ["/etc", "/no/such/folder", "~root"])
def test_a_choice_that_was_not_offered_is_refused(
    visited: None, tiny_store: Store, path: str, monkeypatch: pytest.MonkeyPatch
):
    from autointerp.errors import UserError

    monkeypatch.setenv(ENV_STORE, str(tiny_store.path))
    with pytest.raises(UserError) as refused:
        session.choose_store(path)
    assert str(refused.value) == "No such store is served here."


@pytest.mark.parametrize("named", ["~nobody-here", "a" * 5000, "\0"])
def test_an_owner_who_names_no_path_is_told(open_page, tiny_store: Store, named: str):
    app = open_page(tiny_store, "settings", store=named)
    assert not app.exception
    assert app.toast


# What costs time -------------------------------------------------------------------------------


def test_visitors_take_turns(visited: None, monkeypatch: pytest.MonkeyPatch):
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    from autointerp.errors import UserError

    monkeypatch.setattr(roles, "PATIENCE_SECONDS", 0.01)
    go, busy = Event(), [Event() for _ in range(roles.AT_ONCE)]

    def work(begun: Event) -> None:
        with roles.turn(), roles.turn():  # one of what takes its turn may do another
            begun.set()
            go.wait(60)

    with ThreadPoolExecutor(roles.AT_ONCE) as pool:
        running = [pool.submit(work, begun) for begun in busy]
        assert all(begun.wait(60) for begun in busy)
        with pytest.raises(UserError, match="Too many"), roles.turn():
            pass
        monkeypatch.setenv(ENV_READ_ONLY, "")
        with roles.turn():  # the owner waits for nobody
            pass
        go.set()
        for each in running:
            each.result()
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    with roles.turn():
        pass


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("probe", {"text": "the cat"}),
        ("feature", {"coder": "sae", "latent": "0", "text": "the cat"}),
        ("feature", {"coder": "sae", "latent": "0", "steer": "1", "prompt": "the cat"}),
        ("features", {"search": "cats", "mode": "near"}),
        ("features", {"search": "cats", "mode": "regex"}),
    ],
)
def test_what_costs_time_says_that_others_are_at_it(
    visit: Visit, visited: None, tiny_store: Store, name: str, params: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(roles, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr("autointerp.ui.shared.steering.POLL_SECONDS", 60)
    for _ in range(roles.AT_ONCE):
        roles._turns.acquire()
    try:
        app = visit(tiny_store, name, **params)
    finally:
        for _ in range(roles.AT_ONCE):
            roles._turns.release()
    assert "Too many people" in messages(app)


# Fetching --------------------------------------------------------------------------------------


def test_nothing_is_fetched_for_visitors(visited: None, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub
    import transformers

    from autointerp.errors import CoderLoadError, ModelLoadError
    from autointerp.models.coders import hub
    from autointerp.models.subject import load_subject

    asked: list[Any] = []

    def fetch(*args: Any, **options: Any) -> None:
        asked.append(options.get("local_files_only"))
        raise OSError("not here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fetch)
    with pytest.raises(CoderLoadError):
        hub.download("someone/coder")
    with pytest.raises(ModelLoadError):
        load_subject("someone/model")
    assert asked == [True, True]


# Rating, where it is granted --------------------------------------------------------------------


def serve_raters(monkeypatch: pytest.MonkeyPatch, granted: bool = True) -> None:
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    monkeypatch.setenv(ENV_RATERS, "1" if granted else "")


def test_visitors_rate_where_the_owner_lets_them(sit: Sit, bench: Any, monkeypatch: pytest.MonkeyPatch):
    browser: Browser = sit(bench, "")
    serve_raters(monkeypatch)
    browser.run()
    browser.app.text_input(key=person.KEY).input("Ann")
    browser.run()
    assert browser.drawn["writable"]
    assert not browser.drawn["can_edit"]
    browser.answer(verdict="wrong", note="no")
    assert [rating.verdict for rating in bench.ratings("Ann")] == ["wrong"]
    browser.press("undo")
    assert bench.ratings("Ann") == []
    edit = {
        "id": browser.drawn["edit_id"],
        "item": browser.drawn["entry"]["item"],
        "text": "A visitor's own words",
    }
    n = _explanations(bench)
    browser.state["edit"] = edit
    browser.run()
    assert _explanations(bench) == n
    assert bench.annotations.jobs.recent() == []
    app = browser.app
    app.query_params.clear()
    app.run()
    assert "new_audit" not in keys(app)


def test_visitors_rate_nothing_where_the_owner_does_not(
    sit: Sit, bench: Any, monkeypatch: pytest.MonkeyPatch
):
    browser: Browser = sit(bench)
    serve_raters(monkeypatch, granted=False)
    browser.run()
    assert roles.NO_RATING in messages(browser.app)
    browser.answer(verdict="wrong")
    assert bench.ratings("Ann") == []
    browser.press("undo")
    assert bench.annotations.audits.history(bench.audit.id) == []


def _explanations(bench: Any) -> int:
    return sum(len(bench.annotations.explanations(item.coder, item.latent)) for item in bench.audit.items)
