"""A server that stops, and starts again; an address that is none."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Open, Server, a_free_port, start_server


def test_a_page_outlives_its_server(tiny_template: Path, tmp_path: Path, visit: Open):
    store = shutil.copytree(tiny_template, tmp_path / "store")
    port = a_free_port()

    @contextmanager
    def a_server() -> Iterator[Server]:
        yield from start_server([str(store)], tmp_path, port=port)

    with a_server() as server:
        at = visit(server)
        page = at.page
        page.goto(f"{server.url}/nonsense", wait_until="commit")  # a toast does not wait for a page at rest
        expect(page.get_by_test_id("stToast")).to_contain_text(
            "There is no page “nonsense”. This is the Overview."
        )
        at.goto("/feature?coder=sae&latent=3")
    told = page.get_by_role("alert").filter(has_text="The server does not answer")
    expect(told).to_contain_text(f"autointerp serve {store} --port {port}")
    expect(page.get_by_test_id("stApp")).not_to_have_attribute("data-test-connection-state", "CONNECTED")
    expect(page.get_by_role("dialog")).to_have_count(0)  # not Streamlit's: "streamlit run yourscript.py"
    with a_server():
        expect(told).to_have_count(0)
        at.press("ArrowRight")
        expect(page).to_have_url(re.compile("latent=4"))
        at.check()
