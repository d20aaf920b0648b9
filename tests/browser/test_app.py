"""A person at the app: from the Overview to a feature, through its groups, on to the next ones and back."""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from autointerp.store import LatentQuery, Store, list_latents
from tests.browser.conftest import NARROW, WIDE, Open, Server, Visit

SECTIONS = ("random", "top", "quantiles", "non_activating")
PAGES = ("/", "/features", "/feature?coder=sae&latent=0", "/settings")


def shown(visit: Visit, coder: str, latent: int) -> Locator:
    """The contexts of that feature, drawn."""
    root = visit.page.locator(f'.root[data-coder="{coder}"][data-latent="{latent}"]')
    expect(root).to_be_visible()
    return root


def densest(store: Path, n: int) -> list[int]:
    page = list_latents(Store.open(store), ["sae"], LatentQuery(sort="density", limit=n))
    return [row.stats.latent for row in page.rows]


def background(visit: Visit) -> list[int]:
    color = visit.page.get_by_test_id("stApp").evaluate("node => getComputedStyle(node).backgroundColor")
    return [int(part) for part in re.findall(r"\d+", color)[:3]]


@pytest.mark.parametrize(("scheme", "size", "other"), [("light", WIDE, NARROW), ("dark", NARROW, WIDE)])
def test_from_the_overview_to_a_feature_and_on(
    scheme: str,
    size: tuple[int, int],
    other: tuple[int, int],
    server: Server,
    visit: Open,
    tiny_template: Path,
):
    """The walk is taken in one size; what each stop shows is looked at in the other as well."""
    at = visit(server, scheme=scheme, size=size)
    page = at.page

    def in_both_sizes(look: Callable[[], object]) -> None:
        for now in (other, size):
            at.resize(now)
            at.settled()
            look()

    at.goto("/")
    assert (min(background(at)) > 240) if scheme == "light" else (max(background(at)) < 40)
    in_both_sizes(lambda: expect(page.get_by_role("link", name="sae", exact=True)).to_be_visible())
    at.click(page.get_by_role("link", name="sae", exact=True))
    expect(page).to_have_url(re.compile(r"/features\?coder=sae$"))

    in_both_sizes(lambda: expect(page.get_by_role("link", name="#4", exact=True)).to_be_visible())
    at.click(page.get_by_role("link", name="#4", exact=True))
    expect(page).to_have_url(re.compile(r"/feature\?coder=sae&latent=4&list=coder%3Dsae&at=0$"))

    def every_section() -> None:
        for section in SECTIONS:
            expect(
                shown(at, "sae", 4).locator(f'section[data-group="{section}"] .row').first
            ).to_be_attached()

    in_both_sizes(every_section)

    def one_section(section: str) -> None:
        root = shown(at, "sae", 4)
        expect(root.locator("section.group")).to_have_count(1)
        expect(root.locator(f'section[data-group="{section}"] .row').first).to_be_visible()

    for name, section in (
        ("Top", "top"),
        ("Deciles", "quantiles"),
        ("Non-activating", "non_activating"),
        ("Random", "random"),
    ):
        at.click(page.get_by_test_id("stButtonGroup").get_by_role("radio", name=name, exact=True))
        expect(page).to_have_url(re.compile(f"group={section}"))
        in_both_sizes(partial(one_section, section))

    first, second, third = densest(tiny_template, 3)  # the order of the list
    assert first == 4
    at.click(page.get_by_role("button", name="Next"))
    shown(at, "sae", second)
    at.click(page.get_by_role("button", name="Next"))
    shown(at, "sae", third)
    at.click(page.get_by_role("button", name="Previous"))
    shown(at, "sae", second)
    at.click(page.get_by_role("button", name="Back"))
    shown(at, "sae", third)
    expect(page).to_have_url(re.compile(f"latent={third}"))
    at.click(page.get_by_role("button", name="Random"))
    expect(page).not_to_have_url(re.compile(f"latent={third}&"))


def test_keys_step_through_features(server: Server, visit: Open):
    at = visit(server)
    at.goto("/feature?coder=sae&latent=3")
    shown(at, "sae", 3)
    for key, latent in (("ArrowRight", 4), ("ArrowRight", 6), ("ArrowLeft", 4), ("b", 6)):
        at.press(key)
        shown(at, "sae", latent)


def test_the_browsers_own_back_button(server: Server, visit: Open):
    at = visit(server)
    at.goto("/feature?coder=sae&latent=3")
    shown(at, "sae", 3)
    at.click(at.page.get_by_role("button", name="Next"))
    shown(at, "sae", 4)
    at.settled()
    at.page.go_back()
    shown(at, "sae", 3)


