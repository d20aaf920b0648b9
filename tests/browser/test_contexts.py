"""The contexts of a feature in Chromium: peaks in sight in every size, rows widened and groups continued where they stand, a
histogram that answers."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Open, Server
from tests.browser.test_app import shown

SMALL = (360, 800)
LAPTOP = (1280, 720)
SPLIT = """root => [...root.querySelectorAll('.t.peak')].filter((peak) => peak.textContent.length <= 24)
  .filter((peak) => peak.getClientRects().length > 1).map((peak) => peak.textContent)"""
OUT_OF_VIEW = """async (root) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  let scrolled = 0, hidden = 0;
  for (const row of root.querySelectorAll('.row.full')) {
    const peak = row.querySelector('.t.peak'), text = row.querySelector('.text');
    row.scrollIntoView({ block: 'center' });
    for (let i = 0; i < 4; i++) await frame();
    if (text.scrollHeight <= text.clientHeight + 1) continue;
    scrolled += 1;
    if (!peak) continue;
    const box = peak.getBoundingClientRect(), around = text.getBoundingClientRect();
    if (box.top < around.top - 1 || box.bottom > around.bottom + 1) hidden += 1;
  }
  return [scrolled > 0, hidden];
}"""


def test_every_peak_is_in_sight_when_whole_contexts_are_shown(server: Server, visit: Open):
    at = visit(server, size=SMALL)
    at.goto("/feature?coder=sae&latent=4&window=full")
    assert shown(at, "sae", 4).evaluate(OUT_OF_VIEW) == [True, 0]
    for width in range(SMALL[0], SMALL[0] + 40, 8):
        at.resize((width, SMALL[1]))
        at.settled()
        assert shown(at, "sae", 4).evaluate(SPLIT) == [], "a token's box is in one piece"


def test_a_row_is_widened_and_a_group_continued_where_they_stand(server: Server, visit: Open):
    at = visit(server)
    page = at.page
    at.goto("/feature?coder=sae&latent=4")
    root = shown(at, "sae", 4)
    row = root.locator('section[data-group="random"] .row').nth(1)
    for name in ("wider", "link"):  # in sight before anything points at the row
        assert row.get_by_text(name, exact=True).evaluate(
            "node => node.checkVisibility({opacityProperty: true})"
        )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    root.locator('section[data-group="random"] .row').first.get_by_text("link", exact=True).focus()
    for name in ("wider", "link"):  # each is the next stop of Tab, and Enter copies
        page.keyboard.press("Tab")
        expect(row.get_by_text(name, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(row.get_by_text("copied", exact=True)).to_be_focused()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(rf"{server.url}/feature\?coder=sae&latent=4&context=\d+&start=\d+", copied)
    at.hover(row)
    top = row.bounding_box()
    at.click(row.get_by_role("button", name="wider"))
    expect(row.locator(".t")).to_have_count(64)
    expect(page).to_have_url(re.compile(r"wide=context\."))
    at.click(row.get_by_role("button", name="document"))
    expect(row.locator(".note")).not_to_be_empty()
    expect(row.locator(".t.peak")).to_be_in_viewport()
    now = row.bounding_box()
    assert top is not None
    assert now is not None
    assert (top["x"], top["y"]) == (now["x"], now["y"])
    at.hover(row.locator(".t.peak"))
    expect(root.get_by_role("tooltip")).to_contain_text("context")
    at.click(row.get_by_role("button", name="less"))
    expect(row.locator(".t")).to_have_count(32)
    expect(page).not_to_have_url(re.compile("wide="))

    rows = root.locator('section[data-group="random"] .row')
    before = rows.count()
    at.click(root.get_by_role("button", name="More: Random positives"))
    expect(rows.nth(before)).to_be_attached()
    expect(page).to_have_url(re.compile("more_random=1"))


def test_the_histogram_answers(server: Server, visit: Open):
    at = visit(server, size=LAPTOP)
    page = at.page
    at.goto("/feature?coder=sae&latent=4")
    root = shown(at, "sae", 4)
    before = root.locator(".hist").bounding_box()
    at.hover(root.locator(".bin").last)
    expect(root.get_by_role("tooltip")).to_contain_text(re.compile(r" to .*tokens?"))
    at.click(root.locator(".bin").last)
    expect(page).to_have_url(re.compile("bin=39"))
    expect(root.locator("section.group")).to_have_count(1)
    expect(root.locator("section.group h4")).to_contain_text("Activation")
    expect(page.get_by_test_id("stButtonGroup").get_by_role("radio", name="Bin", exact=True)).to_be_checked()
    assert root.locator(".hist").bounding_box() == before, "it stays where it is, under the pointer"
    at.click(page.get_by_test_id("stButtonGroup").get_by_role("radio", name="All", exact=True))
    expect(root.locator("section.group")).to_have_count(4)
    expect(page).not_to_have_url(re.compile("bin="))
    root.locator(".bin[tabindex='0']").focus()
    at.press("ArrowUp")
    at.press("Enter")
    expect(page).to_have_url(re.compile("bin="))
    at.click(page.get_by_role("link", name=re.compile(r"^\d+ : \d+$")))  # the peak
    expect(root.locator('section[data-group="linked"] .row')).to_have_count(1)
    expect(root.locator('section[data-group="linked"]')).to_be_in_viewport()


def test_a_click_into_a_row_draws_no_ring_around_the_page(server: Server, visit: Open):
    at = visit(server)
    at.goto("/features?coder=sae")
    at.click(at.page.locator("tbody tr").nth(1).locator("td.num").first)
    expect(at.page).to_have_url(re.compile("/feature"))
    for _ in range(2):
        at.press("ArrowDown")
        assert not at.page.get_by_test_id("stMain").evaluate("node => node.matches(':focus-visible')")
        at.click(at.page.locator(".root[data-coder] .row .text").first)
