"""The value asked for alone, as for a floor, is the value of the whole summary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.records import Metric
from autointerp.score.plan import Item, Verdict, judged_examples
from autointerp.score.resampling import Resamples
from autointerp.score.summary import summarise, value_of
from tests.score.builders import window

verdicts = st.one_of(
    st.just(Verdict(error="unreadable")),
    st.builds(
        Verdict,
        answer=st.booleans(),
        value=st.floats(-5, 5),
        predicted=st.lists(st.integers(0, 10).map(float), min_size=3, max_size=3).map(tuple),
    ),
)
items = st.tuples(st.booleans(), st.integers(0, 2), st.integers(1, 9), verdicts)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auroc", "correlation"])
@given(cases=st.lists(items, max_size=20))
def test_it_is_the_same(metric: Metric, cases: list[tuple[bool, int, int, Verdict]]) -> None:
    asked = [
        Item(window(["a", "b", "c"], {place: float(value)} if truth else {}, context=i), truth)
        for i, (truth, place, value, _) in enumerate(cases)
    ]
    answers = [verdict for *_, verdict in cases]
    whole = summarise(metric, asked, judged_examples(asked, answers), Resamples(0, 10)).value
    assert value_of(metric, asked, answers) == whole
