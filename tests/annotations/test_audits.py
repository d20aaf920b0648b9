"""Audits and ratings in the store: what is written holds, once, and says so where another answer stands."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UnknownName, UserError
from autointerp.ratings import MAX_NOTE, Audit, AuditItem, Rating, Stratum
from autointerp.records import Explanation, JudgedExample
from autointerp.store.annotations import Annotations, RatingConflict


def an_audit(explanations: list[Explanation], **fields: Any) -> Audit:
    """One item for each, and a control of the first with the second's text."""
    items = [
        AuditItem(i, e.coder, e.latent, e.id, e.id, e.text, 0, {"detection~offline": 0.75})
        for i, e in enumerate(explanations)
    ]
    first, second = explanations[:2]
    items.append(AuditItem(len(items), first.coder, first.latent, first.id, second.id, second.text, None))
    return Audit(
        **{
            "name": "First look",
            "author": "Ann",
            "purpose": "Are they right?",
            "tasks": ("verdict", "fuzzing"),
            "seed": 3,
            "items": tuple(items),
            "strata": (Stratum(0, "sae", (0.5, 1.0), None, 30, len(explanations)),),
            "config": {"n": 3, "coders": ["sae"]},
            "store": {"corpus": "abc"},
            **fields,
        }
    )


@pytest.fixture
def explanations(annotations: Annotations) -> list[Explanation]:
    made = [Explanation(coder="sae", latent=i, text=f"words {i}", explainer="pattern") for i in (4, 2, 9)]
    annotations.add(*made)
    return made


@pytest.fixture
def audit(annotations: Annotations, explanations: list[Explanation]) -> Audit:
    made = an_audit(explanations)
    annotations.audits.create(made)
    return made


def rating(audit: Audit, item: int = 0, rater: str = "Ann", **fields: Any) -> Rating:
    answer: dict[str, Any] = {"verdict": "correct"} if fields.get("task", "verdict") == "verdict" else {}
    if fields.get("skipped") or fields.get("withdrawn"):
        answer = {}
    return Rating(
        **{"audit_id": audit.id, "item": item, "rater": rater, "task": "verdict", **answer, **fields}
    )


