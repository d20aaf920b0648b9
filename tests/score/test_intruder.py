"""Intruder: how questions are made, who answers them, and what becomes of answers."""

import json
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.llm.errors import RequestRejected
from autointerp.llm.messages import ChatRequest
from autointerp.records import JudgedExample, Score
from autointerp.sampling import MARK_SHARE, runs
from autointerp.score.intruder import Intruder
from autointerp.score.judges.base import Shown
from autointerp.score.judges.odd_one_out import LLMOddOneOut, OfflineOddOneOut
from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.plan import Plan, Verdict, Verdicts
from autointerp.score.registry import N_TEXTS
from autointerp.score.scorer import Heldout
from tests.mock_client import MemoryCache, MockClient
from tests.score.builders import explained, heldout, judged, window

LINE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


class Fixed:
    """Picks what `choose(question)` says; `None`: no answer."""

    name, model, prompt_version = "fixed", None, "fixed-1"

    def __init__(self, choose):
        self._choose = choose

    def requests(self, questions: Sequence[Sequence[Shown]]) -> list[ChatRequest]:
        return []

    def pick(self, questions: Sequence[Sequence[Shown]]) -> Verdicts:
        verdicts = []
        for texts in questions:
            odd = self._choose(texts)
            verdicts += [
                Verdict(error="?") if odd is None else Verdict(answer=i == odd) for i in range(len(texts))
            ]
        return Verdicts(tuple(verdicts))


def without_fox(texts: Sequence[Shown]) -> int:
    return next(i for i, text in enumerate(texts) if " fox" not in text.texts)


def questions(plan: Plan):
    return [plan.items[i : i + N_TEXTS] for i in range(0, len(plan.items), N_TEXTS)]


