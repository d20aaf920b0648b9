"""What explanations mean, in a real browser: a cell opens its pair, a region marked on the map lists its features and stays."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from autointerp.compare import results
from autointerp.compare.sharing import match_meaning
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.browser.conftest import Server, Visit, start_server
from tests.compare import planted
from tests.compare.conftest import built

__all__ = ["built"]

PHONE, DESK = (420, 800), (1440, 1200)
CODERS = ("sae", "skip", "transcoder")


@pytest.fixture(scope="module")
def meant(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("meant")
    store = Store.open(shutil.copytree(built, folder / "store"))
    with pytest.MonkeyPatch.context() as patch, Annotations(store.path) as annotations:
        planted.use(patch)
        for coder in CODERS:
            planted.write(annotations, coder, [f"topic {i % 4}: {coder} {i}" for i in range(30)])
        resources = Resources(store, annotations)
        match_meaning(resources, CODERS)
        results.obtain(resources, "map", sorted(CODERS))
    yield from start_server([str(store.path)], folder)


def fits(seen: Visit) -> bool:
    """Whether the page is no wider than the window."""
    return seen.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth <= m.clientWidth; })()"
    )


def box_of(plot: Locator) -> tuple[float, float, float, float]:
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_a_cell_opens_its_pair_and_a_region_its_features(visit, meant: Server):
    seen: Visit = visit(meant, size=DESK)
    page = seen.page
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    seen.goto("/compare?view=meaning")
    seen.settled()
    x, y, width, height = box_of(plot)
    page.mouse.click(x + width / 6, y + height * 5 / 6)
    expect(page).to_have_url(re.compile("a=transcoder&b=sae"))
    expect(page.get_by_text("Features of transcoder", exact=True)).to_be_visible()
    seen.settled()
    for scheme in ("light", "dark"):
        seen.recolor(scheme)
        for size in (DESK, PHONE):
            seen.resize(size)
            seen.settled()
            assert fits(seen), (scheme, size)
    seen.resize(DESK)

    seen.goto("/compare?view=map")
    seen.settled()
    x, y, width, height = box_of(plot)
    page.mouse.move(x + 5, y + 5)
    page.mouse.down()
    page.mouse.move(x + width / 2, y + height / 2, steps=4)
    page.mouse.move(x + width - 5, y + height - 5, steps=4)
    page.mouse.up()
    said = page.get_by_text("90 features in the region")
    expect(said).to_be_visible()
    expect(page).to_have_url(re.compile("region="))
    expect(page.locator("table.list tbody tr")).to_have_count(15)
    seen.settled()
    page.get_by_text("Density", exact=True).first.click()
    expect(page).to_have_url(re.compile("colour=density"))
    seen.settled()
    expect(said).to_be_visible()  # what the plot's colours say changes no choice
    seen.reload()
    expect(said).to_be_visible()
    for size in (PHONE, DESK):
        seen.resize(size)
        seen.settled()
        assert fits(seen), size
    page.get_by_role("button", name="Clear").click()
    expect(said).to_have_count(0)
    expect(page).not_to_have_url(re.compile("region="))
