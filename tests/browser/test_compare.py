"""Interpretability and cost, in a real browser: drawn, changed by a click, legible in both schemes and on a phone, saved."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from autointerp.store import Store
from tests.browser.conftest import Server, Visit, start_server
from tests.compare.conftest import built
from tests.compare.scores import give_scores

__all__ = ["built"]

PHONE, DESK = (420, 800), (1440, 900)


@pytest.fixture(scope="module")
def priced(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("priced")
    store = Store.open(shutil.copytree(built, folder / "store"))
    give_scores(store, {"sae": 0.65, "transcoder": 0.8, "skip": 0.8, "random": 0.5})
    yield from start_server([str(store.path)], folder)


def fits(seen: Visit) -> bool:
    """Whether the page is no wider than the window."""
    return seen.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth <= m.clientWidth; })()"
    )


def test_the_view_is_drawn_changes_and_is_saved(visit, priced: Server):
    seen: Visit = visit(priced, size=DESK)
    seen.goto("/compare?coders=sae,transcoder,skip,random")
    page = seen.page
    expect(page.get_by_text("The papers' order, transcoders > SAEs > random controls")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    rows = page.locator("table.list tbody tr")
    expect(rows.filter(has_text="skip transcoder")).to_have_count(1)
    for scheme in ("light", "dark"):
        seen.recolor(scheme)
        expect(page.locator(".js-plotly-plot .legendtext").first).to_be_visible()
        for size in (DESK, PHONE):
            seen.resize(size)
            seen.settled()
            assert fits(seen), (scheme, size)
    seen.resize(DESK)
    seen.settled()
    with page.expect_download() as saved:
        page.locator(".modebar-btn").first.click()
    assert saved.value.suggested_filename == "autointerp-price-picture.svg"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Everything as JSON").click()
    assert '"headline"' in Path(saved.value.path()).read_text(encoding="utf-8")
    page.get_by_text("Median", exact=True).first.click()
    expect(page.locator("table.list th").filter(has_text="Median score")).to_have_count(1)
    assert "centre=median" in page.url
