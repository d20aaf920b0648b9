"""An audit by two people in Chromium: twenty explanations by keyboard alone, the server killed in the middle."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from sklearn.metrics import cohen_kappa_score

from autointerp.audit.draw import create
from autointerp.audit.options import AuditOptions
from autointerp.audit.report import report
from autointerp.pipeline.resources import Resources
from autointerp.ratings import MAX_NOTE, VERDICTS, Rating
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.audit.krippendorff import krippendorff
from tests.audited import write_audited
from tests.browser.conftest import Open, Server, Visit, a_free_port, start_server

N, NAME = 20, "Right or wrong?"
NAMES = list(VERDICTS)
ANN = [1, 1, 4, 2, 1, 3, 1, 8, 1, 4, 4, 1, 5, 1, 2, 1, 7, 1, 6, 1]
BO = [1, 2, 4, 2, 1, 3, 4, 8, 1, 4, 1, 1, 5, 1, 3, 1, 7, 4, 6, 9]
"""Verdicts by their keys, in the order of the audit's items; a rater is asked in an order of their own."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    return shutil.copytree(write_audited(folder / "made"), folder / "store")


def bar(page: Page) -> Locator:
    return page.locator(".root[data-entry]")


def item(page: Page) -> int:
    entry = bar(page).get_attribute("data-entry")
    assert entry is not None
    return int(entry.split(".")[0])


def answer(page: Page, verdicts: list[int]) -> int:
    """Press the key of the verdict on the item in sight, and wait for the next. The item judged."""
    judged, place = item(page), bar(page).get_attribute("data-place")
    assert place is not None
    page.keyboard.press(str(verdicts[judged]))
    if place.startswith(f"{N} "):
        expect(page.get_by_text("All done")).to_be_visible()
    else:
        expect(bar(page)).not_to_have_attribute("data-place", place)
    return judged


def tab(at: Visit, to: Locator, most: int = 60) -> None:
    """Bring the focus there by the Tab key alone."""
    at.settled()
    for _ in range(most):
        at.page.keyboard.press("Tab")
        if to.count() and to.first.evaluate("node => node.matches(':focus')"):
            return
    raise AssertionError(f"{most} presses of Tab do not lead to {to}")


def type_over(at: Visit, label: str, text: str) -> None:
    """Go to a field, type over what stands in it, and confirm it."""
    field = at.page.get_by_label(label, exact=True)
    tab(at, field)
    at.page.keyboard.press("Control+A")
    at.page.keyboard.type(text)
    at.page.keyboard.press("Enter")
    at.settled()
    expect(field).to_have_value(text)


def make_by_keyboard(at: Visit) -> None:
    """Twenty items of the whole store, without controls, and none that comes back; what is made is opened."""
    page = at.page
    page.keyboard.press("n")
    type_over(at, "Name", NAME)
    expect(page.get_by_label("Made by")).to_have_value("Ann")
    type_over(at, "Items", str(N))
    tab(at, page.get_by_role("button", name="Shares, seed and strata"))
    page.keyboard.press("Enter")
    for label in ("Shuffled explanations, %", "Items that come back, %"):
        type_over(at, label, "0")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Shuffled explanations, %")).to_have_count(0)
    tab(at, page.get_by_role("button", name="Make the audit"))
    page.keyboard.press("Enter")


