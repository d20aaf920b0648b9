"""The real thing: the shipped weights over real docstrings, fewer of them, in the app."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from autointerp.demo.build import build_demo
from tests.browser.conftest import Open, Server, start_server

N_TOKENS = 128 * 30


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("demo")
    path: Path = build_demo(folder / "demo", n_tokens=N_TOKENS).path
    yield from start_server([str(path), "--read-only"], folder)


def test_every_coder_can_be_looked_at(demo_server: Server, visit: Open):
    at = visit(demo_server)
    page = at.page
    at.goto("/")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    coders = ("sae", "sae-seed1", "transcoder", "skip-transcoder", "sae-l1", "neurons", "random")
    for coder in coders:
        expect(page.get_by_role("link", name=coder, exact=True)).to_be_visible()
    for coder in coders:
        at.goto(f"/feature?coder={coder}")
        root = page.locator(f'.root[data-coder="{coder}"][data-latent]')
        for scheme in ("light", "dark"):
            at.recolor(scheme)
            expect(root.locator('section[data-group="top"] .row .t.peak').first).to_be_attached()
            at.check()


def test_searching_the_text_leads_to_features(demo_server: Server, visit: Open):
    at = visit(demo_server)
    at.goto("/features?coder=sae&search=array")
    at.click(at.page.get_by_role("link", name="#").first)
    expect(at.page.locator('.root[data-coder="sae"][data-latent] .row').first).to_be_visible()


def test_a_long_list_is_read_page_by_page_and_found_again(demo_server: Server, visit: Open):
    at = visit(demo_server, size=(1280, 500))
    page = at.page
    at.goto("/features?coder=sae&min_density=0.1")
    head, bar = page.get_by_role("columnheader", name="Feature"), page.get_by_test_id("stHeader")

    def stays() -> None:
        assert (head.bounding_box() or {})["y"] >= (bar.bounding_box() or {})["height"] - 1
        expect(head).to_be_in_viewport()

    second = page.get_by_role("button", name="Page 2", exact=True)
    at.reach(second)
    stays()
    first_row = page.locator("table.sticky tbody tr").first
    expect(first_row).not_to_be_in_viewport()
    at.click(second)
    expect(page).to_have_url(re.compile("page=2"))
    expect(first_row).to_be_in_viewport()
    at.settled()
    stays()

    # A row as text and as a link, by keyboard too.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    at.hover(first_row)
    link = first_row.get_by_role("button", name="Copy a link to this feature")
    link.focus()
    at.press("Enter")
    expect(link).to_have_text("✓")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(rf"{demo_server.url}/feature\?coder=sae&latent=\d+", copied)
    at.click(first_row.get_by_role("button", name="Copy this row as text, with its link"))
    row, address = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert row.startswith("#")
    assert "Density: " in row
    assert address == copied

    # The whole list as a file, not the page.
    at.click(page.get_by_role("button", name="Export"))
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert download.value.suggested_filename == "demo_sae_min_density=0.1.csv"
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    shown = page.get_by_text(re.compile("26–50 of")).inner_text()
    assert f"{len(lines) - 1:,} features" in shown

    # The navigation leads back to the list as it was left, and a click on it clears the filters.
    top = page.get_by_test_id("stTopNav")
    at.click(top.get_by_role("link", name="Jobs"))
    at.click(top.get_by_role("link", name="Features"))
    left = re.compile(r"features\?coder=sae&min_density=0.1&page=2$")
    expect(page).to_have_url(left)
    at.settled()
    page.go_back()
    expect(page).to_have_url(re.compile("jobs$"))
    at.settled()
    page.go_forward()
    expect(page).to_have_url(left)
    at.click(page.get_by_role("button", name=re.compile("Density at least")))
    expect(page).not_to_have_url(re.compile("min_density"))

    # One feature as a page that stands alone.
    page.goto(f"{demo_server.url}/feature?coder=sae&latent=12")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as HTML").click()
    assert download.value.suggested_filename == "demo_sae_12.html"
    alone, complaints = page.context.new_page(), []
    alone.on("console", lambda message: complaints.append(message.text))
    alone.set_content(Path(download.value.path()).read_text(encoding="utf-8"))
    expect(alone.get_by_role("heading", name="sae / 12").nth(1)).to_be_visible()
    assert alone.locator("mark").count() > 20
    assert complaints == []
    alone.close()


def test_shared_features_of_two_seeds(demo_server: Server, visit: Open):
    at = visit(demo_server)
    page = at.page
    at.goto("/compare?view=shared")
    counted = page.get_by_text(re.compile(r"^\d+ of [\d,]+ \(\d+ %\)$"))
    at.reach(counted)
    before = counted.inner_text()
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(3)
    for scheme in ("light", "dark"):
        at.recolor(scheme)
        at.check()
    # The threshold moves by keyboard, and stands in the address.
    page.get_by_role("slider", name="Cosine above").focus()
    at.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"t=0\.69"))
    expect(counted).not_to_have_text(before)
    page.set_viewport_size({"width": 420, "height": 900})
    at.check()
    apart = page.get_by_text("No encoder cosines: they read different spaces")
    at.choose("Compared with", "transcoder")
    expect(page).to_have_url(re.compile("b=transcoder"))
    expect(apart).to_be_visible()
    at.settled()
    page.go_back()
    expect(apart).to_have_count(0)
    expect(page).not_to_have_url(re.compile("b=transcoder"))
