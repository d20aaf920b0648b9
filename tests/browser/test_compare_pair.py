"""From a feature to its counterpart in another coder, side by side, and from a text to both."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WIDE, Open, Server

PHONE = (420, 800)


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_a_feature_its_counterpart_and_a_text(
    scheme: str, size: tuple[int, int], server: Server, visit: Open
):
    at = visit(server, scheme=scheme, size=size)
    page = at.page
    at.goto("/feature?coder=sae&latent=4")
    others = page.locator(".others")
    expect(others).to_contain_text("transcoder")
    at.click(others.get_by_role("tab", name="Jaccard"))
    expect(page).to_have_url(re.compile("by=jaccard"))
    at.click(others.get_by_role("link", name=re.compile("Compare with transcoder")).first)
    expect(page).to_have_url(re.compile("compare.*latent_a=4"))
    at.settled()

    # Both strips of a context stand under one another, token by token, and keep within the page.
    stacks = page.locator(".stack")
    expect(stacks.first).to_be_visible()
    boxes = stacks.evaluate_all(
        "(all) => all.map((stack) => [...stack.children].map((node) => { const box = node.getBoundingClientRect();"
        " return [box.left, box.width, box.top]; }))"
    )
    assert boxes
    for (left, width, top), (left_b, width_b, top_b) in boxes:
        assert abs(left - left_b) < 0.5
        assert abs(width - width_b) < 0.5
        assert top_b > top
    assert max(box[0][0] for box in boxes) < size[0]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    at.hover(page.locator(".stack .upper[class*=' a']").first)
    expect(page.locator(".tip")).to_contain_text("of maximum")
    at.click(page.get_by_role("link", name=re.compile("transcoder #")).first)
    expect(page).to_have_url(re.compile("feature.*coder=transcoder"))

    at.goto("/compare?view=text&a=sae&b=transcoder&context=3")
    cell = page.locator(".layer1 a.cell").first
    at.hover(cell)
    expect(page.locator(".cell.same").first).to_be_visible()
    token = page.locator(".column").filter(has=page.locator(".layer1 a.cell")).first
    at.click(token.locator(".word"))
    expect(page).to_have_url(re.compile(r"token=\d+"))
    expect(page.locator(".column.chosen")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    name = cell.inner_text().removeprefix("#")
    at.click(cell)
    expect(page).to_have_url(re.compile(f"feature.*latent={name}(&|$)"))