@settings(max_examples=25)
@given(st.integers(0, 60), st.integers(0, 15), st.integers(0, 1000))
def test_each_question_has_one_intruder_and_no_window_is_in_two(n_pos: int, n_neg: int, seed: int):
    examples = heldout(n_pos, n_neg)
    plan = Intruder(Fixed(without_fox)).plan(examples, seed)
    asked = questions(plan)
    assert len(asked) == min(n_pos // 4 if n_pos >= 4 else 0, n_neg)
    places = Counter(item.window.example.context for item in plan.items)
    assert set(places.values()) <= {1}
    for question in asked:
        (intruder,) = [item for item in question if item.truth]
        others = [item for item in question if not item.truth]
        assert intruder.window.example.max_activation == 0
        assert all(item.window.example.max_activation > 0 for item in others)
        shapes = [sorted(end - start for start, end in runs(item.marks or ())) for item in others]
        assert sorted(end - start for start, end in runs(intruder.marks or ())) in shapes
        for item in others:
            acts = item.window.example.activations
            assert item.marks == tuple(np.flatnonzero(acts >= MARK_SHARE * acts.max()).tolist())


def test_texts_of_a_question_are_of_one_decile_while_they_last_and_the_place_tells_nothing():
    def deciles_of(n_pos: int) -> list[set[int]]:
        asked = questions(Intruder(Fixed(without_fox)).plan(heldout(n_pos, 60), 0))
        return [
            {item.window.example.quantile or 0 for item in question if not item.truth} for question in asked
        ]

    of_five = deciles_of(50)  # each decile: a question, and one text left over
    assert len(of_five) == 12
    assert Counter(next(iter(each)) for each in of_five if len(each) == 1) == dict.fromkeys(range(10), 1)
    of_three = deciles_of(30)
    assert len(of_three) == 7
    assert all(max(each) - min(each) <= 2 for each in of_three)
    many = questions(Intruder(Fixed(without_fox)).plan(heldout(200, 50), 0))
    at = Counter(next(i for i, item in enumerate(question) if item.truth) for question in many)
    assert len(at) == N_TEXTS


def plain_accuracy(score: Score) -> tuple[float, dict[int, float]]:
    """By another way: question by question from the stored rows."""
    rows: dict[int, list[JudgedExample]] = {}
    for row in judged(score):
        rows.setdefault(row.i // N_TEXTS, []).append(row)
    right, by_decile = [], {}
    for texts in rows.values():
        if any(row.error for row in texts):
            continue
        picked = [row.i for row in texts if row.answer]
        hit = picked == [row.i for row in texts if row.truth]
        right.append(hit)
        deciles = {row.quantile for row in texts if not row.truth}
        if len(deciles) == 1:
            by_decile.setdefault(deciles.pop(), []).append(hit)
    return float(np.mean(right)), {q: float(np.mean(hits)) for q, hits in by_decile.items()}


def test_accuracy_is_the_share_of_questions_answered_right():
    rng = np.random.default_rng(3)

    def sometimes(texts: Sequence[Shown]) -> int | None:
        chance = rng.random()
        return None if chance < 0.1 else without_fox(texts) if chance < 0.7 else int(rng.integers(N_TEXTS))

    score = Intruder(Fixed(sometimes)).run(explained("x"), heldout(200, 50), seed=1, floor=explained("y"))
    value, by_decile = plain_accuracy(score)
    assert score.value == pytest.approx(value)
    assert 0 < score.unparsed < 20
    assert (score.n_pos + score.unparsed, score.n_neg, score.floor) == (50, 0, None)
    assert {q: v for q, v in enumerate(score.value_by_quantile) if v is not None} == pytest.approx(by_decile)
    spread = (value * (1 - value) / score.n_pos) ** 0.5  # of a share of independent questions
    assert (score.ci_high or 0) - (score.ci_low or 0) == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_a_perfect_and_a_guessing_judge():
    perfect = Intruder(Fixed(without_fox)).run(explained("x"), heldout(80, 20), seed=0)
    assert (perfect.value, perfect.ci_high) == (1.0, 1.0)
    assert 0.8 < (perfect.ci_low or 0) < 1.0
    guess = Intruder(Fixed(lambda texts: 0)).run(explained("x"), heldout(800, 200), seed=0)
    assert (guess.ci_low or 0) < 1 / N_TEXTS < (guess.ci_high or 0)


def test_the_offline_judge_finds_what_has_nothing_in_common_with_the_rest():
    background = [w.texts for w in heldout(0, 40).non_activating]
    judge = OfflineOddOneOut(OfflineJudge(background))
    score = Intruder(judge).run(explained("x"), heldout(80, 20), seed=0)
    assert (score.judge, score.model, score.prompt_version) == ("offline", None, "offline-intruder-1")
    assert (score.value or 0) > 0.9
    blind = [window([f" w{i}_{j}" for j in range(8)], {i % 8: 1.0}, context=i, quantile=0) for i in range(80)]
    silent = [window([f" v{i}_{j}" for j in range(8)], context=500 + i) for i in range(20)]
    lost = Intruder(judge).run(explained("x"), Heldout(blind, silent, 1.0), seed=0)
    assert (lost.ci_low or 0) < 1 / N_TEXTS < (lost.ci_high or 0), "texts that share nothing are guessed at"


def truthful(request: ChatRequest) -> str:
    texts = LINE.findall(request.messages[-1].content)
    assert len(texts) == N_TEXTS
    assert all("<<" in text for _, text in texts)
    return json.dumps({"answers": [next(int(i) for i, text in texts if "<< fox>>" not in text)]})


def test_a_language_model_is_asked_one_question_at_a_time_and_answers_are_kept():
    cache = MemoryCache()
    with MockClient(truthful, cache=cache) as client:
        scorer = Intruder(LLMOddOneOut(client))
        score = scorer.run(explained("foxes"), heldout(40, 10), seed=0)
        assert len(client.requests) == 10
        plan = scorer.plan(heldout(40, 10), 0)
        assert len(scorer.requests(["a", "b"], plan, lambda request: None)) == 10, "one explanation or two"
        assert all("foxes" not in message.content for r in client.requests for message in r.messages)
        again = scorer.run(explained("another version"), heldout(40, 10), seed=0)
        assert len(client.requests) == 10
    assert (score.value, score.n_pos, score.unparsed, score.judge, score.model) == (1.0, 10, 0, "llm", "mock")
    assert score.tokens_in > 0 == again.tokens_in
    assert judged(again) == judged(score)
    assert all(row.reply_ref for row in judged(score))


@pytest.mark.parametrize(
    "said", ['{"answers": [0]}', '{"answers": [6]}', '{"answers": [1.5]}', "none", '{"answers": [1, 2]}']
)
def test_unreadable_answers_are_no_answers(said: str):
    replies = iter(range(100))

    def answer(request: ChatRequest) -> str:
        return said if next(replies) < 4 else truthful(request)

    with MockClient(answer, cache=MemoryCache()) as client:
        score = Intruder(LLMOddOneOut(client)).run(explained("x"), heldout(40, 10), seed=0)
    assert score.status == "ok"
    assert (score.value, score.unparsed + score.n_pos) == (1.0, 10)
    assert score.unparsed > 0
    assert sum(row.error is not None for row in judged(score)) == N_TEXTS * score.unparsed


def test_failures_are_recorded_with_their_cause():
    with MockClient(lambda _: RequestRejected("no such thing")) as client:
        score = Intruder(LLMOddOneOut(client)).run(explained("x"), heldout(40, 10), seed=0)
    assert (score.status, score.value, score.error, score.error_kind) == (
        "failed",
        None,
        "no such thing",
        "rejected",
    )
    with MockClient(lambda _: "I will not say.") as client:
        score = Intruder(LLMOddOneOut(client)).run(explained("x"), heldout(40, 10), seed=0)
    assert (score.status, score.error_kind, score.retryable) == ("failed", "unparsed", True)
    assert (score.error or "").startswith("10 of 10 answers could not be read")
    few = Intruder(Fixed(without_fox)).run(explained("x"), heldout(3, 10), seed=0)
    assert (few.status, few.error_kind) == ("failed", "no_examples")