def test_hovering_a_token_tells_what_it_is(server: Server, visit: Open):
    at = visit(server)
    at.goto("/feature?coder=sae&latent=0&group=top")
    root = shown(at, "sae", 0)
    at.hover(root.locator(".t.peak:visible").nth(1))
    tip = root.get_by_role("tooltip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("<script>alert(1)</script>")
    for word in ("id 3", "position", "context", "activation 7", "100 % of maximum"):
        expect(tip).to_contain_text(word)


def test_hostile_tokens_stay_text(server: Server, visit: Open):
    at = visit(server)
    at.goto("/feature?coder=sae&latent=0&window=full&whitespace=1")
    root = shown(at, "sae", 0)
    for piece in (
        "<script>alert(1)</script>",
        "</span>",
        "$x$",
        "`code`",
        "'single'",
        '"double"',
        "&amp;",
        "\U0001f600",
    ):
        expect(root).to_contain_text(piece)
    expect(root).not_to_contain_text("\u202e")
    assert (
        at.page.evaluate("[...document.scripts].filter(s => s.textContent.includes('alert(1)')).length") == 0
    )


HOSTILE_ADDRESSES = (
    "/feature?coder=sa&latent=1",
    "/feature?coder=sae&latent=99999999999999999999",
    "/feature?coder=sae&latent=-1",
    "/feature?coder=sae&latent=%00",
    "/feature?coder=%3Cscript%3Ewindow.__xss=1%3C/script%3E",
    "/feature?coder=%3Cimg%20src=x%20onerror=window.__xss=1%3E&latent=%5B%5D(javascript:window.__xss=1)",
    "/feature?coder=sae&latent=5",
    "/feature?coder=sae&latent=1&context=999&start=-5",
    "/feature?coder=sae&latent=1&context=2&start=999&group=%27&window=huge&peek=77",
    "/features?coder=nothing",
    "/features?coder=sae&sort=%27%3B--&page=0&min_density=nan",
    "/features?page=999999999999",
    "/features?search=%28&regex=1",
    "/features?search=%3Cscript%3Ewindow.__xss%3D1%3C%2Fscript%3E",
    "/settings?store=/etc/passwd",
)


def test_any_address_gives_a_page(server: Server, visit: Open):
    at = visit(server)
    for path in HOSTILE_ADDRESSES:
        at.goto(path)
        expect(at.page.get_by_test_id("stMainBlockContainer"), path).not_to_be_empty()
        at.check()


def test_a_wrong_name_offers_the_nearest(server: Server, visit: Open):
    at = visit(server)
    at.goto("/feature?coder=transcodr&latent=1")
    at.click(at.page.get_by_role("button", name="transcoder", exact=True))
    expect(at.page).to_have_url(re.compile("coder=transcoder"))
    shown(at, "transcoder", 1)


def test_the_files_of_a_store_are_not_cut(server: Server, visit: Open):
    at = visit(server, size=NARROW)
    at.goto("/settings")
    around = at.page.locator(".wide", has=at.page.locator("table.files"))
    expect(around).to_contain_text("coders/transcoder.duckdb")
    for size in (NARROW, (800, 900), WIDE):
        at.resize(size)
        at.settled()
        assert around.evaluate("node => node.scrollWidth <= node.clientWidth"), size


def test_the_sides_of_the_feature_page_are_whole(server: Server, visit: Open):
    at = visit(server)
    for width in (420, 800, 1440):
        at.resize((width, 900))
        at.goto("/feature?coder=sae&latent=4&panel=regenerate")
        link = at.page.get_by_role("link", name="Choose one in Settings").locator("p")
        expect(link).to_be_visible()
        assert link.evaluate("node => node.scrollWidth <= node.clientWidth")
        ticks = shown(at, "sae", 4).locator(".ticks span")
        left, title, right = (box for box in (tick.bounding_box() for tick in ticks.all()) if box)
        assert left["x"] + left["width"] < title["x"]
        assert title["x"] + title["width"] < right["x"]
        cells = [
            box for box in (cell.bounding_box() for cell in at.page.locator("dl.facts > div").all()) if box
        ]
        rows = Counter(round(cell["y"]) for cell in cells)
        assert len(set(list(rows.values())[:-1])) == 1, "only the last row has room left"
    at.resize((360, 800))
    places = []
    for address in ("coder=sae&latent=4", "coder=transcoder&latent=5&list=sort%3Dlatent&at=12"):
        at.goto(f"/feature?{address}")
        places.append(at.page.get_by_role("button", name="Next").bounding_box())
    assert places[0] == places[1], "Next does not move, however long the title"


def test_without_a_store_every_page_says_how_to_make_one(empty_server: Server, visit: Open):
    at = visit(empty_server)
    for path in PAGES:
        at.goto(path)
        expect(at.page.get_by_text("make demo").first, path).to_be_visible()
        at.check()
