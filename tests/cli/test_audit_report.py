"""`autointerp audit report`."""

import pytest

from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.audit.simulated import an_audit, answers
from tests.cli.conftest import RunJson, RunText


@pytest.fixture
def audited(tiny_store: Store) -> tuple[Store, str]:
    """A store with an audit that two people answered."""
    audit, right = an_audit()
    with Annotations(tiny_store.path) as annotations:
        annotations.audits.create(audit)
        annotations.audits.rate(
            *answers(audit, right, "ann", again=6), *answers(audit, right, "bob", share=0.9)
        )
    return tiny_store, audit.id


def test_a_report_as_json_and_as_text(audited: tuple[Store, str], run_json: RunJson, run_text: RunText):
    store, audit = audited
    whole = run_json("audit", "report", store.path, audit)
    assert whole["n_items"] == 120
    assert [each["rater"] for each in whole["raters"]] == ["ann", "bob"]
    low, high = whole["agreement"]["kappa"]["ci"]
    assert low < whole["agreement"]["kappa"]["value"] < high
    code, text, _ = run_text("audit", "report", store.path, "Simulated")
    assert code == 0
    for sentence in whole["findings"]:
        assert f"- {sentence}" in text
    assert f"{whole['estimates'][0]['value']:.4g}" in text
    assert "None of them allows for other people judging differently." in text


def test_of_one_rater_and_with_more_that_counts_as_right(audited: tuple[Store, str], run_json: RunJson):
    store, audit = audited
    only = run_json("audit", "report", store.path, audit[-8:], "--raters", "bob")
    assert [each["rater"] for each in only["raters"]] == ["bob"]
    assert only["agreement"]["raw"] is None
    more = run_json(
        "audit", "report", store.path, audit, "--raters", "bob", "--right", "correct", "too_broad"
    )
    assert more["right"] == ["correct", "too_broad"]
    assert more["estimates"][0]["value"] > only["estimates"][0]["value"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["nothing"], "unknown audit"),
        (["Simulated", "--raters", "eve"], "unknown rater"),
        (["Simulated", "--right", "fine"], "unknown verdict"),
        (["Simulated", "--right", "broken_contexts"], "cannot count as right"),
    ],
)
def test_wrong_names_are_said(audited: tuple[Store, str], run_text: RunText, more: list[str], says: str):
    code, text, error = run_text("audit", "report", audited[0].path, *more)
    assert (code, text) == (2, "")
    assert says in error