def test_two_people_audit_twenty_explanations(store: Path, visit: Open, tmp_path: Path):
    port = a_free_port()

    @contextmanager
    def a_server() -> Iterator[Server]:
        yield from start_server([str(store)], tmp_path, port=port)

    with a_server() as server:
        at = visit(server)
        page = at.page
        at.goto("/audit")
        type_over(at, "You rate as", "Ann")
        page.keyboard.press("Escape")  # leaves the field, in which keys are text
        make_by_keyboard(at)
        expect(bar(page)).to_have_attribute("data-place", f"1 of {N}")
        with Annotations(store) as annotations:
            (made,) = (head.id for head in annotations.audits.all() if head.name == NAME)
            audit = annotations.audits.get(made)
        at.settled()
        for _ in range(3):
            answer(page, ANN)
        page.keyboard.press("h")
        page.keyboard.press("n")
        page.keyboard.type("1 <b>noted</b>")  # no verdict: it is being typed
        page.keyboard.insert_text("x" * MAX_NOTE)
        too_long = f"The note has {MAX_NOTE + len('1 <b>noted</b>'):,} characters; at most {MAX_NOTE:,} are kept. Shorten it."
        expect(bar(page).get_by_text(too_long)).to_be_visible()
        page.keyboard.press("Enter")
        page.keyboard.press(str(ANN[item(page)]))  # refused: the note has the focus again, and all its text
        note = bar(page).get_by_role("textbox", name="Note")
        expect(note).to_be_focused()
        expect(note).to_have_value("1 <b>noted</b>" + "x" * MAX_NOTE)
        page.keyboard.press("Control+A")
        page.keyboard.type("1 <b>noted</b>")
        expect(bar(page).get_by_text(too_long)).to_have_count(0)
        page.keyboard.press("Enter")
        noted = answer(page, ANN)
        page.keyboard.press("u")  # taken back, and given again
        expect(bar(page)).to_have_attribute("data-place", f"4 of {N}")
        expect(bar(page).get_by_role("textbox", name="Note")).to_have_value("1 <b>noted</b>")
        answer(page, ANN)
        page.keyboard.press("s")
        expect(bar(page)).to_have_attribute("data-place", f"6 of {N}")
        page.keyboard.press("ArrowLeft")
        expect(bar(page)).to_have_attribute("data-place", f"5 of {N}")
        for _ in range(5):
            answer(page, ANN)
        page.keyboard.press("n")
        page.keyboard.type("begun before the end")
        page.keyboard.press("Enter")
        lost = item(page)
        server.kill()
        page.keyboard.press(str(ANN[lost]))
        expect(bar(page)).to_contain_text("saving")
    with Annotations(store) as annotations:
        before = annotations.audits.ratings(audit.id)
    assert len(before) == 9
    assert lost not in {rating.item for rating in before}

    with a_server() as server:
        expect(bar(page)).to_have_attribute("data-place", f"11 of {N}")
        at.settled()
        at.reload()
        expect(bar(page)).to_have_attribute("data-place", f"11 of {N}")
        corrected = item(page)
        page.keyboard.press("e")
        page.keyboard.type(" Mended.")
        page.keyboard.press("Control+Enter")
        expect(bar(page).get_by_text("Corrected by you")).to_be_visible()
        answer(page, ANN)
        page.keyboard.press("a")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Your correction")
        compared = re.compile(r"Detection \(offline judge\): .*(clear difference|95 %|Identical)", re.I)
        expect(dialog.get_by_text(compared)).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        at.settled()
        for _ in range(4):
            answer(page, ANN)
        server.kill()
        last = item(page)
        page.keyboard.press(str(ANN[last]))
        expect(bar(page)).to_contain_text("saving")
        page.goto("about:blank")  # the page is left, too, before the server is back

    with a_server() as server:
        at = visit(server)
        page = at.page
        at.goto(f"/audit?audit={audit.id}")
        expect(bar(page)).to_have_attribute("data-place", f"17 of {N}")
        for _ in range(N - 16):
            answer(page, ANN)
        tab(at, page.get_by_role("button", name="All audits"))
        page.keyboard.press("Enter")
        type_over(at, "You rate as", "Bo")
        tab(at, page.get_by_role("link", name=NAME))
        page.keyboard.press("Enter")
        expect(bar(page)).to_have_attribute("data-place", f"1 of {N}")
        for _ in range(N):
            answer(page, BO)
        at.press("r")
        kappa, alpha = cohen_kappa_score(ANN, BO), krippendorff(np.array([ANN, BO]).T)
        agreed = page.get_by_role("row", name=re.compile("^On the verdict "))
        expect(agreed.get_by_role("cell").nth(2)).to_have_text(re.compile(rf"^{kappa:.2f} \("))
        expect(agreed.get_by_role("cell").nth(3)).to_have_text(re.compile(rf"^{alpha:.2f} \("))
        at.check()

    with Annotations(store) as annotations:
        ratings = annotations.audits.ratings(audit.id)
        for rater, verdicts in (("Ann", ANN), ("Bo", BO)):
            given = {each.item: each.verdict for each in ratings if each.rater == rater}
            assert given == {i: NAMES[key - 1] for i, key in enumerate(verdicts)}, rater
        assert len(ratings) == 2 * N
        by_ann = {rating.item: rating for rating in ratings if rating.rater == "Ann"}
        assert (by_ann[noted].note, by_ann[noted].confidence) == ("1 <b>noted</b>", 3)
        assert by_ann[lost].note == "begun before the end"
        of = audit.items[corrected]
        newest = annotations.explanations(of.coder, of.latent)[0]
        assert (newest.text, newest.author, newest.parent) == (f"{of.text} Mended.", "Ann", of.explanation_id)
        scores = annotations.scores_of_latent(of.coder, of.latent)
        seeds = [
            {each.scorer: each.seed for each in scores if each.explanation_id == version}
            for version in (newest.id, newest.parent)
        ]
        assert seeds[0] == seeds[1] != {}, "rescored on the same examples"
        agreement = report(Resources(Store.open(store), annotations), audit.id).agreement
    assert agreement.kappa is not None
    assert agreement.alpha is not None
    assert agreement.kappa.value == pytest.approx(kappa)
    assert agreement.alpha.value == pytest.approx(alpha)


