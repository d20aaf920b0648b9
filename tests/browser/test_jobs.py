"""Jobs in Chromium: settings and a typed key, a batch against a scripted server, cancelled, retried and looked into; and a
job of another process, live."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_httpserver import HTTPServer

from autointerp.jobs import Context, JobKind, JobRunner, Outcome
from autointerp.preferences import ENV_CONFIG
from autointerp.store.annotations import Annotations
from tests.batch.served import ScriptedServer
from tests.browser.conftest import Open, Server, Visit, start_server

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


def typed(page: Page, label: str, value: str) -> None:
    """Into a select box that takes new options."""
    box = page.get_by_test_id("stSelectbox").filter(has_text=label).get_by_role("combobox")
    box.fill(value)
    box.press("Enter")


def steady(visit: Visit) -> None:
    visit.page.wait_for_timeout(200)
    visit.settled()


def test_from_the_settings_to_a_batch(folder: Path, writable: Server, visit: Open, model: ScriptedServer):
    model.latency = 1.0
    at = visit(writable)
    page = at.page
    at.goto("/settings")
    typed(page, "Server", model.url)
    steady(at)
    page.get_by_label("API key for this session", exact=True).fill(KEY)
    page.get_by_label("API key for this session", exact=True).press("Enter")
    expect(page.get_by_text("was typed in this session")).to_be_visible()
    expect(page.get_by_label("API key for this session", exact=True)).to_have_value("")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("offers 2 models")).to_be_visible()
    typed(page, "Model", "m")
    steady(at)
    page.get_by_label("Requests at once", exact=True).fill("1")
    page.get_by_label("Requests at once", exact=True).press("Enter")
    steady(at)
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("answered in")).to_be_visible()
    expect(page.get_by_text("JSON schema")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert json.loads((folder / "config" / "settings.json").read_text())["model"] == "m"

    # A batch: explain by the model, detection by the offline judge.
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    page.get_by_role("button", name="New batch").click()
    page.get_by_text("These", exact=True).click()
    page.get_by_label("Numbers and ranges", exact=True).fill("0-1,3-4,6-7")  # 2 fires too rarely to be scored
    page.get_by_label("Numbers and ranges", exact=True).press("Enter")
    steady(at)
    page.get_by_test_id("stSelectbox").filter(has_text="Explainer").get_by_role("combobox").click()
    page.get_by_role("option", name="LLM", exact=True).click()
    for scorer in ("Fuzzing", "Embedding"):
        page.get_by_role("button", name=scorer, exact=True).click()
        steady(at)
    expect(page.get_by_text("6 features: about 6 requests")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    label = "explain 6 features of sae: default"
    expect(row(page, label)).to_be_visible()
    expect(page).not_to_have_url(re.compile("new=1"))
    expect(row(page, label).get_by_text("running", exact=True)).to_be_visible()
    expect(row(page, label)).to_contain_text(re.compile("[1234] of 6"))
    expect(row(page, label)).to_contain_text("this app")

    row(page, label).get_by_role("button", name="Cancel").click()
    expect(row(page, label).get_by_text("cancelled", exact=True)).to_be_visible()
    model.idle()
    paid = len(model.good)
    assert 1 <= paid < 7
    with Annotations(folder / "store") as annotations:
        (job,) = annotations.jobs.recent()
        assert job.state == "cancelled"
        assert 0 < job.n_done < 6

    # The rest, with an unusable answer to every question that is asked anew.
    model.fault = lambda question, times: "prose"
    model.latency = 0.0
    row(page, label).get_by_role("button", name="Continue").click()
    expect(row(page, label).get_by_text("done, with failures")).to_be_visible()
    expect(row(page, label)).to_contain_text("6 of 6")
    row(page, label).get_by_role("link", name=label).click()
    expect(page).to_have_url(re.compile("job="))
    expect(page.get_by_role("heading", name=label)).to_be_visible()
    causes = page.locator("table.list").filter(has_text="For example")
    expect(causes.locator("tbody tr")).to_have_count(1)
    page.get_by_text("sae, default (m), detection (offline judge)").click()
    expect(page.get_by_text("typed for a session, kept in memory only")).to_be_visible()

    model.fault = lambda question, times: None
    page.get_by_role("button", name=re.compile("Retry . failed")).click()
    expect(page.locator("tr[data-job]").get_by_text("done", exact=True)).to_be_visible()
    expect(page.locator("tr[data-job]")).to_contain_text("6 of 6")
    # Nothing was paid for twice, but for the one call that was in flight when the job was cancelled.
    assert sum(times - 1 for times in model.good.values()) <= 1
    page.get_by_role("link", name="sae #0", exact=True).click()
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
        job = runner.submit("elsewhere", {"n": 1}, range(400), label="a <b>job</b> of a command")
        found = row(at.page, "a <b>job</b> of a command")
        expect(found).to_be_visible()  # without touching the page
        expect(found).to_contain_text("unknown")  # its cost
        expect(found).to_contain_text("/ s")
        first = found.locator(".figures").inner_text()
        expect(found.locator(".figures")).not_to_have_text(first)
        found.get_by_role("button", name="Cancel").click()
        expect(found.get_by_text("cancelled", exact=True)).to_be_visible()
        assert runner.wait(job.id, timeout=10).state == "cancelled"


def test_the_page_rests_while_nothing_is_active(writable: Server, visit: Open):
    at = visit(writable)
    sent: list[float] = []
    at.page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.append(time.monotonic())))
    at.goto("/jobs")
    at.page.wait_for_timeout(3000)
    sent.clear()
    at.page.wait_for_timeout(11_000)
    assert 1 <= len(sent) <= 4


@pytest.mark.parametrize(
    "path", ["/jobs?job=%3Cscript%3Ewindow.__xss=1%3C/script%3E", "/jobs?show=%27&page=-1&new=x&items=1"]
)
def test_any_address_gives_a_page(path: str, writable: Server, visit: Open):
    at = visit(writable)
    at.goto(path)
    expect(at.page.get_by_test_id("stMainBlockContainer")).not_to_be_empty()
    at.check()
