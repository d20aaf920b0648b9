"""A store imported from Neuronpedia's export, in a real browser: every page works on it, or says why it does not."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from autointerp.preferences import ENV_CONFIG
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.browser.conftest import Open, Server, start_server
from tests.formats.neuronpedia_files import (
    CAT,
    DOG,
    RAIN,
    SHORT,
    SILENT,
    SOURCE,
    activation,
    explanation,
    feature,
    write_export,
)
from tests.formats.test_selected import run

N_FEATURES = 12
HOSTILE = (["<bos>", '<img src=x onerror="window.__xss=1">', " cat"], [0.0, 3.0, 1.0])


@pytest.fixture
def imported(tmp_path: Path) -> Store:
    features = [feature(0, topkCosSimIndices=[0, 1], topkCosSimValues=[1.0, 0.5])]
    features += [
        feature(number, topkCosSimIndices=[], topkCosSimValues=[]) for number in range(1, N_FEATURES)
    ]
    activations = [
        activation(0, context, number) for number, context in enumerate((CAT, DOG, SHORT, SILENT, HOSTILE))
    ]
    for number in range(1, N_FEATURES - 1):
        activations += [activation(number, context, at) for at, context in enumerate((RAIN, DOG, SILENT))]
    explanations = [explanation(number, f"The number {number}.") for number in range(1, N_FEATURES - 1)]
    explanations.append(explanation(0, "Mentions of cats"))
    source = write_export(tmp_path / "v1", features, activations, {"explanations": explanations})
    run("neuronpedia", source, store=tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture
def server(imported: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "settings.json"))
    yield from start_server([str(imported.path)], tmp_path)


def test_an_imported_store_is_browsed(server: Server, imported: Store, visit: Open):
    at = visit(server, scheme="dark")
    page = at.page
    at.goto("/")
    expect(page.get_by_text("Selected contexts, no corpus")).to_be_visible()
    expect(page.get_by_role("link", name=SOURCE).first).to_be_visible()
    # The list, by words of explanations and of contexts. The last feature has no context in the files.
    at.goto(f"/features?coder={SOURCE}")
    rows = page.locator("table.list tbody tr")
    expect(rows).to_have_count(N_FEATURES - 1)
    expect(page.get_by_text("1 without contexts hidden")).to_be_visible()
    expect(page.get_by_text("selected contexts, no corpus")).to_be_visible()
    at.goto(f"/features?coder={SOURCE}&mode=words&search=cats")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Mentions of cats")
    at.goto(f"/features?coder={SOURCE}&mode=text&search=Rain+fell")
    expect(rows).to_have_count(1 + N_FEATURES - 2)  # the context found, and those that fire there
    # A feature: the figures of the file, its contexts, and what is not known.
    at.goto(f"/feature?coder={SOURCE}&latent=0")
    expect(page.get_by_text("Mentions of cats").first).to_be_visible()
    expect(page.get_by_text("0.321 %").first).to_be_visible()
    expect(page.get_by_text(re.compile("strongest of 4 selected contexts"))).to_be_visible()
    expect(page.get_by_text(re.compile("elsewhere it is unknown"))).to_be_visible()
    expect(page.get_by_text("Mean", exact=True)).to_have_count(0)
    at.goto(f"/feature?coder={SOURCE}&latent={N_FEATURES - 1}")
    expect(page.get_by_text("The imported files have none for this feature")).to_be_visible()
    # What needs a corpus or the model says why not; what explanations say can be compared.
    at.goto("/compare?view=price")
    expect(page.get_by_text(re.compile("holds selected contexts of .*, not a corpus"))).to_be_visible()
    at.goto("/compare?view=map")
    expect(page.get_by_text(re.compile("not a corpus"))).to_have_count(0)
    at.goto("/probe?text=The+cat")
    expect(
        page.get_by_text(re.compile("imported with the texts of tokens but not their ids"))
    ).to_be_visible()
    # An audit is made on it, and asks about its contexts.
    at.goto("/audit?new=1")
    for label, text in (("Name", "By hand"), ("Made by", "Ann")):
        page.get_by_label(label, exact=True).fill(text)
        page.keyboard.press("Tab")
        at.settled()
    page.get_by_role("button", name="Make the audit").click()
    expect(page).to_have_url(re.compile(r"audit=\w+"))
    with Annotations(imported.path) as annotations:
        (head,) = annotations.audits.all()
        audit = annotations.audits.get(head.id)
    assert len(audit.items) >= N_FEATURES - 1
    assert {item.coder for item in audit.items} == {SOURCE}
