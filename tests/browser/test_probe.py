"""A person types a text: ranks what fires on it, picks a token, goes to a feature and sees the text there."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Route, expect

from autointerp.probe import Prober
from autointerp.store import Store
from tests.browser.acting import REST_MS
from tests.browser.conftest import NARROW, WIDE, Open, Server, Visit, start_server
from tests.caching.conftest import Lab, lab, store, subject

__all__ = ["Lab", "lab", "store", "subject"]

HOSTILE = "<script>window.__xss=1</script> <img src=x onerror=window.__xss=1> \u202e[a](javascript:alert(1)) $x$ `y` \U0001f600"


@pytest.fixture(scope="module")
def probe_server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app on a store whose model can be run."""
    folder = tmp_path_factory.mktemp("probe")
    path = shutil.copytree(store.path, folder / "store")
    yield from start_server([str(path)], folder)


def typed(at: Visit, text: str) -> Locator:
    """The page's element after `text` was typed; the first time the model is loaded."""
    field = at.page.get_by_role("textbox", name="Text", exact=True)
    at.enter(field, text, "Control+Enter")
    root = at.page.locator(".root[data-probed]")
    expect(root).to_be_visible()
    return root


def test_the_labels_of_the_controls_are_level(probe_server: Server, visit: Open):
    at = visit(probe_server, size=WIDE)
    at.goto("/probe?coders=sae")
    labels = [at.page.get_by_text(name, exact=True) for name in ("Coders", "Rank by", "Density at most (%)")]
    tops = [box["y"] for box in (label.bounding_box() for label in labels) if box]
    assert len(tops) == 3
    assert max(tops) - min(tops) < 3


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)])
def test_type_rank_and_click_through(
    scheme: str, size: tuple[int, int], probe_server: Server, visit: Open, store: Store
):
    at = visit(probe_server, scheme=scheme, size=size)
    page = at.page
    at.goto("/probe?coders=sae")
    root = typed(at, "The quick brown fox")
    expect(page).to_have_url(re.compile("text=The\\+quick|text=The%20quick"))
    prober = Prober(store)
    result = prober.run("The quick brown fox", ["sae"])
    first = prober.rank(result).rows[0]
    expect(root.locator("tbody tr").first).to_contain_text(f"sae #{first.latent}")

    at.click(page.get_by_role("radio", name="Sum"))
    expect(page).to_have_url(re.compile("rank=sum"))
    summed = prober.rank(result, "sum").rows[0]
    expect(root.locator("tbody tr").first).to_contain_text(f"sae #{summed.latent}")

    at.click(root.locator(".strip .t").nth(2))
    expect(page).to_have_url(re.compile("token=2"))
    expect(root.locator(".strip .t.chosen")).to_have_count(1)
    here = prober.rank(result, "token", token=2).rows
    expect(root.locator("tbody tr")).to_have_count(len(here))
    at.hover(root.locator("tbody tr").first)
    expect(root.locator(".strip .t.peak")).to_have_count(1)  # the row's feature, on the text

    at.click(root.get_by_role("link", name=f"sae #{here[0].latent}", exact=True))
    expect(page).to_have_url(re.compile(rf"/feature\?coder=sae&latent={here[0].latent}&text=The"))
    tried = page.locator(f'.root[data-tried="{here[0].latent}"]')
    expect(tried).to_contain_text("Fires on")
    at.hover(tried.locator(".t.peak"))
    expect(tried.get_by_role("tooltip")).to_contain_text("of maximum")
    at.click(page.get_by_role("button", name="Next"))
    expect(
        page.locator(f'.root[data-tried="{store.coder("sae").next_live(here[0].latent)}"]')
    ).to_be_visible()

    at.settled()
    for _ in range(2):  # the step, and the way here
        page.go_back()
        at.settled()
    expect(page).to_have_url(re.compile(r"/probe\?.*token=2"))
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value(re.compile("^The"))
    expect(root.locator(".strip .t.chosen")).to_have_count(1)


def test_coders_of_the_address_survive_a_slow_browser(probe_server: Server, visit: Open):
    """A run that begins before the browser has the pills' script."""
    at = visit(probe_server)
    held: list[Route] = []
    at.page.route("**/*ButtonGroup*.js", lambda route: held.append(route))
    at.held = True
    at.goto("/probe?coders=sae")
    expect(at.page.get_by_text("or try one of these")).to_be_visible()
    typed(at, "The quick brown fox")
    assert held
    for route in held:
        route.continue_()
    at.held = False
    expect(at.page.get_by_role("button", name="sae", exact=True)).to_be_visible()
    at.click(at.page.get_by_role("radio", name="Sum"))
    expect(at.page).to_have_url(re.compile("rank=sum"))
    at.settled()
    expect(at.page).to_have_url(re.compile("coders=sae&"))


def test_an_example_and_a_reload(probe_server: Server, visit: Open):
    at = visit(probe_server)
    at.goto("/probe")
    at.click(at.page.get_by_role("button", name="Returns the number"))
    root = at.page.locator(".root[data-probed]")
    expect(root.locator("tbody tr").first).to_be_visible(timeout=REST_MS)
    at.reload()
    expect(root.locator("tbody tr").first).to_be_visible()
    expect(at.page.get_by_role("textbox", name="Text", exact=True)).to_have_value(
        re.compile("Returns the number")
    )


def test_a_hostile_text_stays_text(probe_server: Server, visit: Open):
    at = visit(probe_server)
    at.goto("/probe?coders=sae,random")
    root = typed(at, HOSTILE)
    for piece in (
        "<script>window.__xss=1</script>",
        "onerror=window.__xss=1",
        "[a](javascript:alert(1))",
        "`y`",
        "\U0001f600",
    ):
        expect(root.locator(".strip")).to_contain_text(piece)
    expect(root.locator(".strip")).not_to_contain_text("\u202e")
    at.reach(root.locator(".strip .t").nth(1)).focus()
    at.page.keyboard.press("ArrowRight")
    at.page.keyboard.press("Enter")
    expect(at.page).to_have_url(re.compile("token=2"))
    at.goto("/feature?coder=sae&latent=3")
    field = at.page.get_by_role("textbox", name="Test your own text", exact=True)
    at.click(field)
    for key in (
        "x",
        "b",
        "ArrowLeft",
        "g",
        "w",
        "ArrowRight",
    ):  # shortcuts elsewhere on the page, letters here
        at.page.keyboard.press(key)
    expect(field).to_have_value("xgwb")  # the arrows moved the cursor
    at.enter(field, HOSTILE, "Control+Enter")
    expect(at.page.locator('.root[data-tried="3"]')).to_contain_text("<script>window.__xss=1</script>")
    at.check()


def test_a_store_without_its_model_says_what_to_do(server: Server, visit: Open):
    at = visit(server)
    at.goto("/probe?text=abc")
    expect(at.page.get_by_text("AUTOINTERP_WEIGHTS")).to_be_visible(timeout=REST_MS)
    at.check()
