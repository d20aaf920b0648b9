"""A store imported from a run of delphi, in a real browser: features, explanations and scores are shown without the model."""

import re
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import expect

from autointerp.formats.delphi.read import run
from autointerp.formats.requests import ImportRequest
from autointerp.preferences import ENV_CONFIG
from autointerp.types import no_progress
from tests.browser.conftest import Open, Server, start_server
from tests.formats.test_delphi_golden import TOKENIZER, ZIP


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with ZipFile(ZIP) as archive:
        archive.extractall(tmp_path)
    options = {"tokenizer": TOKENIZER}
    run(ImportRequest(sources=(tmp_path / "run",), store=tmp_path / "store", options=options), no_progress)
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "settings.json"))
    yield from start_server([str(tmp_path / "store")], tmp_path)


def test_an_imported_run_of_delphi_is_browsed(server: Server, visit: Open):
    at = visit(server)
    page = at.page
    at.goto("/")
    expect(page.get_by_role("link", name="layers.0.mlp", exact=True).first).to_be_visible()
    expect(page.get_by_text("Detection · some/judge").first).to_be_visible()
    at.goto("/features?coder=layers.0.mlp")
    expect(page.locator("table.list tbody tr")).to_have_count(10)
    at.goto("/feature?coder=layers.0.mlp&latent=1")
    expect(page.get_by_text(re.compile('Words like "the"')).first).to_be_visible()
    expect(page.get_by_text("delphi protocol, not held-out").first).to_be_visible()
    for scorer in ("Detection", "Fuzzing", "Embedding", "Surprisal", "Simulation"):
        expect(page.get_by_text(scorer, exact=True).first).to_be_visible()
    expect(
        page.get_by_text("imported from a delphi cache, which holds activations and no weights").first
    ).to_be_visible()
    expect(page.get_by_text("co-firing").first).to_be_visible()
    at.goto("/feature?coder=layers.0.mlp&latent=0")
    expect(page.get_by_text("delphi could not read the explainer's answer.").first).to_be_visible()
    at.goto("/compare")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    at.goto("/probe?text=The+cat")
    expect(
        page.get_by_text(re.compile("imported from delphi, whose files hold no weights")).first
    ).to_be_visible()
