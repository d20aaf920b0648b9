"""Stars and collections with pointer and keyboard: nothing moves under them, and an address shares a list."""

import re
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Open, Server


def boxes(rows: Locator) -> list[Any]:
    return [row.bounding_box() for row in rows.all()]


def test_stars_and_collections_from_list_to_feature_and_back(server: Server, visit: Open):
    at = visit(server)
    page = at.page
    rows, stars = page.locator("tr.go"), page.locator("button.star")
    at.goto("/features?coder=sae&sort=latent&order=asc")
    expect(stars).to_have_count(7)
    at.settled()
    before = boxes(rows)
    # Who it is is asked at the first star, once for this browser; the star is given then.
    at.click(stars.nth(0))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("textbox")).to_be_focused()
    at.settled()
    expect(stars.nth(0)).to_have_text("☆")
    page.keyboard.type("Ada Ω")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(stars.nth(0)).to_have_text("★")
    at.settled()
    # In quick succession: no click waits for the answer to the one before, and none opens the row.
    for place in (1, 3):
        stars.nth(place).click()
    at.settled()
    assert boxes(rows) == before
    expect(stars.nth(1)).to_have_text("★")
    expect(stars.nth(2)).to_have_text("☆")

    # A list of the starred, by its address alone. A star taken away leaves the row where it is, to be given back.
    at.goto("/features?collection=Starred&sort=latent&order=asc")
    expect(rows).to_have_count(3)
    expect(page.get_by_text("by Ada Ω")).to_be_visible()
    at.settled()
    before = boxes(rows)
    at.click(stars.nth(1))
    at.settled()
    expect(stars.nth(1)).to_have_text("☆")
    assert boxes(rows) == before
    at.reload()
    expect(rows).to_have_count(2)

    # With the keyboard alone on the Feature page: the star away and back, and a new collection.
    at.click(rows.nth(1).locator("a"))
    star = page.get_by_role("button", name=re.compile("^[★☆] T"))
    expect(star).to_have_text(re.compile("★"))
    there = page.get_by_role("button", name=re.compile("^Next")).bounding_box()
    at.press("t")
    expect(star).to_have_text(re.compile("☆"))
    assert page.get_by_role("button", name=re.compile("^Next")).bounding_box() == there
    at.press("t")
    expect(star).to_have_text(re.compile("★"))
    at.press("l")
    expect(page).to_have_url(re.compile("panel=collections"))
    at.enter(page.get_by_role("textbox", name="New collection"), "<b>a & b</b>")
    at.enter(
        page.get_by_role("textbox", name=re.compile("^Note in .*b.*a .* b")), "<img src=x onerror=alert(1)>"
    )
    at.reload()
    expect(page.get_by_role("textbox", name=re.compile("^Note in .*b.*a .* b"))).to_have_value(
        "<img src=x onerror=alert(1)>"
    )

    # Its name leads to its list, whose address anybody can open; where it is deleted at the end.
    at.click(page.get_by_role("button", name="<b>a & b</b>").first)
    expect(page).to_have_url(re.compile(r"/features\?collection="))
    expect(rows).to_have_count(1)
    expect(rows.get_by_text("note: <img")).to_be_visible()
    expect(page.get_by_text("by Ada Ω")).to_be_visible()  # made in another session
    at.click(page.get_by_role("button", name="Edit collection"))
    at.click(page.get_by_role("button", name="Delete", exact=True))
    expect(page).not_to_have_url(re.compile("collection="))
    at.goto("/features?collection=Starred")
    at.click(page.get_by_role("button", name="Edit collection"))
    at.click(page.get_by_role("button", name="Delete", exact=True))
    expect(page).not_to_have_url(re.compile("collection="))
