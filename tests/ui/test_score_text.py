"""Kinds of scores in the order of the registry."""

import pytest

from autointerp.score.registry import SCORERS
from autointerp.store import ScoreKind
from autointerp.ui.shared import score_text


def test_kinds_stand_as_their_scorers_are_registered_and_the_usual_ones_first():
    usual = [ScoreKind(name, "offline", "held-out", "random") for name in SCORERS]
    unusual = [
        ScoreKind("detection", "offline", "held-out", "neighbours"),
        ScoreKind("detection", "offline", "delphi", "random"),
    ]
    unknown = ScoreKind("another", "offline", "held-out", "random")
    expected = [usual[0], *unusual, *usual[1:], unknown]
    assert sorted(reversed(expected), key=score_text.order) == expected


def test_settings_are_named_only_where_they_tell_kinds_apart():
    usual, short, later, floorless = (
        ScoreKind("detection", "offline", "held-out", "random", None, str(i), settings)
        for i, settings in enumerate(
            [
                {"n_examples": 30, "n_negatives": 30, "seed": 0, "floor": True, "drawing": 2},
                {"n_examples": 2, "n_negatives": 2, "seed": 0, "floor": True, "drawing": 2},
                {"n_examples": 30, "n_negatives": 30, "seed": 7, "floor": True, "drawing": 1},
                {"n_examples": 30, "n_negatives": 30, "seed": 0, "floor": False, "drawing": 2},
            ]
        )
    )
    other = ScoreKind("fuzzing", "offline", "held-out", "random", None, "9", {"seed": 3})
    assert score_text.name(usual, [usual, other]) == "Detection · offline judge"
    assert score_text.name(short, [usual, short, other]) == "Detection · offline judge · n 2 + 2"
    assert score_text.name(later, [usual, later]) == "Detection · offline judge · seed 7 · drawing 1"
    assert score_text.name(floorless, [usual, floorless]) == "Detection · offline judge · no floor"
    assert (
        len(
            {
                score_text.name(kind, [usual, short, later, floorless])
                for kind in (usual, short, later, floorless)
            }
        )
        == 4
    )


def test_an_address_without_a_configuration_means_any():
    kind = ScoreKind("detection", "llm", "held-out", "random", "m", "65d8f6a24c0e")
    assert kind.has_key(kind.key)
    assert kind.has_key("detection~llm~held-out~random~m")
    assert not kind.has_key("detection~llm~held-out~random")
    assert not kind.has_key("detection~llm~held-out~random~m~@65d8")
    assert not kind.has_key(None)


@pytest.mark.parametrize(
    ("metrics", "ticks"),
    [
        (["nats"], ["−4", "0", "+4"]),
        (["nats", "nats"], ["−4", "0", "+4"]),
        (["auroc"], ["0", ".5", "1"]),
        (["balanced_accuracy", "nats"], ["0", ".5", "1"]),
        ([], ["0", ".5", "1"]),
    ],
)
def test_the_axis_above_scores_is_theirs(metrics: list[str], ticks: list[str]):
    assert score_text.axis_ticks(metrics) == ticks
