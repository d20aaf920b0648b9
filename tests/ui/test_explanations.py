"""The pure parts of the explanation side: differences of texts, standings of scores, pairs lost."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.explain.options import ExplainOptions
from autointerp.llm.options import LLMOptions
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.score.compare import Difference
from autointerp.score.registry import METRICS
from autointerp.ui.feature.actions import explain_options
from autointerp.ui.feature.card import plot, record, version_row
from autointerp.ui.feature.compare import diff
from autointerp.ui.feature.judged import lost_pairs
from autointerp.ui.feature.state import ExplanationState
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.differences import sentence
from autointerp.ui.shared.score_text import judge_label, standing
from autointerp.ui.shared.versions import Versions, seconds
from autointerp.ui.shared.written import Scores


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_difference_loses_no_character(first: str, second: str):
    left, right = diff(first, second)
    assert "".join(text for _, text in left) == first
    assert "".join(text for _, text in right) == second
    assert {kind for kind, _ in left} <= {"same", "cut"}
    assert {kind for kind, _ in right} <= {"same", "new"}
    if first == second:
        assert not any(kind == "new" for kind, _ in right)


def test_a_phrase_is_one_change():
    left, right = diff("Words about cats and dogs.", "Words about very large animals.")
    assert left == [["same", "Words about "], ["cut", "cats and dogs"], ["same", "."]]
    assert right == [["same", "Words about "], ["new", "very large animals"], ["same", "."]]


def test_endless_texts_are_not_taken_apart():
    long = "a b " * 5000
    assert diff(long, long + "c") == ([["cut", long]], [["new", long + "c"]])


def scored(value: float | None, low: float | None, floor: float | None, above: float | None = None) -> Score:
    return Score(
        explanation_id="x", scorer="detection", judge="offline", value=value, ci_low=low, floor=floor, above_low=above
    )  # fmt: skip


STANDINGS = [
    (scored(0.8, 0.7, 0.5), "above"),
    (scored(0.8, 0.5, 0.5), "unclear"),
    (scored(0.8, None, 0.5), "unclear"),
    (scored(0.8, 0.6, 0.5), "above"),
    (scored(0.8, 0.58, 0.5), "unclear"),  # the floor is uncertain as well
    (scored(0.8, 0.7, 0.5, -0.01), "unclear"),
    (scored(0.8, 0.4, 0.5, 0.01), "above"),
    (scored(0.5, 0.4, 0.5, 0.01), "below"),
    (scored(0.5, 0.4, 0.5), "below"),
    (scored(0.4, 0.3, 0.5), "below"),
    (scored(0.5, 0.4, math.nextafter(0.5, 0), 0.01), "below"),  # equal but for the last bit
    (scored(0.8, 0.7, None), "unknown"),
    (scored(0.6, 0.45, None), "near_chance"),  # as a judge that answers at random, with a little luck
    (scored(0.6, 0.5, None), "near_chance"),
    (scored(0.6, None, None), "near_chance"),
    (scored(0.5, 0.4, None), "at_chance"),
    (replace(scored(0.6, 0.45, None), metric="of another tool"), "unknown"),
    (scored(None, None, 0.5), "unknown"),
]


@pytest.mark.parametrize(("score", "said"), STANDINGS)
def test_standing_against_the_floor(score: Score, said: str):
    assert standing(score, None) == said
    assert standing(score, 0.4) == said  # which changes nothing for a score above it


def test_many_scores_stand_as_each_does():
    of_detection = [
        (score, said) for score, said in STANDINGS if score.metric in METRICS and score.value is not None
    ]
    fields = ("value", "ci_low", "ci_high", "floor", "above_low", "n_pos", "n_neg")
    columns = [[getattr(score, name) for score, _ in of_detection] for name in fields]
    scores = Scores(*(np.array([math.nan if x is None else x for x in column], float) for column in columns))
    assert scores.clearly_above(0.5).tolist() == [said in ("above", "unknown") for _, said in of_detection]
    assert scores.clearly_above(math.nan).tolist() == [
        said in ("above", "unknown") or score.floor is None for score, said in of_detection
    ]


def test_a_score_that_random_explanations_reach_is_not_clearly_above():
    clear = scored(0.8, 0.7, 0.5, 0.1)
    assert [standing(clear, bar) for bar in (None, 0.79, 0.8, 0.9)] == ["above", "above", "common", "common"]
    assert standing(clear, math.nextafter(0.8, 0)) == "common"  # equal but for the last bit
    assert standing(scored(0.8, 0.7, 0.5, -0.01), 0.9) == "unclear"


def test_the_list_of_versions_says_what_the_card_says():
    explanation = Explanation(coder="sae", latent=0, text="x", explainer="pattern")
    score = replace(scored(0.8, 0.7, 0.5, 0.1), explanation_id=explanation.id)
    versions = Versions("sae", 0, (explanation,), None, (score,), floor_bars={score.id: 0.9})
    state = ExplanationState.parse({})
    [card] = record(versions, state)["scores"]
    [listed] = version_row(versions, explanation, state)["scores"]
    assert card["said"] == listed["said"] == "within the range of floors"


def compared(value: float | None, low: float | None, high: float | None) -> Difference:
    return Difference("balanced_accuracy", value, low, high, 10, 10, 0)


def test_sentences():
    assert sentence(compared(0.1, 0.02, 0.2)).startswith("Better by 0.10")
    assert sentence(compared(-0.1, -0.2, -0.02)).startswith("Worse by 0.10")
    assert sentence(compared(0.1, 0.0, 0.2)).startswith("No clear difference")
    assert "Too few" in sentence(compared(0.1, None, None))
    assert "Not defined" in sentence(compared(None, None, None))


def test_lost_pairs_make_up_the_area():
    values = [(True, 0.9), (True, 0.4), (False, 0.5), (False, 0.4), (False, 0.1)]
    judged = [
        JudgedExample(i=i, context=0, start=0, window=1, truth=truth, value=value)
        for i, (truth, value) in enumerate(values)
    ]
    lost = lost_pairs(judged)
    assert lost == {0: 0.0, 1: 0.5, 2: 0.5, 3: 0.25, 4: 0.0}
    of_positives = (lost[0] + lost[1]) / 2
    of_negatives = (lost[2] + lost[3] + lost[4]) / 3
    assert of_positives == pytest.approx(of_negatives)  # 1 - AUROC either way
    assert lost_pairs(judged[:2]) == {}


def test_plot_stays_on_its_axis():
    assert plot(-0.2, None, 1.5, 0.5) == {"v": 0.0, "l": None, "h": 1.0, "f": 0.5}


def test_judges_are_named_as_what_they_are():
    assert judge_label("offline", None) == "offline judge"
    assert judge_label("llm", "gpt-x") == "gpt-x"
    assert judge_label("llm", None) == "LLM"
    assert judge_label("embedder", "all-MiniLM-L6-v2") == "embedder MiniLM"
    assert judge_label("embedder", "org/other") == "embedder other"
    assert judge_label("language model", "tiny") == "language model tiny"


def test_money_and_time():
    assert [fmt.money(cost) for cost in (None, 0, 0.00001, 0.01234)] == [
        "unknown",
        "0.00",
        "1.0×10⁻⁵",
        "0.012",
    ]
    assert [seconds(value) for value in (None, 0.0042, 12.34)] == ["–", "4 ms", "12.3 s"]


@given(
    st.dictionaries(
        st.sampled_from(["version", "score", "against", "panel", "verdict", "quantile", "example"]), st.text()
    )
)
def test_any_address_is_a_state(params: dict[str, str]):
    state = ExplanationState.parse(params)
    assert state.quantile is None or 0 <= state.quantile <= 9
    assert state.verdict in {"all", "wrong", "right"}
    assert state.version is None or 0 < len(state.version) <= 64


def test_the_same_choices_again_are_all_of_them():
    llm = LLMOptions(model="m", base_url="http://localhost:1/v1")
    options = ExplainOptions(explainer="default", max_tokens=12, n_examples=7, seed=3, llm=llm)
    made = Explanation(coder="sae", latent=0, text="", explainer="default", config=options.identity())
    assert explain_options(made, llm).identity() == options.identity()
