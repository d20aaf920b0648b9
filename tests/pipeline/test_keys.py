"""Typed keys: how long they stay in memory."""

import threading
from pathlib import Path

import pytest

from autointerp.jobs import JobKind, JobRunner, Outcome
from autointerp.jobs.kinds import explain_job
from autointerp.llm import Secret
from autointerp.pipeline import ExplainOptions, LLMOptions, ScoreOptions, Workbench
from tests.pipeline.conftest import CAT

KEY, OTHER = "sk-test-0123456789abcdef", "sk-other-0123456789abcdef"


def test_a_forgotten_key_is_gone(bench: Workbench):
    name, other = bench.lend_key(KEY), bench.lend_key(OTHER)
    assert bench.lend_key(KEY) == name
    bench.keys.forget(Secret(KEY))
    assert bench.keys.get(name) is None
    assert [secret.reveal() for secret in bench.keys.all()] == [OTHER]
    bench.keys.forget(Secret("never-lent-0123456789"))
    assert bench.keys.get(other) is not None
    assert bench.lend_key(KEY) != name, "typed again, it is another loan"


@pytest.mark.parametrize("part", ["explain", "then", "later"])
def test_work_that_was_started_with_a_key_keeps_it_to_its_end(bench: Workbench, part: str):
    name = bench.lend_key(KEY)
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name)
    judged = [ScoreOptions(judge="llm", llm=llm)]
    options = ExplainOptions(explainer="default", llm=llm) if part == "explain" else ExplainOptions()
    work = explain_job(
        "sae", [CAT], options, judged if part == "then" else (), later=judged if part == "later" else ()
    )
    job, _ = bench.annotations.jobs.submit(work["kind"], work["payload"], work["items"])
    bench.keys.forget(Secret(KEY))
    assert bench.keys.get(name) is not None
    bench.annotations.jobs.cancel(job.id)
    bench.keys.drop()
    assert bench.keys.get(name) is None


def test_the_end_of_the_job_drops_it(bench: Workbench):
    name = bench.lend_key(KEY)
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name)
    work = explain_job("sae", [CAT], ExplainOptions(explainer="default", llm=llm))
    at_work, forgotten, known = threading.Event(), threading.Event(), []

    def handle(payload: object, item: object, context: object) -> Outcome:
        at_work.set()
        assert forgotten.wait(60)
        known.append(bench.keys.get(name))
        return Outcome()

    with JobRunner(
        bench.annotations, [JobKind("explain", handle)], poll_seconds=0.05, ended=bench.keys.drop
    ) as runner:
        job = runner.submit(**work)
        assert at_work.wait(60)
        bench.keys.forget(Secret(KEY))
        forgotten.set()
        assert runner.wait(job.id, timeout=60).state == "done"
    assert known[0] is not None
    assert bench.keys.get(name) is None


def test_typed_again_it_is_not_forgotten_any_more(bench: Workbench):
    name = bench.lend_key(KEY)
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name)
    work = explain_job("sae", [CAT], ExplainOptions(explainer="default", llm=llm))
    job, _ = bench.annotations.jobs.submit(work["kind"], work["payload"], work["items"])
    bench.keys.forget(Secret(KEY))
    assert bench.lend_key(KEY) == name
    bench.annotations.jobs.cancel(job.id)
    bench.keys.drop()
    assert bench.keys.get(name) is not None


def test_keys_stay_in_memory(bench: Workbench):
    key = "sk-test-0123456789abcdef"
    name = bench.lend_key(key)
    assert bench.lend_key(key) == name
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name, timeout=1)
    bench.annotations.add(bench.explain("sae", CAT, ExplainOptions(explainer="default", llm=llm)))
    assert key not in repr(llm)
    for path in Path(bench.store.path).rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()
    assert key not in bench.redact(f"so {key} it is")
