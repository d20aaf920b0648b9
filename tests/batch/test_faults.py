"""A whole coder against a server that fails in 30 of 100 requests: everything ends scored or as a recorded failure, a retry
heals what failed, and no answer is bought twice."""

from collections import Counter
from pathlib import Path

import pytest

from autointerp.records import Explanation, Score
from autointerp.store.annotations import Annotations
from tests.batch.conftest import KEY, N_LATENTS, Command, make_store
from tests.batch.served import FAULTS, ScriptedServer, no_faults, thirty_percent
from tests.conftest import StoreFactory

SCORERS = ("detection", "fuzzing")
FEW = ("--n-examples", "6", "--n-negatives", "6", "--batch", "6")
TIMEOUT_S = 5
TIMEOUT = ("--timeout", str(TIMEOUT_S))
"""Slow answers take longer, and no other: one that comes late is paid for and asked for again."""


def good_explanations(path: Path) -> dict[int, Explanation]:
    """The good explanation of each latent; there is never more than one here."""
    with Annotations(path) as annotations:
        found = [one for one in annotations.iter_explanations("sae")]
    assert len({one.latent for one in found}) == len(found), "an explanation is there twice"
    return {one.latent: one for one in found}


def good_scores(path: Path) -> dict[tuple[int, str], Score]:
    with Annotations(path) as annotations:
        found = [
            (latent, score)
            for latent in range(N_LATENTS)
            for score in annotations.scores_of_latent("sae", latent)
            if score.status == "ok"
        ]
        for _, score in found:
            assert len(annotations.judged(score.id)) == score.n + score.unparsed
    keyed = {(latent, score.scorer): score for latent, score in found}
    assert len(keyed) == len(found), "a score is there twice"
    return keyed


def failed_items(path: Path, kind: str) -> dict[object, str]:
    with Annotations(path) as annotations:
        return {
            one.item: one.error or ""
            for job in annotations.jobs.recent()
            if job.kind == kind
            for one in annotations.jobs.items(job.id, state="failed")
        }


@pytest.mark.usefixtures("impatient")
def test_thirty_percent_faults(store_factory: StoreFactory, server: ScriptedServer, command: Command) -> None:
    path = make_store(store_factory).path
    server.fault = thirty_percent(seed=3)
    server.slow_seconds = TIMEOUT_S + 0.5

    explained = command(
        "explain", path, "sae", "--explainer", "default", "--n-examples", 6, "MODEL", *TIMEOUT
    )
    assert explained.code == 0, explained.err
    scored = command("score", path, "sae", "--scorer", *SCORERS, *FEW, "MODEL", *TIMEOUT)
    assert scored.code == 0, scored.err
    assert set(server.faults) == set(FAULTS), "every kind of fault was met"
    assert 0.2 < sum(server.faults.values()) / server.n_requests < 0.4

    # Every latent is explained or has a recorded cause; every explanation is scored or has one; counts say the same.
    explanations, scores = good_explanations(path), good_scores(path)
    causes = failed_items(path, "explain")
    assert 0 < len(causes) < N_LATENTS / 2
    assert set(explanations) | set(causes) == set(range(N_LATENTS))
    assert not set(explanations) & set(causes)
    assert all(causes.values())
    document = explained.document
    assert (document["succeeded"], document["failed"], document["left"]) == (
        len(explanations),
        len(causes),
        0,
    )
    assert sum(cause["n"] for cause in document["failures"]) == len(causes)
    score_causes = failed_items(path, "score")
    ids = {one.id for one in explanations.values()}
    n_failed = 0
    for result in scored.document["scorers"]:
        name = result["scorer"]
        assert result["succeeded"] == sum(scorer == name for _, scorer in scores)
        assert result["succeeded"] + result["failed"] == len(ids)
        n_failed += result["failed"]
    assert n_failed > 0
    assert set(score_causes) <= ids
    assert all(score_causes.values())
    assert all(score.value is not None for score in scores.values()), "nothing is scored from a failure"
    assert max(server.good.values()) == 1, "a paid call was repeated"

    # The faults stop: retrying the very jobs heals them all, and what was answered is not asked for again.
    server.fault = no_faults
    with Annotations(path) as annotations:
        broken = [job.id for job in annotations.jobs.recent() if job.n_failed]
    assert len(broken) >= 2
    for job_id in broken:
        healed = command("jobs", path, "retry", job_id)
        assert healed.code == 0, healed.err
        assert (healed.document["state"], healed.document["failed"]) == ("done", 0)
    assert set(good_explanations(path)) == set(range(N_LATENTS))
    assert command("score", path, "sae", "--scorer", *SCORERS, *FEW, "MODEL").code == 0
    scores = good_scores(path)
    assert set(scores) == {(latent, scorer) for latent in range(N_LATENTS) for scorer in SCORERS}
    assert max(server.good.values()) == 1, "a paid call was repeated"

    # Once more: nothing is left to do, and nothing is asked.
    asked = server.n_requests
    for again in (
        command("explain", path, "sae", "--explainer", "default", "--n-examples", 6, "MODEL"),
        command("score", path, "sae", "--scorer", *SCORERS, *FEW, "MODEL"),
    ):
        assert again.code == 0
        assert "0 of" in again.out or '"succeeded": 0' in again.out
    assert server.n_requests == asked

    written = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert KEY.encode() not in written
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_the_faults_are_thirty_percent() -> None:
    """The script itself: the share of faults at the first asking, and that it does not depend on the order."""
    fault = thirty_percent(seed=3)
    first = Counter(fault(f"question {i}", 1) for i in range(4000))
    assert 0.27 < 1 - first[None] / 4000 < 0.33
    assert [fault("a", 1), fault("b", 1), fault("a", 2)] == [fault("a", 1), fault("b", 1), fault("a", 2)]
