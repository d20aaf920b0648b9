"""Versions, pins, summaries, search, replies."""

from dataclasses import replace
from typing import Any

import pytest

from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.pending import explanations_to_score
from autointerp.records import Explanation, Score
from autointerp.store.annotations import Annotations


def explain(latent: int, text: str, **kwargs: Any) -> Explanation:
    return Explanation(**{"coder": "sae", "latent": latent, "text": text, "explainer": "pattern", **kwargs})


def scored(explanation: Explanation, value: float, **kwargs: Any) -> Score:
    given = {"explanation_id": explanation.id, "scorer": "detection", "judge": "offline", "value": value}
    return Score(**{**given, **kwargs})


def test_the_newest_good_one_is_shown_unless_one_is_pinned(annotations: Annotations) -> None:
    assert annotations.shown("sae", 7) is None
    first = explain(7, "first")
    second = explain(7, "second", parent=first.id, author="ada", explainer="person")
    failed = explain(7, "", status="failed", error="server down")
    annotations.add(first, second, failed)
    assert annotations.shown("sae", 7) == second
    assert [e.text for e in annotations.explanations("sae", 7)] == ["", "second", "first"]
    assert [e.text for e in annotations.explanations("sae", 7, failed=False)] == ["second", "first"]
    annotations.pin(first.id, author="ada")
    assert annotations.shown("sae", 7) == first
    pin = annotations.pinned("sae", 7)
    assert pin is not None
    assert (pin.explanation_id, pin.author) == (first.id, "ada")
    annotations.pin(second.id, author="bob")
    annotations.add(explain(7, "third"))
    assert annotations.shown("sae", 7) == second
    annotations.unpin("sae", 7)
    shown = annotations.shown("sae", 7)
    assert shown is not None
    assert shown.text == "third"
    assert annotations.pinned("sae", 7) is None
    with pytest.raises(UserError, match="failed"):
        annotations.pin(failed.id, author="ada")
    with pytest.raises(UnknownName):
        annotations.pin("nobody", author="ada")
    for get in (annotations.explanation, annotations.score):
        with pytest.raises(UnknownName):
            get("nobody")


def test_summaries_follow_the_shown_explanation_and_the_newest_score(annotations: Annotations) -> None:
    old, new, other = explain(1, "old"), explain(1, "new", explainer="default"), explain(5, "other")
    scores = [
        *(scored(old, 0.6), scored(new, 0.7), scored(new, 0.8), scored(new, 0.9, scorer="fuzzing")),
        *(
            scored(new, 0.1, judge="gpt"),
            replace(scored(other, 0.5), value=None, status="failed", error="no"),
        ),
    ]
    annotations.add(
        old, new, other, explain(9, "", status="failed", error="no"), explain(1, "x", coder="tc"), *scores
    )
    summary = annotations.summary("sae")
    assert summary.select(["latent", "text", "explainer", "pinned", "n_explanations"]).to_pylist() == [
        {"latent": 1, "text": "new", "explainer": "default", "pinned": False, "n_explanations": 2},
        {"latent": 5, "text": "other", "explainer": "pattern", "pinned": False, "n_explanations": 1},
    ]
    rows = (
        annotations.score_summary("sae").select(["latent", "shown", "scorer", "judge", "value"]).to_pylist()
    )
    assert sorted(tuple(row.values()) for row in rows) == [
        (1, False, "detection", "offline", 0.6),
        (1, True, "detection", "gpt", 0.1),
        (1, True, "detection", "offline", 0.8),
        (1, True, "fuzzing", "offline", 0.9),
    ]
    assert annotations.summary("sae") is summary, "cached while nothing changes"
    annotations.add(explain(2, "elsewhere", coder="tc"))
    assert annotations.summary("sae") is summary, "another coder's change does not matter"
    annotations.pin(old.id, author="ada")
    assert annotations.summary("sae")["text"].to_pylist() == ["old", "other"]
    assert [r["value"] for r in annotations.score_summary("sae").to_pylist() if r["shown"]] == [0.6]
    assert annotations.summary("nothing").num_rows == annotations.score_summary("nothing").num_rows == 0


def test_versions_change_for_every_process(annotations: Annotations) -> None:
    with Annotations(annotations.path.parent) as other:
        before = annotations.version("sae")
        other.add(explain(1, "text"))
        assert annotations.version("sae") > before
        assert annotations.version("sae") == other.version("sae")