@pytest.fixture(scope="module")
def served(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from start_server([str(store)], tmp_path_factory.mktemp("served"))


def test_a_report_is_read_and_a_disagreement_settled(store: Path, served: Server, visit: Open):
    with Annotations(store) as annotations:
        options = AuditOptions(coders=("sae", "tc"), n=N, control_share=0.0, repeat_share=0.0)
        made = create(Resources(Store.open(store), annotations), options, name="Rated", author="Ann")
        annotations.audits.create(made)
        for rater, verdicts in (("Ann", ANN), ("Bo", BO)):
            annotations.audits.rate(
                *(
                    Rating(
                        audit_id=made.id, item=i, rater=rater, task="verdict", verdict=NAMES[key - 1], note=f"by {rater} <b>"
                    )
                    for i, key in enumerate(verdicts)
                )
            )  # fmt: skip
        kappa = cohen_kappa_score(ANN, BO)
        before = annotations.audits.ratings(made.id)
    at = visit(served)
    page = at.page
    at.goto(f"/audit?audit={made.id}&view=report")
    for title in ("Share of right explanations", "Verdicts of two raters"):
        expect(page.locator(".js-plotly-plot").get_by_text(title)).to_be_visible()
    expect(page.get_by_text(f"Cohen's kappa {kappa:.2f}")).to_be_visible()
    expect(page.get_by_text(f"Audit “Rated” by Ann, {made.created[:10]}, {made.id}")).to_be_visible()
    with page.expect_download() as waiting:
        at.click(page.get_by_role("button", name="CSV", exact=True))
    assert "by Bo <b>" in Path(waiting.value.path()).read_text()

    n_differ = sum(a != b for a, b in zip(ANN, BO, strict=True))
    at.click(page.get_by_role("button", name=f"Settle {n_differ} disagreements"))
    expect(page.get_by_text("0 settled")).to_be_visible()
    at.enter(page.get_by_label("Settled by"), "Cy")
    page.keyboard.press("Escape")
    here = page.get_by_role("row", name=re.compile("^(Ann|Bo) "))
    said = here.all_inner_texts()
    assert len(said) == 2
    at.press("4")
    expect(page.get_by_text("1 settled")).to_be_visible()
    with Annotations(store) as annotations:
        (settled,) = (each for each in annotations.audits.ratings(made.id) if each.role == "adjudicator")
        assert (settled.rater, settled.verdict) == ("Cy", "wrong")
        assert [each for each in annotations.audits.ratings(made.id) if each.role == "rater"] == before
    at.goto(f"/audit?audit={made.id}&view=settle&item={settled.item + 1}")
    expect(page.get_by_text("Settled by Cy as “Wrong”")).to_be_visible()
    assert here.all_inner_texts() == said, "beside what they said"

    at.goto("/audit")
    at.click(page.get_by_role("button", name="Import"))
    file = {"name": "from Bo.csv", "mimeType": "text/csv", "buffer": Path(waiting.value.path()).read_bytes()}
    page.locator('input[type="file"]').set_input_files(file)  # type: ignore[arg-type]
    at.click(page.get_by_role("button", name="Import this file"))
    expect(page.get_by_text(f"0 answers added, {2 * N} already known")).to_be_visible()


def test_a_judges_task_by_keyboard_and_contexts_from_their_start_after_it(
    store: Path, served: Server, visit: Open
):
    with Annotations(store) as annotations:
        options = AuditOptions(
            coders=("sae",), n=5, tasks=("detection", "verdict"), control_share=0.0, repeat_share=0.0
        )
        made = create(Resources(Store.open(store), annotations), options, name="Questions", author="Ann")
        annotations.audits.create(made)
    at = visit(served, size=(1280, 500))
    page = at.page
    at.goto("/audit")
    type_over(at, "You rate as", "Cy")
    page.get_by_role("link", name="Questions").focus()  # by keyboard alone
    at.press("Enter")
    for place in range(1, 10, 2):
        expect(bar(page)).to_have_attribute("data-place", f"{place} of 10")
        at.settled()
        for _ in range(bar(page).locator(".questions > li").count()):
            page.keyboard.press("y")  # the last question is in sight, far down the page
        page.keyboard.press("d")
        expect(bar(page)).to_have_attribute("data-place", f"{place + 1} of 10")
        at.settled()
        expect(page.get_by_text("Random positives")).to_be_in_viewport()
        if place == 9:
            look_on_a_phone(at)
        page.keyboard.press("1")


def look_on_a_phone(at: Visit) -> None:
    """The contexts have most of a small window; what goes with a verdict is a touch away."""
    dock = bar(at.page).get_by_label("Your verdict")
    at.resize((420, 800))
    at.settled()
    box = dock.bounding_box()
    assert box is not None
    assert box["height"] <= 800 / 3
    note = dock.get_by_role("textbox", name="Note")
    expect(note).to_be_hidden()
    at.click(dock.get_by_role("button", name="Confidence, note"))
    expect(note).to_be_visible()
