"""The browser's Back and Forward restore what was seen, in as many steps as it took."""

import re
import shutil
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Open, Server


def test_back_and_forward_restore_what_was_seen(server: Server, visit: Open):
    at = visit(server)
    page = at.page

    def back() -> None:
        at.settled()
        page.go_back()
        at.settled()

    # The list: its coder, filter and search, straight from the feature that was opened.
    at.goto("/features?coder=transcoder&explained=no")
    expect(page.locator("tr.go").first).to_be_visible()
    at.click(page.locator("tr.go a").first)
    expect(page).to_have_url(re.compile(r"/feature\?coder=transcoder"))
    expect(page.get_by_role("combobox", name="Coder", exact=True)).to_have_value("transcoder")
    at.click(page.get_by_role("button", name=re.compile("^Next")))
    at.click(page.get_by_text("Align peaks"))
    expect(page).to_have_url(re.compile("align=1"))
    back()
    expect(page.get_by_role("switch", name="Align peaks")).not_to_be_checked()
    back()
    back()
    expect(page).to_have_url(re.compile(r"/features\?coder=transcoder&explained=no$"))
    expect(page.get_by_role("combobox", name="Coder", exact=True)).to_have_value("transcoder")

    # What was typed and not confirmed, at its own address only.
    box = page.get_by_role("textbox", name="Search", exact=True)
    at.enter(box, "cat")
    expect(page).to_have_url(re.compile("search=cat"))
    at.fill(box, "half a")
    back()
    expect(box).to_have_value("")
    at.goto("/features?coder=transcoder&explained=no")  # what was confirmed there is not asked again
    expect(box).to_have_value("")
    at.fill(box, "half a word")
    at.reload()
    expect(box).to_have_value("half a word")
    expect(page).to_have_url(re.compile(r"search=half\+a\+word"))

    # The list of neighbours, which stays with the next feature.
    tab = page.get_by_role("tab", name=re.compile("^co-firing"))
    at.goto("/feature?coder=sae&latent=3")
    at.click(tab)
    expect(page).to_have_url(re.compile("near="))
    at.press("ArrowRight")
    expect(page).to_have_url(re.compile("latent=4.*near="))
    at.reload()
    expect(tab).to_have_attribute("aria-selected", "true")
    back()
    back()
    expect(page).to_have_url(re.compile("latent=3$"))
    expect(tab).to_have_attribute("aria-selected", "false")


def test_a_chosen_store_outlives_a_reload(server: Server, visit: Open, tiny_template: Path, tmp_path: Path):
    other = Path(shutil.copytree(tiny_template, tmp_path / "other")).resolve()
    at = visit(server)
    page = at.page
    at.goto("/settings")
    at.choose_new("Store folder", str(other))
    expect(page).to_have_url(re.compile("store=.*other"))
    navigation = page.get_by_test_id("stTopNav")
    for link, place in (("Features", "/features"), ("Overview", "/")):
        at.click(navigation.get_by_role("link", name=link))
        expect(page).to_have_url(
            re.compile(rf"{place}\?store=.*other")
        )  # there, and not still on the page before
    at.reload()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("other")
    at.click(page.locator("table a", has_text="sae").first)
    at.click(page.locator("tr.go a").first)
    expect(page).to_have_url(re.compile(r"/feature\?.*store=.*other"))
    at.click(page.get_by_text("Align peaks"))
    expect(page).to_have_url(re.compile(r"align=1&store=.*other"))
    for _ in ("as it was", "the list"):
        at.settled()
        page.go_back()
    expect(page).to_have_url(re.compile(r"/features\?.*store=.*other"))
