"""Scores that need no explanation: the same beside every version of a latent's, and without a floor."""

from dataclasses import replace

import pytest

from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.resources import Resources
from autointerp.records import Score
from autointerp.score.options import ScoreOptions
from tests.embedding.conftest import HashEmbedder
from tests.pipeline.conftest import CAT, DOG, explain_once, score_once, write_once

FREE = [
    ScoreOptions(scorer="example_embedding", window=8, n_examples=12, n_negatives=12, embedder="hash"),
    ScoreOptions(scorer="intruder", window=8, extra={"n_questions": 3}),
]
_WHEN = {"id": "", "created": "", "duration": None, "explanation_id": ""}


@pytest.fixture(autouse=True)
def _embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.embedding.load_embedder", lambda name: HashEmbedder())


def figures(score: Score) -> tuple[object, ...]:
    return replace(score, **_WHEN), score.judged


@pytest.mark.parametrize("options", FREE, ids=lambda options: options.scorer)
def test_every_version_gets_the_same_score_on_the_same_examples(
    resources: Resources, options: ScoreOptions
) -> None:
    """Whatever its explainer was shown, and with other explanations at hand, from which others draw their floor."""
    resources.annotations.add(explain_once(resources, "sae", DOG, ExplainOptions(window=8, n_examples=8)))
    versions = [
        explain_once(resources, "sae", CAT, ExplainOptions(window=8, n_examples=8, split_seed=seed))
        for seed in (0, 1)
    ]
    resources.annotations.add(*versions)
    versions.append(write_once(resources, "sae", CAT, "cats", author="ada", parent=versions[1].id))
    other, scores = [], []
    for version in versions:  # in turn, so that no examples are kept from the version before
        other.append(score_once(resources, version, replace(options, scorer="detection", extra={})))
        scores.append(score_once(resources, version, options))
    assert scores[0].status == "ok", scores[0].error
    assert scores[0].value is not None
    assert figures(scores[0]) == figures(scores[1]) == figures(scores[2])
    assert (scores[0].floor, scores[0].floor_explanation_id) == (None, None)
    assert other[0].judged != other[1].judged, "the versions were made from different examples"
    assert other[0].floor is not None
