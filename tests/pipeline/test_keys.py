"""Typed keys: how long they stay in memory."""

import threading
from pathlib import Path

import pytest

from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobKind, JobRunner, Outcome
from autointerp.jobs.kinds import explain_job
from autointerp.llm.options import LLMOptions
from autointerp.llm.secrets import Secret
from autointerp.pipeline.resources import Resources
from autointerp.score.options import ScoreOptions
from tests.pipeline.conftest import CAT, explain_once

KEY, OTHER = "sk-test-0123456789abcdef", "sk-other-0123456789abcdef"


def test_a_forgotten_key_is_gone(resources: Resources):
    name, other = resources.keys.add(KEY), resources.keys.add(OTHER)
    assert resources.keys.add(KEY) == name
    resources.keys.forget(Secret(KEY))
    assert resources.keys.get(name) is None
    assert len(resources.keys) == 1
    resources.keys.forget(Secret("never-lent-0123456789"))
    assert resources.keys.get(other) is not None
    assert resources.keys.add(KEY) != name, "typed again, it is another loan"


@pytest.mark.parametrize("part", ["explain", "then", "later"])
def test_work_that_was_started_with_a_key_keeps_it_to_its_end(resources: Resources, part: str):
    name = resources.keys.add(KEY)
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name)
    judged = [ScoreOptions(judge="llm", llm=llm)]
    options = ExplainOptions(explainer="default", llm=llm) if part == "explain" else ExplainOptions()
    work = explain_job(
        "sae", [CAT], options, judged if part == "then" else (), later=judged if part == "later" else ()
    )
    job, _ = resources.annotations.jobs.submit(work["kind"], work["payload"], work["items"])
    resources.keys.forget(Secret(KEY))
    assert resources.keys.get(name) is not None
    resources.annotations.jobs.cancel(job.id)
    resources.keys.drop_unused()
    assert resources.keys.get(name) is None


def test_the_end_of_the_job_drops_it(resources: Resources):
    name = resources.keys.add(KEY)
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name)
    work = explain_job("sae", [CAT], ExplainOptions(explainer="default", llm=llm))
    at_work, forgotten, known = threading.Event(), threading.Event(), []

    def handle(payload: object, item: object, context: object) -> Outcome:
        at_work.set()
        assert forgotten.wait(60)
        known.append(resources.keys.get(name))
        return Outcome()

    with JobRunner(
        resources.annotations,
        [JobKind("explain", handle)],
        poll_seconds=0.05,
        ended=resources.keys.drop_unused,
    ) as runner:
        job = runner.submit(**work)
        assert at_work.wait(60)
        resources.keys.forget(Secret(KEY))
        forgotten.set()
        assert runner.wait(job.id, timeout=60).state == "done"
    assert known[0] is not None
    assert resources.keys.get(name) is None


def test_typed_again_it_is_not_forgotten_any_more(resources: Resources):
    name = resources.keys.add(KEY)
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name)
    work = explain_job("sae", [CAT], ExplainOptions(explainer="default", llm=llm))
    job, _ = resources.annotations.jobs.submit(work["kind"], work["payload"], work["items"])
    resources.keys.forget(Secret(KEY))
    assert resources.keys.add(KEY) == name
    resources.annotations.jobs.cancel(job.id)
    resources.keys.drop_unused()
    assert resources.keys.get(name) is not None


def test_keys_stay_in_memory(resources: Resources):
    key = "sk-test-0123456789abcdef"
    name = resources.keys.add(key)
    assert resources.keys.add(key) == name
    llm = LLMOptions(model="m", base_url="http://localhost:9/v1", key_ref=name, timeout=1)
    resources.annotations.add(
        explain_once(resources, "sae", CAT, ExplainOptions(explainer="default", llm=llm))
    )
    assert key not in repr(llm)
    for path in Path(resources.store.path).rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()