def test_an_audit_comes_back_as_it_was(annotations: Annotations, audit: Audit) -> None:
    assert annotations.audits.get(audit.id) == audit
    annotations.audits.create(audit)
    (head,) = annotations.audits.all()
    assert (head.id, head.name, head.author, head.created) == (audit.id, audit.name, "Ann", audit.created)
    assert (head.tasks, head.n_items, head.raters) == (audit.tasks, 4, ())
    with pytest.raises(UserError, match="Another audit has the id"):
        annotations.audits.create(replace(audit, name="Another"))
    with pytest.raises(UnknownName, match="unknown audit"):
        annotations.audits.get("01J")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": " "}, "The name of an audit is empty"),
        ({"author": "a" * 500}, "has 500 characters"),
        ({"tasks": ()}, "one or more of"),
        ({"tasks": ("verdict", "verdict")}, "each once"),
        ({"items": ()}, "no items"),
        ({"strata": ()}, "stratum 0"),
    ],
)
def test_an_audit_that_makes_no_sense_is_refused(
    annotations: Annotations, explanations: list[Explanation], fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        annotations.audits.create(replace(an_audit(explanations), **fields))
    assert annotations.audits.all() == []


def test_ratings_come_back_as_they_were(annotations: Annotations, audit: Audit) -> None:
    judged = (
        JudgedExample(0, 5, 32, 32, True, answer=True, quantile=3, marks=(1, 4)),
        JudgedExample(1, 7, 0, 32, False, answer=None, source="random", marks=(0,)),
    )
    given = [
        rating(audit, 0, confidence=3, note="<b>so</b> \u2028", tags=("numbers", "code"), seconds=4.5),
        rating(audit, 0, task="fuzzing", judged=judged, revealed=True),
        rating(audit, 1, skipped=True),
        rating(audit, 0, "Ben", verdict="wrong", round=1),
        rating(audit, 0, "Ann and Ben", role="adjudicator", verdict="too_broad"),
    ]
    for each in given:
        annotations.audits.rate(each)
    assert annotations.audits.ratings(audit.id) == given
    assert annotations.audits.history(audit.id) == given
    assert annotations.audits.ratings(audit.id, rater="Ben") == [given[3]]
    assert annotations.audits.ratings(audit.id, rater="Ann and Ben") == []
    assert annotations.audits.all()[0].raters == ("Ann", "Ben")


def test_a_double_key_press_is_one_answer(annotations: Annotations, audit: Audit) -> None:
    first = rating(audit)
    annotations.audits.rate(first)
    annotations.audits.rate(replace(first, verdict="wrong"))
    assert annotations.audits.history(audit.id) == [first]


def test_two_tabs_conflict_and_the_first_answer_stands(annotations: Annotations, audit: Audit) -> None:
    first, second = rating(audit), rating(audit, verdict="too_broad")
    annotations.audits.rate(first)
    with pytest.raises(RatingConflict, match=r"Item 1 .* by Ann.*“Correct”.*nothing was lost") as conflict:
        annotations.audits.rate(second)
    assert conflict.value.standing == first
    changed = replace(second, revises=first.id)
    annotations.audits.rate(changed)
    assert annotations.audits.ratings(audit.id) == [changed]
    assert annotations.audits.history(audit.id) == [first, changed]
    with pytest.raises(RatingConflict, match="“Too broad”"):
        annotations.audits.rate(rating(audit, verdict="wrong", revises=first.id))
    for other in (rating(audit, 1), rating(audit, rater="Ben"), rating(audit, round=1)):
        annotations.audits.rate(other)


def test_an_answer_taken_back_is_gone_and_can_be_given_again(annotations: Annotations, audit: Audit) -> None:
    first = rating(audit)
    undo = rating(audit, withdrawn=True, revises=first.id)
    annotations.audits.rate(first)
    annotations.audits.rate(undo)
    assert annotations.audits.ratings(audit.id) == []
    annotations.audits.rate(rating(audit, withdrawn=True, revises=first.id))  # from another tab
    again, third = rating(audit, verdict="wrong"), rating(audit, 1)
    annotations.audits.rate(again)
    annotations.audits.rate(third)
    assert annotations.audits.ratings(audit.id) == [again, third]
    assert annotations.audits.history(audit.id) == [first, undo, again, third]
    annotations.audits.rate(rating(audit, withdrawn=True, revises=again.id))
    late = rating(audit, verdict="too_narrow", revises=again.id)  # from a tab that does not know
    annotations.audits.rate(late)
    assert annotations.audits.ratings(audit.id) == [third, late]


def test_raters_settle_on_one_verdict_whoever_enters_it(annotations: Annotations, audit: Audit) -> None:
    first = rating(audit, role="adjudicator", verdict="wrong")
    annotations.audits.rate(first)
    with pytest.raises(RatingConflict):
        annotations.audits.rate(rating(audit, rater="Ben", role="adjudicator"))
    annotations.audits.rate(rating(audit, rater="Ben", role="adjudicator", revises=first.id))
    assert len(annotations.audits.ratings(audit.id)) == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rater": "  "}, "The name of the rater is empty"),
        ({"note": "x" * (MAX_NOTE + 1)}, "2,001 characters; at most 2,000"),
        ({"verdict": "fine"}, "unknown verdict 'fine'"),
        ({"confidence": 4}, "accepted: 1, 2, 3"),
        ({"verdict": None}, "A rating is one of"),
        ({"verdict": None, "judged": (JudgedExample(0, 0, 0, 8, True, True),)}, "does not belong"),
        ({"task": "detection"}, "This audit asks for: verdict, fuzzing; not for detection"),
        ({"item": 99}, "unknown item of this audit 99"),
        ({"audit_id": "no"}, "unknown audit 'no'"),
        ({"round": 2}, "round is 2"),
        ({"revises": "no"}, "unknown rating 'no'"),
        ({"verdict": None, "withdrawn": True}, "says which"),
        ({"tags": ("",)}, "A tag is empty"),
        ({"role": "judge"}, "unknown role 'judge'"),
        ({"role": "adjudicator", "round": 1}, "first round"),
    ],
)
def test_a_rating_that_makes_no_sense_is_refused(
    annotations: Annotations, audit: Audit, fields: dict[str, Any], says: str
) -> None:
    broken = rating(audit)
    if fields.get("task") == "detection":
        fields = {**fields, "verdict": None, "judged": (JudgedExample(0, 0, 0, 8, True, True),)}
    with pytest.raises(UserError, match=says):
        annotations.audits.rate(rating(audit, 1), replace(broken, **fields))
    assert annotations.audits.history(audit.id) == [], "all or none"


