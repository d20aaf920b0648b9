"""Pages as AppTest runs them: the real router, one page, an address."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from autointerp.preferences import ENV_CONFIG
from autointerp.settings import ENV_READ_ONLY, ENV_STORE
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import components, person, services
from tests.app.auditing import Bench, Browser, Sit, make
from tests.audited import write_audited
from tests.explained import Explained, explain

APP = Path(__file__).resolve().parents[2] / "app.py"
TIMEOUT = 180
OpenPage = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def _installed_packages_are_read_once() -> Iterator[None]:
    """Every AppTest looks through all installed packages for components, which takes ten times as long as a page."""
    with pytest.MonkeyPatch.context() as patch:
        scan = cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(autouse=True)
def _no_page_shows_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a list shows of annotations may be some seconds old; a test looks at once at what it wrote."""
    monkeypatch.setattr("autointerp.store.annotated.LONGEST_REST", 0.0)


@pytest.fixture(autouse=True)
def _no_runner_outlives_its_test() -> Iterator[None]:
    """Each would look into its queue twice a second until the last test is done: hundreds of them slow the others down."""
    yield
    services.close()


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """`open_page(store_path, "feature", coder="sae", latent="3")` runs the page at that address."""

    def run(store: object, name: str, /, **params: str) -> AppTest:
        path = getattr(store, "path", store)
        monkeypatch.delenv(ENV_READ_ONLY, raising=False)
        # A page can be switched to once a first run has registered it; without a store that run is cheap.
        monkeypatch.setenv(ENV_STORE, str(APP.parent / "no-store"))
        app = AppTest.from_file(str(APP), default_timeout=TIMEOUT)
        app.run()
        assert not app.exception, app.exception
        monkeypatch.setenv(ENV_STORE, str(path))
        app.switch_page(f"pages/{name}.py")
        for key, value in params.items():
            app.query_params[key] = value
        app.run()
        return app

    return run


@pytest.fixture(scope="session")
def explained_template(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Explained:
    path = shutil.copytree(tiny_template, tmp_path_factory.mktemp("explained") / "tiny")
    return explain(Store.open(path))


@pytest.fixture
def explained_store(explained_template: Explained, tmp_path: Path) -> Explained:
    """The tiny store with explanations, scores and judged examples, a copy for each test; see `tests.explained`."""
    path = shutil.copytree(explained_template.path, tmp_path / "tiny")
    written = explained_template
    return Explained(Store.open(path), dict(written.explanations), dict(written.scores))


@pytest.fixture
def no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's settings say: no language model is chosen."""
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


@pytest.fixture
def bench(audited: Path, tmp_path: Path):
    store = Store.open(shutil.copytree(audited, tmp_path / "store"))
    with Annotations(store.path) as annotations:
        yield make(store, annotations)


@pytest.fixture
def sit(open_page, monkeypatch: pytest.MonkeyPatch) -> Sit:
    """`sit(bench, "Ann")`: someone opens the audit and says their name."""

    def open_audit(bench: Bench, rater: str = "Ann", **params: str) -> Browser:
        browser = Browser(open_page(bench.store, "audit", audit=bench.audit.id, **params))
        real = components.rate

        def drawn(data: dict[str, Any], *, key: str, on_answer: Any, on_edit: Any, on_act: Any) -> Any:
            real(data, key=key, on_answer=on_answer, on_edit=on_edit, on_act=on_act)
            browser.drawn = data
            if browser.act is not None:
                pressed, browser.act = browser.act, None
                with monkeypatch.context() as patch:
                    patch.setattr(components, "triggered", lambda *_: pressed)
                    on_act()
                import streamlit as st

                st.rerun()
            return SimpleNamespace(answer=browser.state.get("answer"), edit=browser.state.get("edit"))

        monkeypatch.setattr(components, "rate", drawn)
        if rater:
            browser.app.text_input(key=person.KEY).input(rater)
            browser.run()
        return browser

    return open_audit
