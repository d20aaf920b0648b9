"""Detection and fuzzing around a scripted judge."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import Failure, UserError
from autointerp.llm.messages import Usage
from autointerp.records import Explanation
from autointerp.sampling import runs
from autointerp.score.classify import Detection, Fuzzing, place_runs
from autointerp.score.compare import difference
from autointerp.score.judges.base import Shown
from autointerp.score.plan import Verdict, Verdicts
from autointerp.score.resampling import Resamples
from autointerp.score.scorer import Heldout
from tests.score.builders import ScriptedJudge, explained, heldout, judged, knows, window


@pytest.mark.parametrize("scorer", [Detection, Fuzzing])
def test_a_perfect_judge_scores_one_with_all_figures(scorer: type[Detection]) -> None:
    result = scorer(knows(" fox")).run(explained("foxes"), heldout(), seed=3)
    assert (result.status, result.value, result.tnr) == ("ok", 1.0, 1.0)
    assert result.tpr_by_quantile == (1.0,) * 10
    assert (result.n_pos, result.n_neg, result.unparsed) == (20, 20, 0)
    assert result.ci_high == 1.0
    assert result.ci_low is not None
    assert 0.85 < result.ci_low < 0.95  # forty right answers of forty are not proof
    assert (result.judge, result.protocol, result.negatives, result.seed) == (
        "scripted",
        "held-out",
        "random",
        3,
    )
    assert [one.i for one in judged(result)] == list(range(40))
    assert all(one.correct for one in judged(result))


def test_unparsed_answers_are_counted_and_in_no_figure() -> None:
    def decide(_task: str, _explanation: str, one: Shown) -> bool | None:
        return None if one.texts[0] == " the" else " fox" in one.texts

    result = Detection(ScriptedJudge(decide)).run(explained("foxes"), heldout(), seed=0)
    assert result.unparsed > 0
    assert result.n_pos + result.n_neg + result.unparsed == 40
    assert result.value == 1.0


def test_when_no_answer_can_be_read_the_score_failed_and_says_why() -> None:
    result = Detection(ScriptedJudge(lambda *_: None)).run(explained("foxes"), heldout(), seed=0)
    assert (result.status, result.value, result.unparsed) == ("failed", None, 40)
    assert "unreadable" in (result.error or "")


def test_a_failure_to_ask_is_no_score() -> None:
    result = Detection(ScriptedJudge(lambda *_: True, failure=Failure("no server", "unreachable", True))).run(
        explained("x"), heldout(), seed=0
    )
    assert (result.status, result.value, result.ci_low, result.tpr_by_quantile) == ("failed", None, None, ())
    assert (result.error, result.error_kind, result.retryable) == ("no server", "unreachable", True)


@pytest.mark.parametrize(
    ("explanation", "given", "says", "kind"),
    [
        (explained("  "), heldout(), "no explanation", "no_text"),
        (explained("", status="failed", error="no"), heldout(), "no text to score", "no_text"),
        (explained("x"), heldout(0, 5), "no held-out activating", "no_examples"),
        (explained("x"), heldout(5, 0), "no non-activating", "no_negatives"),
    ],
)
def test_what_cannot_be_scored_is_a_recorded_failure(
    explanation: Explanation, given: Heldout, says: str, kind: str
) -> None:
    judge = knows(" fox")
    for scorer in (Detection(judge), Fuzzing(judge)):
        result = scorer.run(explanation, given, seed=0)
        assert (result.status, result.error_kind, result.retryable) == ("failed", kind, False)
        assert says in (result.error or "")
    assert judge.asked == []


def test_the_floor_is_the_other_explanation_on_the_same_items() -> None:
    judge = ScriptedJudge(lambda _t, explanation, one: explanation in "".join(one.texts))
    result = Detection(judge).run(explained("fox"), heldout(), seed=1, floor=explained("unrelated"))
    assert result.value == 1.0
    assert result.floor == 0.5
    assert judge.asked[0][2] == judge.asked[1][2]


def test_a_floor_that_could_not_be_asked_fails_the_score_and_its_retry_is_whole() -> None:
    class Flaky(ScriptedJudge):
        broken = True

        def judge(self, task: str, explanation: Explanation, shown: Sequence[Shown]) -> Verdicts:
            if explanation.text == "other" and self.broken:
                failure = Failure("busy", "rate_limited", retryable=True)
                return Verdicts(tuple(Verdict() for _ in shown), Usage(3), failure=failure)
            return super().judge(task, explanation, shown)

    judge = Flaky(lambda _task, explanation, one: explanation == "fox" and " fox" in one.texts)
    plan = Detection(judge).plan(heldout(), 0)
    failed = Detection(judge).score(explained("fox"), plan, floor=explained("other"))
    assert (failed.status, failed.value, failed.floor, failed.ci_low) == ("failed", None, None, None)
    assert failed.error == "busy (asked about the floor's explanation)"
    assert (failed.error_kind, failed.retryable) == ("rate_limited", True)
    assert failed.tokens_in >= 3
    judge.broken = False
    whole = Detection(judge).score(explained("fox"), plan, floor=explained("other"))
    assert (whole.status, whole.value, whole.floor, whole.n_floor) == ("ok", 1.0, 0.5, 40)


def test_the_floor_says_on_how_many_of_the_same_items_it_stands() -> None:
    def decide(_task: str, explanation: str, one: Shown) -> bool | None:
        if explanation == "other":
            return None if one.texts[0] == " the" else True
        return " fox" in one.texts

    result = Detection(ScriptedJudge(decide)).run(
        explained("fox"), heldout(), seed=1, floor=explained("other")
    )
    unread = sum(item.window.texts[0] == " the" for item in Detection(knows("")).plan(heldout(), 1).items)
    assert 0 < unread < 40
    assert (result.n, result.unparsed, result.n_floor) == (40, 0, 40 - unread)


def test_the_floor_leaves_out_what_the_score_leaves_out() -> None:
    def decide(_: object, explanation: str, one: Shown) -> bool | None:
        text, right = "".join(one.texts), " fox" in one.texts
        if explanation == "fox":
            return None if "quick" in text else right
        return right if "quick" in text else not right

    result = Detection(ScriptedJudge(decide)).run(
        explained("fox"), heldout(length=4), seed=1, floor=explained("other")
    )
    assert result.unparsed > 0
    assert (result.value, result.floor) == (1.0, 0.0)


def test_judges_are_never_shown_the_truth() -> None:
    judge = knows(" fox")
    Detection(judge).run(explained("x"), heldout(), seed=0)
    assert all(vars(one).keys() == {"texts", "marks"} for one in judge.asked[0][2])
    assert all(one.marks is None for one in judge.asked[0][2])


def test_the_order_is_drawn_from_the_seed() -> None:
    def order(seed: int) -> list[int]:
        return [
            one.context for one in judged(Detection(knows(" fox")).run(explained("x"), heldout(), seed=seed))
        ]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_wrong_marks_are_fresh_for_each_example_and_as_many_as_right_ones() -> None:
    given = heldout(40, 40, length=16)
    plan = Fuzzing(knows(" fox")).plan(given, 0)
    wrong = [item for item in plan.items if not item.truth]
    right = [item for item in plan.items if item.truth]
    assert len({item.marks for item in wrong}) > 10
    assert {len(item.marks or ()) for item in wrong} == {len(item.marks or ()) for item in right} == {1}


def test_wrong_marks_in_activating_examples_miss_what_fires() -> None:
    given = heldout(20, 0)
    scorer = Fuzzing(knows(" fox"), wrong_marks="activating")
    plan = scorer.plan(given, 0)
    assert plan.negatives == "wrong_marks"
    assert len(plan.items) == 40
    for item in plan.items:
        fires = item.window.example.activations[list(item.marks or ())] > 0
        assert fires.all() if item.truth else not fires.any()
    assert scorer.run(explained("foxes"), given, seed=0).value == 1.0


def test_a_window_that_fires_everywhere_has_no_wrong_variant() -> None:
    full = window([" a", " b"], {0: 1.0, 1: 1.0})
    plan = Fuzzing(knows(" a"), wrong_marks="activating").plan(Heldout([full], [], 1.0), 0)
    assert [item.truth for item in plan.items] == [True]


@given(st.lists(st.integers(1, 5), max_size=6), st.lists(st.booleans(), max_size=40), st.integers(0, 1000))
def test_runs_are_placed_apart_on_allowed_positions(
    lengths: list[int], allowed: list[bool], seed: int
) -> None:
    mask = np.array(allowed, dtype=bool)
    placed = place_runs(lengths, mask, np.random.default_rng(seed))
    assert all(mask[i] for i in placed)
    assert len(placed) == len(set(placed)) <= sum(lengths)
    assert len(runs(placed)) <= len(lengths)
    assert bool(placed) == (bool(lengths) and bool(mask.any()))


def test_the_difference_of_two_explanations_pairs_the_same_items() -> None:
    judge = ScriptedJudge(lambda _t, explanation, one: explanation in "".join(one.texts))
    first = Detection(judge).run(explained("quick"), heldout(), seed=1)
    second = Detection(judge).run(explained("fox"), heldout(), seed=1)
    found = difference(first, second, Resamples(0))
    assert first.value is not None
    assert found.value == pytest.approx(1.0 - first.value)
    assert found.unpaired == 0
    assert found.ci_low is not None
    assert found.ci_low > 0
    same = difference(second, second, Resamples(0))
    assert same.value == 0.0
    assert same.ci_low is not None
    assert same.ci_high is not None
    # Twenty like answers of each class do not prove that the next ones would be alike too.
    assert -0.2 < same.ci_low < -0.01
    assert 0.01 < same.ci_high < 0.2
    opposite = Detection(ScriptedJudge(lambda _t, _e, one: "fox" not in "".join(one.texts))).run(
        explained("fox"), heldout(), seed=1
    )
    worst = difference(second, opposite, Resamples(0))
    assert worst.value == -1.0
    assert worst.ci_low == -1.0
    assert worst.ci_high is not None
    assert -0.99 < worst.ci_high < -0.8


def test_scores_that_share_nothing_cannot_be_compared() -> None:
    judge = knows(" fox")
    detection, fuzzing = (
        Detection(judge).run(explained("x"), heldout(), seed=1),
        Fuzzing(judge).run(explained("x"), heldout(), seed=1),
    )
    with pytest.raises(UserError, match="same kind"):
        difference(detection, fuzzing, Resamples(0))
    other = Detection(judge).run(
        explained("x"),
        Heldout([window([" fox"], {0: 1.0}, context=77)], [window([" a"], context=78)], 1.0),
        seed=1,
    )
    with pytest.raises(UserError, match="no examples in common"):
        difference(detection, other, Resamples(0))
    for changed in (replace(detection, judge="llm"), replace(detection, model="another")):
        with pytest.raises(UserError, match="different judges"):
            difference(detection, changed, Resamples(0))


def test_where_windows_are_centred_the_place_of_the_marks_tells_nothing() -> None:
    given = heldout(40, 40)
    at_six = [one for one in given.activating if one.example.activations[6] > 0]
    centred = replace(given, activating=at_six, centred=True)
    plan = Fuzzing(knows(" fox")).plan(centred, 0)
    assert {item.marks for item in plan.items if item.truth} == {(6,)}
    assert {item.marks for item in plan.items if not item.truth} == {(6,)}
    apart = Fuzzing(knows(" fox")).plan(replace(centred, centred=False), 0)
    assert len({item.marks for item in apart.items if not item.truth}) > 4
