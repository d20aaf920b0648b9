"""Kinds of scores in the order of the registry."""

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
