"""A person steers by keyboard and mouse, stops it, shares the address, and sees the same in another browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from autointerp.caching import cache
from tests.browser.conftest import NARROW, WIDE, Open, Server, Visit, start_server
from tests.models.tiny import TEXT, save_neox

PROMPT = "<script>window.__xss=1</script> The quick"


@pytest.fixture(scope="module")
def steering_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app on a store whose model takes seconds for a long continuation."""
    folder = tmp_path_factory.mktemp("steering")
    save_neox(folder / "model", d=256, layers=6, ctx=512)
    cache(
        folder / "store", model=str(folder / "model"), coders={"sae": "random:layers.3:64:4"},
        documents=[(f"d{i}", TEXT * 6) for i in range(4)], ctx_len=32,
    )  # fmt: skip
    yield from start_server([str(folder / "store")], folder)


def cards(at: Visit) -> list[str]:
    root = at.page.locator(".root[data-steering]")
    expect(root).to_be_visible(timeout=60_000)
    return root.locator(".card h4").all_inner_texts()


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)])
def test_steer_stop_and_share(
    scheme: str, size: tuple[int, int], steering_server: Server, visit: Open
) -> None:
    at = visit(steering_server, scheme=scheme, size=size)
    page = at.page
    at.goto("/feature?coder=sae&latent=5")
    at.press("d")
    field = page.get_by_role("textbox", name="Prompt", exact=True)
    at.enter(field, PROMPT, "Control+Enter")
    assert [title.split("\n")[0].split("×")[0].strip() for title in cards(at)] == ["As it is", "1", "4"]
    assert page.evaluate("window.__xss") is None
    expect(page.locator(".card .made").first).to_contain_text("<script>")
    shared = page.url
    assert re.search("steer=1", shared)
    words = page.locator(".cards").inner_text()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    other = visit(steering_server)
    other.goto(shared.removeprefix(steering_server.url))
    cards(other)
    assert other.page.locator(".cards").inner_text().split() == words.split()
    made = page.locator(".card .made").first
    for prompt in ("Another", PROMPT):  # the second has been asked before: no waiting in between
        at.enter(field, prompt, "Control+Enter")
        expect(made.locator(".prompt")).to_have_text(prompt, timeout=60_000)
    assert page.locator(".cards").inner_text().split() == words.split()
    tokens = page.get_by_role("spinbutton", name="Tokens")
    at.fill(tokens, "200").press("Enter")  # without waiting for rest: there is none before it is done
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible(timeout=60_000)
    assert field.input_value() == PROMPT
    assert page.locator(".cards").inner_text().split() == words.split(), "the previous result"
    at.enter(tokens, "3", "Enter")
    expect(page.get_by_text("Stopped.")).to_have_count(0)
    expect(page.get_by_text("Previous result")).to_have_count(0, timeout=60_000)
    cards(at)
    at.fill(tokens, "200").press("Enter")
    expect(page.get_by_text("Previous result")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    tokens.fill("3")  # without waiting for rest, as above
    tokens.press("Enter")  # at hand already: all that the other run said goes
    expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=60_000)
    expect(page.get_by_text("Previous result")).to_have_count(0)
    page.locator("h1").click()  # out of the field
    at.press("Escape")
    expect(page.locator(".root[data-steering]")).to_have_count(0)
