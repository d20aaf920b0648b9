"""The explanation side of the Feature page in Chromium: regenerate, rescore, judged examples, versions and pins, writing."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from autointerp.preferences import ENV_CONFIG
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.browser.conftest import Open, Server, Visit, start_server
from tests.explained import EMOJI_TEXT, HOSTILE_TEXT, Explained, explain

EDGE = (800, 1000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_template: Path) -> Explained:
    """A store with explanations that may be written to; each test keeps to features of its own."""
    folder = tmp_path_factory.mktemp("explained")
    return explain(Store.open(shutil.copytree(tiny_template, folder / "store")))


@pytest.fixture(scope="module")
def writable(made: Explained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENV_CONFIG, str(folder / "settings.json"))
        yield from start_server([str(made.path)], folder)


@pytest.fixture(scope="module")
def read_only(made: Explained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from start_server([str(made.path), "--read-only"], tmp_path_factory.mktemp("reader"))


def card(page: Page) -> Locator:
    return page.locator(".root[data-version]:not([data-only])")


def button(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stMain").get_by_role("button", name=re.compile(f"^{name}"))


def look(at: Visit, path: str) -> Page:
    at.goto(f"/feature?coder=sae&{path}")
    expect(card(at.page)).to_be_visible()
    return at.page


def test_regenerate_and_score_in_one_click(writable: Server, visit: Open, made: Explained):
    page = look(visit(writable), "latent=1")
    expect(card(page).locator(".say")).to_have_text("The first half of an emoji.")
    page.keyboard.press("g")
    expect(page).to_have_url(re.compile("panel=regenerate"))
    expect(page.get_by_text("No prompt and no cost")).to_be_visible()
    button(page, "Explain").click()
    expect(card(page).locator(".meta")).to_contain_text("version 2 of 2")
    expect(page).not_to_have_url(re.compile("panel="))
    for scorer in ("Detection", "Fuzzing"):
        expect(card(page).locator(".score", has_text=scorer)).to_contain_text("offline judge")
    news = card(page).locator(".news")
    expect(news).to_contain_text("Version 2 against version 1")
    news.get_by_role("link").click()
    expect(page).to_have_url(re.compile("against="))
    expect(page.locator(".root[data-sides] .say")).to_have_count(2)
    page.get_by_role("button", name="Score both").click()
    expect(page.locator(".root[data-sides] tbody")).to_contain_text(re.compile("difference|Better|Worse"))
    button(page, "Contexts").click()
    expect(page.locator(".root[data-coder]")).to_be_visible()


def test_rescore_with_other_examples(writable: Server, visit: Open, made: Explained):
    page = look(visit(writable), "latent=4")
    button(page, "Rescore").click()
    page.get_by_label("Activating", exact=True).fill("9")
    page.get_by_test_id("stButtonGroup").get_by_text("Fuzzing", exact=True).click()
    page.get_by_test_id("stButtonGroup").get_by_text("Neighbours", exact=True).click()
    button(page, "Score").last.click()
    row = card(page).locator(".score", has_text="random, neighbours")
    expect(row).to_contain_text("n 9+")
    expect(row).to_contain_text("Detection")


def test_every_judged_example_errors_first(writable: Server, visit: Open, made: Explained):
    second = made.explanations["second"]
    at = visit(writable)
    page = look(at, f"latent=0&version={second.id}")
    card(page).locator(".score", has_text="3 unparsed").click()
    expect(page).to_have_url(re.compile("score="))
    judged = page.locator(".root[data-score]")
    expect(judged.locator("section.group").first).to_be_visible()
    keys = [section.get_attribute("data-group") for section in judged.locator("section.group").all()]
    assert keys == [key for key in ("fp", "fn", "unparsed", "tp", "tn") if key in keys]
    expect(judged.locator('section[data-group="unparsed"] .row')).to_have_count(3)
    page.get_by_role("radio", name="Wrong").click()
    expect(page).to_have_url(re.compile("verdict=wrong"))
    expect(judged.locator(".row.right")).to_have_count(0)
    expect(judged.locator(".row.wrong").first).to_be_visible()
    page.get_by_role("radio", name="All").click()
    judged.locator("button.bar").first.click()
    expect(page).to_have_url(re.compile("quantile=0"))
    judged.locator("button.bar").first.click()
    expect(page).not_to_have_url(re.compile("quantile="))
    assert judged.locator(".t[class*=' a']").count() == 0  # the judge saw no activations
    page.get_by_test_id("stCheckbox").filter(has_text="True activations").click()
    expect(page).to_have_url(re.compile("overlay=1"))
    expect(judged.locator(".t.peak").first).to_be_visible()
    judged.locator("a.reply").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("You judge texts. <b>system</b>")
    page.get_by_role("dialog").get_by_label("Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("example="))
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("score="))
    expect(page.locator(".root[data-coder]")).to_be_visible()


def test_versions_can_be_looked_at_pinned_and_shared(writable: Server, visit: Open, made: Explained):
    page = look(visit(writable), "latent=3")
    pinned, newer = made.explanations["pinned"], made.explanations["newer"]
    expect(card(page)).to_have_attribute("data-version", pinned.id)
    page.keyboard.press("v")
    versions = page.locator('.root[data-only="versions"]')
    expect(versions.locator(".version")).to_have_count(2)
    versions.locator("a.line").first.click()
    expect(page).to_have_url(re.compile(f"version={newer.id}"))
    expect(card(page)).to_have_attribute("data-version", newer.id)
    expect(card(page).locator(".say")).to_contain_text("<script>window.__xss=1</script>")
    expect(card(page)).to_contain_text("that is version 1, pinned")
    button(page, "Pin").click()
    expect(card(page).locator(".meta")).to_contain_text("pinned")
    page.reload()
    expect(card(page)).to_have_attribute("data-version", newer.id)
    with Annotations(made.path, read_only=True) as annotations:
        shown = annotations.shown("sae", 3)
        assert shown is not None
        assert shown.id == newer.id
    button(page, "Unpin").click()
    expect(card(page).locator(".meta")).not_to_contain_text("pinned")


def test_write_and_edit(writable: Server, visit: Open, made: Explained):
    page = look(visit(writable), "latent=6")
    expect(card(page).locator(".say")).to_have_text(EMOJI_TEXT)
    page.keyboard.press("e")
    box = page.get_by_role("textbox", name="Edit version 1")
    expect(box).to_have_value(EMOJI_TEXT)
    box.fill("")
    button(page, "Save").click()
    expect(page.get_by_text("The explanation is empty")).to_be_visible()
    box.click()
    page.keyboard.type("Verges, and what begins with g, s, v, x or b.")  # letters that are keys elsewhere
    page.get_by_label("Author").fill("Ada")
    button(page, "Save").click()
    expect(card(page).locator(".say")).to_have_text("Verges, and what begins with g, s, v, x or b.")
    expect(card(page).locator(".meta")).to_contain_text("by Ada")
    expect(card(page).locator(".meta")).to_contain_text("from version 1")
    expect(card(page).locator(".score", has_text="Detection")).to_be_visible()


@pytest.mark.parametrize(("scheme", "size"), [("light", (1440, 900)), ("dark", EDGE)])
def test_hostile_texts_stay_text(
    writable: Server, visit: Open, made: Explained, scheme: str, size: tuple[int, int]
):
    at = visit(writable, scheme=scheme, size=size)
    page = look(at, f"latent=3&version={made.explanations['newer'].id}&panel=versions")
    expect(card(page).locator(".say")).to_have_text(HOSTILE_TEXT)
    for name in ("long", "rtl"):
        explanation = made.explanations[name]
        page = look(at, f"latent={explanation.latent}&version={explanation.id}&panel=versions")
        expect(card(page).locator(".say")).to_be_visible()
        assert "\u202e" not in card(page).inner_text()
    long = look(at, "latent=4").locator(".say")
    before = long.bounding_box()
    button(page, "more").click()
    after = long.bounding_box()
    assert before is not None
    assert after is not None
    assert before["height"] < 160 < 1000 < after["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_read_only_has_nothing_that_writes(read_only: Server, visit: Open, made: Explained):
    page = look(visit(read_only), "latent=0&panel=edit")
    button(page, "Versions").click()
    expect(page.locator('.root[data-only="versions"] .version').first).to_be_visible()
    for name in ("Edit", "Regenerate", "Rescore", "Pin", "Retry", "Save"):
        expect(button(page, name)).to_have_count(0)
    card(page).locator("a.score").first.click()
    expect(page.locator(".root[data-score] .row").first).to_be_visible()
