"""Two stored scores against each other."""

import json
import re

import pytest

from autointerp.errors import UserError
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.score.options import ScoreOptions
from tests.mock_client import MockClient
from tests.pipeline.conftest import CAT, DOG, score_once, write_once

LLM = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=1)


def simulator(request: ChatRequest) -> str:
    """Strength 9 wherever the explanation names the token."""
    asked = request.messages[-1].content
    tokens = re.findall(r"^\d+\t(.*)$", asked, re.MULTILINE)
    word = "cat" if "the word cat" in asked else "dog"
    return json.dumps({"answers": [9 if word in token else i % 2 for i, token in enumerate(tokens)]})


def test_simulation_is_compared_on_the_stored_windows(resources: Resources, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        resources, "client", lambda options, *, budget=None: MockClient(simulator, cache=resources.replies)
    )
    options = ScoreOptions(scorer="simulation", n_examples=10, n_negatives=6, floor=False, llm=LLM)
    scores = []
    for text in ("the word dog", "the word cat"):
        written = write_once(resources, "sae", CAT, text, author="me")
        score = score_once(resources, written, options)
        assert score.status == "ok", score.error
        resources.annotations.add(score)
        scores.append(score)
    found = compare_scores(resources, scores[0].id, scores[1].id)
    assert found.metric == "correlation"
    assert scores[0].value is not None
    assert found.value == pytest.approx((scores[1].value or 0.0) - scores[0].value)
    assert (found.n_pos, found.n_neg, found.unpaired) == (scores[0].n_pos, scores[0].n_neg, 0)
    assert found.ci_low is not None
    assert found.ci_low > 0
    same = compare_scores(resources, scores[1].id, scores[1].id)
    assert (same.value, same.ci_low, same.ci_high) == (0.0, None, None)


def test_scores_of_two_features_are_no_pair(resources: Resources):
    ids = []
    for latent in (CAT, DOG):
        written = write_once(resources, "sae", latent, "the word cat", author="me")
        score = score_once(resources, written, ScoreOptions(floor=False, n_examples=5, n_negatives=5))
        resources.annotations.add(score)
        ids.append(score.id)
    with pytest.raises(UserError, match="same feature"):
        compare_scores(resources, *ids)
