"""Jobs in Chromium: settings and a typed key, a batch against a scripted server, cancelled, retried and looked into; and a
job of another process, live."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_httpserver import HTTPServer

from autointerp.jobs import Context, JobKind, JobRunner, Outcome
from autointerp.preferences import ENV_CONFIG
from autointerp.store.annotations import Annotations
from tests.batch.served import ScriptedServer
from tests.browser.conftest import Open, Server, start_server

PATIENCE_S = 120
KEY = "typed-key-0123456789abcdef"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_template: Path) -> Path:
    """A store that may be written to, and a settings file of its own beside it."""
    folder = tmp_path_factory.mktemp("jobs")
    shutil.copytree(tiny_template, folder / "store")
    return folder


@pytest.fixture(scope="module")
def writable(folder: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "AUTOINTERP_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv(ENV_CONFIG, str(folder / "config" / "settings.json"))
        yield from start_server([str(folder / "store")], folder)


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    http = HTTPServer(threaded=True)
    http.start()
    yield ScriptedServer(http)
    http.stop()


def row(page: Page, label: str) -> Locator:
    return page.locator("tr[data-job]", has_text=label)


def test_from_the_settings_to_a_batch(folder: Path, writable: Server, visit: Open, model: ScriptedServer):
    at = visit(writable)
    page = at.page
    at.goto("/settings")
    at.choose_new("Server", model.url)
    at.enter(page.get_by_label("API key for this session", exact=True), KEY)
    expect(page.get_by_text("Using the key typed for")).to_be_visible()
    expect(page.get_by_label("API key for this session", exact=True)).to_have_value("")
    at.click(page.get_by_role("button", name="Test connection"))
    expect(page.get_by_text("offers 2 models")).to_be_visible()
    at.choose_new("Model", "m")
    at.enter(page.get_by_label("Concurrent requests", exact=True), "1")
    at.click(page.get_by_role("button", name="Test connection"))
    expect(page.get_by_text("answered in")).to_be_visible()
    expect(page.get_by_text("JSON schema")).to_be_visible()
    at.click(page.get_by_role("button", name="Save", exact=True))
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert json.loads((folder / "config" / "settings.json").read_text())["model"] == "m"

    # A batch: explain by the model, detection by the offline judge.
    at.click(page.get_by_role("link", name="Jobs"))
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    at.click(page.get_by_role("button", name="New batch"))
    at.click(page.get_by_text("Selected", exact=True))
    # Not 2: it fires too rarely to be scored.
    at.enter(page.get_by_label("Numbers and ranges", exact=True), "0-1,3-4,6-7")
    at.choose("Explainer", "LLM")
    for scorer in ("Fuzzing", "Embedding"):
        at.click(page.get_by_role("button", name=scorer, exact=True))
    expect(page.get_by_text("6 features: about 6 requests")).to_be_visible()
    answered = len(model.good)
    going_on = threading.Event()

    def two_and_no_more(question: str, times: int) -> None:
        if len(model.good) >= answered + 2:
            going_on.wait(PATIENCE_S)

    model.fault = two_and_no_more
    at.click(page.get_by_role("button", name="Start", exact=True))
    label = "explain 6 features of sae: LLM"
    expect(row(page, label)).to_be_visible()
    expect(page).not_to_have_url(re.compile("new=1"))
    expect(row(page, label).get_by_text("running", exact=True)).to_be_visible()
    expect(row(page, label)).to_contain_text("2 of 6")
    expect(row(page, label)).to_contain_text("this app")

    # One call is still unanswered: nobody waits for it.
    cancel = row(page, label).get_by_role("button", name="Cancel")
    stood = at.reach(cancel).bounding_box()
    assert stood is not None
    cancel.click()
    expect(row(page, label).get_by_text("cancelled", exact=True)).to_be_visible()
    # Whoever clicks twice does not start it again: nothing stands where Cancel stood.
    at.settled()
    again = row(page, label).get_by_role("button", name="Continue").bounding_box()
    assert again is not None
    assert again["y"] == pytest.approx(stood["y"], abs=1)
    assert again["x"] >= stood["x"] + stood["width"]
    going_on.set()
    model.idle(PATIENCE_S)
    assert len(model.good) <= answered + 3
    with Annotations(folder / "store") as annotations:
        (job,) = annotations.jobs.recent()
        assert job.state == "cancelled"
        assert job.n_done == 2

    # The rest, with an unusable answer to every question that is asked anew.
    model.fault = lambda question, times: "prose"
    at.click(row(page, label).get_by_role("button", name="Continue"))
    expect(row(page, label).get_by_text("done, some failed")).to_be_visible()
    expect(row(page, label)).to_contain_text("6 of 6")
    at.click(row(page, label).get_by_role("link", name=label))
    expect(page).to_have_url(re.compile("job="))
    expect(page.get_by_role("heading", name=label)).to_be_visible()
    heading = page.get_by_role("columnheader", name="Example", exact=True)
    causes = page.locator("table.list").filter(has=heading)
    expect(causes.locator("tbody tr")).to_have_count(1)
    at.click(page.get_by_text("sae, LLM (m), Detection (offline judge)"))
    expect(page.get_by_text("typed in a session, kept in memory only")).to_be_visible()

    model.fault = lambda question, times: None
    at.click(page.get_by_role("button", name=re.compile("Retry . failed")))
    expect(page.locator("tr[data-job]").get_by_text("done", exact=True)).to_be_visible()
    expect(page.locator("tr[data-job]")).to_contain_text("6 of 6")
    # Nothing was paid for twice, but for the one call that was in flight when the job was cancelled.
    assert sum(times - 1 for times in model.good.values()) <= 1
    at.click(page.get_by_role("link", name="sae #0", exact=True))
    expect(page).to_have_url(re.compile(r"/feature\?coder=sae&latent=0"))

    # The key was used, and stands nowhere.
    assert model.headers[-1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in page.content()
    at.goto("/settings")
    assert KEY not in page.content()
    assert KEY not in writable.log()
    for file in folder.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file


def test_a_job_of_another_process_shows_up_live_and_stops(folder: Path, writable: Server, visit: Open):
    def slow(payload, item, context: Context) -> Outcome:
        context.wait(0.15)
        return Outcome(tokens_in=1000, tokens_out=10, cost=None)

    at = visit(writable, scheme="dark")
    at.goto("/jobs")
    with (
        Annotations(folder / "store") as annotations,
        JobRunner(annotations, [JobKind("elsewhere", slow)]) as runner,
    ):
        job = runner.submit("elsewhere", {"n": 1}, range(4000), label="a <b>job</b> of a command")
        found = row(at.page, "a <b>job</b> of a command")
        expect(found).to_be_visible()  # without touching the page
        expect(found).to_contain_text("unknown")  # its cost
        expect(found).to_contain_text("/ s")
        first = found.locator(".figures").text_content()
        expect(found.locator(".figures")).not_to_have_text(first or "")
        at.click(found.get_by_role("button", name="Cancel"))
        expect(found.get_by_text("cancelled", exact=True)).to_be_visible()
        assert runner.wait(job.id, timeout=PATIENCE_S).state == "cancelled"


def test_the_page_rests_while_nothing_is_active(writable: Server, visit: Open):
    at = visit(writable)
    at.page.clock.install()
    at.goto("/jobs")
    asked = at.wire.asked
    at.page.clock.run_for(11_000)  # eleven seconds for the page's timers, and none for us
    at.settled()
    assert 1 <= at.wire.asked - asked <= 4


@pytest.mark.parametrize(
    "path", ["/jobs?job=%3Cscript%3Ewindow.__xss=1%3C/script%3E", "/jobs?show=%27&page=-1&new=x&items=1"]
)
def test_any_address_gives_a_page(path: str, writable: Server, visit: Open):
    at = visit(writable)
    at.goto(path)
    expect(at.page.get_by_test_id("stMainBlockContainer")).not_to_be_empty()
    at.check()
