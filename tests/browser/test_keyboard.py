"""Shortcuts work whenever no text is being typed and never while it is; what was typed is not lost."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from autointerp.store import Store
from tests.browser.conftest import Open, Server, Visit, start_server
from tests.explained import explain

TYPED = "text by x, g and b "


@pytest.fixture(scope="module")
def writable(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An app of its own: drafts may be saved."""
    import shutil

    folder = tmp_path_factory.mktemp("keyboard")
    store = Path(shutil.copytree(tiny_template, folder / "store"))
    explain(Store.open(store))
    yield from start_server([str(store)], folder)


def step(at: Visit, was: int, becomes: int) -> None:
    at.press("ArrowRight")
    expect(at.page).to_have_url(re.compile(f"latent={becomes}(&|$)"))
    at.press("ArrowLeft")
    expect(at.page).to_have_url(re.compile(f"latent={was}(&|$)"))


def test_a_shortcut_works_after_a_click_on_any_control(writable: Server, visit: Open):
    at = visit(writable)
    page = at.page
    at.goto("/feature?coder=sae&latent=3")

    def choose() -> None:
        at.click(page.get_by_role("combobox", name="Coder", exact=True))
        at.click(page.get_by_role("option", name="transcoder", exact=True))
        at.press("x")  # a choice of a coder is no feature yet
        expect(page).to_have_url(re.compile("latent="))
        at.goto("/feature?coder=sae&latent=3")
        at.click(page.get_by_role("combobox", name="Coder", exact=True))
        page.keyboard.press("Escape")

    controls: list[Callable[[], None]] = [
        lambda: at.click(page.get_by_text("Align peaks")),
        lambda: at.click(page.get_by_role("radio", name="Top", exact=True)),
        lambda: at.click(page.get_by_role("spinbutton", name="Feature")),
        choose,
        lambda: at.click(page.locator(".st-key-panel button").first),
        lambda: at.press("g"),
    ]
    for click in controls:
        click()
        step(at, 3, 4)
    at.press("g")
    expect(page).to_have_url(re.compile("panel=regenerate"))
    at.click(page.get_by_text("Score it too"))
    at.click(page.locator(".st-key-then_scorers button").first)
    at.press("g")
    expect(page).not_to_have_url(re.compile("panel="))


def test_the_focus_is_seen_where_the_keyboard_put_it(writable: Server, visit: Open):
    at = visit(writable)
    page = at.page
    at.goto("/feature?coder=sae&latent=3")
    link = page.get_by_test_id("stTopNav").get_by_role("link", name="Features")
    for scheme in ("light", "dark"):
        at.recolor(scheme)
        page.keyboard.press("Tab")
        link.focus()
        expect(link).to_have_css("outline-style", "solid")
        expect(link).to_have_css("outline-width", "2px")
    at.settled()
    page.mouse.click(8, 450)  # nothing is there
    assert page.evaluate("document.activeElement.tagName") == "MAIN"
    at.press("ArrowRight")
    expect(page).to_have_url(re.compile("latent=4(&|$)"))
    assert page.evaluate("document.activeElement.tagName") == "BODY"  # no ring around the page


def test_nothing_that_is_typed_is_a_shortcut(writable: Server, visit: Open):
    at = visit(writable)
    page = at.page
    at.goto("/feature?coder=sae&latent=3")
    here = re.compile("latent=3(&|$)")
    number = page.get_by_role("spinbutton", name="Feature")
    at.click(number)
    page.keyboard.press("Control+a")
    page.keyboard.type("4xb")
    expect(page).to_have_url(here)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("latent=4(&|$)"))
    at.goto("/feature?coder=sae&latent=3")
    at.click(page.get_by_role("combobox", name="Coder", exact=True))
    page.keyboard.type("x")
    page.keyboard.press("Escape")
    for key in ("Control+x", "Alt+x", "Shift+X", "Meta+b"):
        at.press(key)
    at.settled()
    expect(page).to_have_url(here)

    at.goto("/feature?coder=sae&latent=0")
    at.click(page.locator("a.score").first)
    expect(page).to_have_url(re.compile("score="))
    at.settled()
    link = page.locator(".st-key-judged .acts a:not(.reply)").first
    link.focus()  # as Tab does
    expect(link).to_be_focused()
    at.click(page.get_by_role("combobox", name="Class", exact=True))
    page.keyboard.press("Escape")
    at.settled()
    expect(page).to_have_url(re.compile("score="))
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("Next feature")
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    at.settled()
    expect(page).to_have_url(re.compile("latent=0&score="))
    at.press("Escape")
    expect(page).not_to_have_url(re.compile("score="))
    for _ in range(3):  # faster than the server answers
        page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("latent=3(&|$)"))


