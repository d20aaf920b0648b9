"""The first request to a server that has never run `app.py` may be for any address."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Server, start_server


@contextmanager
def a_server(store: Path, folder: Path) -> Iterator[Server]:
    yield from start_server([str(store)], folder)


@pytest.mark.parametrize(
    ("path", "shown", "address"),
    [
        ("/feature?coder=sae&latent=3", '.root[data-coder="sae"][data-latent="3"]', r"/feature\?coder=sae&latent=3$"),
        ("/features?coder=transcoder&sort=max", "table.list tbody tr", r"/features\?coder=transcoder&sort=max$"),
        ("/overview", "table.list tbody tr", r"/$"),
    ],
)  # fmt: skip
def test_a_deep_link_is_the_first_thing_a_server_sees(
    path: str, shown: str, address: str, tiny_template: Path, tmp_path: Path, visit: Open
):
    with a_server(shutil.copytree(tiny_template, tmp_path / "store"), tmp_path) as server:
        at = visit(server)
        for _ in ("first", "later"):
            at.goto(path)
            expect(at.page.locator(shown).first).to_be_visible()
            expect(at.page).to_have_url(re.compile(address))
            expect(at.page.get_by_text("Reading explanations")).to_have_count(0)
            expect(at.page.get_by_role("dialog")).to_have_count(0)  # "Page not found"
            expect(
                at.page.get_by_test_id("stTopNav").get_by_role("link", name="Jobs")
            ).to_be_visible()  # the navigation is the router's
            at.check()
