"""The report of an audit and the settling of disagreements, as pages: the figures of the command, and nothing that a blind
rater may not see."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from autointerp.audit.draw import create
from autointerp.audit.options import AuditOptions
from autointerp.audit.order import entries
from autointerp.audit.report import disagreements
from autointerp.audit.verdicts import verdicts
from autointerp.cli.main import main
from autointerp.pipeline.resources import Resources
from autointerp.ratings import MAX_NOTE, Audit, Rating, Verdict
from autointerp.records import new_id
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import keyboard, person
from tests.app.reading import messages, record, records
from tests.audited import write_audited

HOSTILE = "<b>*bob*</b>"
NOTE = "<img src=x onerror=alert(1)> **odd**"


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


@dataclass
class Judged:
    store: Store
    annotations: Annotations
    audit: Audit

    def ratings(self) -> list[Rating]:
        return self.annotations.audits.ratings(self.audit.id)

    def adjudications(self) -> list[Rating]:
        return [
            rating
            for rating in self.annotations.audits.ratings(self.audit.id)
            if rating.role == "adjudicator"
        ]

    def open(self, open_page, view: str, name: str = "", **params: str) -> AppTest:
        """A view, for someone who has said their name where it is asked."""
        app = open_page(self.store, "audit", audit=self.audit.id, view="rate" if name else view, **params)
        if name:
            app.text_input(key=person.KEY).input(name).run()
            app.query_params["view"] = view
            app.run()
        assert not app.exception, app.exception
        return app


def says(item: int, place: int, rater: str) -> Verdict:
    if rater == "ann":
        return "correct" if item % 3 else "wrong"
    return "correct" if item % 3 and place % 4 else "too_broad"


@pytest.fixture
def judged(audited: Path, tmp_path: Path):
    """Sixteen items and four controls: ann has judged all, the other all but five entries."""
    store = Store.open(shutil.copytree(audited, tmp_path / "store"))
    with Annotations(store.path) as annotations:
        resources = Resources(store, annotations)
        options = AuditOptions(coders=("sae", "tc"), n=16, control_share=0.25, repeat_share=0.25)
        audit = create(resources, options, name="Are they right?", author="ann")
        items = [  # the toy's scores are all alike
            replace(item, scores={key: (item.i * 11 % 20) / 20 for key in item.scores})
            for item in audit.items
        ]
        audit = replace(audit, items=tuple(items))
        annotations.audits.create(audit)
        for rater, left in (("ann", 0), (HOSTILE, 5)):
            order = entries(audit, rater)
            annotations.audits.rate(
                *(
                    Rating(
                        audit_id=audit.id, item=entry.item, round=entry.round, rater=rater, task="verdict",
                        verdict=says(entry.item, place, rater), confidence=2, note=NOTE if rater == HOSTILE else "",
                    )
                    for place, entry in enumerate(order[: len(order) - left])
                )
            )  # fmt: skip
        yield Judged(store, annotations, audit)


def said(app: AppTest) -> str:
    assert not app.exception, app.exception
    return "\n".join([*(str(text.value) for text in app.markdown), messages(app)]).replace("\\", "")


def document(capsysbinary, judged: Judged, *more: str) -> dict:
    assert main(["audit", "report", str(judged.store.path), judged.audit.id, *more, "--json"]) == 0
    return json.loads(capsysbinary.readouterr().out)


def test_the_page_says_what_the_command_says(open_page, judged: Judged, capsysbinary):
    made = document(capsysbinary, judged)
    app = judged.open(open_page, "report")
    shown = said(app)
    for sentence in made["findings"]:
        if not sentence.startswith(("Detection", "Fuzzing")):  # there scores have the names of the page
            assert sentence in shown
    tables = {table["columns"][0]["title"]: table for table in records(app, "list")}
    assert {"Explanations", "Rater", "Agreement", "Score", "Feature"} <= set(tables)
    cells = [row["cells"] for row in tables["Rater"]["rows"]]
    for row, figures in zip(cells, made["raters"], strict=True):
        assert row[:4] == [
            figures["rater"], str(figures["n"]), str(figures["n_right"]),
            f"{figures['controls_right']} of {figures['controls']}",
        ]  # fmt: skip
    share = made["estimates"][0]
    assert tables["Explanations"]["rows"][0]["cells"][1].startswith(f"{100 * share['value']:.0f} %")
    kappa = made["agreement"]["kappa"]["value"]
    assert tables["Agreement"]["rows"][0]["cells"][2].replace("−", "-").startswith(f"{kappa:.2f}")
    names = {row["cells"][0] for row in tables["Score"]["rows"]}
    assert names == {"Detection · offline judge", "Fuzzing · offline judge"}
    assert {"audit_save_csv", "audit_save_json"} <= {str(each.key) for each in app.get("download_button")}


def test_what_counts_as_right_and_who_counts_are_in_the_address(open_page, judged: Judged, capsysbinary):
    made = document(capsysbinary, judged, "--right", "correct", "too_broad", "--raters", HOSTILE)
    app = judged.open(open_page, "report", right="correct,too_broad,nonsense", raters=f"{HOSTILE}|nobody")
    assert made["findings"][0] in said(app)
    (table,) = (table for table in records(app, "list") if table["columns"][0]["title"] == "Rater")
    assert [row["cells"][0] for row in table["rows"]] == [HOSTILE]


def test_of_too_few_items_the_page_shows_no_figure(open_page, judged: Judged):
    few = [rating for rating in judged.ratings() if rating.rater == HOSTILE and not rating.round]
    kept = [rating for rating in few if not judged.audit.items[rating.item].is_control][:9]
    for rating in judged.ratings():
        if rating not in kept:
            back = replace(
                rating, id=new_id(), verdict=None, withdrawn=True, revises=rating.id, confidence=None, note=""
            )
            judged.annotations.audits.rate(back)
    app = judged.open(open_page, "report")
    assert "9 items judged so far: too few" in said(app)
    tables = {table["columns"][0]["title"]: table for table in records(app, "list")}
    for name in ("Explanations", "Agreement", "Score"):
        assert not any("(" in str(cell) for row in tables[name]["rows"] for cell in row["cells"][1:4])
    assert not app.get("plotly_chart")


def test_who_has_not_finished_sees_no_single_item(open_page, judged: Judged):
    app = judged.open(open_page, "report", HOSTILE)
    assert "You have 5 answers left to give" in said(app)
    assert "Feature" not in {table["columns"][0]["title"] for table in records(app, "list")}
    assert not app.get("download_button")
    done = judged.open(open_page, "report", "ann")
    assert "left to give" not in said(done)
    assert done.get("download_button")


def test_a_disagreement_is_settled_beside_what_they_said(open_page, judged: Judged):
    app = judged.open(open_page, "settle", "ann")
    before = judged.ratings()
    assert "0 settled" in said(app)
    originals = records(app, "list")[-1]
    assert [row["cells"][0] for row in originals["rows"]] == ["ann", HOSTILE]
    assert NOTE in originals["rows"][1]["cells"][3]
    assert record(app, "contexts") is not None
    next(field for field in app.text_input if str(field.key).startswith("settle_note")).input(
        "We looked twice"
    )
    verdict_button(app, "wrong").click().run()
    (settled,) = judged.adjudications()
    assert (settled.rater, settled.verdict, settled.note) == ("ann", "wrong", "We looked twice")
    after = judged.ratings()
    assert [rating for rating in after if rating.role == "rater"] == before
    assert "1 settled" in said(app)
    assert app.query_params["item"] != [str(settled.item + 1)]  # on to the next
    app.query_params["item"] = str(settled.item + 1)
    app.run()
    assert "Settled by ann" in said(app)
    assert "Settled by ann" in said(
        judged.open(open_page, "settle", item=str(settled.item + 1))
    )  # for anybody
    app.button(key="settle_undo").click().run()
    assert judged.adjudications() == []
    assert "0 settled" in said(app)


def test_a_note_too_long_to_settle_with_is_refused_and_stays(open_page, judged: Judged):
    app = judged.open(open_page, "settle", "ann")
    note = next(field for field in app.text_input if str(field.key).startswith("settle_note"))
    assert not note.max_chars
    assert note.key
    app.text_input(key=note.key).input("x" * (MAX_NOTE + 1)).run()
    too_long = f"The note has {MAX_NOTE + 1:,} characters; at most {MAX_NOTE:,} are kept. Shorten it."
    assert too_long in said(app)
    verdict_button(app, "wrong").click().run()
    assert judged.adjudications() == []
    assert app.text_input(key=note.key).value == "x" * (MAX_NOTE + 1)


def test_two_who_settle_at_once_are_told(open_page, judged: Judged):
    app = judged.open(open_page, "settle", "ann")
    item = next(
        row.item
        for row in disagreements(verdicts(judged.audit, judged.ratings(), ["ann", HOSTILE]))
        if row.matters
    )
    app.query_params["item"] = str(item + 1)
    app.run()
    judged.annotations.audits.rate(
        Rating(
            audit_id=judged.audit.id,
            item=item,
            rater="cyd",
            task="verdict",
            verdict="correct",
            role="adjudicator",
        )
    )
    verdict_button(app, "wrong").click().run()
    (settled,) = judged.adjudications()
    assert (settled.rater, settled.verdict) == ("cyd", "correct")
    assert f"Item {item + 1} already has an answer by cyd" in said(app)


def test_nobody_settles_what_they_are_still_to_rate(open_page, judged: Judged):
    order = entries(judged.audit, "cyd")
    judged.annotations.audits.rate(
        *(
            Rating(audit_id=judged.audit.id, item=entry.item, rater="cyd", task="verdict", verdict="wrong")
            for entry in order[:6]
        )
    )
    own = {entry.item for entry in order[:6]}
    everyone, mine = (
        {place(row) for row in listed(judged.open(open_page, "settle", name))} for name in ("ann", "cyd")
    )
    assert mine == everyone & own
    assert everyone - own
    assert f"{len(everyone - own)} more items that you have not rated yet" in said(
        judged.open(open_page, "settle", "cyd")
    )


def test_a_verdict_pressed_twice_settles_one_disagreement(
    open_page, judged: Judged, monkeypatch: pytest.MonkeyPatch
):
    button = keyboard.button

    def twice(
        label: str,
        key: str,
        shortcut: str,
        says: str,
        act: Callable[..., None] | None = None,
        args: Any = (),
        **look: Any,
    ) -> bool:
        def acts(*args: Any) -> None:  # both presses came before the page had moved on
            if act is not None:
                act(*args)
                act(*args)

        return button(label, key, shortcut, says, acts, args, **look)

    app = judged.open(open_page, "settle", "ann")
    monkeypatch.setattr(keyboard, "button", twice)
    app.run()
    pressed = verdict_button(app, "wrong")
    pressed.click().run()
    assert len(judged.adjudications()) == 1
    assert "already has an answer" not in said(app)
    assert verdict_button(app, "wrong").key != pressed.key, (
        "one that comes later is not for the next disagreement"
    )


def verdict_button(app: AppTest, verdict: Verdict) -> Button:
    (found,) = (each for each in app.button if re.fullmatch(rf"settle_\d+_{verdict}", each.key or ""))
    return found


def listed(app: AppTest) -> list[dict]:
    """Rows of the list of disagreements."""
    app.button(key="settle_all").click().run()
    (table,) = (table for table in records(app, "list") if table["columns"][0]["title"] == "Item")
    return table["rows"]


def place(row: dict) -> int:
    return row["go"]["item"] - 1


def test_a_settled_verdict_can_be_changed(open_page, judged: Judged):
    app = judged.open(open_page, "settle", "ann")
    verdict_button(app, "wrong").click().run()
    (first,) = judged.adjudications()
    app.query_params["item"] = str(first.item + 1)
    app.run()
    verdict_button(app, "too_broad").click().run()
    (second,) = judged.adjudications()
    assert (second.item, second.verdict, second.revises) == (first.item, "too_broad", first.id)
    assert "already has an answer" not in said(app)


def test_where_all_agree_there_is_nothing_to_settle(open_page, judged: Judged):
    given: dict[str, dict[int, Rating]] = {"ann": {}, HOSTILE: {}}
    for rating in judged.ratings():
        if not rating.round:
            given[rating.rater][rating.item] = rating
    for item, theirs in given[HOSTILE].items():
        mine = given["ann"][item]
        if theirs.verdict != mine.verdict:
            judged.annotations.audits.rate(
                replace(theirs, id=new_id(), verdict=mine.verdict, revises=theirs.id)
            )
    n = sum(not judged.audit.items[item].is_control for item in given[HOSTILE])
    shown = said(judged.open(open_page, "settle"))
    assert f"No verdicts differ on items; {n} items judged by two raters." in shown


def test_an_audit_without_answers_says_so(open_page, judged: Judged):
    for rating in judged.ratings():
        back = Rating(
            audit_id=judged.audit.id, item=rating.item, round=rating.round, rater=rating.rater, task="verdict",
            withdrawn=True, revises=rating.id,
        )  # fmt: skip
        judged.annotations.audits.rate(back)
    assert "No ratings yet" in said(judged.open(open_page, "report"))
    assert "With a second rater" in said(judged.open(open_page, "settle"))
