"""The score that random explanations reach in 2.5 % of cases, against plain Python."""

import statistics

import pytest

from autointerp.records import Explanation, Score
from autointerp.store import Store, annotated_store, kind_of
from autointerp.store.annotations import Annotations

COMMON, RARE = {"n_examples": 30}, {"n_examples": 200}


def scored(n: int, coder: str, settings: dict, first: float, **fields: str) -> list[Explanation | Score]:
    """`n` explanations with a score each; floors `first`, `first` + 0.001 ..."""
    records: list[Explanation | Score] = []
    for at in range(n):
        explanation = Explanation(coder=coder, latent=at % 5, text=str(at), explainer="pattern")
        made: dict = {"scorer": "detection", "judge": "offline"} | fields
        score = Score(
            explanation_id=explanation.id, value=0.9, floor=first + at / 1000, config=settings, **made
        )
        records += [explanation, score]
    return records


@pytest.fixture
def bars(tiny_store: Store):
    """Bars of the kinds of the last score of each of some lists of records."""

    def of(*lists: list[Explanation | Score]) -> list[float | None]:
        with Annotations(tiny_store.path) as annotations:
            annotations.add(*(record for records in lists for record in records))
            kept = annotated_store(annotations)
            made = []
            for records in lists:
                explanation, score = records[-2:]
                assert isinstance(explanation, Explanation)
                assert isinstance(score, Score)
                made.append(kept.coder(explanation.coder).floor_bar(kind_of(score)))
            return made

    return of


def percentile(first: float, n: int) -> float:
    return statistics.quantiles([first + at / 1000 for at in range(n)], n=40, method="inclusive")[-1]


def test_of_the_kind_where_it_has_enough_floors_else_of_all_settings(bars):
    common, rare, other = bars(
        scored(60, "sae", COMMON, 0.4),
        scored(10, "sae", RARE, 0.8),
        scored(50, "sae", COMMON, 0.1, scorer="fuzzing"),
    )
    assert common == pytest.approx(percentile(0.4, 60))
    assert other == pytest.approx(percentile(0.1, 50))
    floors = [0.4 + at / 1000 for at in range(60)] + [0.8 + at / 1000 for at in range(10)]
    assert rare == pytest.approx(statistics.quantiles(floors, n=40, method="inclusive")[-1])


def test_none_with_too_few_and_never_from_another_coder_judge_or_negatives(bars):
    few = bars(
        scored(39, "sae", COMMON, 0.4),
        scored(60, "transcoder", COMMON, 0.4),
        scored(39, "sae", COMMON, 0.4, judge="llm", model="m"),
        scored(39, "sae", COMMON, 0.4, negatives="neighbours"),
    )
    assert [bar is None for bar in few] == [True, False, True, True]


def test_a_score_in_a_list_carries_its_bar(tiny_store: Store):
    records = scored(45, "sae", COMMON, 0.4)
    with Annotations(tiny_store.path) as annotations:
        annotations.add(*records)
        written = annotated_store(annotations).coder("sae")
        [kind] = written.kinds
        [shown] = written.shown_scores(kind, [4]).values()
    assert shown.floor_bar == written.floor_bar(kind) == pytest.approx(percentile(0.4, 45))
    score = records[-1]
    assert isinstance(score, Score)
    assert kind_of(score) == kind
