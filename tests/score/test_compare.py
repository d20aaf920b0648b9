"""Two explanations on the same examples: simulation against a second, plain implementation, and what is no comparison."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.records import JudgedExample, Score
from autointerp.score.classify import Detection
from autointerp.score.compare import difference
from autointerp.score.resampling import Resamples
from tests.score.builders import explained, heldout, knows

LENGTH = 4


def simulated(predicted: list[NDArray[np.float64] | None], **more: Any) -> Score:
    """A score by simulation, one window a context; `None`: the answer could not be read."""
    judged = tuple(
        JudgedExample(
            i, i, 0, LENGTH, True, None, None, None, "activating", None, None if one is None else tuple(one.tolist())
        )
        for i, one in enumerate(predicted)
    )  # fmt: skip
    fields: dict[str, Any] = {
        "explanation_id": "e",
        "scorer": "simulation",
        "judge": "llm",
        "metric": "correlation",
        "model": "m",
    }
    return Score(**{**fields, "value": 0.0, "judged": judged, "prompt_version": "v", **more})


def plain_difference(
    true: list[NDArray[np.float32]],
    first: list[NDArray[np.float64]],
    second: list[NDArray[np.float64]],
    resamples: Resamples,
) -> tuple[float, float | None, float | None]:
    """Window by window, as one would write it down: r of all tokens, and the same for each resample of whole windows."""

    def r(chosen: list[int], predicted: list[NDArray[np.float64]]) -> float:
        x = np.concatenate([true[i] for i in chosen]).astype(np.float64)
        y = np.concatenate([predicted[i] for i in chosen])
        return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else float("nan")

    firing = [i for i, one in enumerate(true) if one.max() > 0]
    silent = [i for i, one in enumerate(true) if one.max() <= 0]
    value = r([*firing, *silent], second) - r([*firing, *silent], first)
    weights = resamples.weights(len(firing), len(silent))
    if weights is None:
        return value, None, None
    found = []
    for of_firing, of_silent in zip(weights.pos.astype(int), weights.neg.astype(int), strict=True):
        chosen = [
            i for i, n in zip([*firing, *silent], [*of_firing, *of_silent], strict=True) for _ in range(n)
        ]
        gap = r(chosen, second) - r(chosen, first)
        if not np.isnan(gap):
            found.append(gap)
    if not np.any(np.abs(found) > 1e-12):
        return value, None, None
    low, high = np.quantile(found, [0.025, 0.975])
    return value, min(float(low), value), max(float(high), value)


@given(
    stn.arrays(np.float64, (2, 7, LENGTH), elements=st.integers(0, 10)),
    stn.arrays(np.float32, (7, LENGTH), elements=st.integers(0, 6)),
    st.integers(0, 3),
)
def test_simulation_agrees_with_a_plain_implementation(
    predicted: NDArray[np.float64], true: NDArray[np.float32], n_silent: int
):
    predicted[:, 0] += [0, 3, 5, 9]  # what never varies has no correlation, neither here nor there
    true[0], true[7 - n_silent :] = [0, 1, 0, 3], 0
    rows = [list(side) for side in predicted]
    resamples = Resamples(5, 40)
    found = difference(simulated(rows[0]), simulated(rows[1]), resamples, lambda one: true[one.context])
    if np.ptp(predicted[0]) == 0 or np.ptp(predicted[1]) == 0:
        assert found.value is None
        return
    value, low, high = plain_difference(list(true), rows[0], rows[1], resamples)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert (found.n_pos, found.n_neg) == (
        int((true.max(axis=1) > 0).sum()),
        int((true.max(axis=1) <= 0).sum()),
    )
    assert (found.ci_low is None) == (low is None)
    if low is not None:
        assert (found.ci_low, found.ci_high) == (pytest.approx(low, abs=1e-7), pytest.approx(high, abs=1e-7))


def test_only_windows_that_both_answered_are_compared():
    true = np.array([[0, 1, 2, 0]] * 3 + [[0, 0, 0, 0]] * 3, dtype=np.float32)
    noise = np.array([0.1, 0.0, 0.0, 0.2])
    good, bad = [one + noise for one in true], [one[::-1] + noise for one in true]
    found = difference(
        simulated([None, *bad[1:]]), simulated([*good[:5], None]), Resamples(0), lambda i: true[i.context]
    )
    assert (found.n_pos, found.n_neg, found.unpaired) == (2, 2, 2)
    assert found.value is not None
    assert found.value > 0.2
    same = difference(simulated([*good]), simulated([*good]), Resamples(0), lambda i: true[i.context])
    assert (same.value, same.ci_low, same.ci_high) == (0.0, None, None), "no interval of no width"


LLM = {"batch": 10, "graded": False, "llm": {"model": "m", "endpoint": "a.example/v1"}}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"prompt_version": "2"}, "prompt: None and 2"),
        ({"config": LLM | {"batch": 5}}, "texts per prompt: 10 and 5"),
        ({"config": LLM | {"graded": True}}, "graded answers: no and yes"),
        ({"config": LLM | {"llm": {"model": "m", "endpoint": "b.example/v1"}}}, "m at a.example/v1 and m at b.example/v1"),
        ({"config": LLM | {"version": 3}}, "not recorded and 3"),
    ],
)  # fmt: skip
def test_a_judge_set_differently_is_another_judge(more: dict[str, Any], said: str):
    """Its difference would pass as the explanation's."""
    first = replace(Detection(knows(" fox")).run(explained("x"), heldout(), seed=1), config=LLM)
    assert difference(first, replace(first, seed=2), Resamples(0)).value == 0.0
    with pytest.raises(UserError, match=said):
        difference(first, replace(first, **more), Resamples(0))
    delphi = replace(first, protocol="delphi")
    if "batch" in said or "per prompt" in said:  # which the protocol fixes
        assert difference(delphi, replace(delphi, **more), Resamples(0)).value == 0.0
