"""Runners: many quick items share transactions."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from autointerp.jobs import Context, JobKind, JobRunner, Outcome
from autointerp.records import Explanation
from autointerp.store.annotations import JobTable

MakeRunner = Callable[..., JobRunner]


def write_one(payload: Mapping[str, Any], item: Any, context: Context) -> Outcome:
    return Outcome(rows=[Explanation(coder="sae", latent=item, text="text", explainer="pattern")])


def test_quick_items_share_transactions(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    complete = JobTable.complete

    def counted(self: JobTable, claim: Any, results: Any) -> Any:
        sizes.append(len(results))
        return complete(self, claim, results)

    monkeypatch.setattr(JobTable, "complete", counted)
    make_runner(JobKind("write", write_one)).run("write", {}, range(200))
    assert sum(sizes) == 200
    assert len(sizes) < 100