def box(page: Page) -> Locator:
    return page.locator(".st-key-explanation_editor textarea")


def test_a_draft_survives(writable: Server, visit: Open):
    at = visit(writable)
    page = at.page
    at.goto("/feature?coder=sae&latent=6")
    page.keyboard.press("e")
    page.keyboard.type(TYPED)  # before the box is there
    expect(box(page)).to_have_value(re.compile(re.escape(TYPED) + "$"))
    expect(page).to_have_url(re.compile("latent=6.*panel=edit"))
    at.settled()
    page.keyboard.type("on")
    text = box(page).input_value()
    assert text.endswith(TYPED + "on")
    page.go_back()
    expect(page.get_by_text("Draft of your edit of version 1, not saved")).to_be_visible()
    at.settled()
    page.go_forward()
    expect(box(page)).to_have_value(text)
    at.press("Escape")
    at.press("v")
    at.press("ArrowRight")
    expect(page).not_to_have_url(re.compile("latent=6(&|$)"))
    at.press("ArrowLeft")
    at.click(page.get_by_role("button", name="Continue"))
    expect(box(page)).to_have_value(text)
    expect(box(page)).to_be_focused()
    page.keyboard.type(" and")  # and reload at once
    expect(box(page)).to_have_value(text + " and")
    at.reload()
    expect(box(page)).to_have_value(text + " and")

    other = page.context.new_page()
    other.goto(page.url)
    expect(box(other)).to_have_value(text + " and")
    other.close()
    # Discarded, and reloaded before the server can have heard of it.
    at.reach(page.get_by_role("button", name="Discard")).evaluate(
        "button => { button.click(); location.reload(); }"
    )
    at.settled()
    expect(box(page)).not_to_have_value(text + " and")
    expect(page.get_by_text("not saved")).to_have_count(0)

    # What the browser damaged is no draft; what it has no room for is kept as long as the page is open.
    before = box(page).input_value()
    at.click(box(page))
    page.keyboard.type(TYPED)
    at.settled()
    page.evaluate(
        "() => Object.keys(localStorage).filter((key) => key.includes('explanation')).forEach((key, i) =>"
        " localStorage.setItem(key, i ? 'null' : '{'))"
    )
    at.reload()
    expect(box(page)).to_have_value(before)
    expect(page.get_by_text("not saved")).to_have_count(0)
    page.evaluate(
        "() => { Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }; }"
    )
    at.click(box(page))
    page.keyboard.press("End")
    page.keyboard.type(TYPED)
    text = box(page).input_value()
    assert text != before
    at.press("Escape")
    at.press("v")
    at.press("ArrowRight")
    expect(page).not_to_have_url(re.compile("latent=6(&|$)"))
    at.press("ArrowLeft")
    at.click(page.get_by_role("button", name="Continue"))
    expect(box(page)).to_have_value(text)


def test_a_form_survives_a_reload(writable: Server, visit: Open):
    at = visit(writable)
    page = at.page
    numbers = page.get_by_role("textbox", name="Numbers and ranges")
    at.goto("/jobs?new=1")
    at.click(page.get_by_text("Selected", exact=True))
    at.fill(numbers, "3-5")  # typed, not confirmed
    at.reload()
    expect(numbers).to_have_value("3-5")
