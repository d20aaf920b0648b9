"""The Audit page when something goes wrong: two windows, double presses, a killed server, what was removed, hostile input."""

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.ratings import MAX_NAME, MAX_NOTE
from autointerp.records import new_id
from autointerp.settings import ENV_RATERS
from autointerp.ui.audit import rate
from autointerp.ui.shared import person, roles
from tests.app.auditing import Bench, Sit, said


def test_a_key_pressed_twice_is_one_answer(sit: Sit, bench: Bench):
    browser = sit(bench)
    browser.answer(verdict="wrong")
    second = browser.drawn["entry"]
    browser.run()  # the same state again, as after a reconnection
    assert len(bench.ratings()) == 1
    assert browser.drawn["entry"] == second, "and it is no answer to the next item"


def test_an_answer_that_the_killed_server_had_not_heard_is_stored_when_it_is_back(sit: Sit, bench: Bench):
    browser = sit(bench)
    browser.answer(verdict="correct")
    kept = browser.drawn
    lost = {"id": kept["id"], **kept["entry"], "revises": None, "verdict": "wrong", "seconds": 1.0}
    again = sit(bench)
    again.state["answer"] = lost
    again.run()
    assert [rating.verdict for rating in bench.ratings()] == ["correct", "wrong"]
    assert again.drawn["progress"]["place"] == "3 of 11"
    again.run()
    assert len(bench.ratings()) == 2


def test_two_windows_on_one_item_lose_nothing(sit: Sit, bench: Bench):
    one = sit(bench)
    item = one.drawn["entry"]["item"]
    other = dict(one.drawn)
    one.answer(verdict="correct")
    del one.app.query_params[
        "entry"
    ]  # the other was opened without one, so the server thinks of the second item
    one.run()
    # The other window still shows the item as it was, without an answer.
    one.answer(id=new_id(), revises=None, verdict="wrong", note="typed there", **other["entry"])
    assert "You have answered this already, in another window: “Correct”" in said(one.app)
    assert one.drawn["progress"]["place"].startswith("1 of"), "the item that was answered twice stays"
    assert one.drawn["refused"], "so that the browser keeps the note"
    assert one.drawn["standing"]["verdict"] == "correct"
    assert [rating.verdict for rating in bench.ratings()] == ["correct"]
    one.answer(verdict="wrong", note="typed there")  # now with what stands in sight
    assert [(each.item, each.verdict, each.note) for each in bench.ratings()] == [
        (item, "wrong", "typed there")
    ]
    assert len(bench.annotations.audits.history(bench.audit.id)) == 2


def test_an_endless_note_is_refused_and_kept(sit: Sit, bench: Bench):
    browser = sit(bench)
    here, beside = browser.drawn["entry"], browser.drawn["limits"]["note"]["says"]
    browser.answer(verdict="correct", note="x" * (MAX_NOTE + 1))
    assert beside.replace("{n}", f"{MAX_NOTE + 1:,}") in said(browser.app), (
        "as the browser says while it is typed"
    )
    assert bench.ratings() == []
    assert browser.drawn["entry"] == here
    assert browser.drawn["refused"]
    browser.answer(verdict="correct", note="x")
    assert len(bench.ratings()) == 1


def test_the_form_takes_texts_of_any_length_and_says_which_are_too_long(open_page: Any, bench: Bench):
    app = open_page(bench.store, "audit", new="1")
    assert not [field.label for field in [*app.text_input, *app.text_area] if field.max_chars]
    app.text_input(key="audit_new_name").input("x" * (MAX_NAME + 1)).run()
    app.text_area(key="audit_new_purpose").input("y" * (MAX_NOTE + 1)).run()
    assert f"The name of an audit has {MAX_NAME + 1} characters; at most {MAX_NAME} are kept" in said(app)
    assert f"The purpose has {MAX_NOTE + 1:,} characters; at most {MAX_NOTE:,} are kept" in said(app)
    app.text_input(key=person.KEY).input("Bo").run()
    app.button(key="audit_new_make").click().run()
    assert len(bench.annotations.audits.all()) == 1
    assert app.text_input(key="audit_new_name").value == "x" * (MAX_NAME + 1)


def test_what_no_browser_of_ours_sends_is_refused(sit: Sit, bench: Bench):
    browser = sit(bench)
    for nonsense in (
        {"item": 999}, {"round": 7}, {"task": "fuzzing"}, {"verdict": "<script>"}, {"id": "x"}, {"id": {"a": 1}},
        {"confidence": 12, "verdict": "correct"}, {"verdict": None}, {"revises": "nothing", "verdict": "correct"},
    ):  # fmt: skip
        browser.answer(**{"id": new_id(), **nonsense})
        assert bench.ratings() == [], nonsense


def test_an_explanation_that_was_removed_can_be_skipped(sit: Sit, bench: Bench):
    browser = sit(bench)
    item = bench.audit.items[browser.drawn["entry"]["item"]]
    with sqlite3.connect(bench.store.path / "annotations.sqlite") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'explanations'"
        for (trigger,) in database.execute(triggers).fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("DELETE FROM explanations WHERE id = ?", (item.explanation_id,))
    again = sit(bench, entry="1")
    rate.shelf.clear()
    again.run()
    assert "is not in this store" in said(again.app)
    assert not again.drawn["writable"]
    again.answer(skipped=True)
    assert bench.ratings()[0].skipped
    assert again.drawn["progress"]["place"] == "2 of 11"


def test_a_coder_that_was_removed_can_be_skipped(sit: Sit, bench: Bench):
    for file in (bench.store.path / "coders").glob("tc*"):
        file.unlink()
    browser = sit(bench)
    for place, entry in enumerate(range(1, 12)):
        browser.app.query_params["entry"] = str(entry)
        browser.run()
        gone = bench.audit.items[browser.drawn["entry"]["item"]].coder == "tc"
        assert browser.drawn["writable"] is not gone, place


def test_a_read_only_app_shows_and_takes_nothing(sit: Sit, bench: Bench, monkeypatch: pytest.MonkeyPatch):
    from autointerp.settings import ENV_READ_ONLY

    browser = sit(bench)
    monkeypatch.setenv(ENV_READ_ONLY, "1")
    browser.run()
    assert not browser.drawn["writable"]
    assert not browser.drawn["can_skip"]


def test_where_a_sign_in_is_configured_the_name_comes_from_there(
    sit: Sit, bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(ENV_RATERS, "1")
    user: dict[str, Any] = {"is_logged_in": False}
    monkeypatch.setattr("streamlit.user", SimpleNamespace(to_dict=lambda: dict(user)))
    monkeypatch.setattr(roles, "has_sign_in", lambda: True)  # what it says holds for a second
    browser = sit(bench, "")
    assert browser.app.button(key="sign_in")
    assert not browser.drawn
    user |= {"is_logged_in": True, "name": "Signed In", "email": "signed@example.org"}
    browser.run().answer(verdict="correct")
    assert [rating.rater for rating in bench.ratings("Signed In")] == ["Signed In"]