def test_no_row_is_ever_changed(annotations: Annotations, audit: Audit) -> None:
    annotations.audits.rate(rating(audit))
    for statement in (
        "UPDATE audits SET name = ''",
        "DELETE FROM ratings",
        "UPDATE audit_items SET text = ''",
    ):
        with closing(sqlite3.connect(annotations.path)) as connection, pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


def summary(annotations: Annotations) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in annotations.audits.verdict_summary("sae").to_pylist()]


def test_the_verdict_of_a_latent(
    annotations: Annotations, audit: Audit, explanations: list[Explanation]
) -> None:
    assert summary(annotations) == []
    control = len(audit.items) - 1
    first = rating(audit, 0, verdict="wrong")
    annotations.audits.rate(
        first,
        rating(audit, 0, "Ben", verdict="too_broad"),
        rating(audit, 0, "Ben", verdict="correct", round=1),
        rating(audit, 1),
        rating(audit, 2, skipped=True),
        rating(audit, control, verdict="wrong"),
        rating(audit, 2, task="fuzzing", judged=(JudgedExample(0, 0, 0, 8, True, True),)),
    )
    latent_4, latent_2 = explanations[:2]
    assert summary(annotations) == [
        (2, latent_2.id, "correct", 1, False),
        (4, latent_4.id, "mixed", 2, False),
    ]
    assert annotations.audits.verdict_summary("sae") is annotations.audits.verdict_summary("sae")
    annotations.audits.rate(rating(audit, 0, "Cy", verdict="too_broad"))
    assert summary(annotations)[1] == (4, latent_4.id, "too_broad", 3, False)
    annotations.audits.rate(rating(audit, 0, "Ann", role="adjudicator", verdict="several_meanings"))
    assert summary(annotations)[1] == (4, latent_4.id, "several_meanings", 3, True)
    annotations.audits.rate(rating(audit, 0, withdrawn=True, revises=first.id))
    assert summary(annotations)[1] == (4, latent_4.id, "several_meanings", 2, True)
    assert annotations.audits.verdict_summary("other").num_rows == 0


def test_the_verdict_about_the_shown_explanation_comes_first(
    annotations: Annotations, audit: Audit, explanations: list[Explanation]
) -> None:
    old = explanations[0]
    annotations.audits.rate(rating(audit, 0, verdict="wrong"))
    new = replace(old, id="new", text="better words")
    annotations.add(new)
    assert summary(annotations) == [(4, old.id, "wrong", 1, False)], "the only one rated"
    second = an_audit([new, *explanations[1:]])
    annotations.audits.create(second)
    annotations.audits.rate(rating(second, 0))
    assert summary(annotations) == [(4, new.id, "correct", 1, False)]
    annotations.pin(old.id, author="Ann")
    assert summary(annotations) == [(4, old.id, "wrong", 1, False)]
    about = annotations.audits.about("sae", 4)
    assert [(item.explanation_id, each.verdict) for item, each in about] == [
        (old.id, "wrong"),
        (new.id, "correct"),
    ]


def test_an_audit_may_name_explanations_that_this_copy_lacks(annotations: Annotations) -> None:
    foreign = [Explanation(coder="sae", latent=i, text=f"words {i}", explainer="pattern") for i in (1, 2)]
    audit = an_audit(foreign)
    annotations.audits.create(audit)
    annotations.audits.rate(rating(audit, 0))
    assert summary(annotations) == [(1, foreign[0].id, "correct", 1, False)]


def test_nothing_is_written_to_a_read_only_store(
    annotations: Annotations, audit: Audit, tmp_path: Path
) -> None:
    with Annotations(tmp_path, read_only=True) as reader:
        assert reader.audits.get(audit.id) == audit
        with pytest.raises(UserError, match="nothing can be written"):
            reader.audits.rate(rating(audit))
