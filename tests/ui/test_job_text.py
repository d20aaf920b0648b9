"""Jobs in words and figures, and failures grouped by cause."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import Failure
from autointerp.jobs import labels
from autointerp.store.annotations import Cause, Job
from autointerp.store.annotations.jobs.records import machine, new_owner
from autointerp.ui.jobs.details import configuration, group_causes
from autointerp.ui.shared import job_text
from autointerp.ui.shared.job_strip import job_actions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = Job(
    id="1", kind="explain", label="x", payload={}, state="running", priority=0, total=10, n_done=4, n_failed=1, rate=0.5,
    stage=None, stage_done=None, stage_total=None, stage_unit=None, tokens_in=0, tokens_out=0, cost=0.0, n_unpriced=0,
    cancel=False, created="2026-01-02T03:00:00.000Z", started="2026-01-02T03:04:00.000Z", finished=None,
    owner=new_owner(), heartbeat=0.0, claims=1, error=None, ran=0.0, claimed=NOW.timestamp() - 5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"),
     (7500, "2 h 05 min"), (273_600, "3 d 4 h"), (-3, "0.0 s")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str):
    assert job_text.duration(seconds) == text


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "–"),
        ({"tokens_in": 5, "n_unpriced": 1}, "unknown"),
        ({"tokens_in": 5, "n_unpriced": 1, "cost": 0.5}, "0.50 + unknown"),
        ({"tokens_in": 5}, "0.00"),
        ({"tokens_in": 5, "cost": 0.00123}, "0.0012"),
        ({"tokens_in": 5, "cost": 0.0344}, "0.034"),
        ({"tokens_in": 5, "cost": 1234.5}, "1,234.50"),
    ],
)
def test_unknown_prices_are_never_a_zero(changes: dict, shown: str):
    assert job_text.cost(replace(JOB, **changes))[0] == shown


def test_a_running_job():
    assert job_text.progress(JOB) == {
        "done": 0.4, "failed": 0.1, "text": "5 of 10, 1 failed", "busy": True, "note": ""
    }  # fmt: skip
    assert (job_text.rate(JOB), job_text.eta(JOB)) == ("0.5 / s", "10 s")
    assert job_text.rate(replace(JOB, rate=0.02)) == "1.2 / min"
    assert job_text.took(JOB, NOW) == "5.0 s"
    assert job_text.took(replace(JOB, ran=60.0), NOW) == "1 min 05 s"
    assert job_text.took(replace(JOB, ran=60.0, claimed=None), NOW) == "1 min 00 s"  # it waits again
    assert job_text.took(replace(JOB, ran=None), NOW) == "–"
    assert job_text.took(replace(JOB, claimed=None), NOW) == "–"
    assert job_text.state(replace(JOB, cancel=True))["word"] == "stopping"
    assert job_text.runner(JOB, machine())[0] == "this app"
    assert job_text.runner(replace(JOB, owner="elsewhere 1 - x"), machine())[0] == "another machine"
    other = (JOB.owner or "").replace(str(os.getpid()), "1")
    assert job_text.runner(replace(JOB, owner=other), machine())[0] == "another process"
    one = replace(
        JOB, total=1, n_done=0, n_failed=0, stage="embed", stage_done=5, stage_total=20, stage_unit="windows"
    )
    assert job_text.progress(one)["done"] == 0.25
    assert job_text.progress(one)["text"] == "embed 5 of 20 windows"
    assert job_text.progress(replace(one, stage=None))["text"] == "working"


@pytest.mark.parametrize(
    ("back", "text"),
    [(1, "just now"), (30, "30 s ago"), (600, "10 min ago"), (7200, "2 h ago"), (1e6, "2025-12-21")],
)  # fmt: skip
def test_how_long_ago(back: float, text: str):
    stamp = (NOW - timedelta(seconds=back)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert job_text.ago(stamp, NOW) == text


def test_what_can_be_done():
    def acts(**changes):
        return [label for _, label, _ in job_actions(replace(JOB, **changes), {})]

    assert acts() == ["Cancel"]
    assert acts(cancel=True) == []
    assert acts(state="done", n_done=10, n_failed=0) == []
    assert acts(state="done", n_done=8, n_failed=2) == ["Retry 2 failed"]
    assert acts(state="failed", n_done=0, n_failed=10) == ["Retry"]
    assert acts(state="cancelled", n_done=4, n_failed=1) == ["Continue"]


def test_causes_that_differ_in_numbers_are_one():
    found = [
        Cause(Failure("latent 3 has 2 examples"), 1, (3,)),
        Cause(Failure("server down"), 4, (5, 6)),
        Cause(Failure("latent 12 has 1 examples"), 9, (0, 1)),
    ]
    causes = group_causes(found)
    assert [(cause.n, cause.first) for cause in causes] == [(10, (0, 1, 3)), (4, (5, 6))]


@given(st.lists(st.tuples(st.text(), st.integers(1, 9), st.lists(st.integers(0, 99), max_size=3))))
def test_no_failure_is_lost(found: list[tuple[str, int, list[int]]]):
    causes = group_causes([Cause(Failure(error), n, tuple(first)) for error, n, first in found])
    assert sum(cause.n for cause in causes) == sum(n for _, n, _ in found)
    assert all(first.n >= second.n for first, second in pairwise(causes))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["explain", "then", "score", "coder", "llm", "prices", "x"]), _JSON))
def test_any_payload_can_be_told(payload: dict):
    rows = configuration(payload)
    assert all(isinstance(cell, str) for row in rows for cell in row)


def test_prices_and_keys_are_told_in_words():
    llm = {
        "model": "m",
        "prices": {"m": {"prompt": 1.5, "completion": 2}},
        "key_ref": "key-123",
        "max_cost": None,
    }
    told = {row[1]: row[2] for row in configuration({"explain": {"explainer": "default", "llm": llm}})}
    assert told["Prices"] == "m: prompt 1.5, completion 2"
    assert told["API key"] == "typed in a session, kept in memory only"
    assert told["Budget, cost"] == "no limit"


@pytest.mark.parametrize(
    ("kinds", "llm", "helps"),
    [
        ({"no_pattern": False}, False, False),
        ({"no_negatives": False, "several": False}, False, False),
        ({"no_negatives": False, "several": True}, False, True),
        ({"no_negatives": False}, True, False),
        ({"auth": False}, True, True),
        ({"several": False}, True, True),
        ({"unparsed": True, "no_examples": False}, True, True),
        ({"model": False}, False, True),
    ],
)
def test_retry_is_offered_where_it_can_help(kinds: dict[str, bool], llm: bool, helps: bool):
    payload = {
        "score": [{"scorer": "detection", "llm": {"model": "m", "base_url": "http://x/v1"} if llm else None}]
    }
    job = replace(JOB, kind="score", state="done", n_done=9, n_failed=1, payload=payload)
    assert job_text.retry_helps(job, kinds) is helps
    assert job_text.retry_helps(replace(job, n_done=8), kinds)  # one was not tried
    assert not job_text.retry_helps(replace(job, n_done=10, n_failed=0), {})


def test_titles_are_the_same_whatever_the_release_called_them():
    payload = {
        "coder": "sae",
        "score": [{"scorer": "detection"}, {"scorer": "fuzzing", "protocol": "delphi"}],
    }
    job = replace(
        JOB, kind="score", label="score 10 explanations of sae: detection, fuzzing", payload=payload
    )
    assert labels.title(job) == "score 10 explanations of sae: Detection, Fuzzing · delphi protocol"
    payload = {"coder": "sae", "explain": {"explainer": "default"}}
    assert (
        labels.title(replace(job, kind="explain", payload=payload, total=1))
        == "explain 1 feature of sae: LLM"
    )
    for odd in ({}, {"score": "x"}, {"score": [1]}):
        assert labels.title(replace(job, payload=odd)) == job.label
    assert labels.title(replace(job, kind="embed")) == job.label


def test_a_cause_of_several_scorers_is_said_once():
    same = "There are no non-activating examples. Ask for some"
    assert labels.once(f"detection: {same}; fuzzing: {same}.") == f"Detection, Fuzzing: {same}"
    assert labels.once(f"2 of 9 failed; the first: detection: {same}; embedding: other.") == (
        f"2 of 9 failed; the first: Detection: {same}; Embedding: other"
    )
    assert labels.once("1 of 9 failed; the first: no answer") == "1 of 9 failed: no answer"
    for other in ("no answer; try again", "http: refused", ""):
        assert labels.once(other) == other
