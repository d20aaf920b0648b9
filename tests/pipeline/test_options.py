"""Options of explaining and scoring: to JSON and back, what identifies them, what cannot be."""

import json

import pytest

from autointerp.errors import UnknownName, UserError
from autointerp.explain.options import ExplainOptions
from autointerp.llm.options import LLMOptions
from autointerp.score.options import ScoreOptions

LLM = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=4)


def test_options_turn_into_json_and_back():
    explain = ExplainOptions(
        explainer="default", llm=LLMOptions(model="m", prices={"m": {"prompt": 1, "completion": 2}})
    )
    score = ScoreOptions(negatives=("random", "neighbours"), judge="llm", llm=LLM)
    assert ExplainOptions.from_dict(json.loads(json.dumps(explain.to_dict()))) == explain
    assert ScoreOptions.from_dict(json.loads(json.dumps(score.to_dict()))) == score


def test_identity_is_what_shapes_the_result():
    base = ScoreOptions(judge="llm", llm=LLM)
    same = ScoreOptions(
        judge="llm", llm=LLMOptions(model="mock", base_url="http://mock.invalid/v1/", max_in_flight=64)
    )
    assert base.identity() == same.identity()
    assert base.identity() != ScoreOptions(judge="llm", llm=LLM, batch=5).identity()
    assert ScoreOptions(batch=5).identity() == ScoreOptions().identity()  # the offline judge knows no batches
    assert "key" not in json.dumps(base.identity())
    # Hard negatives drawn before activating windows were kept out of them are other work.
    assert ScoreOptions(negatives=("random", "embedding")).identity()["hard"] == 2
    assert "hard" not in base.identity()
    # Held-out examples drawn in another way are other work too; the reference's never change.
    assert base.identity()["drawing"] == 2
    assert "drawing" not in ScoreOptions(protocol="delphi").identity()


@pytest.mark.parametrize(
    "options",
    [
        ExplainOptions(explainer="default"),
        ExplainOptions(n_examples=0),
        ExplainOptions(heldout_fraction=1.0),
        ScoreOptions(scorer="simulation"),
        ScoreOptions(judge="llm"),
        ScoreOptions(negatives=()),
        ScoreOptions(protocol="delphi", scorer="embedding"),
        ScoreOptions(protocol="delphi", scorer="fuzzing", wrong_marks="activating"),
        ScoreOptions(seed=-1),
        ScoreOptions(judge="llm", llm=LLMOptions(model=" ")),
    ],
)
def test_impossible_options(options: ExplainOptions | ScoreOptions):
    with pytest.raises(UserError):
        options.check()


def test_unknown_options_are_named():
    with pytest.raises(UnknownName, match="n_exmples"):
        ExplainOptions.from_dict({"n_exmples": 3})