def test_pages_of_explanations_come_in_order(annotations: Annotations) -> None:
    added = [explain(i % 7, f"{i}", explainer="pattern" if i % 2 else "default") for i in range(50)]
    annotations.add(*added, explain(0, "", status="failed", error="no"))
    assert list(annotations.iter_explanations("sae", page=8)) == added
    assert list(annotations.iter_explanations("sae", page=3, explainer="default")) == added[::2]
    assert sum(1 for _ in annotations.iter_explanations("sae", failed=True)) == 51


def test_what_a_batch_may_skip(annotations: Annotations) -> None:
    config = {"n": 40}
    one, two = explain(1, "a", config=config), explain(2, "b", config={"n": 20})
    bad = explain(3, "", config=config, status="failed", error="no")
    score = scored(one, 0.5, config=config)
    annotations.add(
        one, two, bad, score, replace(scored(two, 0, config=config), value=None, status="failed", error="x")
    )
    assert annotations.explained("sae", explainer="pattern", config_hash=one.config_hash) == {1: one.id}
    found = annotations.scored("sae", scorer="detection", judge="offline", config_hash=score.config_hash)
    assert found == {one.id}
    assert annotations.scores_of_latent("sae", 1) == [score]


def test_replies_are_kept_once(annotations: Annotations) -> None:
    replies = annotations.replies
    assert replies.get("k") is None
    assert "k" not in replies
    replies.put("k", {"prompt": "hi " * 100}, {"text": "é🦊\ud83d"}, tokens_in=5, tokens_out=2, cost=0.25)
    replies.put("k", {"prompt": "other"}, {"text": "other"}, tokens_in=5, tokens_out=2, cost=0.25)
    stored = replies.get("k")
    assert stored is not None
    assert stored.reply == {"text": "é🦊\ud83d"}
    assert stored.request["prompt"].startswith("hi hi")
    assert (stored.tokens_in, stored.tokens_out, stored.cost) == (5, 2, 0.25)
    explanation = explain(1, "t", reply_ref="k")
    annotations.add(explanation)
    assert annotations.explanation(explanation.id).reply_ref == "k"


def test_the_best_lower_bound_is_shown_where_there_are_scores(annotations: Annotations) -> None:
    """A new version that nobody has scored hides no better one; every way of reading agrees."""
    good, worse, unscored = explain(1, "good"), explain(1, "worse"), explain(1, "unscored")
    delphi = {"protocol": "delphi", "ci_low": 0.99}
    annotations.add(good, scored(good, 0.8, ci_low=0.7), worse, scored(worse, 0.9, ci_low=0.5), unscored)
    annotations.add(scored(unscored, 1.0, **delphi), scored(worse, 0.9, scorer="fuzzing", ci_low=0.8))
    alone, last = explain(2, "old"), explain(2, "new")
    annotations.add(alone, last, replace(scored(alone, 0.5), value=None, status="failed", error="no"))

    def shown() -> tuple[str, str]:
        kept = dict(
            zip(*annotations.summary("sae").select(["latent", "text"]).to_pydict().values(), strict=True)
        )
        one = [annotations.shown("sae", latent) for latent in (1, 2)]
        assert [each and each.text for each in one] == [kept[1], kept[2]]
        rows = annotations.table("explanations").select(["text", "shown"]).to_pylist()
        assert sorted(row["text"] for row in rows if row["shown"]) == sorted([kept[1], kept[2]])
        scores = annotations.score_summary("sae").select(["explanation_id", "shown"]).to_pylist()
        ids = {row["explanation_id"] for row in scores if row["shown"]}
        assert ids <= {each.id for each in one if each}
        return kept[1], kept[2]

    assert (annotations.shown_by, shown()) == ("detection", ("good", "new"))
    assert explanations_to_score(annotations, "sae") == [good.id, unscored.id, last.id]
    annotations.add(scored(good, 0.4, ci_low=0.3))  # its newest score counts, not its best
    assert shown() == ("worse", "new")
    annotations.add(scored(good, 0.8, ci_low=0.7))
    annotations.show_by("newest")
    assert (annotations.shown_by, shown()) == ("newest", ("unscored", "new"))
    annotations.show_by("fuzzing")
    assert shown() == ("worse", "new")
    annotations.pin(good.id, author="ada")
    assert shown() == ("good", "new")
    annotations.show_by("detection")
    annotations.unpin("sae", 1)
    assert shown() == ("good", "new")
