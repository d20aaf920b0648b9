"""A person among scores: sort and filter the list by them, search explanations, and go from the Overview to what it names."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from autointerp.records import new_id
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.text import MAX_SHOWN
from tests.browser.conftest import WIDE, Open, Server, start_server
from tests.explained import LONG_TEXT, explain

MEDIUM = (800, 900)
PHONE = (420, 800)
LAPTOP = (1280, 720)
ZOOMED = (960, 600)
"""A screen of 1440 x 900 at 150 % zoom."""


@pytest.fixture(scope="module")
def scored_server(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app on a store with explanations and scores, hostile ones too."""
    folder = tmp_path_factory.mktemp("scored")
    explain(Store.open(shutil.copytree(tiny_template, folder / "store")))
    with Annotations(folder / "store") as annotations:
        shown = [row for row in annotations.score_summary("sae").to_pylist() if row["shown"]]
        embedded = {row["explanation_id"]: row for row in shown if row["scorer"] == "embedding"}
        one = annotations.score(next(iter(embedded.values()))["score_id"])
        for row in shown:  # so that two scorers have enough features in common to be compared
            if row["scorer"] == "detection" and row["explanation_id"] not in embedded:
                annotations.add(replace(one, id=new_id(), explanation_id=row["explanation_id"], judged=None))
    yield from start_server([str(folder / "store")], folder)


def rows(page: Page) -> Locator:
    return page.locator("table.list.explained tbody tr")


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", MEDIUM)])
def test_sort_by_a_score_filter_and_open(
    scheme: str, size: tuple[int, int], scored_server: Server, visit: Open
):
    at = visit(scored_server, scheme=scheme, size=size)
    page = at.page
    at.goto("/features?coder=sae&sort=latent")
    expect(rows(page)).to_have_count(7)
    at.resize(ZOOMED)
    at.settled()
    button = partial(page.get_by_role, "button")
    for line in (
        [page.get_by_role("heading", level=1), button(name="Filters"), button(name="Random")],
        [page.get_by_label(name, exact=True) for name in ("Search", "Score shown", "Sort by")],
    ):
        middles = [box["y"] + box["height"] / 2 for box in (part.bounding_box() for part in line) if box]
        assert len(middles) == len(line)
        assert max(middles) - min(middles) < 10, "none of the controls stands alone on a line of its own"
    at.resize(size)
    at.click(page.get_by_role("button", name=re.compile("^Detection · offline judge")))
    expect(page).not_to_have_url(re.compile("sort="))  # the list's own order: the best first
    expect(rows(page).first.locator("td a").first).to_have_text("#1")  # every answer right
    expect(rows(page).first.locator(".scored b")).to_have_text("1.00")
    expect(rows(page).first.locator(".scored .under")).to_contain_text(re.compile(r"floor 0\.50 · n \d+"))
    at.click(page.get_by_role("button", name=re.compile("^Detection · offline judge")))
    expect(page).to_have_url(re.compile("order=asc"))
    expect(rows(page).first.locator("td a").first).not_to_have_text("#1")

    at.resize(LAPTOP)
    at.click(page.get_by_role("button", name="Filters"))
    filters = page.get_by_test_id("stPopoverBody")
    assert filters.evaluate("node => node.scrollHeight <= node.clientHeight"), "all of them are in sight"
    at.enter(page.get_by_label("Score's lower bound at least"), "0.8")
    expect(page).to_have_url(re.compile(r"min_low=0\.8"))
    expect(rows(page)).to_have_count(1)
    at.press("Escape")
    at.click(page.get_by_role("link", name="#1", exact=True))
    expect(page).to_have_url(re.compile(r"/feature\?coder=sae&latent=1"))


def test_search_explanations_by_their_words(scored_server: Server, visit: Open):
    at = visit(scored_server)
    page = at.page
    at.goto("/features")
    at.choose("Search in", "Explanations: words")
    at.enter(page.get_by_label("Search", exact=True), "emoji half")
    expect(page).to_have_url(re.compile(r"mode=words.*search=emoji"))
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first.locator(".says")).to_contain_text("The first half of an emoji.")
    expect(page.get_by_text("whole words first, then shorter explanations")).to_be_visible()
    at.click(rows(page).first)
    expect(page).to_have_url(re.compile(r"/feature\?coder=sae&latent=1"))


def test_another_search_is_not_sorted_like_the_list_before(scored_server: Server, visit: Open):
    at = visit(scored_server)
    page = at.page
    at.goto("/features?sort=max")
    at.enter(page.get_by_label("Search", exact=True), "<script>")
    expect(page).not_to_have_url(re.compile("sort="))
    expect(page.get_by_text("mean activation there")).to_be_visible()


def test_explanations_are_text(scored_server: Server, visit: Open):
    at = visit(scored_server)
    at.goto("/features?coder=sae&mode=words&search=stranger")
    expect(at.page.get_by_text("No explanation contains every word")).to_be_visible()  # not the shown one
    at.goto("/features?coder=sae&sort=latent")
    expect(rows(at.page).first).to_contain_text("Script tags that call alert, in web pages.")
    expect(at.page.locator("table.list.explained")).not_to_contain_text("\u202e")
    at.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    long = rows(at.page).filter(has_text=LONG_TEXT[:60])
    at.click(long.get_by_role("button", name="Copy this row as text, with its link"))
    assert LONG_TEXT[:MAX_SHOWN].strip() in at.page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", MEDIUM)])
def test_from_the_overview_to_what_it_names(
    scheme: str, size: tuple[int, int], scored_server: Server, visit: Open
):
    at = visit(scored_server, scheme=scheme, size=size)
    page = at.page
    at.goto("/")
    expect(page.get_by_text("Best explained", exact=True)).to_be_visible()
    expect(page.get_by_text("Worst explained", exact=True)).to_be_visible()
    at.resize(PHONE)
    at.settled()
    for table in page.locator(".wide").all():
        assert table.evaluate("node => node.scrollWidth <= node.clientWidth"), table.inner_text()[:80]
    coders = page.locator("table.lines")
    below = page.get_by_role("heading", name="Best and worst explained").bounding_box()
    ends = coders.bounding_box()
    assert below is not None
    assert ends is not None
    assert below["y"] - ends["y"] - ends["height"] < 40, "no empty lines between them"
    expect(coders.get_by_text("Size", exact=True)).to_be_hidden()
    at.click(coders.get_by_role("button", name="more"))
    for name in ("Kind", "k", "Tokens", "CE + share", "Size"):
        expect(coders.get_by_role("columnheader", name=name, exact=True)).to_be_visible()
    assert page.locator(".wide").first.evaluate("node => node.scrollWidth <= node.clientWidth")
    at.click(coders.get_by_role("button", name="back"))
    expect(coders.get_by_text("FVU", exact=True)).to_be_visible()
    at.resize(size)
    at.choose("Features of", "transcoder")
    expect(page).to_have_url(re.compile("of=transcoder"))
    at.choose("Features of", "All coders")
    expect(page).not_to_have_url(re.compile("of="))
    pair = page.get_by_role("link", name=re.compile("Detection · offline judge.* . Embedding"))
    at.click(pair)
    expect(page).to_have_url(re.compile("x=detection.*y=embedding"))
    at.click(page.get_by_text("Plot every feature"))
    expect(page.get_by_text("Click a point to open its feature")).to_be_visible()
    best = page.locator("table.list", has_text="The first half of an emoji.").first
    at.click(best.get_by_role("link", name="sae #1", exact=True))
    expect(page).to_have_url(re.compile(r"/feature\?coder=sae&latent=1"))
