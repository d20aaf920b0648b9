"""The real thing: the shipped weights over real docstrings, fewer of them, in the app."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from autointerp.demo.build import build_demo
from tests.browser.conftest import Open, Server, start_server

N_TOKENS = 128 * 60


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("demo")
    path: Path = build_demo(folder / "demo", n_tokens=N_TOKENS).path
    yield from start_server([str(path), "--read-only"], folder)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_coder_can_be_looked_at(scheme: str, demo_server: Server, visit: Open):
    at = visit(demo_server, scheme=scheme)
    page = at.page
    at.goto("/")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    coders = ("sae", "sae-seed1", "transcoder", "skip-transcoder", "sae-l1", "neurons", "random")
    for coder in coders:
        expect(page.get_by_role("link", name=coder, exact=True)).to_be_visible()
    for coder in coders:
        at.goto(f"/feature?coder={coder}")
        root = page.locator(f'.root[data-coder="{coder}"][data-latent]')
        expect(root.locator('section[data-group="top"] .row .t.peak').first).to_be_attached()
        at.check()


def test_searching_the_text_leads_to_features(demo_server: Server, visit: Open):
    at = visit(demo_server)
    at.goto("/features?coder=sae&search=array")
    at.click(at.page.get_by_role("link", name="#").first)
    expect(at.page.locator('.root[data-coder="sae"][data-latent] .row').first).to_be_visible()
