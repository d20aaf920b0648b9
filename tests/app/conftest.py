"""Pages as AppTest runs them: the real router, one page, an address."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from autointerp.preferences import ENV_CONFIG
from autointerp.settings import ENV_READ_ONLY, ENV_STORE
from autointerp.store import Store
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


@pytest.fixture
def explained_store(tiny_store: Store) -> Explained:
    """The tiny store with explanations, scores and judged examples, a copy for each test; see `tests.explained`."""
    return explain(tiny_store)


@pytest.fixture
def no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's settings say: no language model is chosen."""
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "config" / "settings.json"))
