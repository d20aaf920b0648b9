"""How far an explanation is above its floor: the paired difference, as the comparison of two versions gives it."""

from dataclasses import replace

import numpy as np
import pytest

from autointerp.records import Score
from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.compare import difference
from autointerp.score.embedding import Embedding
from autointerp.score.judges.base import Shown
from autointerp.score.resampling import Resamples
from autointerp.score.scorer import Scorer
from autointerp.ui.shared.score_text import standing
from tests.score.builders import ScriptedJudge, explained, heldout
from tests.score.test_embedding_and_surprisal import LetterEmbedder

RESAMPLES = Resamples(0)


def guesses(_task: str, explanation: str, shown: Shown) -> bool | None:
    """Right for some explanations more often than for others; some answers cannot be read."""
    chance = np.random.default_rng([ord(letter) for letter in explanation + "".join(shown.texts)]).random()
    if chance < 0.05:
        return None
    return (" fox" in shown.texts) if chance < 0.05 + 0.9 * len(explanation) / 10 else chance < 0.6


@pytest.mark.parametrize(
    "scorer",
    [
        Detection(ScriptedJudge(guesses), resamples=RESAMPLES),
        Fuzzing(ScriptedJudge(guesses), resamples=RESAMPLES),
        Embedding(LetterEmbedder(), resamples=RESAMPLES),
    ],
)
@pytest.mark.parametrize(("own", "other"), [("foxfoxfox", "cat"), ("cat", "foxfoxfox"), ("dog", "cat")])
def test_it_is_the_difference_of_both_scores_on_the_same_examples(
    scorer: Scorer, own: str, other: str
) -> None:
    plan = scorer.plan(heldout(30, 30), 3)
    score = scorer.score(explained(own), plan, floor=explained(other))
    apart = difference(scorer.score(explained(other), plan), score, RESAMPLES)
    assert score.above_low is not None
    assert (score.above_low, score.above_high) == pytest.approx((apart.ci_low, apart.ci_high))


def test_no_floor_no_difference() -> None:
    score = Detection(ScriptedJudge(guesses)).run(explained("foxfox"), heldout(), seed=0)
    assert (score.floor, score.above_low, score.above_high) == (None, None, None)


def test_explanations_that_say_nothing_are_seldom_above_others_that_say_nothing() -> None:
    """The floor of 30 + 30 examples is as uncertain as the score: an interval of the score alone is too narrow for both."""
    rng = np.random.default_rng(5)
    judge = ScriptedJudge(lambda *_: bool(rng.random() < 0.5))
    scorer = Detection(judge, resamples=RESAMPLES)
    plan = scorer.plan(heldout(30, 30), 0)
    scores: list[Score] = [scorer.score(explained("a"), plan, floor=explained("b")) for _ in range(400)]
    clear = sum((score.above_low or 0) > 0 for score in scores) / 400
    by_its_own = sum((score.ci_low or 0) > (score.floor or 0) for score in scores) / 400
    assert clear <= 0.05
    assert by_its_own > 0.07
    assert sum(standing(score, None) == "above" for score in scores) / 400 <= 0.05
    alone = [replace(score, floor=None, above_low=None) for score in scores]
    assert sum(standing(score, None) in ("near_chance", "at_chance") for score in alone) / 400 >= 0.95
