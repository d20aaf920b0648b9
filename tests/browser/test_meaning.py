"""The first search by meaning in a store whose explanations nobody has embedded: the page answers at once, and fills in."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from autointerp.preferences import ENV_CONFIG
from autointerp.records import Explanation
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.browser.acting import REST_MS
from tests.browser.conftest import Open, Server, start_server
from tests.conftest import CoderSpec, StoreFactory

N_LATENTS = 48
FILLER = "It is one of many things that a text may hold, and nothing more is known about it. " * 12
"""So long that the embedder reads all it can: together they keep two cores busy for some seconds."""


@pytest.fixture
def explained(store_factory: StoreFactory) -> Store:
    """Every latent has a long explanation of its own; one is about cats."""
    tokens = [[number % 7 for number in range(row, row + 32)] for row in range(8)]
    firings = {latent: [(latent, 1.0)] for latent in range(N_LATENTS)}
    store = store_factory(tokens, {"sae": CoderSpec(firings, N_LATENTS)})
    with Annotations(store.path) as annotations:
        for latent in range(N_LATENTS):
            about = "Cats, kittens and other felines." if latent == 31 else f"The number {latent}."
            annotations.add(
                Explanation(coder="sae", latent=latent, text=f"{about} {FILLER}", explainer="pattern")
            )
    return store


@pytest.fixture
def server(explained: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "settings.json"))
    yield from start_server([str(explained.path)], tmp_path)


def test_explanations_are_embedded_beside_the_page(server: Server, visit: Open, explained: Store):
    at = visit(server)
    page = at.page
    page.goto(f"{server.url}/features?coder=sae")
    rows = page.locator("table.list.explained tbody tr")
    expect(rows).to_have_count(25)
    page.goto(f"{server.url}/features?coder=sae&mode=meaning&search=purring+pets")
    none_yet = page.get_by_text(re.compile(f"None of the {N_LATENTS} explanations is embedded"))
    expect(none_yet).to_be_visible(timeout=REST_MS)  # the model is loaded first
    strip = page.locator(".root", has_text="embed the explanations of sae")
    expect(strip).to_be_visible()
    expect(strip.get_by_role("button", name="Cancel")).to_be_visible()
    # When the job is over the page shows what it brought, by itself.
    expect(rows).to_have_count(25, timeout=REST_MS)
    expect(rows.first).to_contain_text("Cats, kittens")
    expect(page.get_by_text("None of the")).to_have_count(0)
    expect(strip).to_have_count(0)
    with Annotations(explained.path, read_only=True) as annotations:
        (job,) = annotations.jobs.recent()
    assert (job.kind, job.state) == ("embed_explanations", "done")
    # The next search finds everything embedded.
    page.goto(f"{server.url}/features?coder=sae&mode=meaning&search=pets")
    expect(rows.first).to_contain_text("Cats, kittens")
    expect(page.get_by_text("embedded")).to_have_count(0)
