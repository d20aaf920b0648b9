"""The Audit page: making an audit, rating, and what a blind rater gets."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from autointerp.audit import evidence
from autointerp.jobs.sessions import stored
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit, AuditItem
from autointerp.records import Explanation, new_id
from autointerp.score.options import options_of
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.audit import rate
from autointerp.ui.shared import person
from tests.app.auditing import Bench, Sit, everything, make, said
from tests.app.reading import links, record, records

AUTHOR = "Quentin Author"


def test_someone_who_was_never_here_is_told_what_to_do(open_page, bench: Bench):
    app = open_page(bench.store, "audit")
    assert not app.exception
    assert "asks people whether explanations are right" in said(app)
    table = record(app, "list")
    assert table is not None
    assert table["rows"][0]["cells"][0] == "Are they right?"
    assert table["columns"][0]["kind"] == "link", "which the keyboard reaches"
    app.query_params["audit"] = bench.audit.id
    app.run()
    assert "kept under your name" in said(app)
    assert record(app, "rate") is None, "no rating without a name"


def test_a_name_that_the_browser_kept_is_not_asked_again(sit: Sit, bench: Bench):
    browser = sit(bench, "")
    key = person.KEY
    # The field reports itself as empty in the very run in which the browser tells what it kept.
    browser.app.session_state["drafts_forms"] = {key: ""}
    browser.app.session_state["drafts_found"] = {key: "Ann"}
    browser.run()
    assert browser.drawn["progress"]["place"] == "1 of 11"


def test_an_audit_is_made_from_the_form(open_page, bench: Bench):
    app = open_page(bench.store, "audit", new="1")
    assert "24 explanations to draw from (sae 12, tc 12)" in said(app)
    app.text_input(key=person.KEY).input("Bo").run()
    app.button(key="audit_new_make").click().run()
    assert "Give the audit a name" in said(app)
    app.text_input(key="audit_new_name").input("By Bo").run()
    app.number_input(key="audit_new_n").set_value(6).run()
    app.button(key="audit_new_make").click().run()
    assert not app.exception
    made = bench.annotations.audits.all()[0]
    assert (made.name, made.author, made.n_items) == ("By Bo", "Bo", 7)
    assert app.query_params["audit"] == made.id
    assert "new" not in app.query_params


def test_a_form_of_a_collection_draws_from_it_alone(open_page, bench: Bench):
    bench.annotations.collections.add("Mine", [("tc", 1), ("tc", 2), ("tc", 5)], author="Ann")
    app = open_page(bench.store, "audit", new="1", collection="Mine")
    assert "3 explanations to draw from (tc 3)" in said(app)
    del app.query_params["collection"]
    app.query_params["list"] = "coder=sae&sort=latent"
    app.run()
    assert "12 explanations to draw from (sae 12)" in said(app)
    del app.query_params["list"]
    app.query_params["collection"] = "<b>none</b>"
    app.run()
    assert not app.exception
    assert "24 explanations to draw from" in said(app)
    (warning,) = app.warning
    assert "Choose here what to audit" in warning.value


def test_a_verdict_is_stored_and_brings_the_next_item(sit: Sit, bench: Bench):
    browser = sit(bench)
    first = browser.drawn["entry"]
    browser.answer(verdict="too_broad", confidence=3, note="as <b>noted</b>", tags="a, b ,a", seconds=4.5)
    (rating,) = bench.ratings()
    assert (rating.item, rating.verdict, rating.confidence) == (first["item"], "too_broad", 3)
    assert (rating.note, rating.tags, rating.seconds) == ("as <b>noted</b>", ("a", "b"), 4.5)
    assert browser.drawn["entry"] != first
    assert browser.drawn["progress"]["place"] == "2 of 11"
    assert browser.drawn["heard"] == rating.id, "the browser may forget it"


def test_the_next_items_are_read_ahead(sit: Sit, bench: Bench, monkeypatch: pytest.MonkeyPatch):
    read, ahead = evidence.contexts, Event()
    asked: list[int] = []

    def contexts(resources: Resources, audit: Audit, item: AuditItem) -> Any:
        drawn = read(resources, audit, item)
        asked.append(item.i)
        if len(asked) > rate.AHEAD:
            ahead.set()
        return drawn

    monkeypatch.setattr(evidence, "contexts", contexts)
    browser = sit(bench)
    assert ahead.wait(60)
    browser.answer(verdict="correct")
    assert browser.drawn["entry"]["item"] in asked[1 : rate.AHEAD + 1]


def test_back_undo_and_skip(sit: Sit, bench: Bench):
    browser = sit(bench)
    first = browser.drawn["entry"]
    browser.answer(verdict="wrong", note="hm")
    browser.press("back")
    assert browser.drawn["entry"] == first
    assert browser.drawn["standing"]["verdict"] == "wrong"
    browser.press("next")
    taken = browser.drawn["last"]
    browser.press("undo")
    assert bench.ratings() == []
    assert browser.drawn["entry"] == first
    assert browser.drawn["standing"]["note"] == "hm", "what was written is not lost"
    browser.act = {"act": "undo", "place": 0, "about": taken}  # the key came twice
    browser.run()
    assert bench.ratings() == []
    browser.answer(verdict=None, skipped=True)
    assert bench.ratings()[0].skipped
    assert browser.drawn["entry"] != first
    for _ in range(10):
        browser.answer(verdict="correct")
    assert browser.drawn["entry"] == first, "a skipped item comes again at the end"


def test_an_old_address_after_an_answer_is_left_again(sit: Sit, bench: Bench):
    """What a browser sends while an answer is on its way has the address of the question answered; the bar then goes on."""
    browser = sit(bench)
    first = browser.drawn["entry"]
    browser.answer(verdict="correct")
    second = browser.drawn["entry"]
    browser.app.query_params["entry"] = "1"
    browser.run()
    assert browser.drawn["entry"] == first
    browser.press("on")
    assert browser.drawn["entry"] == second
    assert len(bench.ratings()) == 1


def test_a_blind_rater_gets_nothing_that_tells(sit: Sit, audited: Path, tmp_path: Path):
    store = Store.open(shutil.copytree(audited, tmp_path / "blind"))
    with Annotations(store.path) as annotations:
        written = Explanation(
            coder="sae",
            latent=3,
            text="A text by a person.",
            explainer="person",
            author=AUTHOR,
            model="writer-model",
        )
        annotations.add(written)
        versions = annotations.explanations("sae", 3)
        annotations.add(
            replace(annotations.scores_of_latent("sae", 3)[0], id=new_id(), explanation_id=written.id)
        )
        bench = make(store, annotations, n=24, control_share=0.0, tasks=("verdict", "detection", "fuzzing"))
        browser = sit(bench)
        hidden = [AUTHOR, "writer-model", "pattern", *(version.id for version in versions)]
        hidden += [item.explanation_id for item in bench.audit.items]
        words = re.compile(
            r"(?<![\w-])(?:sae|tc)(?![\w-])|.{9}(?:coder|latent|truth|explanation_id|score|params)\W{1,4}:"
        )
        for place in range(len(bench.audit.items) * 3):
            browser.app.query_params["entry"] = str(place + 1)
            browser.run()
            item = bench.audit.items[browser.drawn["entry"]["item"]]
            sent = everything(browser.app)
            assert item.text[:20].split('"')[0] in sent
            assert browser.drawn["progress"]["place"] in sent, "this is what was sent"
            for word in hidden:
                assert word not in sent, (place, word)
            assert words.findall(sent) == [], place
            for score in item.scores.values():
                assert f"{score:.4f}"[:6] not in sent or score in (0.5, 1.0)


def test_what_was_hidden_is_shown_once_the_answer_is_stored(sit: Sit, bench: Bench):
    browser = sit(bench)
    while bench.audit.items[browser.drawn["entry"]["item"]].is_control:
        browser.answer(verdict="wrong")
    item = bench.audit.items[browser.drawn["entry"]["item"]]
    browser.answer(verdict="correct")
    browser.press("last")
    assert f"{item.coder} #{item.latent}" in [label.replace("\\", "") for label in links(browser.app)]
    assert "pattern" in said(browser.app)
    shown = {cell[0] for facts in records(browser.app, "facts") for cell in facts}
    assert shown >= {"Detection, offline judge", "Fuzzing, offline judge"}
    assert browser.drawn["revealed"] == [item.i]
    browser.press("back")
    browser.answer(verdict="wrong", revealed=True)
    (rating,) = (each for each in bench.ratings() if each.item == item.i)
    assert rating.revealed


def test_a_judges_task_has_no_truth_in_it_and_becomes_a_human_score(sit: Sit, audited: Path, tmp_path: Path):
    store = Store.open(shutil.copytree(audited, tmp_path / "tasks"))
    with Annotations(store.path) as annotations:
        bench = make(store, annotations, tasks=("fuzzing",), repeat_share=0.0)
        browser = sit(bench)
        asked = browser.drawn["questions"]
        assert set(asked) == {"plan", "ask", "rows", "table"}
        assert all(set(row) == {"t", "mk"} for row in asked["rows"])
        yes = [True] * len(asked["rows"])
        browser.answer(answers=yes[:-1], plan=asked["plan"])
        assert "Answer every question first" in said(browser.app)
        browser.answer(answers=yes, plan="another")
        assert "have changed since they were shown" in said(browser.app)
        browser.answer(answers=yes, plan=asked["plan"])
        (rating,) = bench.ratings()
        assert [each.answer for each in rating.judged] == yes
        assert {each.truth for each in rating.judged} == {True, False}
        browser.press("last")
        shown = [cell for facts in records(browser.app, "facts") for cell in facts]
        assert any(cell[0] == "Your score, fuzzing" and cell[1].startswith("0.50") for cell in shown)
        (table,) = (each for each in records(browser.app, "list") if each["columns"][-1]["title"] == "Judge")
        assert len(table["rows"]) == len(rating.judged)
        judge = evidence.judges_score(
            bench.resources,
            bench.annotations.explanation(bench.audit.items[rating.item].explanation_id),
            "fuzzing",
        )
        assert judge is not None
        by_judge = {each.key: each for each in judge.judged or ()}
        for row, mine in zip(table["rows"], rating.judged, strict=True):
            _, text, truth, own, theirs = row["cells"]
            assert (truth, own) == (("yes", "Right: yes") if mine.truth else ("no", "Wrong: yes"))
            other = by_judge[mine.key]
            right = "Right" if other.answer == mine.truth else "Wrong"
            assert theirs == f"{right}: {'yes' if other.answer else 'no'}"
            assert text["c"] == mine.context
            assert text["mk"]
            assert bool(text["p"]) == (mine.truth or mine.source == "activating"), (
                "where it fires is shown now"
            )
        assert {row["cells"][4].split(":")[0] for row in table["rows"]} <= {"Right", "Wrong"}


def test_a_correction_is_a_version_with_its_parent_and_is_scored_the_same(sit: Sit, bench: Bench):
    browser = sit(bench)
    while bench.audit.items[browser.drawn["entry"]["item"]].is_control:
        browser.press("next")
    item = bench.audit.items[browser.drawn["entry"]["item"]]
    sent = {"id": browser.drawn["edit_id"], "item": item.i, "text": item.text + " And more."}
    browser.state["edit"] = sent
    browser.run()
    versions = bench.annotations.explanations(item.coder, item.latent)
    assert (versions[0].id, versions[0].author, versions[0].parent) == (
        sent["id"],
        "Ann",
        item.explanation_id,
    )
    assert versions[0].text == sent["text"]
    assert sent["text"] in browser.drawn["corrected"]
    browser.run()
    assert len(bench.annotations.explanations(item.coder, item.latent)) == len(versions), "stored once"
    (job,) = bench.annotations.jobs.recent()
    before = [
        s
        for s in bench.annotations.scores_of_latent(item.coder, item.latent)
        if s.explanation_id == item.explanation_id
    ]
    assert job.payload["score"] == [stored(options_of(score, None)) for score in before]


def test_the_end_tells_who_was_fooled(sit: Sit, bench: Bench):
    browser = sit(bench)
    for _ in range(11):
        browser.answer(verdict="correct")
    said = {cell[0]: cell[1] for facts in records(browser.app, "facts") for cell in facts}
    assert said["Answered"] == "11 of 11"
    assert said["Shuffled explanations called correct"] == "2 of 2"
    assert said["Same verdict when it came back"] == "1 of 1"
    other = sit(bench, "Bo")
    assert other.drawn["progress"]["place"] == "1 of 11", "another rater begins anew"


@pytest.mark.parametrize(
    "params",
    [
        {"audit": "<script>alert(1)</script>"},
        {"audit": ""},
        {"entry": "-1"},
        {"entry": "9" * 40},
        {"entry": "1e3"},
        {"view": "../page"},
        {"wide": "document.99999999.1", "more_top": "99999999999"},
        {"wide": "context.0.0", "more_quantiles": "2", "more_random": "3", "more_non_activating": "x"},
        {"new": "1", "list": "coder=none&sort=<b>", "collection": "\x00"},
        {"new": "yes"},
    ],
)
def test_hostile_addresses(sit: Sit, bench: Bench, params: dict[str, str]):
    browser = sit(bench, "")
    for name, value in params.items():
        browser.app.query_params[name] = value
    browser.run()
    if any(each.key == person.KEY for each in browser.app.text_input):
        browser.app.text_input(key=person.KEY).input("Ann")
        browser.run()
    assert "Traceback" not in everything(browser.app)


def test_nothing_is_shown_between_the_tasks_of_an_item(sit: Sit, audited: Path, tmp_path: Path):
    store = Store.open(shutil.copytree(audited, tmp_path / "between"))
    with Annotations(store.path) as annotations:
        bench = make(store, annotations, tasks=("fuzzing", "verdict"), repeat_share=0.0)
        browser = sit(bench)
        asked = browser.drawn["questions"]
        browser.answer(answers=[True] * len(asked["rows"]), plan=asked["plan"])
        assert browser.drawn["entry"]["task"] == "verdict"
        assert browser.drawn["ended"] == ""
        browser.answer(verdict="correct")
        assert browser.drawn["ended"] == bench.ratings()[-1].id
        browser.answer(skipped=True)
        assert browser.drawn["ended"] == bench.ratings()[-2].id, "not what was skipped"


def test_an_audit_that_is_not_blind_says_what_it_is_about(sit: Sit, audited: Path, tmp_path: Path):
    store = Store.open(shutil.copytree(audited, tmp_path / "open"))
    with Annotations(store.path) as annotations:
        bench = make(store, annotations, blind=False, control_share=0.0)
        browser = sit(bench)
        item = bench.audit.items[browser.drawn["entry"]["item"]]
        assert f"{item.coder} #{item.latent} · Detection " in said(browser.app)
