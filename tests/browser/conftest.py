"""A real server (`autointerp serve` in a process of its own) and a real Chromium, found on the PATH."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from autointerp.settings import ENV_STORE
from tests.browser.acting import TIMEOUT_MS, Hands, Wire

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = (1440, 900)
NARROW = (480, 900)
START_S = 180
SLOWDOWN = float(os.environ.get("AUTOINTERP_BROWSER_SLOWDOWN", "1"))
"""So many times slower the browser computes: 4 shows what would fail on a slow or busy machine."""

expect.set_options(timeout=TIMEOUT_MS)


def find_chromium() -> str:
    """The executable that `make test-all` provides; a missing one fails the tests, it does not skip them."""
    named = os.environ.get("AUTOINTERP_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if not found:
        pytest.fail(
            "no Chromium on the PATH: install one, or set AUTOINTERP_CHROMIUM (`make test-all` does it on Debian)"
        )
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@dataclass
class Server:
    """A running app. `url` has no trailing slash; `log()` is what the server wrote so far."""

    url: str
    log_file: Path
    process: subprocess.Popen

    def kill(self) -> None:
        """At once, without a chance to finish anything."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(scope="session")
def server(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app on a copy of a store full of hostile tokens (looking at it makes a file for annotations); all tests share it."""
    folder = tmp_path_factory.mktemp("server")
    yield from start_server([str(shutil.copytree(tiny_template, folder / "store"))], folder)


@pytest.fixture(scope="session")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app where no store was ever built."""
    folder = tmp_path_factory.mktemp("empty")
    yield from start_server([], folder, store=folder / "none")


def start_server(
    arguments: list[str], folder: Path, store: Path | None = None, port: int | None = None
) -> Iterator[Server]:
    """`autointerp serve --json ...` until the generator is closed, on `port` or one that the system picks: servers that start
    at the same moment would find the same first one free. The address is read from the command's own output. `store` names
    one that may not exist, as the environment does."""
    log_file = folder / "serve.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "autointerp",
                "serve",
                "--json",
                "--port",
                str(port or a_free_port()),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=os.environ if store is None else {**os.environ, ENV_STORE: str(store)},
        )
        try:
            assert process.stdout is not None
            document = json.loads(process.stdout.read())  # ends when the server takes over and closes it
            _wait_until_healthy(document["url"], process, log_file)
            server = Server(document["url"], log_file, process)
            assert "ScriptRunContext" not in server.log(), "a server starts without a warning"
            yield server
        finally:
            process.terminate()
            process.wait(timeout=120)
            if process.stdout is not None:
                process.stdout.close()


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def _wait_until_healthy(url: str, process: subprocess.Popen, log_file: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail(f"the server at {url} did not start:\n{log_file.read_text(errors='replace')}")


@dataclass
class Visit(Hands):
    """One browser tab, watched: dialogs, page errors and requests that leave this machine."""

    server: Server
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def goto(self, path: str) -> None:
        """Open an address of the app and wait until it has been drawn."""
        self.page.goto(f"{self.server.url}{path}")
        self.settled()

    def reload(self) -> None:
        self.page.reload()
        self.settled()

    def resize(self, size: tuple[int, int]) -> None:
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def recolor(self, scheme: str) -> None:
        """What the system says that a person prefers, "light" or "dark"; the app follows while it is open."""
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        expect(self.page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
        self.settled()

    def check(self) -> None:
        """No script of a token ran, nothing failed, nothing was fetched from elsewhere, no traceback is shown."""
        assert self.dialogs == []
        assert self.errors == []
        assert self.strangers == []
        assert self.page.evaluate("window.__xss") is None
        expect(self.page.get_by_test_id("stException")).to_have_count(0)
        assert "Traceback" not in self.page.locator("body").inner_text()
        assert "Traceback" not in self.server.log()


Open = Callable[..., Visit]


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """What all tabs share: what was downloaded, which takes longer to read than a page to draw; see `visit`."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture(scope="session")
def janitor(profile: BrowserContext) -> Page:
    """A tab that stays: through it, what pages stored is forgotten."""
    return profile.new_page()


@pytest.fixture(scope="session")
def rested() -> list[Visit]:
    """Tabs that earlier tests have left, to be used again: the process of a new one would compile Streamlit's scripts anew,
    which takes as long as all the rest of a page."""
    return []


@pytest.fixture
def visit(profile: BrowserContext, janitor: Page, rested: list[Visit]) -> Iterator[Open]:
    """`visit(server, scheme="dark", size=NARROW)` opens a tab that knows nothing of other tests; every tab is checked at the
    end of the test, and whatever a page stored in the browser is forgotten."""
    visits: list[Visit] = []

    def open_tab(server: Server, *, scheme: str = "light", size: tuple[int, int] = WIDE) -> Visit:
        at = rested.pop() if rested else _new_tab(profile, server)
        at.server = server
        visits.append(at)
        at.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        at.resize(size)
        return at

    yield open_tab
    left: list[Visit] = []
    try:
        for at in visits:
            at.check()
        left = [at for at in visits if _leave(at)]
    finally:
        rested += left
        kept = {janitor, *(at.page for at in rested)}
        for page in profile.pages:
            if page not in kept:
                page.close()
        profile.clear_cookies()
        profile.clear_permissions()
        devtools = profile.new_cdp_session(janitor)
        for url in {at.server.url for at in visits}:
            devtools.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "all"})
        devtools.detach()


def _new_tab(profile: BrowserContext, server: Server) -> Visit:
    page = profile.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    if SLOWDOWN > 1:
        profile.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    wire = Wire()
    wire.listen(page)
    at = Visit(page, wire, server)

    def note_dialog(dialog: object) -> None:
        at.dialogs.append(getattr(dialog, "message", ""))
        dialog.dismiss()  # type: ignore[attr-defined]

    def note_request(request: object) -> None:
        url = getattr(request, "url", "")
        if not url.startswith((at.server.url, "data:", "blob:", at.server.url.replace("http", "ws", 1))):
            at.strangers.append(url)

    page.on("dialog", note_dialog)
    page.on("pageerror", lambda error: at.errors.append(str(error)))
    page.on("request", note_request)
    return at


def _leave(at: Visit) -> bool:
    """Go from the app to a page of the same server without scripts, which keeps the tab's process; whether that went well."""
    if at.held or at.page.is_closed() or at.server.process.poll() is not None:
        return False
    at.page.unroute_all()
    at.page.goto(f"{at.server.url}/_stcore/health")
    at.page.evaluate("sessionStorage.clear(); window.name = ''")
    return True
