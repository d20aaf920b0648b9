"""Embedding scores from stored vectors are the scores that the long way gives."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autointerp.embedding import embed_store
from autointerp.explain.options import ExplainOptions
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import explain_job, job_kinds, score_job
from autointerp.pipeline.embedding_scores import EmbeddingBatches, score_stored
from autointerp.pipeline.examples import heldout_places
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import score
from autointerp.pipeline.session import Session
from autointerp.records import Explanation, Score
from autointerp.score.embedding import Embedding
from autointerp.score.options import ScoreOptions, plan_seed
from autointerp.types import ProgressCallback, no_progress
from tests.embedding.conftest import HashEmbedder
from tests.explained import scores_of
from tests.pipeline.conftest import CAT, DEAD, DOG, EVERYWHERE, RARE, explain_once


class Counting(HashEmbedder):
    """Remembers how many texts each call brought."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def embed(self, texts: Sequence[str], progress: ProgressCallback = no_progress) -> NDArray[np.float32]:
        self.calls.append(len(texts))
        return super().embed(texts, progress)


@pytest.fixture
def embedder(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """The only embedder there is; the store's windows are embedded by it."""
    counting = Counting()
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name: counting)
    embed_store(resources.store, counting, window=8)
    counting.calls.clear()
    return counting


def options(embedder: Counting, **more: Any) -> ScoreOptions:
    return ScoreOptions(
        scorer="embedding", embedder=embedder.name, window=8, n_examples=12, n_negatives=12, **more
    )


def explained(resources: Resources) -> dict[int, Explanation]:
    """A good explanation of each latent that fires, stored."""
    found = {
        latent: explain_once(resources, "sae", latent, ExplainOptions(window=8, n_examples=8, n_contrast=8))
        for latent in (CAT, DOG, RARE, EVERYWHERE)
    }
    found = {latent: one for latent, one in found.items() if one.status == "ok"}
    resources.annotations.add(*found.values())
    return found


def figures(score: Score) -> dict[str, Any]:
    """Everything but what differs between any two scores."""
    return {k: v for k, v in asdict(score).items() if k not in ("id", "created", "duration")}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("floor", [True, False])
def test_the_same_as_the_long_way(seed: int, floor: bool, resources: Resources, embedder: Counting) -> None:
    asked = options(embedder, seed=seed, floor=floor)
    n_short = 0
    with Session(resources) as session:
        for latent, explanation in explained(resources).items():
            long = score(session, explanation, asked)
            short = EmbeddingBatches(session).score(explanation, asked)
            assert figures(short) == figures(long)
            assert short.judged == long.judged
            resources.annotations.add(short)
            assert resources.annotations.judged(short.id) == long.judged
            scorer = session.scorer(asked)
            assert isinstance(scorer, Embedding)
            (stored,) = score_stored(resources, scorer, [explanation], asked)
            n_short += stored is not None
            assert (latent in (CAT, DOG)) == (
                short.status == "ok"
            )  # the others have no examples of one class
    assert n_short == 2


def test_held_out_from_what_was_shown(resources: Resources, embedder: Counting) -> None:
    for latent, explanation in explained(resources).items():
        (drawn,) = heldout_places(resources, [explanation], options(embedder))
        assert drawn is not None
        shown = {int(one.split(":")[0]) for one in explanation.example_ids}
        assert shown
        asked = {*drawn.activating.spans[:, 0].tolist(), *drawn.non_activating.spans[:, 0].tolist()}
        assert latent == EVERYWHERE or asked
        assert not shown & asked


@pytest.mark.parametrize(
    "change",
    [
        {"negatives": ("neighbours",)},
        {"negatives": ("random", "embedding")},
        {"window": 16},
        {"scorer": "detection"},
    ],
)
def test_what_is_out_of_the_ordinary_goes_the_long_way(
    change: dict[str, Any], resources: Resources, embedder: Counting
) -> None:
    explanation = explained(resources)[CAT]
    asked = replace(options(embedder), **change)
    with Session(resources) as session:
        long = score(session, explanation, asked)
        short = EmbeddingBatches(session).score(explanation, asked)
    assert figures(short) == figures(long)
    assert short.judged == long.judged


def test_failures_are_recorded_as_ever(resources: Resources, embedder: Counting) -> None:
    empty = Explanation(coder="sae", latent=CAT, text=" ", explainer="person", author="me")
    dead = Explanation(coder="sae", latent=DEAD, text="nothing", explainer="person", author="me")
    failed = Explanation(
        coder="sae", latent=CAT, text="", explainer="default", status="failed", error="timeout: no answer"
    )
    resources.annotations.add(empty, dead, failed)
    with Session(resources) as session:
        for one in (empty, dead, failed):
            made = EmbeddingBatches(session).score(one, options(embedder))
            assert (made.status, made.value, made.judged) == ("failed", None, ())
            assert made.error == score(session, one, options(embedder)).error


def test_the_plan_is_the_one_that_other_scorers_of_the_latent_have(
    resources: Resources, embedder: Counting
) -> None:
    explanation, asked = explained(resources)[DOG], options(embedder)
    with Session(resources) as session:
        made = EmbeddingBatches(session).score(explanation, asked)
    assert made.seed == plan_seed(DOG, asked)
    acts = resources.store.coder("sae").activations(DOG)
    fires = np.zeros(resources.store.tokens.size, dtype=bool)
    fires[acts.token] = True
    assert made.judged
    for example in made.judged:
        first = example.context * resources.store.ctx_len + example.start
        assert fires[first : first + example.window].any() == example.truth


def test_a_large_job_embeds_its_explanations_at_once(resources: Resources, embedder: Counting) -> None:
    written = [
        Explanation(coder="sae", latent=CAT, text=f"cats, version {i}", explainer="person", author="me")
        for i in range(40)
    ]
    resources.annotations.add(*written)
    runner = JobRunner(resources.annotations, job_kinds(resources))
    job = runner.run(**score_job("sae", [one.id for one in written], [options(embedder)]))
    assert (job.state, job.n_done) == ("done", 40)
    assert sum(embedder.calls) == 40
    assert max(embedder.calls) > 30
    assert job.stage is None
    scores = {scores_of(resources.annotations, one.id)[0].value for one in written}
    assert len(scores) > 1
    embedder.calls.clear()
    runner.run(**explain_job("sae", [DOG], ExplainOptions(window=8), then=[options(embedder)]))
    assert embedder.calls == [1]
