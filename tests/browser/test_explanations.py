"""The explanation side of the Feature page in Chromium: regenerate, rescore, judged examples, versions and pins, writing."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from autointerp.preferences import ENV_CONFIG
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.browser.conftest import WIDE, Open, Server, Visit, start_server
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


def height(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["height"]


def look(at: Visit, path: str) -> Page:
    at.goto(f"/feature?coder=sae&{path}")
    expect(card(at.page)).to_be_visible()
    return at.page


COVERED = """() => {
  const roots = [document, ...[...document.querySelectorAll('*')].map((node) => node.shadowRoot).filter(Boolean)];
  const all = (what) => roots.flatMap((root) => [...root.querySelectorAll(what)]);
  const notice = all('.notice')[0].getBoundingClientRect();
  return all('button, a, input').filter((node) => node.checkVisibility() && node.getBoundingClientRect().width > 1)
    .filter((node) => {
      const box = node.getBoundingClientRect();
      return box.left < notice.right && box.right > notice.left && box.top < notice.bottom && box.bottom > notice.top
        && box.top >= 0;
    }).map((node) => node.textContent);
}"""


def test_regenerate_and_score_in_one_click(writable: Server, visit: Open, made: Explained):
    at = visit(writable)
    page = look(at, "latent=1")
    expect(card(page).locator(".say")).to_have_text("The first half of an emoji.")
    at.press("g")
    expect(page).to_have_url(re.compile("panel=regenerate"))
    expect(page.get_by_text("No prompt and no cost")).to_be_visible()
    at.click(button(page, "Explain"))
    expect(page.get_by_role("status").filter(has_text="explain 1 feature of sae")).to_be_visible()
    assert page.evaluate(COVERED) == [], "a notice covers no button"
    expect(card(page).locator(".meta")).to_contain_text("version 2 of 2")
    expect(page).not_to_have_url(re.compile("panel="))
    for scorer in ("Detection", "Fuzzing"):
        expect(card(page).locator(".score", has_text=scorer)).to_contain_text("offline judge")
    news = card(page).locator(".news")
    expect(news).to_contain_text("Version 2 against version 1")
    at.click(news.get_by_role("link"))
    expect(page).to_have_url(re.compile("against="))
    expect(page.locator(".root[data-sides] .say")).to_have_count(2)
    at.click(page.get_by_role("button", name="Score both"))
    sides = page.locator(".root[data-sides]")
    expect(sides.locator("tbody").first).to_contain_text(re.compile("difference|Better|Worse"))
    expect(sides).to_contain_text("Settings that differ")
    expect(sides).to_contain_text(re.compile(r"examples? flipped"))
    at.click(button(page, "Contexts"))
    expect(page.locator(".root[data-coder]")).to_be_visible()


def test_rescore_with_other_examples(writable: Server, visit: Open, made: Explained):
    at = visit(writable)
    page = look(at, "latent=4")
    at.click(button(page, "Rescore"))
    at.click(page.get_by_test_id("stButtonGroup").get_by_text("Fuzzing", exact=True))
    at.click(button(page, "Examples and options"))
    at.enter(page.get_by_label("Activating", exact=True), "9")
    at.click(page.get_by_test_id("stButtonGroup").get_by_text("Neighbours", exact=True))
    at.press("Escape")
    at.click(button(page, "Score").last)
    row = card(page).locator(".score", has_text="random, neighbours")
    expect(row).to_contain_text("n 9+")
    expect(row).to_contain_text("Detection")


def test_every_judged_example_errors_first(writable: Server, visit: Open, made: Explained):
    second = made.explanations["second"]
    at = visit(writable)
    page = look(at, f"latent=0&version={second.id}")
    at.click(card(page).locator(".score", has_text="3 unparsed").get_by_text("examples"))
    expect(page).to_have_url(re.compile("score="))
    judged = page.locator(".root[data-score]")
    expect(judged.locator("section.group").first).to_be_visible()
    at.settled()
    keys = [section.get_attribute("data-group") for section in judged.locator("section.group").all()]
    assert keys == [key for key in ("fp", "fn", "unparsed", "tp", "tn") if key in keys]
    expect(judged.locator('section[data-group="unparsed"] .row')).to_have_count(3)
    at.click(page.get_by_role("radio", name="Wrong"))
    expect(page).to_have_url(re.compile("verdict=wrong"))
    expect(judged.locator(".row.right")).to_have_count(0)
    expect(judged.locator(".row.wrong").first).to_be_visible()
    at.click(page.get_by_role("radio", name="All"))
    at.click(judged.locator("button.bar").first)
    expect(page).to_have_url(re.compile("quantile=0"))
    at.click(judged.locator("button.bar").first)
    expect(page).not_to_have_url(re.compile("quantile="))
    at.settled()
    expect(judged.locator(".t[class*=' a']")).to_have_count(0)  # the judge saw no activations
    at.click(page.get_by_test_id("stCheckbox").filter(has_text="True activations"))
    expect(page).to_have_url(re.compile("overlay=1"))
    expect(judged.locator(".t.peak").first).to_be_visible()
    at.click(judged.locator("a.reply").first)
    expect(page.get_by_role("dialog")).to_contain_text("You judge texts. <b>system</b>")
    at.click(page.get_by_role("dialog").get_by_label("Close"))
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("example="))
    at.press("Escape")
    expect(page).not_to_have_url(re.compile("score="))
    expect(page.locator(".root[data-coder]")).to_be_visible()


def test_versions_can_be_looked_at_pinned_and_shared(writable: Server, visit: Open, made: Explained):
    at = visit(writable)
    page = look(at, "latent=3")
    pinned, newer = made.explanations["pinned"], made.explanations["newer"]
    expect(card(page)).to_have_attribute("data-version", pinned.id)
    at.press("v")
    versions = page.locator('.root[data-only="versions"]')
    expect(versions.locator(".version")).to_have_count(2)
    at.click(versions.locator("a.line").first)
    expect(page).to_have_url(re.compile(f"version={newer.id}"))
    expect(card(page)).to_have_attribute("data-version", newer.id)
    expect(card(page).locator(".say")).to_contain_text("<script>window.__xss=1</script>")
    expect(card(page)).to_contain_text("Other pages show version 1 (pinned)")
    at.click(button(page, "Pin"))
    at.enter(page.get_by_role("dialog").get_by_label("Your name"), "Ada")
    expect(card(page).locator(".meta")).to_contain_text("pinned")
    at.reload()
    expect(card(page)).to_have_attribute("data-version", newer.id)
    with Annotations(made.path, read_only=True) as annotations:
        shown = annotations.shown("sae", 3)
        assert shown is not None
        assert shown.id == newer.id
    at.click(button(page, "Unpin"))
    expect(card(page).locator(".meta")).not_to_contain_text("pinned")


def test_write_and_edit(writable: Server, visit: Open, made: Explained):
    at = visit(writable)
    page = look(at, "latent=6")
    expect(card(page).locator(".say")).to_have_text(EMOJI_TEXT)
    at.press("e")
    box = page.get_by_role("textbox", name="Edit version 1")
    expect(box).to_have_value(EMOJI_TEXT)
    at.fill(box, "")
    at.click(button(page, "Save"))
    expect(page.get_by_text("The explanation is empty")).to_be_visible()
    at.click(box)
    page.keyboard.type("Verges, and what begins with g, s, v, x or b.")  # letters that are keys elsewhere
    at.fill(page.get_by_label("Author"), "Ada")
    at.click(button(page, "Save"))
    expect(card(page).locator(".say")).to_have_text("Verges, and what begins with g, s, v, x or b.")
    expect(card(page).locator(".meta")).to_contain_text("by Ada")
    expect(card(page).locator(".meta")).to_contain_text("from version 1")
    expect(card(page).locator(".score", has_text="Detection")).to_be_visible()


def test_hostile_texts_stay_text(writable: Server, visit: Open, made: Explained):
    at = visit(writable)
    page = at.page

    def in_both_looks(check: Callable[[tuple[int, int]], None]) -> None:
        for scheme, size in (("light", WIDE), ("dark", EDGE)):
            at.resize(size)
            at.recolor(scheme)
            check(size)

    look(at, f"latent=3&version={made.explanations['newer'].id}&panel=versions")
    in_both_looks(lambda _: expect(card(page).locator(".say")).to_have_text(HOSTILE_TEXT))

    def without_overrides(_: tuple[int, int]) -> None:
        expect(card(page).locator(".say")).to_be_visible()
        expect(card(page)).not_to_contain_text("\u202e")

    for name in ("long", "rtl"):
        explanation = made.explanations[name]
        look(at, f"latent={explanation.latent}&version={explanation.id}&panel=versions")
        in_both_looks(without_overrides)

    def opened(size: tuple[int, int]) -> None:
        long = look(at, "latent=4").locator(".say")
        assert height(long) < 160
        at.click(button(page, "more"))
        at.settled()
        assert height(long) > 1000
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    in_both_looks(opened)


def test_read_only_has_nothing_that_writes(read_only: Server, visit: Open, made: Explained):
    at = visit(read_only)
    page = look(at, "latent=0&panel=edit")
    at.click(button(page, "Versions"))
    expect(page.locator('.root[data-only="versions"] .version').first).to_be_visible()
    for name in ("Edit", "Regenerate", "Rescore", "Pin", "Retry", "Save"):
        expect(button(page, name)).to_have_count(0)
    at.click(card(page).locator("a.score").first)
    expect(page.locator(".root[data-score] .row").first).to_be_visible()


def test_what_stands_below_keeps_its_place_while_an_element_is_being_drawn(read_only: Server, visit: Open):
    at = visit(read_only)
    below = {
        "explanation": at.page.get_by_role("textbox", name="Test your own text"),
        "features_best": at.page.get_by_role("heading", name="Explanations", exact=True),
    }
    for path, element in (("/feature?coder=sae&latent=1", "explanation"), ("/", "features_best")):
        at.goto(path)
        root = at.page.locator(f".st-key-{element} .root")
        assert height(root) > 100
        before = below[element].bounding_box()
        root.evaluate("root => root.replaceChildren()")  # as long as its script has not come
        after = below[element].bounding_box()
        assert before is not None
        assert after is not None
        assert abs(after["y"] - before["y"]) < 60, element
